"""Preferences to publish, and the verdict that lets them in."""

from datetime import UTC, datetime

import pytest

from flywheel.dataset import DatasetStore
from flywheel.records import Preference, Verdict
from flywheel.storage import to_table

R1, R2, R3, R4 = "2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"
ANNOTATIONS = "a" * 64


def preference_row(week: str, number: int, /, **changes) -> dict:
    outcome = changes.pop("outcome", "a")
    sides = {"a": ("a", "b"), "b": ("b", "a")}.get(outcome, (None, None))
    row = {
        "round": week, "pair_id": f"{week}-{number:04d}", "record_id": f"rec{number}", "conversation_id": f"con{number}",
        "subject_id": f"sub{number}", "domain": "support" if number % 2 else "code", "task_type": "generation",
        "prompt": [{"role": "system", "content": "You are ShopForge support"}, {"role": "user", "content": f"Refund for [ORDER_1]? {number}"}],
        "response_a": {"text": f"5 days ({number})", "generation": {"model_id": "base-1"}},
        "response_b": {"text": "no", "generation": {"model_id": "base-2"}},
        "outcome": outcome, "chosen": sides[0], "rejected": sides[1], "posterior": 0.93, "n_annotations": 3,
        "aggregator": "majority", "tier": "crowd", "origin": "human", "arm": "active", "prompt_sha256": "p", "prompt_cluster": f"c{number}",
        "batch_id": "b1", "guideline_version": "1.0", "guideline_sha256": "g" * 64, "redaction_version": "1",
    }  # fmt: skip
    return row | changes


@pytest.fixture
def preferences():
    """`preferences(round, 5, outcome="tie")`: a table of so many rows; `preferences(round, [dict, ...])`: one for each dict."""

    def make(week, rows=3, /, **changes):
        changed = [{}] * rows if isinstance(rows, int) else rows
        return to_table(Preference, [preference_row(week, i, **{**changes, **row}) for i, row in enumerate(changed)])

    return make


@pytest.fixture
def store(tmp_path) -> DatasetStore:
    return DatasetStore(tmp_path / "datasets")


@pytest.fixture
def publish(store):
    """`publish(table, round, parent)` with a passing verdict for it."""

    def do(table, week, parent=None, /, *, annotations=ANNOTATIONS, effective_at=datetime(2026, 1, 13, tzinfo=UTC), into=store, **verdict):
        given = Verdict(**{
            "gate": "agreement", "round": week, "subject_sha256": annotations, "state": "pass",
            "decided_at": datetime(2026, 1, 12, tzinfo=UTC), **verdict,
        })  # fmt: skip
        return into.publish(
            table, round=week, verdict=given, annotations_sha256=ANNOTATIONS, expected_parent=parent, effective_at=effective_at,
            selector="hybrid@1",
        )  # fmt: skip

    return do


@pytest.fixture
def rounds():
    return R1, R2, R3, R4
