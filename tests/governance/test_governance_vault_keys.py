"""Keys of the vault: a master key that can be replaced, one key a subject that can be destroyed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import AccessRefused, BadInput, IntegrityError
from flywheel.governance import ProvenanceLog, Vault
from flywheel.governance.keys import FileKeys, LocalKeys
from flywheel.governance.vault import Finding
from flywheel.governance.vault_keys import Keyring
from flywheel.settings import Settings
from flywheel.storage import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings(home=tmp_path / "home"))


def filled(home: Home, subjects: int = 30) -> Vault:
    vault = Vault.open(home)
    vault.tokens([Finding("PERSON", f"Wilhelmina Quartz{n}", f"s{n}", f"c{n}") for n in range(subjects)])
    vault.tokens([Finding("ADDRESS", "1 Elm Street", s, "") for s in ("s1", "s2")])
    return vault


def key_file(home: Home) -> Path:
    return home.restricted / "keys" / "vault.key"


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def raw(home: Home) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(home.restricted.glob("vault.db*")))


def test_a_new_master_key_opens_what_the_old_one_sealed_and_tokens_stay(home: Home) -> None:
    vault = filled(home)
    token, values, old = vault.token_of("PERSON", "Wilhelmina Quartz3"), sorted(vault.values()), key_file(home).read_text()
    facts = vault.rotate(batch=7)
    assert facts["keys_rewrapped"] >= 31
    assert key_file(home).read_text() != old
    assert not key_file(home).with_name("vault.key.next").exists()
    for again in (vault, Vault.open(home)):
        assert sorted(again.values()) == values
        assert again.token("PERSON", "wilhelmina quartz3", "s3") == token
        assert again.check() == []
    assert vault.status()["master_key"] == facts["new_key"]
    assert rows(home.restricted / "vault.db", "select count(*) from wrapping") == [(1,)]


def test_a_copy_from_before_a_rotation_opens_with_the_key_from_before_only(home: Home, tmp_path: Path) -> None:
    filled(home).close()
    copy = Home(Settings(home=Path(shutil.copytree(home.root, tmp_path / "copy"))))
    vault = Vault.open(home)
    vault.rotate()
    vault.close()
    shutil.copy(key_file(home), key_file(copy))
    before = raw(copy)
    with pytest.raises(AccessRefused, match="nothing was changed"):
        Vault.open(copy)
    assert raw(copy) == before


def test_erasing_a_subject_destroys_its_key_and_every_copy_sealed_with_it(home: Home) -> None:
    vault = filled(home)
    path = home.restricted / "vault.db"
    vault._truncate_log()
    (wrapped,) = rows(path, "select wrapped from keys where owner = 's:s1'")[0]
    sealed = [r[0] for r in rows(path, "select sealed from copies where owner in ('s:s1', 'c:c1')")]
    shared = vault.token_of("ADDRESS", "1 Elm Street")
    assert len(sealed) == 2
    assert vault.erase_subject("s1") == 1, "the address has another holder"
    data = raw(home)
    assert not any(blob in data for blob in [wrapped, *sealed])
    assert rows(path, "select count(*) from keys where owner = 's:s1'") == [(0,)]
    assert rows(path, f"select owner from copies where token = '{shared}'") == [("s:s2",)]  # noqa: S608
    assert "Wilhelmina Quartz1" not in set(vault.values())
    assert "1 Elm Street" in set(vault.values())


def test_a_rotation_shreds_what_an_old_copy_of_the_file_held_of_an_erased_subject(home: Home, tmp_path: Path) -> None:
    """The honest part of crypto-shredding: a copy from before the erasure holds the wrapped key. With the master key replaced, neither the
    copy nor its rows put back into the present file can be opened."""
    vault = filled(home)
    vault._truncate_log()
    copy = tmp_path / "old.db"
    shutil.copy(home.restricted / "vault.db", copy)
    vault.erase_subject("s1")
    vault.rotate()
    vault.close()
    with pytest.raises(AccessRefused):
        Vault(copy, FileKeys(key_file(home), vault_exists=True))
    with closing(sqlite3.connect(home.restricted / "vault.db")) as db:  # an attacker puts the old rows back
        db.execute("attach ? as old", (str(copy),))
        for table in ("entries", "copies", "holders", "keys"):
            db.execute(f"insert or ignore into {table} select * from old.{table}")  # noqa: S608
        db.commit()
    opened = Vault.open(home)
    with pytest.raises(IntegrityError):
        opened.reveal(opened.token_of("PERSON", "Wilhelmina Quartz1"), "auditor", "a test", ProvenanceLog(tmp_path / "p.jsonl"))


def _rotate_until(folder: Path, patch: Callable[[], None]) -> None:
    patch()
    vault = Vault.open(Home(Settings(home=folder)))
    vault.rotate(batch=5)


def _die_at(owner: Any, name: str, call: int) -> Callable[[], None]:
    """A patch: kill -9 at the n-th call of a method (after it has done its work)."""

    def patch() -> None:
        original, calls = getattr(owner, name), [0]

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, name, counted)

    return patch


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [(FileKeys, "begin", 1), (Keyring, "_begin", 1), (Keyring, "rewrap", 1), (Keyring, "rewrap", 4), (Keyring, "_finish", 1), (Vault, "_truncate_log", 1),
     (FileKeys, "retire", 1)],
)  # fmt: skip
def test_a_rotation_that_is_killed_goes_on_and_loses_nothing(home: Home, owner: Any, name: str, call: int) -> None:
    vault = filled(home)
    values, old = sorted(vault.values()), vault.status()["master_key"]
    vault.close()
    process = multiprocessing.get_context("fork").Process(target=_rotate_until, args=(home.root, _die_at(owner, name, call)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    between = Vault.open(home)
    assert sorted(between.values()) == values
    between.token("PERSON", "In Between", "s77")
    between.close()
    again = Vault.open(home)
    again.rotate(batch=5)
    assert sorted(again.values()) == sorted([*values, "In Between"])
    assert again.check() == []
    assert again.status()["master_key"] != old
    assert rows(home.restricted / "vault.db", "select count(*), min(state) from wrapping") == [(1, "current")]


def test_an_open_vault_notices_that_another_process_has_rotated(home: Home) -> None:
    first = filled(home)
    second = Vault.open(home)
    second.rotate()
    second.close()
    first.token("PERSON", "Stored After", "s99")
    assert "Stored After" in set(Vault.open(home).values())


def test_an_open_vault_notices_that_another_process_has_erased(home: Home) -> None:
    first, second = filled(home), Vault.open(home)
    second.erase_subject("s3")
    first.token("PERSON", "Stored After", "s3")
    assert "Stored After" in set(Vault.open(home).values())
    assert Vault.open(home).check() == []


def test_keys_from_the_environment_rotate_with_a_second_variable(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "ab" * 32)
    vault = filled(home)
    assert not key_file(home).exists()
    with pytest.raises(BadInput, match="FLYWHEEL_VAULT_KEY_NEXT"):
        vault.rotate()
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY_NEXT", "cd" * 32)
    Vault.open(home).rotate()
    assert len(list(Vault.open(home).values())) == 31
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "cd" * 32)
    monkeypatch.delenv("FLYWHEEL_VAULT_KEY_NEXT")
    assert len(list(Vault.open(home).values())) == 31
    monkeypatch.setenv("FLYWHEEL_VAULT_KEY", "ab" * 32)
    with pytest.raises(AccessRefused):
        Vault.open(home)


class Service(LocalKeys):
    """What a key-management service would be: two operations on the outside, keys that nobody sees."""

    def __init__(self) -> None:
        super().__init__()
        self._take(b"k" * 32, None)
        self.asked = 0

    def unwrap(self, kid: str, data: bytes, bound: bytes) -> bytes:
        self.asked += 1
        return super().unwrap(kid, data, bound)

    def first_token_key(self) -> bytes:
        return os.urandom(32)

    def begin(self) -> str:
        self._take(self._keys[self.current], b"n" * 32)
        assert self.next is not None
        return self.next

    def retire(self) -> None:
        self._take(b"n" * 32, None)


def test_a_key_service_is_asked_once_an_opening_whatever_the_vault_holds(tmp_path: Path) -> None:
    service = Service()
    vault = Vault(tmp_path / "vault.db", service)
    vault.tokens([Finding("PERSON", f"Name Quartz{n}", f"s{n}") for n in range(200)])
    assert len(list(vault.values())) == 200
    assert service.asked == 1
    vault.rotate()
    assert len(list(Vault(tmp_path / "vault.db", service).values())) == 200


def test_a_vault_of_another_form_is_refused_and_left_alone(home: Home) -> None:
    key_file(home).parent.mkdir(parents=True)
    key_file(home).write_text("ab" * 32)
    path = home.restricted / "vault.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table entries (token text, sealed blob)")
        db.commit()
    before = path.read_bytes()
    with pytest.raises(IntegrityError, match="nothing was changed"):
        Vault.open(home)
    assert path.read_bytes() == before


def test_a_token_that_would_stand_for_two_values_is_a_collision_and_stores_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault.open(home)
    monkeypatch.setattr(vault, "_token", lambda type, plain: "0" * 32)
    with pytest.raises(IntegrityError, match="collision"):
        vault.tokens([Finding("PERSON", "Jane Doe", "s1"), Finding("PERSON", "John Roe", "s2")])
    assert list(vault.values()) == []
    vault.token("PERSON", "Jane Doe", "s1")
    with pytest.raises(IntegrityError, match="another value"):
        vault.token("PERSON", "John Roe", "s2")
