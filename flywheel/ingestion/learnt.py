"""What an import tells the consent ledger and the vault: statements and identities, read from the segments when they are asked for.

Both are handed over a batch at a time, so that memory does not grow with the rows: statements repeat (a subject says one thing in every
row), and what is said differs is kept as columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.governance.consent import Statement, make_consent_event
from flywheel.governance.identity import Identity, identifying_type
from flywheel.ingestion.assembly import Joined
from flywheel.ingestion.consent_fields import statements_of
from flywheel.ingestion.merge import Merge, Picked
from flywheel.ingestion.reading import Reading
from flywheel.ingestion.segments import Segment
from flywheel.ingestion.timestamps import EPOCH, MICROSECOND

if TYPE_CHECKING:
    from datetime import datetime

    from flywheel.governance import ConsentLedger, Vault
    from flywheel.records import ConsentEvent
    from flywheel.storage.ids import Ids

RAW = (("raw_id", "record_id"), ("raw_conversation", "conversation_id"), ("raw_user", "user_id"))
SAID = pa.schema([
    ("effective_at", pa.int64()), ("subject_id", pa.string()), ("purpose", pa.string()), ("action", pa.string()), ("expires_at", pa.int64()),
    ("legal_basis", pa.string()), ("policy_version", pa.string()),
])  # fmt: skip
TOLD_AT_ONCE = 50_000  # rows a transaction, or a write to the ledger
GATHERED = 200_000  # statements gathered before repetitions are taken out
DIGITS = list("0123456789abcdef")  # what a subject's id begins with
REMEMBERED = 100_000  # identities that are known to have been told


@dataclass
class Learnt:
    """Of the rows `heard` (taken, repeated or contradicting) the statements, of the rows `accepted` the identities."""

    merge: Merge
    joined: Joined
    reading: Reading
    heard: tuple[Picked, ...]
    accepted: Picked
    ids: Ids
    now: datetime
    _statements: list[Statement] | None = field(default=None, repr=False)
    _identities: list[Identity] | None = field(default=None, repr=False)

    def settle(self) -> None:
        """Read everything now: the segments will not stay."""
        self._statements, self._identities = list(self.statements()), list(self.identities())

    def tell(self, ledger: ConsentLedger, vault: Vault) -> None:
        """Hand everything over. Told twice, it changes nothing: what was cut off is told again."""
        statements, identities = self.statements(), self.identities()
        while said := list(islice(statements, TOLD_AT_ONCE)):
            ledger.append_statements(said, ids=self.ids, recorded_at=self.now)
        while known := list(islice(identities, TOLD_AT_ONCE)):
            vault.remember(known)

    def statements(self) -> Iterator[Statement]:
        """Each once, of a subject by time, in an order that does not depend on how files were cut. Some subjects at a time."""
        if self._statements is not None:
            yield from self._statements
            return
        passes = 1
        while passes < len(DIGITS) and sum(map(len, self.heard)) > passes * GATHERED:
            passes *= 2
        for number in range(passes):
            yield from self._of(pa.array(DIGITS[number::passes]) if passes > 1 else None)

    def _of(self, beginnings: pa.Array | None) -> Iterator[Statement]:
        """The statements of subjects whose id begins so; None for all."""
        table = self._said(beginnings).sort_by([(name, "ascending") for name in SAID.names])
        for batch in table.to_batches(max_chunksize=8_192):
            for row in batch.to_pylist():
                until = row["expires_at"]
                yield Statement(
                    row["subject_id"], row["purpose"], row["action"], row["legal_basis"], row["policy_version"],
                    EPOCH + timedelta(microseconds=row["effective_at"]), "log", None if until is None else EPOCH + timedelta(microseconds=until),
                )  # fmt: skip

    def consent_events(self) -> list[ConsentEvent]:
        """The statements as ledger events, by time."""
        made = [
            make_consent_event(
                self.ids, s.subject_id, s.purpose, s.action, legal_basis=s.legal_basis, policy_version=s.policy_version, effective_at=s.effective_at,
                recorded_at=self.now, source=s.source, expires_at=s.expires_at,
            )
            for s in self.statements()
        ]  # fmt: skip
        return sorted(made, key=lambda e: (e.effective_at, e.event_id))

    def _said(self, beginnings: pa.Array | None) -> pa.Table:
        gathered: list[pa.Table] = [SAID.empty_table()]
        fresh = 0
        for segment, subjects, numbers, withdrawals in chain(self._heard(), self._withdrawn()):
            if beginnings is None:
                part = _as_columns(segment, subjects, numbers, withdrawals=withdrawals)
            else:
                mine = pc.is_in(pc.utf8_slice_codeunits(subjects, 0, 1), value_set=beginnings)
                part = _as_columns(segment, subjects.filter(mine), numbers[mine.to_numpy()], withdrawals=withdrawals)
            gathered.append(part)
            fresh += part.num_rows
            if fresh > GATHERED:
                gathered, fresh = [_distinct(gathered)], 0
        return _distinct(gathered)

    def identities(self) -> Iterator[Identity]:
        """Raw values by subject, in no order; one that many rows tell may come again."""
        if self._identities is not None:
            yield from self._identities
            return
        seen: set[Identity] = set()
        for one, again in self._told():
            if one in seen:
                continue
            if again:
                if len(seen) >= REMEMBERED:
                    seen.clear()
                seen.add(one)
            yield one

    def _told(self) -> Iterator[tuple[Identity, bool]]:
        """Identities, and whether another segment may tell the same."""
        for number, rows in _by_run(self.accepted, np.ones(len(self.accepted), bool)):
            segment = self.merge.runs[number].segment
            table = segment.rows_of(["subject_id", *(c for c, _ in RAW)]).take(pa.array(rows))
            for column, key in RAW:
                kind = identifying_type(key, "") or "PROFILE"
                distinct = table.select(["subject_id", column]).group_by(["subject_id", column]).aggregate([])
                for subject, value in zip(distinct["subject_id"].to_pylist(), distinct[column].to_pylist(), strict=True):
                    if value is not None:
                        yield Identity(subject, kind, value), column != "raw_id"
            profile = segment.table("identities")
            if profile is not None:
                mine = profile.filter(pc.is_in(profile["subject_id"], value_set=pc.unique(table["subject_id"])))
                for row in mine.to_pylist():
                    yield Identity(row["subject_id"], row["kind"], row["value"]), True

    def _heard(self) -> Iterator[tuple[Segment, pa.ChunkedArray, Any, bool]]:
        for number, rows in chain.from_iterable(_by_run(h, h.consent >= 0) for h in self.heard):
            segment = self.merge.runs[number].segment
            distinct = segment.rows_of(["subject_id", "consent"]).take(pa.array(rows)).group_by(["subject_id", "consent"]).aggregate([])
            yield segment, distinct["subject_id"], distinct["consent"].to_numpy(), False

    def _withdrawn(self) -> Iterator[tuple[Segment, pa.ChunkedArray, Any, bool]]:
        for segment in (*(o.segment for o in self.reading.occurrences), *self.joined.segments):
            table = segment.table("withdrawn")
            if table is not None:
                yield segment, table["subject_id"], table["consent"].to_numpy(), True


def _as_columns(segment: Segment, subjects: pa.ChunkedArray, numbers: Any, *, withdrawals: bool) -> pa.Table:
    """Who (`subjects`) said which statement (`numbers`), one row a purpose and action."""
    used, place = np.unique(numbers, return_inverse=True)
    said = [
        [
            (_micros(s.effective_at), s.purpose, s.action, None if s.expires_at is None else _micros(s.expires_at), s.legal_basis, s.policy_version)
            for s in statements_of(segment.meta["statements"][n], "", withdrawals=withdrawals)
        ]
        for n in used.tolist()
    ]  # fmt: skip
    count = np.array([len(rows) for rows in said], np.int64)
    flat = list(chain.from_iterable(said))
    if not flat:
        return SAID.empty_table()
    first = np.cumsum(count) - count
    times = count[place]
    who = np.repeat(np.arange(len(place)), times)
    within = np.arange(len(who)) - np.repeat(np.cumsum(times) - times, times)
    what = pa.array(first[place][who] + within)
    names = [n for n in SAID.names if n != "subject_id"]
    columns = {n: pa.array(c, SAID.field(n).type).take(what) for n, c in zip(names, zip(*flat, strict=True), strict=True)}
    columns["subject_id"] = subjects.take(pa.array(who))
    return pa.table([columns[n] for n in SAID.names], schema=SAID)


def _distinct(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).group_by(SAID.names).aggregate([]).select(SAID.names).combine_chunks()


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _by_run(keys: Picked, chosen: Any) -> Iterator[tuple[int, Any]]:
    """Rows of each run, ascending."""
    run, row = keys.run[chosen], keys.row[chosen]
    order = np.lexsort((row, run))
    run, row = run[order], row[order]
    for part in np.split(np.arange(len(run)), np.flatnonzero(np.diff(run)) + 1):
        if len(part):
            yield int(run[part[0]]), row[part]
