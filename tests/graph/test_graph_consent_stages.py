"""Between every two stages a withdrawal stops the row: what was allowed a stage ago does not count. Also retention, the purpose of
evaluation, and a clock set back. (The stages up to redaction, and the dataset: test_graph_consent.)"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flywheel.dataset import DatasetStore
from flywheel.errors import ClockSetBack
from flywheel.governance import ConsentCheck, consent_ledger, make_consent_event
from flywheel.reporting import funnel
from flywheel.rounds import as_of, batch_file, calibration_as_of, demand_context, round_state, standing_demonstrations
from flywheel.storage import Home
from flywheel.training import round_steps
from tests.small_rounds import CLOCK, R2, label, reopen, run, succeed, withdraw


def subject_of_pick(home: Home, round: str = R2, among: set[str] | None = None) -> tuple[str, set[str]]:
    """A subject with pairs among the picks (or among `among`), and all its pair ids."""
    pairs = home.lake.read("response_pairs", round, ["pair_id", "subject_id"]).to_pylist()
    wanted = among if among is not None else set(home.lake.read("selection", round, ["pair_id"])["pair_id"].to_pylist())
    gone = min(p["subject_id"] for p in pairs if p["pair_id"] in wanted)
    return gone, {p["pair_id"] for p in pairs if p["subject_id"] == gone}


def pair_ids(home: Home, table: str, round: str = R2) -> set[str]:
    return set(home.lake.read(table, round, ["pair_id"])["pair_id"].to_pylist())


def refused(home: Home, table: str, purpose: str = "labeling", round: str = R2) -> dict[str, int]:
    found: dict[str, int] = home.lake.demand(table, round).facts["consent"][purpose]["refused"]
    return found


@pytest.mark.parametrize(("stage", "what"), [("response_pairs", "redaction"), ("selection", "pairs"), ("judge_labels", "selection")])
def test_between_redaction_pairs_selection_and_judge(small_home: Home, stage: str, what: str) -> None:
    gone, theirs = subject_of_pick(small_home)
    assert pair_ids(small_home, stage) & theirs
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "weekly_round", R2, select=[stage])
    assert not pair_ids(small_home, stage) & theirs
    assert refused(small_home, stage)["withdrawn"] >= 1, f"the row of {what} is refused by name"


def test_between_batch_and_raters(small_home: Home) -> None:
    """The published table stays, for labels bind to what raters saw. The file that raters work on loses the tasks."""
    gone, theirs = subject_of_pick(small_home, among=pair_ids(small_home, "labeling_batch"))
    batch = small_home.lake.demand("labeling_batch", R2).sha256
    tasks = {t["task_id"] for t in small_home.lake.read("labeling_batch", R2).to_pylist() if t["pair_id"] in theirs}
    before = batch_file(small_home, R2).read_text().splitlines()
    succeed(small_home, "weekly_round", R2, select=["labeling_batch"])
    assert batch_file(small_home, R2).read_text().splitlines() == before, "nobody has withdrawn: byte for byte the same"
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "weekly_round", R2, select=["labeling_batch"])
    assert small_home.lake.demand("labeling_batch", R2).sha256 == batch
    assert batch_file(small_home, R2).read_text().splitlines() == [line for line in before if json.loads(line)["task_id"] not in tasks]


def test_between_batch_and_annotations(small_home: Home) -> None:
    """People have answered already: the answers are kept in the journal, and reach no table. The gate asks for them no more."""
    gone, theirs = subject_of_pick(small_home, among=pair_ids(small_home, "labeling_batch"))
    label(small_home, R2)
    withdraw(small_home, gone, "labeling")
    succeed(small_home, "import_labels", R2)
    assert not pair_ids(small_home, "annotations") & theirs
    facts = small_home.lake.demand("annotations", R2).facts
    tasks = {t["task_id"] for t in small_home.lake.read("labeling_batch", R2).to_pylist() if t["pair_id"] in theirs}
    assert set(facts["withdrawn_tasks"]) == tasks
    assert refused(small_home, "annotations")["withdrawn"] == len(tasks)
    assert round_state(small_home, R2).state == "ready"
    labelled = next(s for s in funnel(small_home, R2) if s.name == "labelled")
    assert labelled.lost["withdrawn_since"] == len(theirs & pair_ids(small_home, "labeling_batch"))
    succeed(small_home, "close_round", R2, select=["preferences"])
    assert not pair_ids(small_home, "preferences") & theirs


def test_withdrawn_after_the_gate_passed_the_row_still_stops(small_home: Home) -> None:
    """The verdict stands for its annotations; the next stages ask for each row all the same."""
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    gone, theirs = subject_of_pick(small_home, among=pair_ids(small_home, "annotations"))
    withdraw(small_home, gone, "labeling", "training")
    succeed(small_home, "close_round", R2, select=["preferences", "demonstrations", "preference_dataset"])
    for table in ("preferences", "demonstrations", "preference_dataset"):
        assert not pair_ids(small_home, table) & theirs


def test_an_evaluation_row_enters_the_dataset_by_the_purpose_of_evaluation(small_home: Home) -> None:
    """Nothing trains on the random arms, they measure: training is not asked of them, and evaluation of no other."""
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "close_round", R2, select=["preferences"])
    rows = small_home.lake.read("preferences", R2, ["pair_id", "subject_id", "arm"]).to_pylist()
    random = {r["subject_id"] for r in rows if r["arm"] != "active"}
    assert random, "the world has a random arm"
    withdraw(small_home, min(random), "evaluation")
    succeed(small_home, "close_round", R2, select=["preference_dataset"])
    kept = pair_ids(small_home, "preference_dataset")
    mine = [r for r in rows if r["subject_id"] == min(random)]
    assert not {r["pair_id"] for r in mine if r["arm"] != "active"} & kept
    facts = small_home.lake.demand("preference_dataset", R2).facts
    assert facts["not_allowed_for_evaluation"] >= 1
    steps = {s.name: s for s in funnel(small_home, R2)}
    assert steps["in the dataset"].lost["not_allowed_for_evaluation"] == facts["not_allowed_for_evaluation"]


def test_evaluation_and_the_judges_calibration_use_only_rows_allowed_for_it(small_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is not the demo's: held-out rows judge the candidate, control rows train its judge, and both measure the first judge."""
    toml = small_home.root / "flywheel.toml"
    toml.write_text(toml.read_text().replace("[evaluation]\n", '[evaluation]\njudge = "reward_model"\n'))
    home = reopen(small_home)
    monkeypatch.setattr(round_steps, "MINIMUM_JUDGE_ROWS", 1)
    monkeypatch.setattr(round_steps, "train_reward_model", lambda rows, seed: SimpleNamespace(model_id="m", utilities=None, rows=rows))
    monkeypatch.setattr(as_of, "scorer_as_of", lambda *_: SimpleNamespace(predict=lambda t: np.full((2, t.num_rows), 0.5)))
    pinned = demand_context(home, R2)
    rows = DatasetStore(home.datasets).rows(pinned.dataset_version)
    held_out = rows.filter(pc.and_(pc.equal(rows["arm"], "random_evaluation"), pc.is_in(rows["outcome"], pa.array(["a", "b"]))))
    measured = rows.filter(pc.equal(rows["arm"], "random_evaluation"))
    assert held_out.num_rows >= 1

    def found() -> tuple[int | None, int]:
        seen = round_steps.evaluation_set(home, pinned, allowed=ConsentCheck(home).ask("evaluation"))
        calibration = calibration_as_of(home, pinned, allowed=ConsentCheck(home).ask("evaluation"))
        return None if seen is None else len(seen[0]), 0 if calibration is None else len(calibration.outcome)

    prompts, outcomes = found()
    assert (prompts, outcomes) == (held_out.num_rows, measured.num_rows)
    gone = held_out["subject_id"][0].as_py()
    withdraw(home, gone, "evaluation")
    less = sum(s == gone for s in held_out["subject_id"].to_pylist()), sum(s == gone for s in measured["subject_id"].to_pylist())
    assert found() == ((prompts or 0) - less[0] or None, outcomes - less[1])
    withdraw(home, next(s for s in rows["subject_id"].to_pylist() if s != gone), "training")
    assert found()[1] == outcomes - less[1], "training has no say in it"


def test_between_demonstrations_and_fine_tuning(small_home: Home) -> None:
    """Experts' answers to somebody's prompt: asked again before the model is tuned on them."""
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "close_round", R2, select=["demonstrations"])
    table = small_home.lake.read("demonstrations", R2)
    if not table.num_rows:  # few rows: take any pair of the batch for one
        pytest.skip("the small world's experts wrote nothing")
    gone, theirs = subject_of_pick(small_home, among=set(table["pair_id"].to_pylist()))
    everything = standing_demonstrations(small_home, table, R2, ConsentCheck(small_home).ask("training"))
    assert everything.equals(table)
    withdraw(small_home, gone, "training")
    ask = ConsentCheck(small_home).ask("training")
    left = standing_demonstrations(small_home, table, R2, ask)
    assert not set(left["pair_id"].to_pylist()) & theirs
    assert left.num_rows < table.num_rows


@pytest.mark.parametrize("stage", ["consented_logs", "redacted_logs", "response_pairs", "selection", "preferences", "preference_dataset"])
def test_retention_is_applied_at_the_next_round_of_every_stage(small_home: Home, stage: str) -> None:
    """The clock of the small world stands months after its weeks: with 30 days, nothing of them may be used."""
    if stage in ("preferences", "preference_dataset"):
        label(small_home, R2)
        succeed(small_home, "import_labels", R2)
        succeed(small_home, "close_round", R2, select=["preferences"])
    purpose = "training" if stage == "preference_dataset" else "labeling"
    toml = small_home.root / "flywheel.toml"
    toml.write_text(toml.read_text() + f"\n[governance.retention.{purpose}]\nconsent = 30\n")
    home = reopen(small_home)
    job = "close_round" if stage.startswith("preference") else "weekly_round"
    succeed(home, job, R2, select=[stage])
    facts = home.lake.demand(stage, R2).facts["consent"][purpose]
    assert facts["refused"] == {
        **facts["refused"],
        "retention_ended": facts["asked"] - sum(n for r, n in facts["refused"].items() if r != "retention_ended"),
    }
    assert {e["legal_basis"] for e in facts["ended"] if e["reason"] == "retention_ended"} == {"consent"}
    if stage == "preference_dataset":
        assert set(home.lake.read(stage, R2, ["arm"])["arm"].to_pylist()) <= {"random_evaluation", "random_control"}
    else:
        assert home.lake.read(stage, R2).num_rows == 0


def test_a_grant_that_expires_between_two_stages_ends_there(small_home: Home) -> None:
    gone, theirs = subject_of_pick(small_home)
    now = small_home.now()
    consent_ledger(small_home).append([make_consent_event(
        small_home.ids, gone, "labeling", "granted", legal_basis="contract", policy_version="4", effective_at=now, recorded_at=now,
        expires_at=now.replace(hour=1), source="test",
    )])  # fmt: skip
    succeed(small_home, "weekly_round", R2, select=["selection"])
    assert pair_ids(small_home, "response_pairs") & theirs
    toml = small_home.root / "flywheel.toml"
    toml.write_text(toml.read_text().replace(CLOCK, "2026-06-22T01:00:00+00:00"))
    home = reopen(small_home)
    succeed(home, "weekly_round", R2, select=["selection"])
    assert not pair_ids(home, "selection") & theirs
    assert home.lake.demand("selection", R2).facts["consent"]["labeling"]["ended"] == [
        {"legal_basis": "contract", "reason": "expired", "rows": refused(home, "selection")["expired"]}
    ]


def test_with_the_clock_set_back_no_stage_judges(small_home: Home) -> None:
    toml = small_home.root / "flywheel.toml"
    toml.write_text(toml.read_text().replace(CLOCK, "2026-06-21T00:00:00+00:00"))
    home = reopen(small_home)
    before = consent_ledger(home).head()
    for stage in ("inference_logs", "consented_logs", "redacted_logs", "selection"):
        outcome: Any = run(home, "weekly_round", R2, select=[stage])
        assert (outcome.success, outcome.exit_code) == (False, ClockSetBack.exit_code), stage
        assert "Set the clock right" in outcome.message
    assert consent_ledger(home).head() == before
