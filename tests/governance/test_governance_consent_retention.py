"""Retention: how long a row may be used for a purpose, by the legal basis of its grant, from its timestamp; and what each stage asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from flywheel.errors import ConsentMissing, SettingsError
from flywheel.governance import ConsentCheck, ConsentLedger, Statement, consent_ledger, consent_verdict, filter_consented, permitted
from flywheel.governance.consent_rules import REASONS
from flywheel.records import Pair, RedactedRecord
from flywheel.settings import Settings
from flywheel.storage import Home, Ids, empty_table, to_table
from tests.governance.test_governance_consent import records

IDS = Ids(b"k" * 32)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = {"training": {"consent": 365, "legitimate_interest": 90}, "labeling": {"consent": 10}}


def ledger_of(folder: Path, *bases: tuple[str, str], ids: Ids = IDS, **more: object) -> ConsentLedger:
    """Each subject with a grant for every purpose on its basis."""
    ledger = ConsentLedger(folder / "consent.jsonl")
    ledger.append_statements([
        Statement(ids.make("subject", name), purpose, "granted", basis, "3", T0, "test", **more)  # type: ignore[arg-type]
        for name, basis in bases for purpose in ("labeling", "training", "evaluation")
    ], ids=ids, recorded_at=T0)  # fmt: skip
    return ledger


def rows(*named: tuple[str | None, float]) -> pa.Table:
    """Rows of a subject, each with the day of its record."""
    return pa.table({
        "subject_id": pa.array([name and IDS.make("subject", name) for name, _ in named], pa.string()),
        "timestamp": pa.array([T0 + day * DAY for _, day in named], pa.timestamp("us", "UTC")),
    })  # fmt: skip


def test_a_row_is_used_until_its_days_are_over(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, ("anna", "consent"), ("ben", "legitimate_interest"))
    table = rows(("anna", 0), ("ben", 0), ("ben", 60), (None, 60), ("stranger", 60))
    found = permitted(table, ledger, "training", T0 + 90 * DAY, RULES)
    assert found.mask.to_pylist() == [True, False, True, False, False]
    assert found.reasons == {"no_consent": 2, "withdrawn": 0, "expired": 0, "retention_ended": 1}
    assert found.ended == {("legitimate_interest", "retention_ended"): 1}
    assert permitted(table, ledger, "training", T0 + 90 * DAY - timedelta(microseconds=1), RULES).mask.to_pylist()[1]
    assert permitted(table, ledger, "evaluation", T0 + 9000 * DAY, RULES).mask.to_pylist()[:3] == [True] * 3, "no rule, no limit"


def test_any_other_basis_has_a_rule_of_its_own(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, ("anna", "consent"), ("ben", "contract"))
    table = rows(("anna", 0), ("ben", 0))
    assert permitted(table, ledger, "training", T0 + 8 * DAY, {"training": {"consent": 9, "*": 7}}).mask.to_pylist() == [True, False]


def test_an_expired_grant_is_told_from_an_old_row(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, ("anna", "consent"), expires_at=T0 + 5 * DAY)
    found = permitted(rows(("anna", 0)), ledger, "labeling", T0 + 30 * DAY, RULES)
    assert found.ended == {("consent", "expired"): 1}
    assert set(found.reasons) == set(REASONS)


def test_a_row_without_time_has_no_day_left_and_a_table_without_times_is_refused(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, ("anna", "consent"))
    table = rows(("anna", 0))
    unknown = table.set_column(1, "timestamp", pa.array([None], pa.timestamp("us", "UTC")))
    assert permitted(unknown, ledger, "training", T0, RULES).mask.to_pylist() == [False]
    with pytest.raises(ConsentMissing, match="limits training"):
        permitted(table.drop_columns(["timestamp"]), ledger, "training", T0, RULES)
    assert permitted(table.drop_columns(["timestamp"]), ledger, "evaluation", T0, RULES).mask.to_pylist() == [True]


def test_the_logs_are_filtered_by_it_and_the_gate_judges_by_it(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, ("anna", "consent"), ("ben", "contract"))
    logs = records("anna", "ben")
    kept, reasons = filter_consented(logs, ledger, now=T0 + 20 * DAY, round="2026-01-05", retention=RULES)
    assert reasons == {"no_consent": 0, "withdrawn": 0, "expired": 0, "retention_ended": 1}
    assert kept["legal_basis"].to_pylist() == ["contract"]
    late, _ = filter_consented(logs, ledger, now=T0 + 5 * DAY, round="2026-01-05", retention={"training": {"*": 2}})
    assert late["purposes"].to_pylist() == [["labeling", "evaluation"]] * 2
    verdict = consent_verdict([logs], ledger, sha256="0" * 64, round="2026-01-05", now=T0 + 20 * DAY, retention=RULES)
    assert (verdict.state, verdict.thresholds) == ("fail", {"purpose": "labeling", "retention_days.consent": 10})
    assert "retention ended 1" in verdict.reasons[0]


def pair(record: str, subject: str, round: str, ids: Ids) -> dict[str, object]:
    answer = {"text": "y", "generation": {"model_id": "m"}}
    return {
        "round": round, "pair_id": ids.make("pair", record), "record_id": ids.make("record", record), "conversation_id": "c",
        "subject_id": ids.make("subject", subject), "domain": "support", "task_type": "generation", "prompt": [{"role": "user", "content": "x"}],
        "response_a": answer, "response_b": {**answer, "text": "z"}, "prompt_sha256": "0", "prompt_cluster": "c", "redaction_version": "1",
        "second_response": "log",
    }  # fmt: skip


def test_a_row_without_time_is_joined_to_its_record_else_taken_for_the_oldest_of_its_pool(tmp_path: Path) -> None:
    """Of two possible times the earlier one ends earlier: a row is rather refused a week too soon than used a week too long."""
    (tmp_path / "flywheel.toml").write_text('clock = "2026-03-02T00:00:00+00:00"\n[governance.retention.labeling]\nconsent = 28\n')
    home = Home(Settings.load(home=tmp_path))
    ledger_of(home.restricted, ("anna", "consent"), ids=home.ids)
    fresh = datetime(2026, 2, 20, tzinfo=UTC)
    record = {
        "round": "2026-02-16", "record_id": home.ids.make("record", "joined"), "conversation_id": "c", "subject_id": home.ids.make("subject", "anna"),
        "timestamp": fresh, "domain": "support", "task_type": "generation", "messages": [{"role": "user", "content": "x"}],
        "responses": [{"text": "y", "generation": {"model_id": "m"}}], "source": {"format": "flywheel", "file": "a", "line": 1},
        "content_sha256": "0" * 64, "purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "redaction_version": "1",
    }  # fmt: skip
    fields = {k: v for k, v in record.items() if k in RedactedRecord.model_fields}
    home.lake.write("redacted_logs", "2026-02-16", to_table(RedactedRecord, [fields]))
    pairs = to_table(Pair, [pair("joined", "anna", "2026-02-23", home.ids), pair("lost", "anna", "2026-02-23", home.ids)])
    ask = ConsentCheck(home).ask("labeling")
    assert ask(pairs)["record_id"].to_pylist() == [record["record_id"]]
    ended = [{"legal_basis": "consent", "reason": "retention_ended", "rows": 1}]
    assert ask.facts == {"labeling": {"asked": 2, "refused": {"retention_ended": 1}, "ended": ended}}
    only_ids = pairs.select(["round", "record_id"])
    assert ConsentCheck(home).ask("evaluation")(only_ids).num_rows == 1, "whose subject is not known is refused"
    assert ConsentCheck(home).ask("labeling")(empty_table(Pair)).num_rows == 0


def test_a_change_of_retention_needs_no_new_pin(tmp_path: Path) -> None:
    before = Settings.load(home=tmp_path).sha256()
    (tmp_path / "flywheel.toml").write_text("[governance.retention.training]\nconsent = 365\nlegitimate_interest = 90\n")
    after = Settings.load(home=tmp_path)
    assert after.governance.retention == {"training": {"consent": 365, "legitimate_interest": 90}}
    assert after.sha256() == before


@pytest.mark.parametrize("text", ["[governance.retention.sharing]\nconsent = 5\n", "[governance.retention.training]\nconsent = 0\n"])
def test_an_impossible_rule_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "flywheel.toml").write_text(text)
    with pytest.raises(SettingsError, match="governance"):
        Settings.load(home=tmp_path)


def test_the_ledger_of_a_home_is_the_one_that_every_stage_asks(tmp_path: Path) -> None:
    home = Home(Settings.load(home=tmp_path))
    ledger_of(home.restricted, ("anna", "consent"))
    assert ConsentCheck(home, now=T0).ledger.head() == consent_ledger(home).head()
