"""Consent: an append-only ledger keyed by subject.

Current state is a fold over events by `effective_at`, then by their place in the ledger: the last one decides, but of a grant and a
withdrawal of one moment the withdrawal. A grant ends at its `expires_at`. No event means no: absence is refusal. A ledger whose chain is
broken answers nothing: a line that was changed by hand could be somebody's withdrawal. Nor does one that was written after `now`: with
the clock set back, a withdrawal would sleep.

Two clocks: `effective_at` is when it was said, `recorded_at` when we knew. Stages judge by all that is known now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import ClockSetBack
from flywheel.governance.chain import Chain
from flywheel.governance.ledger_state import PURPOSES, LedgerState, Line, encode, lines_of, micros
from flywheel.records import ConsentEvent, Purpose
from flywheel.storage import Ids

__all__ = ["PURPOSES", "Action", "ConsentLedger", "Standing", "Statement", "make_consent_event", "refusal"]

Action = Literal["granted", "withdrawn"]
Standing = Literal["no_consent", "withdrawn", "expired"]
CLOCK_TOLERANCE = timedelta(minutes=5)  # between machines that append to one ledger
REMEMBERED = 4  # ledgers held in memory a process


class Statement(NamedTuple):
    """What somebody said about one purpose, before it has an id: what `append_statements` takes in bulk. Times are zone-aware."""

    subject_id: str
    purpose: Purpose
    action: Action
    legal_basis: str
    policy_version: str
    effective_at: datetime
    source: str
    expires_at: datetime | None = None
    key: str = ""
    """Names the statement where `effective_at` does not (it could not be read, and is the moment of import): in the id instead of it."""


def make_consent_event(
    ids: Ids, subject_id: str, purpose: Purpose, action: Action, *, legal_basis: str, policy_version: str, effective_at: datetime,
    recorded_at: datetime, source: str, expires_at: datetime | None = None,
) -> ConsentEvent:  # fmt: skip
    """An event whose id is made of what it says: the same statement heard twice is one event."""
    said = Statement(subject_id, purpose, action, legal_basis, policy_version, effective_at, source, expires_at)
    return ConsentEvent(
        event_id=_event_id(ids, said), subject_id=subject_id, purpose=purpose, action=action, legal_basis=legal_basis,
        policy_version=policy_version, effective_at=effective_at, recorded_at=recorded_at, expires_at=expires_at, source=source,
    )  # fmt: skip


def _event_id(ids: Ids, said: Statement) -> str:
    when, until = said.key or said.effective_at.isoformat(), said.expires_at.isoformat() if said.expires_at else ""
    return ids.make("consent", said.subject_id, said.purpose, said.action, said.legal_basis, said.policy_version, when, until, said.source)


# Of each ledger file: what it was when it was read, and what it held. A process asks one ledger at many stages.
_read: dict[Path, tuple[tuple[int, ...], LedgerState]] = {}


class ConsentLedger:
    """The ledger at `path` (restricted zone): hash-chained JSON lines, fsynced, locked."""

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path)

    # --- writing ---

    def append(self, events: Iterable[ConsentEvent]) -> int:
        """Add the events whose id is not there yet, all with one fsync; returns how many were new. Raises `ClockSetBack`."""
        return self._append([_line(event) for event in events])

    def append_statements(self, statements: Iterable[Statement], *, ids: Ids, recorded_at: datetime) -> int:
        """`append` in bulk: the events of `statements`, without an object each. The same statement heard twice is one event."""
        return self._append([
            Line(s.action, s.effective_at, _event_id(ids, s), s.expires_at, s.legal_basis, s.policy_version, s.purpose, recorded_at, s.source, s.subject_id)
            for s in statements
        ])  # fmt: skip

    def _append(self, wanted: list[Line]) -> int:
        if not wanted:
            return 0
        with self._chain.locked():
            state = self.state()
            _refuse_clock_set_back(max(line.recorded_at for line in wanted), state)
            ids = [line.event_id for line in wanted]
            fresh = dict(zip(reversed(ids), reversed(wanted), strict=True))  # of two alike, the first
            known = pc.is_in(pa.array(ids, pa.string()), value_set=state.table["event_id"].combine_chunks()).to_pylist()
            lines = [fresh.pop(i) for i, there in zip(ids, known, strict=True) if not there and i in fresh]
            if lines:
                data, head = lines_of((encode(line) for line in lines), len(state), state.head)
                self._chain.write(data)
                self._remember(state.extended(lines, head))
            return len(lines)

    # --- reading ---

    def state(self) -> LedgerState:
        """The ledger in memory. Raises `IntegrityError` when the chain is not as it was appended."""
        version = self._version()
        if version is None:
            return LedgerState.empty()
        known = _read.get(self._chain.path)
        if known is not None and known[0] == version:
            return known[1]
        state = LedgerState.load(self._chain)
        if self._version() == version:  # else somebody appended meanwhile: read again next time
            self._remember(state)
        return state

    def _version(self) -> tuple[int, ...] | None:
        try:
            found = self._chain.path.stat()
        except FileNotFoundError:
            return None
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _remember(self, state: LedgerState) -> None:
        _read.pop(self._chain.path, None)
        while len(_read) >= REMEMBERED:
            _read.pop(next(iter(_read)), None)
        version = self._version()
        if version is not None:
            _read[self._chain.path] = (version, state)

    def events(self, subject_id: str | None = None) -> Iterator[ConsentEvent]:
        """Every event (of one subject), in the ledger's order."""
        state = self.state()
        return state.events(None if subject_id is None else pc.equal(state.table["subject_id"], subject_id))

    def knows(self, subject_id: str) -> bool:
        """Whether anything was ever said about the subject."""
        return bool(pc.any(pc.equal(self.state().table["subject_id"], subject_id)).as_py())

    def head(self) -> str:
        """Hash of the ledger as it stands; 64 zeros when empty."""
        return self._chain.head()

    def verify(self) -> list[str]:
        """What is wrong with the chain; empty when nothing was altered."""
        return self._chain.verify()

    def judged_by(self, now: datetime) -> LedgerState:
        """The ledger to judge by at the moment `now`. Raises `ClockSetBack` when it was written to later than that."""
        state = self.state()
        _refuse_clock_set_back(now, state)
        return state

    def last_words(self, purpose: str, at: datetime) -> dict[str, ConsentEvent]:
        """For each subject the event that decides about `purpose` at the moment `at`, grant or withdrawal, expired or not."""
        return self._deciding(purpose, at, lambda _: True)

    def allowed(self, purpose: str, at: datetime) -> dict[str, ConsentEvent]:
        """Subjects that allow `purpose` at the moment `at`, each with the grant that says so."""
        return self._deciding(purpose, at, lambda event: refusal(event, at) is None)

    def _deciding(self, purpose: str, at: datetime, wanted: Callable[[ConsentEvent], bool]) -> dict[str, ConsentEvent]:
        state = self.judged_by(at)
        last = state.last_words(purpose, at)
        decided = pa.array(sorted(int(i) for i in last[last >= 0]), pa.int64())
        return {e.subject_id: e for e in LedgerState(state.table.take(decided)).events() if wanted(e)}

    def decision(self, subject_id: str, purpose: str, at: datetime, known_at: datetime | None = None) -> ConsentEvent | None:
        """The event that decided about one subject at the moment `at`, past or present: by what is known now, or by what was recorded at
        `known_at`. `refusal` says what it means."""
        state = self.state()
        mine = LedgerState(state.table.filter(pc.equal(state.table["subject_id"], subject_id))).tidy()
        last = mine.last_words(purpose, at, known_at)
        return mine.event(int(last[0])) if len(last) > 1 and last[0] >= 0 else None


def refusal(event: ConsentEvent | None, at: datetime) -> Standing | None:
    """Why the deciding event does not allow its purpose at the moment `at`; None where it does."""
    if event is None:
        return "no_consent"
    if event.action == "withdrawn":
        return "withdrawn"
    return "expired" if event.expires_at is not None and micros(event.expires_at) <= micros(at) else None


def _line(event: ConsentEvent) -> Line:
    return Line(
        event.action, event.effective_at, event.event_id, event.expires_at, event.legal_basis, event.policy_version, event.purpose,
        event.recorded_at, event.source, event.subject_id,
    )  # fmt: skip


def _refuse_clock_set_back(now: datetime, state: LedgerState) -> None:
    if state.newest is not None and now < state.newest - CLOCK_TOLERANCE:
        raise ClockSetBack(
            f"it is {now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by the clock, but the consent ledger was written to at "
            f"{state.newest:%Y-%m-%d %H:%M:%S} UTC: a withdrawal since then would go unheard. Set the clock right (the system's, or "
            "`clock` in flywheel.toml where it is fixed), then run this again; nothing was changed. See docs/consent.md, Clock."
        )
