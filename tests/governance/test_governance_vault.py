"""The vault: tokens, keys, erasure, looking up."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.errors import AccessRefused, IntegrityError, NotFound
from flywheel.governance import Identity, ProvenanceLog, Vault
from flywheel.governance.vault import Finding
from flywheel.settings import Settings
from flywheel.storage import Home

AT = datetime(2026, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("FLYWHEEL_VAULT_KEY", raising=False)
    return Home(Settings(home=tmp_path))


def test_a_value_has_one_token_of_128_bits_however_it_is_spelt(home: Home) -> None:
    vault = Vault.open(home)
    token = vault.token("EMAIL_ADDRESS", "Jane@Example.com", "s1")
    assert len(token) == 32
    assert vault.token("EMAIL_ADDRESS", "jane@example.com\u200b", "s2") == token
    assert vault.token("USER_ID", "jane@example.com", "s1") != token
    vault.close()
    assert Vault.open(home).token("EMAIL_ADDRESS", "jane@example.com", None) == token
    assert sorted(v.casefold() for v in Vault.open(home).values()) == ["jane@example.com"] * 2


def test_no_value_stands_in_the_file_and_file_and_key_are_private(home: Home) -> None:
    vault = Vault.open(home)
    assert vault.remember([Identity("s1", "PERSON", "Wilhelmina Quartz")] * 2) == 2
    vault.close()
    data = b"".join(p.read_bytes() for p in home.restricted.glob("vault.db*"))
    assert b"Quartz" not in data
    for path in (home.restricted / "vault.db", home.restricted / "keys" / "vault.key"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_wrong_key_is_refused_before_anything_changes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Vault.open(home).token("PERSON", "Jane", "s1")
    before = {p.name: p.read_bytes() for p in home.restricted.glob("vault.db")}
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "ab" * 32)
    with pytest.raises(AccessRefused, match="nothing was changed"):
        Vault.open(home)
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "not hex")
    with pytest.raises(IntegrityError):
        Vault.open(home)
    monkeypatch.delenv("FLYWHEEL_VAULT_KEY")
    assert {p.name: p.read_bytes() for p in home.restricted.glob("vault.db")} == before
    (home.restricted / "keys" / "vault.key").unlink()
    with pytest.raises(IntegrityError, match="key is gone"):
        Vault.open(home)
    assert not (home.restricted / "keys" / "vault.key").exists()


def test_a_row_moved_to_another_token_or_type_does_not_open(home: Home) -> None:
    vault = Vault.open(home)
    first, second = vault.tokens([Finding("PERSON", "Jane Doe", "s1"), Finding("PERSON", "John Roe", "s2")])
    with sqlite3.connect(home.restricted / "vault.db") as other:
        other.execute("update copies set sealed = (select sealed from copies where token = ?) where token = ?", (first, second))
    with pytest.raises(IntegrityError, match="altered"):
        list(vault.values())
    with pytest.raises(IntegrityError):
        vault.token("PERSON", "John Roe", "s2")


def test_revealing_needs_role_and_reason_and_is_on_record_either_way(home: Home, tmp_path: Path) -> None:
    vault, log = Vault.open(home), ProvenanceLog(tmp_path / "p.jsonl")
    token = vault.token("PERSON", "Jane Doe", "s1")
    for role, reason in (("rater", "curious about it"), ("auditor", " ")):
        with pytest.raises(AccessRefused):
            vault.reveal(token, role, reason, log, at=AT)
    with pytest.raises(NotFound):
        vault.reveal("0" * 32, "auditor", "complaint 12", log, at=AT)
    assert vault.reveal(token, "auditor", "complaint 12", log, at=AT) == "Jane Doe"
    assert [e["kind"] for e in log.events()] == ["vault_reveal_refused", "vault_reveal_refused", "vault_reveal"]
    assert "Jane" not in log.path.read_text()


def test_erasing_a_subject_destroys_what_nobody_else_holds(home: Home) -> None:
    vault = Vault.open(home)
    vault.remember(
        [Identity("s1", "PERSON", "Jane Doe"), Identity("s1", "ADDRESS", "1 Elm Street"), Identity("s2", "ADDRESS", "1 Elm Street")]
    )
    vault.remember_round("2026-01-05", [(Finding("PHONE_NUMBER", "202 555 0101", "s1", "c1"), "[PHONE_1]")], ["c1"])
    vault.tokens([Finding("PERSON", "Jack", "", "c1", False)])
    assert vault.erase_subject("s1") == 3
    assert list(vault.values()) == ["1 Elm Street"]
    assert vault.known("c1") == []
    assert vault.erase_subject("s1") == 0


def test_a_round_of_findings_is_all_or_nothing_and_a_rerun_replaces_it(home: Home) -> None:
    vault = Vault.open(home)
    bad = [(Finding("PERSON", "Jane", "s", "c"), "[PERSON_1]"), (Finding("PERSON", " ", "s", "c"), "[PERSON_2]")]
    with pytest.raises(Exception, match="empty PERSON"):
        vault.remember_round("2026-01-05", bad, ["c"])
    assert list(vault.values()) == []
    for alias in ("[PERSON_1]", "[PERSON_2]"):
        vault.remember_round("2026-01-05", [(Finding("PERSON", "Jane", "s", "c"), alias)], ["c"])
    assert vault.known("c") == [("[PERSON_2]", "PERSON", "Jane")]
