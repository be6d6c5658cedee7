"""What an import says of each week: other records give another digest, the same ones in other pieces do not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion import Imported, import_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 1, 19, 6, tzinfo=UTC)
WEEKS = ("2026-01-05", "2026-01-12")


def row(id: str, day: int = 6, **changes: Any) -> dict[str, Any]:
    return {
        "id": id, "timestamp": f"2026-01-{day:02d}T10:00:00Z", "messages": [{"role": "user", "content": f"Where is {id}?"}],
        "responses": [{"text": "On its way.", "model": "m-1"}], **changes,
    }  # fmt: skip


def deliver(folder: Path, name: str, *rows: dict[str, Any]) -> None:
    (folder / "logs").mkdir(exist_ok=True)
    (folder / "logs" / name).write_text("".join(json.dumps(r) + "\n" for r in rows))


def read(folder: Path, round: str = WEEKS[1]) -> Imported:
    return import_landing(
        str(folder / "logs"), round=round, ids=Ids(b"k" * 32), settings=IngestionSettings(), now=NOW, store=folder / "store", watch=WEEKS
    )


def sample(name: str) -> list[dict[str, Any]]:
    return [json.loads(line.replace("2026-11-20", "2026-01-06")) for line in (SAMPLES / f"{name}.jsonl").read_text().splitlines()]


def test_every_week_has_its_digest_whichever_one_is_taken(tmp_path: Path) -> None:
    deliver(tmp_path, "a.jsonl", row("r1"), row("r2", day=13))
    one, two = read(tmp_path, WEEKS[0]), read(tmp_path, WEEKS[1])
    assert one.digests == two.digests
    assert len(set(one.digests.values())) == 2


def test_rows_in_another_order_or_in_two_files_too_are_the_same(tmp_path: Path) -> None:
    deliver(tmp_path, "a.jsonl", row("r1"), row("r2"))
    before = read(tmp_path).digests
    deliver(tmp_path, "a.jsonl", row("r2"))
    deliver(tmp_path, "b.jsonl", row("r2"), row("r1"))
    assert read(tmp_path).digests == before


LATER = {"new": row("r3"), "bad": row("r3", colour=1), "at another time": row("r1", timestamp="2026-01-06T11:00:00Z")}


@pytest.mark.parametrize("late", LATER.values(), ids=LATER.keys())
def test_a_late_row_changes_its_own_week_only(tmp_path: Path, late: dict[str, Any]) -> None:
    deliver(tmp_path, "a.jsonl", row("r1"), row("r2", day=13))
    before = read(tmp_path)
    deliver(tmp_path, "late.jsonl", late)
    after = read(tmp_path)
    assert after.digests[WEEKS[0]] != before.digests[WEEKS[0]]
    assert after.digests[WEEKS[1]] == before.digests[WEEKS[1]]
    assert after.revision > before.revision


def test_a_late_score_changes_the_week_of_its_call_though_no_row_came(tmp_path: Path) -> None:
    deliver(tmp_path, "calls.jsonl", *sample("langfuse_observations_v2"))
    before = read(tmp_path)
    deliver(tmp_path, "scores.jsonl", *sample("langfuse_scores"))
    after = read(tmp_path)
    assert after.weeks == before.weeks, "a count would not tell"
    assert after.digests[WEEKS[0]] != before.digests[WEEKS[0]]


def test_nothing_new_leaves_the_revision(tmp_path: Path) -> None:
    deliver(tmp_path, "a.jsonl", row("r1"))
    assert read(tmp_path, WEEKS[0]).revision <= read(tmp_path).revision
    again = read(tmp_path)
    assert (again.digests, again.revision > 0) == (read(tmp_path).digests, True)
