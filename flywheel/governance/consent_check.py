"""How a stage asks: every row of any table, for one purpose, at this moment, with the installation's ledger, clock and retention.

A table that names its record only (`record_id`) is joined to `redacted_logs` for the subject and the time of the record. Where that
holds the record no more, the time is taken as the start of the oldest week that the row's round could draw from: no record of it is older,
so retention ends too early rather than too late. A subject that cannot be found is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import ConsentMissing
from flywheel.governance.consent import ConsentLedger
from flywheel.governance.consent_rules import Permission, Retention, filter_consented, limited, permitted
from flywheel.records import LogRecord, Purpose
from flywheel.storage import Home, empty_table
from flywheel.storage.partition import PartitionWriter
from flywheel.weeks import previous_round, window

PART_ROWS = 16_384  # rows of a file of `consented_logs`


class ConsentCheck:
    """Asks the consent ledger of `home`. `now` fixes the moment (the report looks ahead with it); else it is the clock's, at every question."""

    def __init__(self, home: Home, *, now: datetime | None = None) -> None:
        self.home, self._now = home, now

    @property
    def now(self) -> datetime:
        return self._now or self.home.now()

    @cached_property
    def ledger(self) -> ConsentLedger:
        return ConsentLedger(self.home.restricted / "consent.jsonl")

    @property
    def retention(self) -> Retention:
        return self.home.settings.governance.retention

    def ask(self, purpose: Purpose) -> Ask:
        """A filter for one purpose that counts what it refuses."""
        return Ask(self, purpose)

    def permission(self, table: pa.Table, purpose: Purpose) -> Permission:
        """Which rows of a table with `subject_id` or `record_id` may be used for `purpose` now (`permitted`)."""
        wanted = ["subject_id", "timestamp"] if limited(self.retention, purpose) else ["subject_id"]
        lacking = [name for name in wanted if name not in table.column_names]
        if lacking and "record_id" not in table.column_names:
            raise ConsentMissing(f"a table without record_id and {lacking[0]} cannot be checked for consent; join it to its records first")
        known = _joined(self.home, table, lacking) if lacking else table
        return permitted(known, self.ledger, purpose, self.now, self.retention)

    def consented(self, records: Iterable[pa.RecordBatch], round: str, partition: PartitionWriter) -> tuple[dict[str, int], dict[str, Any]]:
        """`filter_consented` for labeling, a few records at a time and all judged at one moment: those that are permitted go into `partition`.
        Why the others are left out, and the facts of the question."""
        check = ConsentCheck(self.home, now=self.now)
        ask, reasons = check.ask("labeling"), Counter[str]()
        waiting: list[pa.Table] = []
        for batch in records:
            table = pa.Table.from_batches([batch])
            ask(table.select(["subject_id", "timestamp"]))
            kept, why = filter_consented(table, check.ledger, now=check.now, round=round, retention=check.retention)
            reasons.update(why)
            waiting.append(kept)
            if sum(t.num_rows for t in waiting) >= PART_ROWS:
                waiting = _written(waiting, partition)
        if not reasons:  # a week without a record
            kept, why = filter_consented(empty_table(LogRecord), check.ledger, now=check.now, round=round, retention=check.retention)
            reasons.update(why)
            waiting.append(kept)
        if not partition.parts or any(t.num_rows for t in waiting):
            partition.write(pa.concat_tables(waiting))
        return dict(reasons), ask.facts


def _written(waiting: list[pa.Table], partition: PartitionWriter) -> list[pa.Table]:
    """What is left once files of just so many rows are written: where the rows were cut before does not show."""
    table = pa.concat_tables(waiting)
    while table.num_rows >= PART_ROWS:
        partition.write(table.slice(0, PART_ROWS))
        table = table.slice(PART_ROWS)
    return [table.combine_chunks()]


class Ask:
    """Call it with a table for the rows that may be used. It adds up over calls: `asked` rows, `refused` by reason."""

    def __init__(self, check: ConsentCheck, purpose: Purpose) -> None:
        self._check, self.purpose = check, purpose
        self.asked = 0
        self.reasons: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()

    def __call__(self, table: pa.Table) -> pa.Table:
        found = self._check.permission(table, self.purpose)
        self.asked += table.num_rows
        self.reasons.update(found.reasons)
        self.ended.update(found.ended)
        return table.filter(found.mask)

    def batches(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """The rows of each batch that may be used, all judged at the moment of the first."""
        fixed = Ask(ConsentCheck(self._check.home, now=self._check.now), self.purpose)
        fixed.reasons, fixed.ended = self.reasons, self.ended
        for batch in batches:
            self.asked += batch.num_rows
            yield fixed(pa.Table.from_batches([batch]))

    @property
    def refused(self) -> int:
        return sum(self.reasons.values())

    @property
    def facts(self) -> dict[str, Any]:
        """For the manifest: counts only, no subject."""
        ended = [{"legal_basis": basis, "reason": reason, "rows": n} for (basis, reason), n in sorted(self.ended.items())]
        refused = {reason: n for reason, n in sorted(self.reasons.items()) if n}
        return {self.purpose: {"asked": self.asked, "refused": refused, "ended": ended}} if self.asked else {}


def _joined(home: Home, table: pa.Table, lacking: list[str]) -> pa.Table:
    """The table with `lacking` columns of its records."""
    parts, ids = [], table["record_id"]
    left = set(ids.drop_null().to_pylist())
    newest = max((r for r in table["round"].unique().to_pylist() if r), default="")
    for round in sorted(home.lake.rounds("redacted_logs"), reverse=True):
        if not left:
            break
        if round <= newest:
            parts.append(home.lake.read("redacted_logs", round, ["record_id", "subject_id", "timestamp"]))
            left -= set(parts[-1]["record_id"].to_pylist())
    stamp = pa.timestamp("us", "UTC")
    schema = pa.schema([("record_id", pa.string()), ("subject_id", pa.string()), ("timestamp", stamp)])
    records = pa.concat_tables([p.cast(schema) for p in parts]).combine_chunks() if parts else schema.empty_table()
    places = pc.index_in(ids, value_set=records["record_id"].combine_chunks())
    for name in lacking:
        values = records[name].combine_chunks().take(places.combine_chunks() if isinstance(places, pa.ChunkedArray) else places)
        if name == "timestamp":
            values = pc.coalesce(values, _earliest(home, table["round"]))
        table = table.append_column(name, values)
    return table


def _earliest(home: Home, rounds: pa.ChunkedArray) -> pa.Array:
    """Of each row, the start of the oldest week in the pool of its round."""
    back = home.settings.selection.pool_rounds - 1
    starts = {r: window(previous_round(r, back))[0] for r in rounds.unique().to_pylist()}
    coded = rounds.combine_chunks().dictionary_encode()
    moments = pa.array([starts[r] for r in coded.dictionary.to_pylist()], pa.timestamp("us", "UTC"))
    return moments.take(coded.indices)
