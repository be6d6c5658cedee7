"""The annotation journal: every accepted answer, once, in order, for ever.

SQLite in WAL mode with `synchronous=FULL`: an append that returns is on disk. Writers take turns (BEGIN IMMEDIATE), readers never
wait. Triggers refuse UPDATE and DELETE; a hash chain shows any change made around them. The chain covers a salted commitment to
each answer, not the answer itself, so that a later erasure can destroy text and salt without breaking it.

Two rules hold inside the writing transaction, so they hold for any number of importers: an event id is stored once, and a rater has
one answer a task (the first stays).
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flywheel.errors import BadInput, IntegrityError
from flywheel.records import AnnotationEvent

GENESIS = "0" * 64
BUSY_TIMEOUT_S = 60.0
SCHEMA = """
create table if not exists events(
  seq integer primary key, event_id text not null unique, kind text not null, task_id text not null, rater text not null,
  source text not null, recorded_at text, payload text, salt blob, commitment text not null, previous text not null, hash text not null unique);
create unique index if not exists one_answer on events(task_id, rater) where kind = 'answer';
create trigger if not exists events_never_replaced before insert on events
  when exists(select 1 from events where seq = new.seq or event_id = new.event_id or hash = new.hash)
  begin select raise(abort, 'the journal is append-only'); end;
create trigger if not exists events_never_change before update on events begin select raise(abort, 'the journal is append-only'); end;
create trigger if not exists events_never_go before delete on events begin select raise(abort, 'the journal is append-only'); end;
"""


@dataclass(frozen=True)
class AppendResult:
    """Event ids by what became of them: `added`, `repeated` (there already), `conflicting` (the rater has another answer there)."""

    added: list[str]
    repeated: list[str]
    conflicting: list[str]


@dataclass(frozen=True)
class JournalEntry:
    """One stored event. `source` is the way it came in (`inbox`, `page`, ...)."""

    seq: int
    event: AnnotationEvent
    source: str
    recorded_at: datetime | None
    hash: str


class Journal:
    """The journal at `path` (restricted zone). Made with the first append; safe for many processes and threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
            try:
                connection.execute("pragma synchronous=full")
                yield connection
            except (sqlite3.OperationalError, sqlite3.IntegrityError):  # a full disk, a lock, a trigger's refusal: the file is sound
                raise
            except sqlite3.DatabaseError as error:
                raise IntegrityError(f"{self.path} cannot be read as a journal: {error}; restore it from its backup") from None

    def _open(self) -> None:
        """Make the file and its tables where they are missing. A crash half-way leaves what the next call completes."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                with self._connection() as connection:
                    if connection.execute("pragma journal_mode").fetchone() != ("wal",):
                        connection.execute("pragma journal_mode=wal")
                    connection.executescript(f"begin immediate; {SCHEMA} commit;")
                return
            except sqlite3.OperationalError as error:  # changing the mode does not wait for a lock by itself
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @property
    def _is_empty(self) -> bool:
        """True where nothing was ever appended (also after a crash while the file was being made)."""
        if not self.path.exists():
            return True
        with self._connection() as connection:
            return connection.execute("select 1 from sqlite_master where name = 'one_answer'").fetchone() is None

    def append(self, events: Sequence[AnnotationEvent], source: str, *, at: datetime | None = None) -> AppendResult:
        """Add events in one transaction, each exactly once by `event_id`; `at` is the time of recording. Raises `BadInput` on an event
        without id: `import_label_files` (or `event_id`) makes it from task, rater and content."""
        for event in events:
            if not event.event_id:
                raise BadInput(
                    f"an annotation of task {event.task_id} by {event.rater} has no event_id; make it with flywheel.labeling.event_id"
                )
        result = AppendResult([], [], [])
        if not events:
            return result
        self._open()
        recorded_at = at.astimezone(UTC).isoformat() if at else None
        with self._connection() as connection:
            connection.execute("begin immediate")
            try:
                seq, previous = _head(connection)
                for event in events:
                    event_id = str(event.event_id)
                    if connection.execute("select 1 from events where event_id = ?", (event_id,)).fetchone():
                        result.repeated.append(event_id)
                        continue
                    one = "select 1 from events where kind = 'answer' and task_id = ? and rater = ?"
                    if connection.execute(one, (event.task_id, event.rater)).fetchone():
                        result.conflicting.append(event_id)
                        continue
                    seq += 1
                    payload = json.dumps(event.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
                    salt = secrets.token_bytes(16)
                    commitment = _commitment(salt, payload)
                    hash_ = _chain(previous, seq, event_id, "answer", event.task_id, event.rater, source, recorded_at, commitment)
                    connection.execute(
                        "insert into events values (?,?,?,?,?,?,?,?,?,?,?,?)",
                        (
                            seq,
                            event_id,
                            "answer",
                            event.task_id,
                            event.rater,
                            source,
                            recorded_at,
                            payload,
                            salt,
                            commitment,
                            previous,
                            hash_,
                        ),
                    )
                    previous = hash_
                    result.added.append(event_id)
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        return result

    def head(self) -> tuple[int, str]:
        """Number and hash of the newest event; (0, zeros) for an empty journal."""
        if self._is_empty:
            return 0, GENESIS
        with self._connection() as connection:
            return _head(connection)

    def events(self, after: int = 0) -> list[JournalEntry]:
        """Entries with a number above `after`, in order."""
        if self._is_empty:
            return []
        with self._connection() as connection:
            rows = connection.execute(
                "select seq, payload, source, recorded_at, hash from events where seq > ? order by seq", (after,)
            ).fetchall()
        found = []
        for seq, payload, source, recorded_at, hash_ in rows:
            if payload is None:
                continue
            when = datetime.fromisoformat(recorded_at) if recorded_at else None
            found.append(JournalEntry(seq, AnnotationEvent.model_validate_json(payload), source, when, hash_))
        return found

    def event_ids(self, *, except_source: str | None = None) -> list[str]:
        """Ids of all events in order, without those that came in by `except_source`."""
        if self._is_empty:
            return []
        with self._connection() as connection:
            rows = connection.execute(
                "select event_id from events where ? is null or source <> ? order by seq", (except_source, except_source)
            ).fetchall()
        return [event_id for (event_id,) in rows]

    def verify(self) -> list[str]:
        """What is wrong with the chain; empty when nothing was altered, left out or moved."""
        if self._is_empty:
            return []
        with self._connection() as connection:
            rows = connection.execute(
                "select seq, event_id, kind, task_id, rater, source, recorded_at, payload, salt, commitment, previous, hash from events order by seq"
            ).fetchall()
        problems, expected, last = [], 1, GENESIS
        for seq, event_id, kind, task_id, rater, source, recorded_at, payload, salt, commitment, previous, hash_ in rows:
            if seq != expected:
                problems.append(f"{self.path}: event {expected} is missing")
            if previous != last:
                problems.append(f"{self.path}: event {seq} does not follow the one before it")
            if _chain(previous, seq, event_id, kind, task_id, rater, source, recorded_at, commitment) != hash_:
                problems.append(f"{self.path}: event {seq} is not what was recorded")
            if payload is not None and _commitment(salt, payload) != commitment:
                problems.append(f"{self.path}: the answer of event {seq} is not what was recorded")
            expected, last = seq + 1, hash_
        return problems


def _head(connection: sqlite3.Connection) -> tuple[int, str]:
    row = connection.execute("select seq, hash from events order by seq desc limit 1").fetchone()
    return (int(row[0]), str(row[1])) if row else (0, GENESIS)


def _commitment(salt: bytes, payload: str) -> str:
    return hashlib.sha256(salt + payload.encode()).hexdigest()


def _chain(*parts: str | int | None) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
