"""`flywheel vault` as an auditor and an attacker meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.governance import Vault, provenance_log
from flywheel.storage import Home
from tests.cli.conftest import Command

TOKEN_OF = ("PERSON", "Wilhelmina Quartz")


@pytest.fixture
def token(home: Home) -> str:
    vault = Vault.open(home)
    made = vault.token(*TOKEN_OF, "s1")
    vault.close()
    return made


def kinds(home: Home) -> list[str]:
    return [e["kind"] for e in provenance_log(home).events()]


def test_status_counts_and_shows_no_value(command: Command, home: Home, token: str) -> None:
    said = command(home, "vault", "status", "--check", "--json")
    frame = said.frame()
    assert frame["counts"]["values"] == 1
    assert frame["result"]["by_type"] == {"PERSON": 1}
    assert frame["result"]["altered"] == []
    assert "Quartz" not in said.out + said.err
    assert "PERSON" in command(home, "vault", "status").out


def test_a_look_needs_role_and_reason_and_is_on_record(command: Command, home: Home, token: str) -> None:
    for arguments in ([], ["--role", "auditor"], ["--role", "rater", "--reason", "I want to know"]):
        said = command(home, "vault", "reveal", token, *arguments)
        assert said.code == 4
        assert "Quartz" not in said.out + said.err
    said = command(home, "vault", "reveal", token, "--role", "auditor", "--reason", "complaint 12")
    assert (said.code, said.out.strip()) == (0, "Wilhelmina Quartz")
    assert kinds(home) == ["vault_reveal_refused"] * 3 + ["vault_reveal"]
    assert "Quartz" not in provenance_log(home).path.read_text()
    assert command(home, "vault", "reveal", "0" * 32, "--role", "auditor", "--reason", "complaint 12").code == 2
    assert command(home, "vault", "reveal", "Quartz", "--role", "auditor", "--reason", "complaint 12").code == 4


def test_rotation_is_on_record_and_names_what_to_back_up(command: Command, home: Home, token: str) -> None:
    frame = command(home, "vault", "rotate", "--json").frame()
    assert frame["result"]["old_key"] != frame["result"]["new_key"]
    assert "back up" in frame["warnings"][0]
    assert kinds(home) == ["vault_rotated"]
    assert Vault.open(home).token(*TOKEN_OF, "s1") == token


def test_a_wrong_key_is_refused_with_code_4_and_changes_nothing(
    command: Command, home: Home, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (home.restricted / "vault.db").read_bytes()
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "ab" * 32)
    for arguments in (["status"], ["rotate"], ["reveal", token, "--role", "auditor", "--reason", "complaint 12"]):
        said = command(home, "vault", *arguments)
        assert said.code == 4
        assert "nothing was changed" in said.err
    assert (home.restricted / "vault.db").read_bytes() == before


def test_looking_makes_no_vault(command: Command, tmp_path: Path) -> None:
    assert command(tmp_path / "none", "vault", "status").code == 2
    assert not (tmp_path / "none" / "restricted" / "vault.db").exists()
