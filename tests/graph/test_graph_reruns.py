"""Running again: the same hashes, frozen batches, late rows, changed settings, abandoned rounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.campaign_kills import differences
from flywheel.dataset import DatasetStore
from flywheel.errors import RoundRefused
from flywheel.governance import consent_ledger, verify_audit
from flywheel.rounds import abandon, demand_context, round_state
from flywheel.storage import Home
from tests.small_rounds import R1, R2, R3, hashes, label, new_home, open_round, reopen, run, state_of, succeed


def change_settings(home: Home, old: str, new: str) -> Home:
    toml = home.root / "flywheel.toml"
    assert old in toml.read_text()
    toml.write_text(toml.read_text().replace(old, new))
    return reopen(home)


@pytest.mark.parametrize("job", ["import_labels", "close_round", "report"])
def test_a_job_run_again_changes_nothing(small_home: Home, job: str) -> None:
    before = state_of(small_home)
    succeed(small_home, job, R1)
    assert state_of(small_home) == before


@pytest.mark.slow
def test_a_whole_trained_round_run_again_changes_nothing(trained_home: Home) -> None:
    before = state_of(trained_home)
    for job in ("weekly_round", "import_labels", "close_round", "report"):
        succeed(trained_home, job, R2)
    assert differences(state_of(trained_home), before) == []
    assert verify_audit(trained_home).ok


@pytest.mark.slow
def test_a_rerun_after_the_ledger_changed_differs_by_exactly_that(trained_home: Home) -> None:
    """Consent is judged now: the logs of week 2 brought withdrawals and shorter terms of people who had allowed week 1."""
    before = trained_home.lake.read("consented_logs", R1)
    known = trained_home.lake.demand("consented_logs", R1).facts["reasons"]
    succeed(trained_home, "weekly_round", R1, select=["inference_logs", "consented_logs"])
    after = trained_home.lake.read("consented_logs", R1)
    lost = {r["subject_id"] for r in before.to_pylist() if r["record_id"] not in set(after["record_id"].to_pylist())}
    assert lost
    assert not lost & set(consent_ledger(trained_home).allowed("labeling", trained_home.now()))
    reasons = trained_home.lake.demand("consented_logs", R1).facts["reasons"]
    assert sum(reasons.values()) - sum(known.values()) == before.num_rows - after.num_rows, "every lost row has its reason"


def test_the_batch_is_frozen_once_published(small_home: Home) -> None:
    batch = hashes(small_home)[f"labeling_batch[{R2}]"]
    selection = small_home.lake.read("selection", R2)
    small_home.lake.write("selection", R2, selection.slice(0, 5))
    succeed(small_home, "weekly_round", R2, select=["labeling_batch"])
    assert hashes(small_home)[f"labeling_batch[{R2}]"] == batch


def test_late_rows_enter_the_next_pool_and_not_the_pinned_one(small_home: Home) -> None:
    """A log of week 2 that arrives after round 2 was opened: its pairs stay as they are, round 3 has the record."""
    late = json.loads(first_good_line(Path(small_home.landing) / f"shopforge-{R2}.jsonl"))
    late |= {"id": "late-1", "conversation_id": "late-talk"}
    (Path(small_home.landing) / "late.jsonl").write_text(json.dumps(late) + "\n")
    pairs = hashes(small_home)[f"response_pairs[{R2}]"]
    record = small_home.ids.make("record", "late-1")
    succeed(small_home, "weekly_round", R2, select=["inference_logs", "consented_logs", "redacted_logs", "response_pairs"])
    ids = small_home.lake.read("redacted_logs", R2)["record_id"].to_pylist()
    new = set(ids) - set(json.loads(pool_file(small_home, R2).read_text())["record_ids"])
    assert len(new) == 1, record
    assert hashes(small_home)[f"response_pairs[{R2}]"] == pairs
    assert small_home.lake.demand("response_pairs", R2).facts["pool"]["late_for_this_round"] == 1
    succeed(small_home, "weekly_round", R3, select=["round_context", "inference_logs", "consented_logs", "redacted_logs", "response_pairs"])
    assert new <= set(json.loads(pool_file(small_home, R3).read_text())["record_ids"])


def first_good_line(path: Path) -> str:
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and {"id", "timestamp", "messages", "consent"} <= set(row) and "withdrawn_at" not in row["consent"] \
                and "labeling" in row["consent"]["purposes"] and row["messages"] and row.get("responses") and isinstance(row["timestamp"], str):  # fmt: skip
            return line.decode()
    raise AssertionError("no such line")


def pool_file(home: Home, round: str) -> Path:
    return home.provenance / "rounds" / round / "pool.0001.json"


def test_the_pin_is_replayed(small_home: Home) -> None:
    before = demand_context(small_home, R2)
    succeed(small_home, "weekly_round", R2, select=["round_context"])
    assert demand_context(small_home, R2) == before


def test_changed_settings_are_refused_while_a_round_is_open_and_not_published(small_home: Home) -> None:
    succeed(small_home, "weekly_round", R3, select=["round_context"])
    changed = change_settings(small_home, "budget = 90", "budget = 91")
    refused = run(changed, "weekly_round", R3, select=["round_context"])
    assert refused.exit_code == RoundRefused.exit_code
    assert "other settings" in refused.message
    assert f"flywheel round run {R3} --repin" in refused.message


def test_a_repin_is_a_new_revision_with_its_reason(small_home: Home) -> None:
    succeed(small_home, "weekly_round", R3, select=["round_context"])
    changed = change_settings(small_home, "budget = 90", "budget = 91")
    succeed(changed, "weekly_round", R3, select=["round_context"], tags={"flywheel/repin": "a smaller budget was approved"})
    pinned = demand_context(changed, R3)
    assert (pinned.revision, pinned.repin_reason) == (2, "a smaller budget was approved")
    assert pinned.settings_sha256 == changed.settings.sha256()


def test_a_published_batch_is_never_pinned_anew(small_home: Home) -> None:
    refused = run(small_home, "weekly_round", R2, select=["round_context"], tags={"flywheel/repin": "because"})
    assert refused.exit_code == RoundRefused.exit_code
    assert "frozen" in refused.message


def test_a_backfill_refuses_a_round_whose_predecessor_is_unsettled(small_home: Home) -> None:
    refused = run(small_home, "weekly_round", R3, select=["round_context"], tags={"flywheel/backfill": R1})
    assert refused.exit_code == RoundRefused.exit_code
    assert f"{R2}, is unsettled" in refused.message
    succeed(small_home, "weekly_round", R3, select=["round_context"])  # the scheduled run goes on, a round behind
    assert demand_context(small_home, R3).registry_round == R1 or demand_context(small_home, R3).registry_round is None


def test_an_abandoned_round_adds_nothing_and_bars_nobody(small_home: Home) -> None:
    version = DatasetStore(small_home.datasets).head()
    abandon(small_home, R2, "the vendor never delivered", small_home.now())
    assert round_state(small_home, R2).state == "abandoned"
    assert small_home.lake.demand("preferences", R2).rows == 0
    assert DatasetStore(small_home.datasets).head() == version
    succeed(small_home, "weekly_round", R3, select=["round_context"], tags={"flywheel/backfill": R1})


def test_an_abandoned_round_stays_abandoned(small_home: Home) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    abandon(small_home, R2, "wrong guideline", small_home.now())
    before = hashes(small_home)
    refused = run(small_home, "close_round", R2)
    assert refused.exit_code == RoundRefused.exit_code
    assert "abandoned (wrong guideline)" in refused.message
    reopened = run(small_home, "weekly_round", R2, select=["round_context"])
    assert reopened.exit_code == RoundRefused.exit_code
    succeed(small_home, "report", R2)
    assert {k: v for k, v in hashes(small_home).items() if not k.startswith("cost")} == {
        k: v for k, v in before.items() if not k.startswith("cost")
    }


def test_a_closed_round_cannot_be_abandoned(small_home: Home) -> None:
    with pytest.raises(RoundRefused, match="is closed"):
        abandon(small_home, R1, "too late", small_home.now())


def test_late_labels_of_a_closed_round_are_banked_in_the_open_one(small_home: Home) -> None:
    batch = small_home.lake.read("labeling_batch", R1).to_pylist()[0]
    line = {
        "task_id": batch["task_id"],
        "rater": "sim-late",
        "decision": "a",
        "guideline_sha256": batch["guideline_sha256"],
        "origin": "simulated",
    }
    (small_home.label_inbox / "late.jsonl").write_text(json.dumps(line) + "\n")
    before = hashes(small_home)[f"annotations[{R1}]"]
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "import_labels", R1)
    assert hashes(small_home)[f"annotations[{R1}]"] == before
    banked = [a for a in small_home.lake.read("annotations", R2).to_pylist() if a["status"] == "banked"]
    assert [(a["rater"], a["task_round"]) for a in banked] == [("sim-late", R1)]


@pytest.mark.slow
def test_demo_round_is_a_whole_round_in_one_run(tmp_path: Path) -> None:
    """The same tables as the three jobs make one after the other."""
    from assets.commands.demo import deliver_logs
    from tests.small_rounds import UNTRAINED, close_round

    one, three = new_home(tmp_path / "one", UNTRAINED), new_home(tmp_path / "three", UNTRAINED)
    deliver_logs(one, R1, 200)
    succeed(one, "demo_round", R1, tags={"flywheel/backfill": R1})
    assert round_state(one, R1).state == "closed"
    succeed(one, "report", R1)
    open_round(three, R1, logs=200)
    close_round(three, R1)
    assert hashes(one) == hashes(three)
