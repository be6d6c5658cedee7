"""Gates fail closed, in the data path: a stage selected alone behind a gate that did not pass is refused, and told how to go on."""

from __future__ import annotations

import shutil
from collections import Counter

import pyarrow as pa
import pytest

from flywheel.errors import GateNotPassed
from flywheel.governance import Identity, Vault
from flywheel.rounds import Verdicts, round_state
from flywheel.storage import Home
from tests.small_rounds import R1, R2, label, label_with, reopen, run, succeed

REFUSED = GateNotPassed.exit_code


def rewrite(home: Home, table: str, round: str, data: pa.Table) -> str:
    """Put other rows in place, as a tampering hand or another program would."""
    return home.lake.write(table, round, data).sha256


def test_consent_a_table_that_no_verdict_judged_is_not_redacted(small_home: Home) -> None:
    logs = small_home.lake.read("consented_logs", R2)
    sha256 = rewrite(small_home, "consented_logs", R2, logs.slice(1))
    refused = run(small_home, "weekly_round", R2, select=["redacted_logs"])
    assert refused.exit_code == REFUSED
    assert f"no consent verdict for {sha256[:12]}" in refused.message
    assert "does not count" in refused.message
    assert f"flywheel round run {R2}" in refused.message


def test_consent_a_deleted_verdict_closes_the_gate(small_home: Home) -> None:
    shutil.rmtree(small_home.provenance / "verdicts" / "consent" / R2)
    refused = run(small_home, "weekly_round", R2, select=["redacted_logs"])
    assert refused.exit_code == REFUSED
    assert "no consent verdict" in refused.message


def test_residual_leak_a_planted_value_stops_the_round_and_everything_behind_it(small_home: Home) -> None:
    text = " ".join(m["content"] for m in small_home.lake.read("redacted_logs", R2)["messages"][0].as_py())
    planted = next(w for w in text.split() if len(w) >= 5 and w.isalpha())
    vault = Vault.open(small_home)
    vault.remember([Identity(subject_id="0" * 32, kind="USERNAME", value=f"{planted}")])
    vault.remember([Identity(subject_id="0" * 32, kind="EMAIL", value="leak.here@example.org")])
    vault.close()
    rows = small_home.lake.read("redacted_logs", R2).to_pylist()
    rows[0]["messages"][0]["content"] += " write to leak.here@example.org"
    leaking = pa.Table.from_pylist(rows, schema=small_home.lake.read("redacted_logs", R2).schema)
    rewrite(small_home, "redacted_logs", R2, leaking)
    unjudged = run(small_home, "weekly_round", R2, select=["response_pairs"])
    assert unjudged.exit_code == REFUSED
    assert "no residual_leak verdict" in unjudged.message
    verdict = judge_leaks(small_home, R2)
    assert verdict == "fail"
    judged = run(small_home, "weekly_round", R2, select=["response_pairs"])
    assert judged.exit_code == REFUSED
    assert "residual_leak verdict" in judged.message
    assert "FAIL" in judged.message
    assert f"flywheel round run {R2}" in judged.message
    assert "leak.here" not in judged.message, "an error message must not repeat the leaked value"


def judge_leaks(home: Home, round: str) -> str:
    """What the gate's check stores, for the bytes that are there."""
    from flywheel.governance import residual_leaks, residual_verdict

    vault = Vault.open(home)
    leaks = residual_leaks(home.lake.read("redacted_logs", round), vault)
    vault.close()
    sha256 = home.lake.demand("redacted_logs", round).sha256
    return Verdicts(home.provenance / "verdicts").record(residual_verdict(sha256, leaks, round, home.now())).state


class Disagreeing:
    """The raters of a task never say the same."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def __call__(self, _: int, line: dict) -> dict:
        line["decision"] = ["a", "b", "tie"][self.seen[line["task_id"]] % 3]
        self.seen[line["task_id"]] += 1
        line.pop("rewrite", None)
        return line


def test_agreement_disagreeing_labels_fail_the_gate_and_bar_what_follows(small_home: Home) -> None:
    label_with(small_home, R2, Disagreeing())
    failed = run(small_home, "import_labels", R2)
    assert not failed.success
    assert failed.exit_code == REFUSED
    assert "agreement_gate" in str(failed.failed_step)
    assert "alpha" in failed.message or "rater" in failed.message, "the message says why"
    for job_part in (["preferences"], ["demonstrations"]):
        refused = run(small_home, "close_round", R2, select=job_part)
        assert refused.exit_code == REFUSED
        assert "agreement verdict" in refused.message
        assert "FAIL" in refused.message
        assert f"flywheel round import {R2}" in refused.message
    whole = run(small_home, "close_round", R2)
    assert whole.exit_code == REFUSED
    assert round_state(small_home, R2).state == "gate_failed"


def test_agreement_an_old_verdict_does_not_cover_new_annotations(small_home: Home) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    assert round_state(small_home, R2).state == "ready"
    annotations = small_home.lake.read("annotations", R2)
    rewrite(small_home, "annotations", R2, annotations.slice(0, annotations.num_rows - 1))
    assert round_state(small_home, R2).state == "labeling"
    refused = run(small_home, "close_round", R2, select=["preferences"])
    assert refused.exit_code == REFUSED
    assert "does not count" in refused.message


def test_the_dataset_alone_is_refused_when_its_verdict_is_gone(small_home: Home) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    succeed(small_home, "close_round", R2, select=["preferences"])
    shutil.rmtree(small_home.provenance / "verdicts" / "agreement" / R2)
    refused = run(small_home, "close_round", R2, select=["preference_dataset"])
    assert refused.exit_code == REFUSED
    assert "no agreement verdict" in refused.message


def test_promotion_alone_demands_a_verdict_for_exactly_its_evaluation(small_home: Home) -> None:
    shutil.rmtree(small_home.provenance / "verdicts" / "promotion" / R1)
    refused = run(small_home, "close_round", R1, select=["promotion"])
    assert refused.exit_code == REFUSED
    assert "no promotion verdict" in refused.message


def test_waiting_is_no_failure(small_home: Home) -> None:
    """Half of the labels: pending. All of them, with more gold asked for than there is: inconclusive. Both runs succeed."""
    label_with(small_home, R2, lambda n, line: line if n % 2 else None)
    succeed(small_home, "import_labels", R2)
    assert round_state(small_home, R2).state == "labeling"
    refused = run(small_home, "close_round", R2)
    assert refused.exit_code == REFUSED
    assert "PENDING" in refused.message
    label(small_home, R2)
    toml = small_home.root / "flywheel.toml"
    toml.write_text(toml.read_text().replace("minimum_gold_items = 5", "minimum_gold_items = 500"))
    changed = reopen(small_home)
    succeed(changed, "import_labels", R2)
    assert round_state(changed, R2).state == "gate_inconclusive"
    refused = run(changed, "close_round", R2)
    assert refused.exit_code == REFUSED
    assert "INCONCLUSIVE" in refused.message


@pytest.mark.parametrize("table", ["annotations", "preferences", "labeling_batch"])
def test_altered_bytes_are_refused_not_read(small_home: Home, table: str) -> None:
    file = small_home.root / "lake" / table / f"round={R1}" / small_home.lake.demand(table, R1).file
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    job, part = {
        "annotations": ("import_labels", "rater_quality"), "preferences": ("close_round", "preference_dataset"),
        "labeling_batch": ("import_labels", "agreement"),
    }[table]  # fmt: skip
    refused = run(small_home, job, R1, select=[part])
    assert refused.exit_code == 4
    assert "missing or altered" in refused.message
