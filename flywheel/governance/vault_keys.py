"""The vault's keys inside its file: one wrapping key (sealed with the master key), and under it one data key for each subject.

A subject's values are sealed with the subject's own key: with the key destroyed, what is left of them anywhere in the file is noise. The
wrapping key changes with every rotation, so that a copy of the file from before opens only with the master key from before.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from flywheel.errors import AccessRefused, IntegrityError
from flywheel.governance.keys import KeyProvider, key_id, seal, unseal
from flywheel.storage.ids import KEY_BYTES

TOKEN = "token"  # noqa: S105 - the owner under which the token key lies
INSTALLATION = "-"
CACHED = 100_000
BATCH = 2_000
SCHEMA = """
create table if not exists wrapping (kek text primary key, master text not null, state text not null unique, wrapped blob not null) strict;
create table if not exists keys (owner text primary key, kek text not null, wrapped blob not null) strict, without rowid;
create index if not exists keys_by_kek on keys (kek);
"""


def owner_of(subject_id: str, conversation_id: str) -> str:
    """Whose key seals a value: the subject's; of what no subject is known for, the conversation's."""
    return f"s:{subject_id}" if subject_id else f"c:{conversation_id}" if conversation_id else INSTALLATION


class Keyring:
    """The keys of one open vault file. Writing calls belong inside the vault's transactions."""

    def __init__(self, db: sqlite3.Connection, provider: KeyProvider) -> None:
        self._db, self.provider = db, provider
        self._wrapping: dict[str, bytes] = {}
        self._state: tuple[tuple[str, str], ...] = ()
        self._data: dict[str, tuple[bytes, bytes]] = {}
        self.current = ""

    # --- opening

    def load(self) -> None:
        """Unwrap the wrapping keys. Raises `AccessRefused` when the master key is another one; changes nothing."""
        rows = self._db.execute("select kek, master, state, wrapped from wrapping order by state").fetchall()
        at_hand = {self.provider.current, self.provider.next}
        wrapping = {}
        for kek, master, state, wrapped in rows:
            if master not in at_hand:
                raise AccessRefused(
                    f"the vault was sealed with master key {master}, this one is {self.provider.current}; nothing was changed. "
                    "Set FLYWHEEL_VAULT_KEY or restore restricted/keys/vault.key."
                )
            wrapping[kek] = self.provider.unwrap(master, wrapped, _bound("wrapping", kek))
            if state == "current":
                self.current = kek
        if rows and self.current not in wrapping:
            raise IntegrityError("the vault has no wrapping key in force; restore it from its backup")
        self._wrapping, self._state = wrapping, tuple((r[0], r[2]) for r in rows)

    def create(self) -> None:
        """Keys of a new vault (nothing happens in one that has them)."""
        if self._db.execute("select 1 from wrapping").fetchone() is None:
            self._add_wrapping(self.provider.current, "current")
            self.load()
            self._insert(TOKEN, self.provider.first_token_key())

    def refresh(self) -> None:
        """Notice a rotation that another process has begun or finished. Call at the start of every writing transaction."""
        state = tuple(self._db.execute("select kek, state from wrapping order by state").fetchall())
        if state != self._state:
            self.provider_changed()

    def provider_changed(self) -> None:
        """Read the keys anew."""
        self.provider.reload()
        self.load()

    def settle(self) -> None:
        """Finish a rotation that was killed between its last write and the retirement of the old key."""
        masters = {r[0] for r in self._db.execute("select master from wrapping")}
        if self.provider.next is not None and masters == {self.provider.next}:
            self.provider.retire()

    def _add_wrapping(self, master: str, state: str) -> str:
        key = os.urandom(KEY_BYTES)
        kek = key_id(key)
        self._db.execute(
            "insert into wrapping values (?, ?, ?, ?)", (kek, master, state, self.provider.wrap(master, key, _bound("wrapping", kek)))
        )
        return kek

    # --- data keys

    def token_key(self) -> bytes:
        """The key of every token; it survives rotations, or no token would find its value again."""
        return self.of(TOKEN)

    def of(self, owner: str) -> bytes:
        """The data key of an owner. Raises `IntegrityError` when there is none: it was destroyed with its subject."""
        cached = self._data.get(owner)
        if cached is not None:
            return cached[1]
        row = self._db.execute("select kek, wrapped from keys where owner = ?", (owner,)).fetchone()
        if row is None:
            raise IntegrityError("a value's key is gone: its subject was erased, or the vault was altered")
        return self._unwrap(owner, *row)

    def _unwrap(self, owner: str, kek: str, wrapped: bytes) -> bytes:
        cached = self._data.get(owner)
        if cached is not None and cached[0] == wrapped:
            return cached[1]
        if kek not in self._wrapping:
            self.provider_changed()
        if kek not in self._wrapping:
            raise IntegrityError(f"the vault names a wrapping key {kek} that it does not hold; restore it from its backup")
        return self._keep(owner, wrapped, unseal(self._wrapping[kek], wrapped, _bound(owner, kek)))

    def _keep(self, owner: str, wrapped: bytes, key: bytes) -> bytes:
        if len(self._data) >= CACHED:
            self._data.clear()
        self._data[owner] = (wrapped, key)
        return key

    def ensure(self, owners: Iterable[str]) -> None:
        """Make the keys that owners lack, in bulk. What is cached does not count: another process may have erased the owner since."""
        wanted = sorted(set(owners))
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            there = self._db.execute(f"select owner, kek, wrapped from keys where owner in ({marks})", part).fetchall()  # noqa: S608
            for owner, kek, wrapped in there:
                self._unwrap(owner, kek, wrapped)
            known = {r[0] for r in there}
            fresh = [(o, os.urandom(KEY_BYTES)) for o in part if o not in known]
            rows = [(o, self.current, self._wrap(o, key)) for o, key in fresh]
            self._db.executemany("insert into keys values (?, ?, ?)", rows)
            for (owner, key), row in zip(fresh, rows, strict=True):
                self._keep(owner, row[2], key)

    def _insert(self, owner: str, key: bytes) -> None:
        self._db.execute("insert into keys values (?, ?, ?)", (owner, self.current, self._wrap(owner, key)))

    def _wrap(self, owner: str, key: bytes, kek: str = "") -> bytes:
        kek = kek or self.current
        return seal(self._wrapping[kek], key, _bound(owner, kek))

    def destroy(self, owners: Iterable[str]) -> None:
        """Shred the keys of owners: what they sealed cannot be read again."""
        for owner in owners:
            self._data.pop(owner, None)
            self._db.execute("delete from keys where owner = ?", (owner,))

    def forget(self) -> None:
        """Drop what is cached, after a transaction that was rolled back."""
        self._data.clear()

    # --- rotation

    def rotate(self, transaction: Callable[[], AbstractContextManager[None]], batch: int = BATCH) -> dict[str, Any]:
        """Wrap every key anew under a successor of the master key, in steps; afterwards nothing hangs on the old one. Safe to repeat after
        a crash at any point."""
        old_master, new_master = self.provider.current, self.provider.begin()
        with transaction():
            old = self._begin()
        moved, step = 0, batch
        while step == batch:
            with transaction():
                step = self.rewrap(old, batch)
            moved += step
        with transaction():
            self._finish(old)
        return {"old_key": old_master, "new_key": new_master, "keys_rewrapped": moved}

    def _begin(self) -> str:
        """Put the successor's wrapping key beside the present one; the id of the one that goes."""
        there: dict[str, str] = {state: kek for kek, state in self._db.execute("select kek, state from wrapping")}
        if "next" not in there:
            assert self.provider.next is not None  # noqa: S101 - `provider.begin` was called
            self._add_wrapping(self.provider.next, "next")
        self.load()
        return there["current"]

    def rewrap(self, old: str, most: int = BATCH) -> int:
        """Move up to `most` keys from the old wrapping key to the next one; how many there were."""
        new = next(kek for kek, state in self._state if state == "next")
        rows = self._db.execute("select owner, wrapped from keys where kek = ? limit ?", (old, most)).fetchall()
        moved = [(new, self._wrap(o, unseal(self._wrapping[old], wrapped, _bound(o, old)), new), o) for o, wrapped in rows]
        self._db.executemany("update keys set kek = ?, wrapped = ? where owner = ?", moved)
        return len(rows)

    def _finish(self, old: str) -> None:
        """What is left moves, the old wrapping key goes."""
        while self.rewrap(old):
            pass
        self._db.execute("delete from wrapping where kek = ?", (old,))
        self._db.execute("update wrapping set state = 'current' where state = 'next'")
        self.load()


def _bound(owner: str, kek: str) -> bytes:
    return f"key|{owner}|{kek}".encode()
