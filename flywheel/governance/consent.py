"""Consent: an append-only ledger keyed by subject, and the filter that every stage applies again before it uses a row.

Current state is a fold over events by `effective_at`, then by their place in the ledger: the last one decides, but of a grant and a
withdrawal of one moment the withdrawal. A grant ends at its `expires_at`. No event means no: absence is refusal. A ledger whose chain is
broken answers nothing: a line that was changed by hand could be somebody's withdrawal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from flywheel.errors import ConsentMissing, IntegrityError
from flywheel.governance.chain import Body, Chain
from flywheel.records import ConsentedRecord, ConsentEvent, Purpose
from flywheel.storage import Ids, arrow_schema

PURPOSES: tuple[Purpose, ...] = ("labeling", "training", "evaluation")
Standing = Literal["no_consent", "withdrawn", "expired"]


def make_consent_event(
    ids: Ids, subject_id: str, purpose: Purpose, action: Literal["granted", "withdrawn"], *, legal_basis: str, policy_version: str,
    effective_at: datetime, recorded_at: datetime, source: str, expires_at: datetime | None = None,
) -> ConsentEvent:  # fmt: skip
    """An event whose id is made of what it says: the same statement heard twice is one event."""
    until = expires_at.isoformat() if expires_at else ""
    event_id = ids.make("consent", subject_id, purpose, action, legal_basis, policy_version, effective_at.isoformat(), until, source)
    return ConsentEvent(
        event_id=event_id, subject_id=subject_id, purpose=purpose, action=action, legal_basis=legal_basis, policy_version=policy_version,
        effective_at=effective_at, recorded_at=recorded_at, expires_at=expires_at, source=source,
    )  # fmt: skip


class ConsentLedger:
    """The ledger at `path` (restricted zone): hash-chained JSON lines, fsynced, locked."""

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path)
        self._read: tuple[tuple[int, int], list[ConsentEvent]] | None = None

    def append(self, events: Iterable[ConsentEvent]) -> int:
        """Add the events whose id is not there yet; returns how many were new."""
        wanted = list(events)

        def choose(there: list[Body]) -> list[Body]:
            known = {line["event"]["event_id"] for line in there}
            fresh = []
            for event in wanted:
                if event.event_id not in known:
                    known.add(event.event_id)
                    fresh.append({"event": event.model_dump(mode="json")})
            return fresh

        return len(self._chain.append(choose)) if wanted else 0

    def events(self) -> Iterator[ConsentEvent]:
        """Every event, in the ledger's order. Raises `IntegrityError` when the chain is not as it was appended."""
        try:
            stat = self._chain.path.stat()
        except FileNotFoundError:
            return iter(())
        version = (stat.st_size, stat.st_mtime_ns)
        if self._read is None or self._read[0] != version:  # four stages ask the same ledger in one run
            if problems := self._chain.verify():
                raise IntegrityError(f"{problems[0]}: nobody's consent can be told from it; restore it from its backup")
            self._read = (version, [ConsentEvent.model_validate(line["event"]) for line in self._chain.lines()])
        return iter(self._read[1])

    def head(self) -> str:
        """Hash of the ledger as it stands; 64 zeros when empty."""
        return self._chain.head()

    def verify(self) -> list[str]:
        """What is wrong with the chain; empty when nothing was altered."""
        return self._chain.verify()

    def last_words(self, purpose: str, at: datetime) -> dict[str, ConsentEvent]:
        """For each subject the event that decided about `purpose` at the moment `at`, grant or withdrawal, expired or not."""
        said: dict[str, ConsentEvent] = {}
        for event in self.events():
            if event.purpose == purpose and event.effective_at <= at:
                before = said.get(event.subject_id)
                if before is None or (before.effective_at, before.action == "withdrawn") <= (
                    event.effective_at,
                    event.action == "withdrawn",
                ):
                    said[event.subject_id] = event
        return said

    def allowed(self, purpose: str, at: datetime) -> dict[str, ConsentEvent]:
        """Subjects that allow `purpose` at the moment `at`, each with the grant that says so."""
        return {subject: event for subject, event in self.last_words(purpose, at).items() if _refusal(event, at) is None}


def _refusal(event: ConsentEvent | None, at: datetime) -> Standing | None:
    if event is None:
        return "no_consent"
    if event.action == "withdrawn":
        return "withdrawn"
    return "expired" if event.expires_at is not None and event.expires_at <= at else None


def filter_consented(
    records: pa.Table, ledger: ConsentLedger, *, purposes: Sequence[Purpose] = ("labeling",), now: datetime, round: str
) -> tuple[pa.Table, dict[str, int]]:
    """The records (LogRecord) whose subject allows every one of `purposes` now, as ConsentedRecord, and why the others are left out.

    The column `purposes` lists all that the subject allows now; basis and policy version are those of the first of `purposes`.
    """
    words = {purpose: ledger.last_words(purpose, now) for purpose in PURPOSES}
    reasons: Counter[str] = Counter(no_consent=0, withdrawn=0, expired=0)
    keep: list[bool] = []
    added: dict[str, list[Any]] = {"purposes": [], "legal_basis": [], "policy_version": []}
    for subject in records["subject_id"].to_pylist():
        refused = next((r for p in purposes if (r := _refusal(words[p].get(subject), now)) is not None), None)
        keep.append(refused is None)
        if refused is not None:
            reasons[refused] += 1
            continue
        grant = words[purposes[0]][subject]
        added["purposes"].append([p for p in PURPOSES if _refusal(words[p].get(subject), now) is None])
        added["legal_basis"].append(grant.legal_basis)
        added["policy_version"].append(grant.policy_version)
    table = records.filter(pa.array(keep, pa.bool_()))
    schema = arrow_schema(ConsentedRecord)
    for name, values in added.items():
        table = table.append_column(schema.field(name), pa.array(values, schema.field(name).type))
    at = table.schema.get_field_index("round")
    table = table.set_column(at, schema.field("round"), pa.array([round] * table.num_rows, pa.string()))
    return table.select(schema.names).cast(schema), dict(reasons)


def allowed_rows(table: pa.Table, ledger: ConsentLedger, purpose: Purpose, now: datetime) -> pa.Table:
    """The rows of any table with `subject_id` whose subject allows `purpose` now. A row without subject is refused, and so is a table
    without the column (`ConsentMissing`)."""
    if "subject_id" not in table.column_names:
        raise ConsentMissing("a table without subject_id cannot be checked for consent; join it to its records first")
    allowed = ledger.allowed(purpose, now)
    return table.filter(pa.array([s in allowed for s in table["subject_id"].to_pylist()], pa.bool_()))
