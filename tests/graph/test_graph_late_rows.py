"""Rows that come after their week was run are taken in by a job of their own, once, and enter the next pool."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg

from flywheel.rounds import late_rounds
from flywheel.storage import Home
from tests.graph.test_graph_reruns import first_good_line
from tests.graph.test_graph_sensors import tick
from tests.small_rounds import R1, R2, R3, hashes, succeed


def deliver_late(home: Home, round: str) -> None:
    row = json.loads(first_good_line(Path(home.landing) / f"shopforge-{round}.jsonl"))
    row |= {"id": "late-1", "conversation_id": "late-talk"}
    (Path(home.landing) / "late.jsonl").write_text(json.dumps(row) + "\n")


def test_nothing_is_late_when_nothing_came(small_home: Home) -> None:
    assert late_rounds(small_home, R2) == {}


def test_late_rows_are_asked_for_once_and_enter_the_next_pool(small_home: Home) -> None:
    before = hashes(small_home)
    deliver_late(small_home, R1)
    succeed(small_home, "weekly_round", R3, select=["round_context", "inference_logs"])
    with dg.DagsterInstance.ephemeral() as instance:
        asked = tick(small_home, "late_rows", instance).run_requests
        assert [r.partition_key for r in asked] == [R1]
        succeed(small_home, "late_logs", R1)
        assert not tick(small_home, "late_rows", instance).run_requests
    rows = small_home.lake.demand("redacted_logs", R1).rows
    assert hashes(small_home)[f"labeling_batch[{R1}]"] == before[f"labeling_batch[{R1}]"], "the week's batch is out"
    succeed(small_home, "weekly_round", R3, select=["consented_logs", "redacted_logs", "response_pairs"])
    pool = json.loads((small_home.provenance / "rounds" / R3 / "pool.0001.json").read_text())["record_ids"]
    new = set(small_home.lake.read("redacted_logs", R1)["record_id"].to_pylist())
    assert len(new) == rows
    published = {r for r in small_home.lake.read("labeling_batch", R1)["record_id"].to_pylist() if r}
    assert len((new - published) & set(pool)) >= 1
