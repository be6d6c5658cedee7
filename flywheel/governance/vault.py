"""The vault: the only place that maps tokens and aliases back to raw values. SQLite in the restricted zone, values sealed with AES-GCM.

A token is HMAC-SHA256 of type and value, 128 bits: the same value has the same token in every round, and nobody without the key can
try values. Each holder's copy of a value is sealed with that subject's own key (`vault_keys`); associated data binds it to type, token,
token key id and holder, so that rows cannot be swapped. Erasing a subject destroys its rows and its key; a value that others hold too
stays theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import BadInput, FlywheelError, IntegrityError, NotFound
from flywheel.governance import vault_keys
from flywheel.governance.access import AUDITOR, demand_auditor, record_look
from flywheel.governance.identity import Identity
from flywheel.governance.keys import NONCE, KeyProvider, key_id, provider_at
from flywheel.governance.normalise import folded
from flywheel.governance.vault_keys import Keyring, owner_of
from flywheel.governance.vault_schema import SCHEMA, VERSION, Entry, Finding, Holder, bound
from flywheel.storage import Home

if TYPE_CHECKING:
    from flywheel.governance.provenance import ProvenanceLog

__all__ = ["AUDITOR", "Entry", "Finding", "Holder", "Vault"]
AT_ONCE = 500


class Vault:
    """Open with `Vault.open(home)`. Not safe to share between threads; several processes may each open it."""

    def __init__(self, path: Path, provider: KeyProvider) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
        weakref.finalize(self, self._db.close)  # a connection refers to itself: without this it would close at some later collection
        self._db.execute("pragma busy_timeout = 60000")
        self._keys = Keyring(self._db, provider)
        try:
            self._refuse_wrong_key()
        except FlywheelError:
            self._db.close()
            raise
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute("pragma secure_delete = on")
        self._db.execute("pragma cache_size = -65536")
        if self._version() == 0:
            with self._transaction():
                for statement in (vault_keys.SCHEMA + SCHEMA).split(";"):
                    self._db.execute(statement)
                self._keys.create()
                self._db.execute(f"pragma user_version = {VERSION}")
        self._keys.settle()
        self._token_key = self._keys.token_key()
        self.kid = key_id(self._token_key)
        self._ciphers: dict[bytes, Any] = {}

    @classmethod
    def open(cls, home: Home) -> Vault:
        """The installation's vault. The key comes from `FLYWHEEL_VAULT_KEY` (64 hex digits), else from `restricted/keys/vault.key`, which
        is made with a new vault only. Raises `AccessRefused` on a wrong key, `IntegrityError` on a lost one; both change nothing."""
        path = home.restricted / "vault.db"
        exists = path.exists() and path.stat().st_size > 0
        return cls(path, provider_at(home.restricted / "keys", vault_exists=exists))

    def _version(self) -> int:
        return int(self._db.execute("pragma user_version").fetchone()[0])

    def _refuse_wrong_key(self) -> None:
        try:
            version = self._version()
            tables = {r[0] for r in self._db.execute("select name from sqlite_master where type = 'table'")}
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path.name} is no vault or damaged ({error}); restore it from its backup") from None
        if version == 0 and not tables:  # a new vault
            return
        if version != VERSION:
            raise IntegrityError(
                f"{self.path.name} has the form {version}, this Flywheel reads {VERSION}; nothing was changed. A development version made it: set it "
                "aside and run the rounds again, which stores the same tokens for the same key."
            )
        self._keys.load()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            if self._version():
                self._keys.refresh()
            yield
        except BaseException:
            self._db.execute("rollback")
            self._keys.forget()
            raise
        self._db.execute("commit")

    # --- writing

    def token_of(self, type: str, value: str) -> str:
        """The token that a value has, stored or not: 32 hex digits. Case, Unicode form and spacing do not count."""
        return self._token(type, folded(value))

    def _token(self, type: str, plain: str) -> str:
        kind, said = type.encode(), plain.encode("utf-8", "surrogatepass")
        message = len(kind).to_bytes(4, "big") + kind + len(said).to_bytes(4, "big") + said
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

    def _store(self, findings: Sequence[Finding]) -> list[str]:
        made: list[str] = []
        meaning: dict[str, tuple[str, str]] = {}
        copies: dict[tuple[str, str], str] = {}
        holders: dict[tuple[str, str, str], int] = {}
        for found in findings:
            plain = folded(found.value)
            if not plain:
                raise BadInput(f"an empty {found.type} has no token")
            token = self._token(found.type, plain)
            if meaning.setdefault(token, (found.type, plain)) != (found.type, plain):
                raise IntegrityError(f"token {token} would stand for two values: a collision; the vault was left as it is")
            copies.setdefault((token, owner_of(found.subject_id, found.conversation_id)), found.value)
            key = (token, found.subject_id, found.conversation_id)
            holders[key] = max(holders.get(key, 0), int(found.certain))
            made.append(token)
        there = self._demand_same(meaning, copies)
        # in the order of the trees' keys: three times as fast as in the order of the text
        fresh = sorted((key, value) for key, value in copies.items() if key[1] not in there.get(key[0], ()))
        self._keys.ensure(owner for (_, owner), _ in fresh)
        self._db.executemany(
            "insert into entries values (?, ?, ?)", [(t, meaning[t][0], self.kid) for t in sorted(meaning.keys() - there.keys())]
        )
        rows = ((token, owner, self._seal(value, meaning[token][0], token, owner)) for (token, owner), value in fresh)
        self._db.executemany("insert into copies values (?, ?, ?)", rows)
        self._db.executemany(
            "insert into holders values (?, ?, ?, ?) on conflict do update set certain = max(certain, excluded.certain) where certain < excluded.certain",
            sorted((*key, certain) for key, certain in holders.items()),
        )
        return made

    def _demand_same(self, meaning: dict[str, tuple[str, str]], wanted: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
        """Of the tokens that are stored already, which of the `wanted` (token, owner) copies there are; each token must mean what it is about
        to mean. One copy tells: a value that a hundred thousand subjects share is not read a hundred thousand times."""
        there: dict[str, set[str]] = {}
        tokens = list(meaning)
        for start in range(0, len(tokens), AT_ONCE):
            part = tokens[start : start + AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(
                f"select e.token, type, kid, owner, sealed from entries e join copies c on c.token = e.token "  # noqa: S608
                f"and c.owner = (select min(owner) from copies where token = e.token) where e.token in ({marks})",
                part,
            ).fetchall()
            for token, type, kid, owner, sealed in rows:
                if (type, folded(self._open(token, type, kid, owner, sealed))) != meaning[token]:
                    raise IntegrityError(f"token {token} holds another value: the vault was altered; restore it from its backup")
                there[token] = set()
        for token, owner in wanted:
            if token in there and self._db.execute("select 1 from copies where token = ? and owner = ?", (token, owner)).fetchone():
                there[token].add(owner)
        return there

    def remember(self, identities: Iterable[Identity]) -> int:
        """Store what an import learnt about subjects, in one transaction. Returns how many values that were."""
        return len(self.tokens(Finding(i.kind, i.value, i.subject_id) for i in identities if i.value.strip()))

    def remember_round(self, round: str, findings: Iterable[tuple[Finding, str]], conversations: Iterable[str]) -> None:
        """Store the values that redaction found in a round, each with its alias, in place of what that round had noted for these
        conversations before. One transaction: a crash leaves the old notes."""
        listed = list(findings)
        with self._transaction():
            tokens = self._store([f for f, _ in listed])
            self._note(round, conversations, {(f.conversation_id, alias, token) for (f, alias), token in zip(listed, tokens, strict=True)})

    def note_round(self, round: str, parts: Iterable[tuple[Iterable[str], Iterable[tuple[str, str, str]]]]) -> None:
        """For each part its conversations, and (conversation, alias, token) of what a round's redaction found in them (token empty: an alias
        that the log itself held), in place of what that round had noted before. The values are stored already. One transaction over all
        parts: a crash leaves the old notes. A value that was erased meanwhile gets no note."""
        with self._transaction():
            for conversations, notes in parts:
                self._note(round, conversations, notes)

    def _note(self, round: str, conversations: Iterable[str], notes: Iterable[tuple[str, str, str]]) -> None:
        self._db.executemany("delete from aliases where conversation_id = ? and round = ?", [(c, round) for c in conversations])
        self._db.executemany(
            "insert or ignore into aliases select ?1, ?2, ?3, ?4 where ?4 = '' or exists "
            "(select 1 from holders indexed by holders_by_conversation where conversation_id = ?1 and token = ?4)",
            [(conversation, round, alias, token) for conversation, alias, token in sorted(notes)],
        )

    def holds(self, holders: Iterable[tuple[str, str, str]]) -> bool:
        """Are all these (token, subject, conversation) stored still? Not so after an erasure, or in a vault that was restored."""
        query = "select 1 from holders where token = ? and subject_id = ? and conversation_id = ?"
        return all(self._db.execute(query, holder).fetchone() for holder in holders)

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
            gone = [t for t in theirs if not self._keep_only_held(t)]
            self._db.executemany("delete from aliases where token = ?", [(t,) for t in gone])
            self._db.executemany("delete from entries where token = ?", [(t,) for t in gone])
            self._keys.destroy([owner_of(subject_id, ""), *(owner_of("", c) for c in spoken)])
        self._truncate_log()
        return len(gone)

    def _keep_only_held(self, token: str) -> bool:
        """Delete the copies of a value that nobody holds any more; is any left?"""
        held = {owner_of(*r) for r in self._db.execute("select subject_id, conversation_id from holders where token = ?", (token,))}
        there = {r[0] for r in self._db.execute("select owner from copies where token = ?", (token,))}
        self._db.executemany("delete from copies where token = ? and owner = ?", [(token, o) for o in sorted(there - held)])
        return bool(there & held)

    def _truncate_log(self) -> None:
        """SQLite's write-ahead log would keep the old pages."""
        self._db.execute("pragma wal_checkpoint(truncate)")

    def rotate(self, batch: int = vault_keys.BATCH) -> dict[str, Any]:
        """Put a new master key in force: every key in the file is wrapped anew, then the old master key is destroyed. Killed anywhere and
        called again, it goes on; values stay readable throughout. Returns the ids and how many keys moved."""
        facts = self._keys.rotate(self._transaction, batch)
        self._truncate_log()
        self._keys.provider.retire()
        return facts

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
        rows = self._db.execute("select token, type, kid, owner, sealed from entries join copies using (token) order by token, owner")
        for token, copies in groupby(rows, key=lambda row: row[0]):
            opened = [(row[1], self._open(*row)) for row in copies]
            # they differ in spelling at most; one with capitals tells more ("Mark" is a name, "mark" a word)
            type, value = min(opened, key=lambda found: found[1] == found[1].lower())
            yield Entry(token, type, value, tuple(holders.get(token, ())))

    def said(self) -> Iterator[tuple[str, str, str]]:
        """(conversation, round, token) of every value that the redaction of a round's logs found."""
        yield from self._db.execute("select conversation_id, round, token from aliases where token != ''")

    def known(self, conversation_id: str, round: str | None = None) -> list[tuple[str, str, str]]:
        """(alias, type, value) of a conversation in `round` (default: the newest that has it), sorted. A literal alias that the log itself
        held has type and value empty."""
        if round is None:
            row = self._db.execute("select max(round) from aliases where conversation_id = ?", (conversation_id,)).fetchone()
            round = row[0] or ""
        rows = self._db.execute(
            "select a.alias, a.token, e.type, e.kid, c.owner, c.sealed from aliases a left join entries e using (token) left join copies c on "
            "c.token = a.token and c.owner = (select min(owner) from copies where token = a.token) "
            "where a.conversation_id = ? and a.round = ? order by a.alias, a.token", (conversation_id, round),
        )  # fmt: skip
        return [(r[0], r[2] or "", self._open(*r[1:]) if r[2] else "") for r in rows]

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
        moment = at or datetime.now(UTC)
        demand_auditor(role, reason, log, "vault_reveal", {"token": token[:32]}, moment)
        row = self._db.execute(
            "select type, kid, owner, sealed from entries join copies using (token) where token = ? order by owner", (token,)
        ).fetchone()
        if row is None:
            raise NotFound("the vault holds no such token; it was never stored, or its subject was erased")
        value = self._open(token, *row)
        record_look(role, reason, log, "vault_reveal", {"token": token, "type": row[0]}, moment)
        return value

    def status(self) -> dict[str, Any]:
        """Counts and key ids; opens no value."""

        def one(query: str) -> Any:
            return self._db.execute(query).fetchone()[0]

        states = {r[1]: r[0] for r in self._db.execute("select master, state from wrapping")}
        return {
            "form": VERSION, "values": one("select count(*) from entries"), "copies": one("select count(*) from copies"),
            "by_type": dict(self._db.execute("select type, count(*) from entries group by type order by type").fetchall()),
            "subjects": one("select count(*) from keys where owner like 's:%'"), "conversations_with_aliases": one(
                "select count(distinct conversation_id) from aliases"),
            "token_key": self.kid, "master_key": states.get("current"), "rotation_under_way_to": states.get("next") or self._keys.provider.next,
        }  # fmt: skip

    def check(self) -> list[str]:
        """Open every stored copy; the tokens of those that were altered."""
        bad = []
        for token, type, kid, owner, sealed in self._db.execute(
            "select token, type, kid, owner, sealed from entries join copies using (token)"
        ):
            with suppress(IntegrityError):
                if self._token(type, folded(self._open(token, type, kid, owner, sealed))) == token:
                    continue
            bad.append(token)
        return sorted(set(bad))

    # --- sealing

    def _cipher(self, owner: str) -> Any:
        key = self._keys.of(owner)
        cipher = self._ciphers.get(key)
        if cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            if len(self._ciphers) >= vault_keys.CACHED:
                self._ciphers.clear()
            cipher = self._ciphers[key] = AESGCM(key)
        return cipher

    def _seal(self, value: str, type: str, token: str, owner: str) -> bytes:
        nonce = os.urandom(NONCE)
        sealed: bytes = self._cipher(owner).encrypt(nonce, value.encode("utf-8", "surrogatepass"), bound(type, token, self.kid, owner))
        return nonce + sealed

    def _open(self, token: str, type: str, kid: str, owner: str, sealed: bytes) -> str:
        from cryptography.exceptions import InvalidTag

        for attempt in range(2):
            try:
                raw: bytes = self._cipher(owner).decrypt(sealed[:NONCE], sealed[NONCE:], bound(type, token, kid, owner))
                return raw.decode("utf-8", "surrogatepass")
            except InvalidTag:
                if not attempt:  # another process may have erased the subject and stored it anew, with another key
                    self._keys.forget()
        raise IntegrityError(f"token {token}: its sealed value was altered; restore the vault from its backup")
