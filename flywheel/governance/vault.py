"""The vault: the only place that maps tokens and aliases back to raw values. SQLite in the restricted zone, values sealed with AES-GCM.

A token is HMAC-SHA256 of type and value, 128 bits: the same value has the same token in every round, and nobody without the key can
try values. Associated data binds each sealed value to its type, token and key id, so that rows cannot be swapped. Who holds a value
(subject, conversation) is noted beside it: erasing a subject removes every value that nobody else holds.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.errors import AccessRefused, BadInput, IntegrityError, NotFound
from flywheel.governance.identity import Identity
from flywheel.governance.normalise import folded
from flywheel.storage import Home
from flywheel.storage.ids import KEY_BYTES, install_key

if TYPE_CHECKING:
    from flywheel.governance.provenance import ProvenanceLog

AUDITOR = "auditor"
SCHEMA = """
create table if not exists meta (key text primary key, value blob not null) strict;
create table if not exists entries (
  token text primary key, type text not null, kid text not null, nonce blob not null, sealed blob not null) strict, without rowid;
create table if not exists holders (
  token text not null references entries, subject_id text not null, conversation_id text not null, certain integer not null,
  primary key (token, subject_id, conversation_id)) strict, without rowid;
create index if not exists holders_by_subject on holders (subject_id);
create index if not exists holders_by_conversation on holders (conversation_id);
create table if not exists aliases (
  conversation_id text not null, round text not null, alias text not null, token text not null,
  primary key (conversation_id, round, alias, token)) strict, without rowid;
"""


@dataclass(frozen=True)
class Finding:
    """A value to store. `certain`: a profile said it or a structured pattern found it; not so for what dialogue rules guessed."""

    type: str
    value: str
    subject_id: str = ""
    conversation_id: str = ""
    certain: bool = True


@dataclass(frozen=True)
class Holder:
    """Where a value belongs. `conversation_id` is empty for what an import said about a subject."""

    subject_id: str
    conversation_id: str
    certain: bool


@dataclass(frozen=True)
class Entry:
    """A stored value and all that hold it."""

    token: str
    type: str
    value: str
    holders: tuple[Holder, ...]


class Vault:
    """Open with `Vault.open(home)`. Not safe to share between threads; several processes may each open it."""

    def __init__(self, path: Path, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise IntegrityError(f"the vault key has {len(key)} bytes, needs {KEY_BYTES}; restore it from its backup")
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self.path = path
        self._token_key = hmac.digest(key, b"flywheel vault token", hashlib.sha256)
        self._cipher = AESGCM(hmac.digest(key, b"flywheel vault seal", hashlib.sha256))
        self.kid = hmac.digest(key, b"flywheel vault key id", hashlib.sha256).hex()[:16]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        self._db.execute("pragma busy_timeout = 60000")
        self._refuse_wrong_key()
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma secure_delete = on")
        self._db.execute("pragma foreign_keys = on")
        with self._transaction():
            for statement in SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute("insert or ignore into meta values ('kid', ?)", (self.kid.encode(),))

    @classmethod
    def open(cls, home: Home) -> Vault:
        """The installation's vault. The key comes from `FLYWHEEL_VAULT_KEY` (64 hex digits), else from `restricted/keys/vault.key`, which
        is made with a new vault only. Raises `AccessRefused` on a wrong key, `IntegrityError` on a lost one; both change nothing."""
        path = home.restricted / "vault.db"
        return cls(path, _load_key(home.restricted / "keys" / "vault.key", vault_exists=path.exists() and path.stat().st_size > 0))

    def _refuse_wrong_key(self) -> None:
        try:
            row = self._db.execute("select value from meta where key = 'kid'").fetchone()
        except sqlite3.OperationalError:  # no such table: a new vault
            return
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path.name} is no vault or damaged ({error}); restore it from its backup") from None
        if row is not None and bytes(row[0]).decode() != self.kid:
            self._db.close()
            raise AccessRefused(
                f"{self.path.name} was made with key {bytes(row[0]).decode()}, this one is {self.kid}; nothing was changed. "
                "Set FLYWHEEL_VAULT_KEY or restore restricted/keys/vault.key."
            )

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # --- writing

    def token_of(self, type: str, value: str) -> str:
        """The token that a value has, stored or not: 32 hex digits. Case, Unicode form and spacing do not count."""
        message = b"".join(len(p).to_bytes(4, "big") + p for p in (type.encode(), folded(value).encode("utf-8", "surrogatepass")))
        return hmac.digest(self._token_key, message, hashlib.sha256).hex()[:32]

    def token(self, type: str, value: str, subject_id: str | None) -> str:
        """Store one value and return its token."""
        return self.tokens([Finding(type, value, subject_id or "")])[0]

    def tokens(self, findings: Iterable[Finding]) -> list[str]:
        """Store many values in one transaction; their tokens in the same order. Raises `IntegrityError` if a token is taken by another
        value (a collision, or a row that was tampered with)."""
        wanted = list(findings)
        with self._transaction():
            return self._store(wanted)

    def _store(self, findings: list[Finding]) -> list[str]:
        made: list[str] = []
        checked: dict[str, str] = {}
        for found in findings:
            if not found.value.strip():
                raise BadInput(f"an empty {found.type} has no token")
            token = self.token_of(found.type, found.value)
            same = folded(found.value)
            if checked.get(token) != same:
                row = self._db.execute("select type, kid, nonce, sealed from entries where token = ?", (token,)).fetchone()
                if row is None:
                    nonce = os.urandom(12)
                    sealed = self._cipher.encrypt(
                        nonce, found.value.encode("utf-8", "surrogatepass"), self._bound(found.type, token, self.kid)
                    )
                    self._db.execute("insert into entries values (?, ?, ?, ?, ?)", (token, found.type, self.kid, nonce, sealed))
                elif row[0] != found.type or folded(self._unseal(token, *row)) != same:
                    raise IntegrityError(f"token {token} holds another value: the vault was altered; restore it from its backup")
                checked[token] = same
            self._db.execute(
                "insert into holders values (?, ?, ?, ?) on conflict do update set certain = max(certain, excluded.certain)",
                (token, found.subject_id, found.conversation_id, int(found.certain)),
            )
            made.append(token)
        return made

    def remember(self, identities: Iterable[Identity]) -> int:
        """Store what an import learnt about subjects, in one transaction. Returns how many values that were."""
        return len(self.tokens(Finding(i.kind, i.value, i.subject_id) for i in identities if i.value.strip()))

    def remember_round(self, round: str, findings: Iterable[tuple[Finding, str]], conversations: Iterable[str]) -> None:
        """Store the values that redaction found in a round, each with its alias, in place of what that round had noted for these
        conversations before. One transaction: a crash leaves the old notes."""
        listed = list(findings)
        with self._transaction():
            self._db.executemany("delete from aliases where conversation_id = ? and round = ?", [(c, round) for c in conversations])
            tokens = self._store([f for f, _ in listed])
            rows = {(f.conversation_id, round, alias, token) for (f, alias), token in zip(listed, tokens, strict=True)}
            self._db.executemany("insert or ignore into aliases values (?, ?, ?, ?)", sorted(rows))

    def erase_subject(self, subject_id: str) -> int:
        """Destroy what only this subject holds: values, aliases, and the pages they lay on. Returns how many values are gone."""
        with self._transaction():
            spoken = [r[0] for r in self._db.execute(
                "select distinct conversation_id from holders where subject_id = ? and conversation_id != '' order by 1", (subject_id,))]  # fmt: skip
            mine = "subject_id = ? or (conversation_id != '' and conversation_id in (select conversation_id from holders where subject_id = ?))"
            theirs = [r[0] for r in self._db.execute(f"select distinct token from holders where {mine} order by token", (subject_id,) * 2)]  # noqa: S608
            self._db.executemany("delete from holders where conversation_id = ?", [(c,) for c in spoken])
            self._db.execute("delete from holders where subject_id = ?", (subject_id,))
            self._db.executemany("delete from aliases where conversation_id = ?", [(c,) for c in spoken])
            gone = [t for t in theirs if self._db.execute("select 1 from holders where token = ? limit 1", (t,)).fetchone() is None]
            self._db.executemany("delete from aliases where token = ?", [(t,) for t in gone])
            self._db.executemany("delete from entries where token = ?", [(t,) for t in gone])
        self._db.execute("pragma wal_checkpoint(truncate)")  # the log would keep the old pages
        return len(gone)

    # --- reading

    def values(self) -> Iterator[str]:
        """Every stored value, for the residual scan."""
        return (e.value for e in self.entries())

    def entries(self) -> Iterator[Entry]:
        """Every stored value with its holders, by token."""
        holders: dict[str, list[Holder]] = {}
        for token, subject, conversation, certain in self._db.execute(
            "select token, subject_id, conversation_id, certain from holders order by token, subject_id, conversation_id"
        ):
            holders.setdefault(token, []).append(Holder(subject, conversation, bool(certain)))
        for token, *row in self._db.execute("select token, type, kid, nonce, sealed from entries order by token"):
            yield Entry(token, row[0], self._unseal(token, *row), tuple(holders.get(token, ())))

    def known(self, conversation_id: str, round: str | None = None) -> list[tuple[str, str, str]]:
        """(alias, type, value) of a conversation in `round` (default: the newest that has it), sorted. A literal alias that the log itself
        held has type and value empty."""
        if round is None:
            row = self._db.execute("select max(round) from aliases where conversation_id = ?", (conversation_id,)).fetchone()
            round = row[0] or ""
        rows = self._db.execute(
            "select a.alias, a.token, e.type, e.kid, e.nonce, e.sealed from aliases a left join entries e using (token) "
            "where a.conversation_id = ? and a.round = ? order by a.alias, a.token", (conversation_id, round),
        )  # fmt: skip
        return [(r[0], r[2] or "", self._unseal(r[1], *r[2:]) if r[2] else "") for r in rows]

    def subject_of(self, conversation_id: str) -> str:
        """Whose conversation it is; empty where redaction found nothing in it."""
        row = self._db.execute(
            "select min(subject_id) from holders where conversation_id = ? and subject_id != ''", (conversation_id,)
        ).fetchone()
        return row[0] or ""

    def reserve(self, round: str, literals: Iterable[tuple[str, str]]) -> None:
        """Note (conversation, alias) pairs that the log itself contained, so that no later text gives them a meaning."""
        with self._transaction():
            self._db.executemany("insert or ignore into aliases values (?, ?, ?, '')", sorted({(c, round, a) for c, a in literals}))

    def reveal(self, token: str, role: str, reason: str, log: ProvenanceLog, *, at: datetime | None = None) -> str:
        """The raw value of a token, for an auditor with a reason. The look is on record before the value is out. Raises `AccessRefused`
        (which is on record too) or `NotFound`."""
        from datetime import UTC

        moment = at or datetime.now(UTC)
        if role != AUDITOR or len(reason.strip()) < 4:
            log.append("vault_reveal_refused", {"token": token[:32], "role": role[:32]}, moment)
            raise AccessRefused("revealing a value needs the role auditor and a reason in words (`--role auditor --reason ...`)")
        row = self._db.execute("select type, kid, nonce, sealed from entries where token = ?", (token,)).fetchone()
        if row is None:
            raise NotFound("the vault holds no such token; it was never stored, or its subject was erased")
        log.append("vault_reveal", {"token": token, "type": row[0], "role": role, "reason": reason.strip()}, moment)
        return self._unseal(token, *row)

    def _bound(self, type: str, token: str, kid: str) -> bytes:
        return f"{type}|{token}|{kid}".encode()

    def _unseal(self, token: str, type: str, kid: str, nonce: bytes, sealed: bytes) -> str:
        from cryptography.exceptions import InvalidTag

        if kid != self.kid:
            raise AccessRefused(f"token {token} is sealed with key {kid}, this one is {self.kid}")
        try:
            return self._cipher.decrypt(nonce, sealed, self._bound(type, token, kid)).decode("utf-8", "surrogatepass")
        except InvalidTag:
            raise IntegrityError(f"token {token}: its sealed value was altered; restore the vault from its backup") from None


def _load_key(path: Path, *, vault_exists: bool) -> bytes:
    from_environment = os.environ.get("FLYWHEEL_VAULT_KEY")
    try:
        if from_environment:
            return bytes.fromhex(from_environment)
        if not path.exists():
            if vault_exists:
                raise IntegrityError(
                    "the vault's key is gone: restore restricted/keys/vault.key or set FLYWHEEL_VAULT_KEY; nothing was changed"
                )
            install_key(path, secrets.token_bytes(KEY_BYTES))
        return bytes.fromhex(path.read_text().strip())
    except ValueError:
        raise IntegrityError("the vault key must be 64 hex digits (FLYWHEEL_VAULT_KEY or restricted/keys/vault.key)") from None
