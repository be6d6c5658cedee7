"""The report's section on consent and retention: what was asked and refused, what ended, what will."""

from __future__ import annotations

from datetime import timedelta

from flywheel.governance import Statement, consent_ledger
from flywheel.records import Preference
from flywheel.reporting import render_report
from flywheel.reporting.page_consent import consent_section
from flywheel.settings import Settings
from flywheel.storage import Home, empty_table
from tests.reporting.conftest import NOW, R1, World

ASKED = {
    "labeling": {
        "asked": 40, "refused": {"no_consent": 3, "retention_ended": 2},
        "ended": [{"legal_basis": "contract", "reason": "retention_ended", "rows": 2}],
    }
}  # fmt: skip


def cells(home: Home, number: int) -> list[list[str]]:
    return [[str(c) for c in row] for row in consent_section(home, R1, NOW).tables[number].rows]


def test_each_question_stands_with_what_was_refused_and_why(home: Home) -> None:
    home.lake.write("preferences", R1, empty_table(Preference), facts={"consent": ASKED})
    assert cells(home, 0) == [["preferences", "labeling", "40", "5", "no consent 3 · kept as long as retention allows 2"]]
    assert cells(home, 1) == [["preferences", "labeling", "contract", "kept as long as retention allows", "2"]]
    assert "5 rows refused" in consent_section(home, R1, NOW).lead


def test_a_round_that_asked_nothing_says_so(home: Home) -> None:
    assert "Not reached" in consent_section(home, R1, NOW).lead


def test_what_ends_before_the_next_round_is_foretold(world: World) -> None:
    """Grants that expire, retention that runs out, withdrawals that were announced: within a week of the page's moment."""
    home = world.home
    world.logs(R1, n=70)
    home.lake.write("preferences", R1, empty_table(Preference), facts={"consent": ASKED})
    (home.root / "flywheel.toml").write_text("[governance.retention.labeling]\ncontract = 3\n")
    home = Home(Settings.load(home=home.root))
    subjects = sorted(set(home.lake.read("redacted_logs", R1, ["subject_id"])["subject_id"].to_pylist()))

    def said(subject: str, basis: str, **more: object) -> Statement:
        return Statement(subject, "labeling", "granted", basis, "3", NOW - timedelta(days=9), "test", **more)  # type: ignore[arg-type]

    statements = [said(s, "consent") for s in subjects[3:]]
    statements += [
        said(subjects[0], "consent", expires_at=NOW + timedelta(days=5)),
        said(subjects[1], "contract"),
        said(subjects[2], "consent"),
    ]
    statements += [Statement(subjects[2], "labeling", "withdrawn", "withdrawal", "-", NOW + timedelta(days=2), "test")]
    consent_ledger(home).append_statements(statements, ids=home.ids, recorded_at=NOW)
    assert cells(home, 2) == [
        ["redaction", "labeling", "", "consent withdrawn", "1"],
        ["redaction", "labeling", "consent", "consent expired", "1"],
        ["redaction", "labeling", "contract", "kept as long as retention allows", "1"],
    ]
    assert any("3 days (contract)" in note for note in consent_section(home, R1, NOW).notes)


def test_a_broken_ledger_leaves_the_page_standing(world: World) -> None:
    home = world.home
    world.logs(R1, n=70)
    home.lake.write("preferences", R1, empty_table(Preference), facts={"consent": ASKED})
    (home.restricted / "consent.jsonl").write_text('{"event": {}}\n')
    page = render_report(home, R1, now=NOW).read_text()
    assert "Consent and retention" in page
    assert "cannot be told" in page
