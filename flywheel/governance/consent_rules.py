"""May this row be used for that purpose now? One answer for every stage: `permitted`.

A row is refused when its subject never said yes (`no_consent`), took it back (`withdrawn`), said yes for a time that is over (`expired`),
or when the row itself is older than the purpose and legal basis of the grant let it be kept (`retention_ended`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import ConsentMissing
from flywheel.governance.consent import PURPOSES, ConsentLedger
from flywheel.governance.ledger_state import NEVER, LedgerState, micros
from flywheel.records import ConsentedRecord, Purpose
from flywheel.storage import arrow_schema

Retention = Mapping[Purpose, Mapping[str, int]]
"""Days by purpose and legal basis (`governance.retention`); the basis `*` stands for every other one."""

NO_RETENTION: Retention = {}
ANY_BASIS = "*"
REASONS = ("no_consent", "withdrawn", "expired", "retention_ended")
DAY = timedelta(days=1) // timedelta(microseconds=1)
Codes = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Permission:
    """`mask`: of each row, whether it may be used. `reasons`: rows refused, by reason. `ended`: rows whose grant or retention ran out, by
    (legal basis, reason)."""

    mask: pa.BooleanArray
    reasons: dict[str, int] = field(default_factory=dict)
    ended: dict[tuple[str, str], int] = field(default_factory=dict)


def permitted(table: pa.Table, ledger: ConsentLedger, purpose: Purpose, now: datetime, retention: Retention = NO_RETENTION) -> Permission:
    """Which rows of a table with `subject_id` may be used for `purpose` at the moment `now`. A row without subject is refused. Where
    `retention` limits the purpose, the table needs `timestamp` too (`limited`). Raises `ConsentMissing` on a table without these columns,
    `ClockSetBack`, `IntegrityError`."""
    state = ledger.judged_by(now)
    codes, deciding = _codes(table, state, purpose, now, retention)
    counts = np.bincount(codes, minlength=len(REASONS) + 1)
    reasons = {reason: int(counts[i]) for i, reason in enumerate(REASONS, start=1)}
    return Permission(pa.array(codes == 0), reasons, _ended(codes, deciding, state))


def limited(retention: Retention, purpose: Purpose) -> bool:
    """Whether rows may be used for the purpose for a time only."""
    return bool(retention.get(purpose))


def allowed_rows(table: pa.Table, ledger: ConsentLedger, purpose: Purpose, now: datetime, retention: Retention = NO_RETENTION) -> pa.Table:
    """The rows of any table with `subject_id` that are `permitted`."""
    return table.filter(permitted(table, ledger, purpose, now, retention).mask)


def filter_consented(
    records: pa.Table, ledger: ConsentLedger, *, purposes: Sequence[Purpose] = ("labeling",), now: datetime, round: str,
    retention: Retention = NO_RETENTION,
) -> tuple[pa.Table, dict[str, int]]:  # fmt: skip
    """The records (LogRecord) that are permitted for every one of `purposes` now, as ConsentedRecord, and why the others are left out.

    The column `purposes` lists all that the record may be used for now; basis and policy version are those of the first of `purposes`.
    """
    state = ledger.judged_by(now)
    codes = {p: _codes(records, state, p, now, retention) for p in PURPOSES}
    refused = np.zeros(records.num_rows, np.int64)
    for purpose in purposes:
        refused = np.where(refused == 0, codes[purpose][0], refused)
    counts = np.bincount(refused, minlength=len(REASONS) + 1)
    reasons = {r: int(counts[i]) for i, r in enumerate(REASONS, start=1) if r != "retention_ended" or any(map(retention.get, purposes))}
    kept = np.flatnonzero(refused == 0)
    table = records.take(pa.array(kept))
    allowed = sum((codes[p][0][kept] == 0).astype(np.int64) << bit for bit, p in enumerate(PURPOSES))
    subsets = pa.array([[p for bit, p in enumerate(PURPOSES) if n >> bit & 1] for n in range(1 << len(PURPOSES))], pa.list_(pa.string()))
    grants = codes[purposes[0]][1][kept]
    schema = arrow_schema(ConsentedRecord)
    added = {
        "purposes": subsets.take(pa.array(allowed, pa.int64())),
        "legal_basis": _words(state, "legal_basis", grants),
        "policy_version": _words(state, "policy_version", grants),
    }
    for name, values in added.items():
        table = table.append_column(schema.field(name), values)
    at = table.schema.get_field_index("round")
    table = table.set_column(at, schema.field("round"), pa.array([round] * table.num_rows, pa.string()))
    return table.select(schema.names).cast(schema), reasons


def _codes(table: pa.Table, state: LedgerState, purpose: Purpose, now: datetime, retention: Retention) -> tuple[Codes, Codes]:
    """Of each row 0 where it is permitted, else the number of its reason (1 for the first of `REASONS`); and the deciding event, or -1."""
    if "subject_id" not in table.column_names:
        raise ConsentMissing("a table without subject_id cannot be checked for consent; join it to its records first")
    deciding = state.last_words(purpose, now)[state.places(table["subject_id"])]
    codes = np.where(deciding >= 0, 0, 1)
    if not len(state):
        return codes, deciding
    codes[(codes == 0) & state.withdrawn[deciding]] = 2
    codes[(codes == 0) & (state.expires[deciding] <= micros(now))] = 3
    days = retention.get(purpose)
    if days:
        if "timestamp" not in table.column_names:
            raise ConsentMissing(
                f"governance.retention limits {purpose}; a table without timestamp cannot be checked: join it to its records"
            )
        codes[(codes == 0) & (_ends(table, state, deciding, days) <= micros(now))] = 4
    return codes, deciding


def _ends(table: pa.Table, state: LedgerState, deciding: Codes, days: Mapping[str, int]) -> Codes:
    """Of each row, when its retention ends (microseconds since 1970). A row without time has no day left."""
    basis, bases = state.word("legal_basis")
    limits = np.array([days.get(b, days.get(ANY_BASIS, -1)) for b in bases], np.int64)[basis[deciding]]
    stamps = pc.fill_null(pc.cast(pc.cast(table["timestamp"], pa.timestamp("us", "UTC")), pa.int64()), 0)
    return np.where(limits < 0, NEVER, stamps.to_numpy() + np.maximum(limits, 0) * DAY)


def _ended(codes: Codes, deciding: Codes, state: LedgerState) -> dict[tuple[str, str], int]:
    basis, bases = state.word("legal_basis")
    found: Counter[tuple[str, str]] = Counter()
    for number in (3, 4):
        rows = deciding[codes == number]
        for code, n in enumerate(np.bincount(basis[rows], minlength=len(bases)) if len(rows) else ()):
            if n:
                found[bases[code], REASONS[number - 1]] += int(n)
    return dict(sorted(found.items()))


def _words(state: LedgerState, name: str, events: Codes) -> pa.Array:
    return pc.cast(state.table[name].take(pa.array(events)), pa.string()).combine_chunks() if len(state) else pa.array([], pa.string())
