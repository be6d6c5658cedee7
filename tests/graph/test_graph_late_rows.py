"""Rows, and parts of them, that come after their week was run are taken in by a job of their own, once, and enter the next pool."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets.definitions import build_defs
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


SAMPLES = Path(__file__).resolve().parents[1] / "ingestion" / "samples"


def deliver_sample(home: Home, name: str) -> None:
    text = (SAMPLES / f"{name}.jsonl").read_text()
    (Path(home.landing) / f"{name}.jsonl").write_text(text.replace("2026-11-20", "2026-01-06"))


def test_a_late_score_is_asked_for_once_and_changes_the_record_of_its_week(small_home: Home) -> None:
    importing = ["round_context", "inference_logs"]
    deliver_sample(small_home, "langfuse_observations_v2")
    for round in (R1, R3):
        succeed(small_home, "weekly_round", round, select=importing)
    assert late_rounds(small_home, R3) == {}
    before = small_home.lake.read("inference_logs", R1)
    deliver_sample(small_home, "langfuse_scores")
    succeed(small_home, "weekly_round", R3, select=importing)
    assert list(late_rounds(small_home, R3)) == [R1]
    succeed(small_home, "weekly_round", R1, select=["inference_logs"])
    assert late_rounds(small_home, R3) == {}
    after = small_home.lake.read("inference_logs", R1)
    assert after["record_id"].equals(before["record_id"])
    changed = [new["source"]["file"] for new, old in zip(after.to_pylist(), before.to_pylist(), strict=True) if new != old]
    assert set(changed) == {"langfuse_observations_v2.jsonl"}


def test_a_late_row_lands_in_its_week_and_what_depends_on_it_is_stale(small_home: Home) -> None:
    graph = build_defs(path=str(small_home.root)).resolve_asset_graph()

    def status(instance: dg.DagsterInstance, asset: str, round: str) -> StaleStatus:
        resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
        return resolver.get_status(dg.AssetKey(asset), round)

    reading = ["inference_logs", "consented_logs"]
    with dg.DagsterInstance.ephemeral() as instance:
        for round in (R1, R2):
            succeed(small_home, "weekly_round", round, select=reading, instance=instance)
        other = small_home.lake.demand("inference_logs", R2).sha256
        rows = small_home.lake.demand("inference_logs", R1).rows
        succeed(small_home, "weekly_round", R1, select=["inference_logs"], instance=instance)
        assert status(instance, "consented_logs", R1) != StaleStatus.STALE, "the same rows again change nothing"
        deliver_late(small_home, R1)
        for round in (R1, R2):
            succeed(small_home, "weekly_round", round, select=["inference_logs"], instance=instance)
        assert small_home.lake.demand("inference_logs", R1).rows == rows + 1
        shown = instance.get_latest_materialization_event(dg.AssetKey("inference_logs")).asset_materialization.metadata
        assert "| domain | task type |" in shown["prompt_diversity"].value
        assert small_home.lake.demand("inference_logs", R2).sha256 == other
        assert status(instance, "consented_logs", R1) == StaleStatus.STALE
        assert status(instance, "consented_logs", R2) != StaleStatus.STALE
        succeed(small_home, "weekly_round", R1, select=["consented_logs"], instance=instance)
        assert status(instance, "consented_logs", R1) != StaleStatus.STALE
