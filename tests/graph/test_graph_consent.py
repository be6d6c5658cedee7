"""Consent is judged now, at every stage that uses a row: a withdrawal between two stages removes the rows from the later one."""

from __future__ import annotations

import json
import shutil

import pytest

from flywheel.dataset import DatasetStore
from flywheel.storage import Home
from flywheel.training import ModelStore
from tests.small_rounds import R1, R2, hashes, label, succeed, withdraw


def subject_in(home: Home, table: str, round: str) -> str:
    """A subject with rows in the table: the one with the smallest id."""
    return min(s for s in home.lake.read(table, round, ["subject_id"])["subject_id"].to_pylist() if s)


def subjects(home: Home, table: str, round: str) -> set[str]:
    return set(home.lake.read(table, round, ["subject_id"])["subject_id"].to_pylist())


def test_before_consented_logs(small_home: Home) -> None:
    gone = subject_in(small_home, "consented_logs", R2)
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "weekly_round", R2, select=["consented_logs"])
    assert gone not in subjects(small_home, "consented_logs", R2)
    assert small_home.lake.demand("consented_logs", R2).facts["reasons"]["withdrawn"] >= 1


def test_between_consent_and_redaction(small_home: Home) -> None:
    gone = subject_in(small_home, "consented_logs", R2)
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "weekly_round", R2, select=["redacted_logs"])
    assert gone not in subjects(small_home, "redacted_logs", R2)
    assert small_home.lake.demand("redacted_logs", R2).facts["withdrawn_since"] >= 1


def test_between_selection_and_batch(small_home: Home) -> None:
    """Not yet published: the pairs of the subject are left out of the batch."""
    shutil.rmtree(small_home.root / "lake" / "labeling_batch" / f"round={R2}")
    picked = set(small_home.lake.read("selection", R2, ["pair_id"])["pair_id"].to_pylist())
    pairs = small_home.lake.read("response_pairs", R2, ["pair_id", "subject_id"]).to_pylist()
    gone = min(p["subject_id"] for p in pairs if p["pair_id"] in picked and p["subject_id"])
    theirs = {p["pair_id"] for p in pairs if p["subject_id"] == gone}
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "weekly_round", R2, select=["labeling_batch"])
    tasks = set(small_home.lake.read("labeling_batch", R2, ["pair_id"])["pair_id"].to_pylist())
    assert not tasks & theirs
    assert tasks & (picked - theirs)


def test_between_labels_and_preferences(small_home: Home) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "close_round", R2, select=["preferences"])
    gone = subject_in(small_home, "preferences", R2)
    before = hashes(small_home)[f"preferences[{R2}]"]
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "close_round", R2, select=["preferences"])
    assert gone not in subjects(small_home, "preferences", R2)
    assert hashes(small_home)[f"preferences[{R2}]"] != before
    assert small_home.lake.demand("preferences", R2).facts["withdrawn_since"] >= 1, "the difference names its cause"


def test_between_preferences_and_dataset(small_home: Home) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "close_round", R2, select=["preferences"])
    gone = subject_in(small_home, "preferences", R2)
    withdraw(small_home, gone, "training")
    succeed(small_home, "close_round", R2, select=["preference_dataset"])
    manifest = small_home.lake.demand("preference_dataset", R2)
    assert manifest.facts["not_allowed_for_training"] >= 1
    rows = DatasetStore(small_home.datasets).rows(manifest.facts["version"])
    assert gone not in set(rows.filter([r == R2 for r in rows["round"].to_pylist()])["subject_id"].to_pylist())


@pytest.mark.slow
def test_between_dataset_and_training(trained_home: Home) -> None:
    """A row that a dataset version holds already is not trained on after the withdrawal."""
    rows = trained_home.lake.read("preference_dataset", R1).to_pylist()
    trained = [r["subject_id"] for r in rows if r["outcome"] in ("a", "b") and r["arm"] != "random_evaluation" and r["subject_id"]]
    before = trained_home.lake.read("reward_model", R1).to_pylist()[0]
    withdraw(trained_home, min(trained), "training")
    succeed(trained_home, "close_round", R1, select=["reward_model", "dpo_model"])
    for table in ("reward_model", "dpo_model"):
        after = trained_home.lake.read(table, R1).to_pylist()[0]
        assert after["n_pairs"] < before["n_pairs"] or table == "dpo_model"
        manifest = ModelStore(trained_home.models).get(after["model_id"])
        assert manifest is not None
        assert after["model_id"] != before["model_id"]
    assert json.dumps(hashes(trained_home)) != ""
