"""`flywheel consent` as an auditor and a data protection officer use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywheel.governance import consent_ledger
from flywheel.rounds import batch_file
from flywheel.storage import Home
from tests.cli.conftest import Command
from tests.small_rounds import R2

GRANT = ["--basis", "consent", "--policy", "v3"]
LINES = (
    "user_id,purpose,action,effective_at,legal_basis,policy_version\nu-1,all,granted,2026-01-03,consent,3\nu-2,all,withdrawn,2026-01-04,,\n"
)


def clocked(home: Home, moment: str) -> Home:
    home.root.mkdir(parents=True, exist_ok=True)
    (home.root / "flywheel.toml").write_text(f'clock = "{moment}"\n')
    return home


def test_all_purposes_or_some_are_granted_and_withdrawn(command: Command, home: Home) -> None:
    said = command(home, "consent", "grant", "u-1", "--all", *GRANT, "--expires", "2100-01-01", "--json").frame()
    assert said["result"]["allowed_now"] == ["labeling", "training", "evaluation"]
    assert {e["expires_at"] for e in said["result"]["events"]} == {"2100-01-01T23:59:59.999999Z"}
    said = command(home, "consent", "withdraw", "u-1", "--purpose", "training", "--purpose", "evaluation", "--json").frame()
    assert (said["result"]["allowed_now"], said["counts"]["added"]) == (["labeling"], 2)
    assert command(home, "consent", "withdraw", "u-1", "--all").code == 0
    assert command(home, "consent", "show", "u-1", "--json").frame()["result"]["allowed_now"] == []


@pytest.mark.parametrize(("arguments", "message"), [
    (["grant", "u-1", *GRANT], "name the purposes"),
    (["grant", "u-1", "--all", "--purpose", "labeling", *GRANT], "name the purposes"),
    (["grant", "u-1", "--purpose", "sharing", *GRANT], "'sharing' is none of"),
    (["grant", " ", "--all", *GRANT], "user id is empty"),
    (["grant", "u-1", "--all", "--basis", " ", "--policy", "3"], "--basis is empty"),
    (["grant", "u-1", "--all", *GRANT, "--expires", "2020-01-01"], "does not lie after now"),
    (["grant", "u-1", "--all", *GRANT, "--expires", "soon"], "is no time"),
    (["show", "u-1", "--at", "lately"], "is no time"),
    (["import", "nowhere.csv"], "is no file"),
    (["import", "nowhere.csv", "--map", "user"], "is not THEIRS=OURS"),
])  # fmt: skip
def test_a_wrong_call_is_refused_and_changes_nothing(command: Command, home: Home, arguments: list[str], message: str) -> None:
    said = command(home, "consent", *arguments)
    assert said.code == 2
    assert message in said.err
    assert len(consent_ledger(home).state()) == 0


def test_files_are_imported_and_their_bad_lines_listed(command: Command, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "crm.csv"
    path.write_text(LINES + "u-3,all,withdrawn,some day,,\nu-4,sharing,withdrawn,2026-01-04,,\n")
    said = command(home, "consent", "import", str(path), "--json")
    frame = said.frame()
    assert said.code == 0
    assert frame["counts"] == {
        "files": 1, "lines": 4, "statements": 6, "rejected": 2, "withdrawals_heard": 3, "added": 9, "known_already": 0,
    }  # fmt: skip
    assert [(q["file"], q["line"], q["reason"]) for q in frame["quarantine"]] == [
        ("crm.csv", 4, "invalid_timestamp"),
        ("crm.csv", 5, "invalid_field"),
    ]
    assert any("1 bad lines speak of a withdrawal" in w for w in frame["warnings"])
    assert any("2 withdrawals are of subjects that the ledger did not know" in w for w in frame["warnings"])
    assert command(home, "consent", "import", str(path), "--json").frame()["counts"]["added"] == 0
    listed = command(home, "consent", "quarantine", "--json").frame()
    assert len(listed["quarantine"]) == 2
    assert all("raw" not in q for q in listed["quarantine"])
    shown = command(home, "consent", "quarantine", "--show", "mending the export", "--json").frame()
    assert shown["quarantine"][0]["raw"] == "u-3,all,withdrawn,some day,,"


def test_a_file_of_which_no_line_can_be_used_ends_with_2(command: Command, home: Home, tmp_path: Path) -> None:
    path = tmp_path / "crm.jsonl"
    path.write_text('{"user_id": "u-1"}\n')
    said = command(home, "consent", "import", str(path), "--json")
    assert said.code == 2
    assert len(said.frame()["quarantine"]) == 1
    path.write_text("")
    assert command(home, "consent", "import", str(path)).code == 0, "an export without news is no failure"


def test_columns_are_mapped_by_option_and_by_setting(command: Command, home: Home, tmp_path: Path) -> None:
    clocked(home, "2026-03-01T00:00:00+00:00")
    with open(home.root / "flywheel.toml", "a") as file:
        file.write('[governance.consent_columns]\ncustomer = "user_id"\n')
    path = tmp_path / "crm.csv"
    path.write_text("customer,what,revoked\nu-1,training,2026-01-04\n")
    assert command(home, "consent", "import", str(path)).code == 2
    mapped = command(home, "consent", "import", str(path), "--map", "what=purpose", "--map", "revoked=withdrawn_at", "--json")
    assert mapped.frame()["counts"]["added"] == 1


def test_was_this_allowed_on_that_day(command: Command, home: Home, tmp_path: Path) -> None:
    """Withdrawn on 10 February, heard on 1 March: what was done in between was done in good faith, and must be undone."""
    path = tmp_path / "crm.csv"
    path.write_text("user_id,purpose,action,effective_at,legal_basis,policy_version\nu-1,labeling,granted,2026-01-03,consent,3\n")
    clocked(home, "2026-01-04T00:00:00+00:00")
    command(home, "consent", "import", str(path))
    path.write_text("user_id,purpose,action,effective_at\nu-1,labeling,withdrawn,2026-02-10\n")
    clocked(home, "2026-03-01T00:00:00+00:00")
    command(home, "consent", "import", str(path))
    found = command(home, "consent", "show", "u-1", "--at", "2026-02-15", "--json").frame()["result"]
    assert found["at"] == "2026-02-15T23:59:59.999999+00:00"
    assert found["by_what_was_known_then"]["labeling"]["allowed"] is True
    assert found["by_what_is_known_now"]["labeling"]["because"] == "withdrawn"
    assert found["differ"] == ["labeling"]
    said = command(home, "consent", "show", "u-1", "--at", "2026-02-15").out
    assert "not allowed (withdrawn), by what is known now; but allowed, by what was known then" in said
    earlier = command(home, "consent", "show", "u-1", "--at", "2026-02-01T12:00:00Z", "--json").frame()["result"]
    assert earlier["differ"] == []
    assert earlier["by_what_is_known_now"]["labeling"]["allowed"] is True


def test_status_counts_subjects_and_what_ends_soon(command: Command, home: Home, tmp_path: Path) -> None:
    clocked(home, "2026-03-01T00:00:00+00:00")
    path = tmp_path / "crm.csv"
    rows = ["u-1,training,granted,2026-01-03,consent,3,", "u-2,training,granted,2026-01-03,consent,3,2026-03-20",
            "u-3,training,granted,2026-01-03,consent,3,2026-02-20", "u-4,training,withdrawn,2026-01-03,,,"]  # fmt: skip
    path.write_text("user_id,purpose,action,effective_at,legal_basis,policy_version,expires_at\n" + "\n".join(rows))
    command(home, "consent", "import", str(path))
    result = command(home, "consent", "status", "--json").frame()["result"]
    assert result["subjects"] == [
        {"purpose": "training", "legal_basis": "consent", "allowed": 2, "expiring": 1, "expired": 1, "withdrawn": 0},
        {"purpose": "training", "legal_basis": "withdrawal", "allowed": 0, "expiring": 0, "expired": 0, "withdrawn": 1},
    ]
    assert "training" in command(home, "consent", "status").out


def test_a_clock_set_back_is_refused_in_words(command: Command, home: Home) -> None:
    clocked(home, "2026-03-01T00:00:00+00:00")
    command(home, "consent", "grant", "u-1", "--all", *GRANT)
    clocked(home, "2026-02-01T00:00:00+00:00")
    for call in (["show", "u-1"], ["status"], ["withdraw", "u-1", "--all"]):
        said = command(home, "consent", *call)
        assert said.code == 3
        assert "Set the clock right" in said.err


def test_a_withdrawal_takes_its_tasks_out_of_the_open_batch_file(command: Command, small_home: Home) -> None:
    """What raters still have before them stops at once; the published table stays what it was."""
    batch = small_home.lake.read("labeling_batch", R2).to_pylist()
    pairs = {p["pair_id"]: p["subject_id"] for p in small_home.lake.read("response_pairs", R2, ["pair_id", "subject_id"]).to_pylist()}
    gone = min(pairs[t["pair_id"]] for t in batch if t["pair_id"] in pairs)
    theirs = {t["task_id"] for t in batch if pairs.get(t["pair_id"]) == gone}
    before = batch_file(small_home, R2).read_text().splitlines()
    said = command(small_home, "consent", "withdraw", gone, "--purpose", "labeling", "--json").frame()
    assert said["result"]["tasks_out"] == {R2: len(theirs)}
    after = batch_file(small_home, R2).read_text().splitlines()
    assert after == [line for line in before if json.loads(line)["task_id"] not in theirs]
    assert small_home.lake.read("labeling_batch", R2).num_rows == len(batch)
