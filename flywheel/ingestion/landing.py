"""A round's records out of the landing folder: every row read once, accepted once, or kept in quarantine with the reason.

The order is that of file names, then lines. Of two rows with one id the first wins: the same content again is a duplicate, other
content an `id_conflict`. A row of another week is left to that week's import, which also decides whether it is good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic_core import from_json

from flywheel.governance import Identity
from flywheel.ingestion.consent_fields import withdrawals_of
from flywheel.ingestion.dialects import dialect_of, raw_timestamp, read_row
from flywheel.ingestion.draft import raw_id
from flywheel.ingestion.files import LandingFile, Line, Unreadable, landing_files, lines
from flywheel.ingestion.quarantine import Refusal, Rejected, RowKey, readable, row_key
from flywheel.ingestion.record import Made, make_record
from flywheel.ingestion.timestamps import parse_timestamp
from flywheel.records import ConsentEvent, LogRecord, QuarantinedRow
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, to_table
from flywheel.weeks import round_of, window

COUNTS = (
    "rows_read", "accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "files", "files_ignored", "incomplete",
)  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """A round's import. `counts`: rows_read == accepted + other_rounds + duplicates + quarantined + quarantined_elsewhere; beside it
    files, files_ignored (no log by their suffix) and incomplete (last lines that are still being written, not read yet).
    `losses`: source field -> rows in which it was not carried over. `weeks`: round -> rows whose time lies in it.
    `consent_events` also has withdrawals from rows that are not taken (of another week, or bad): taking back needs no good row."""

    records: pa.Table
    quarantine: pa.Table
    consent_events: list[ConsentEvent]
    identities: list[Identity]
    losses: dict[str, int]
    counts: dict[str, int]
    weeks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Row:
    line: Line
    record_id: str
    made: Made | None  # None: a row of another week
    losses: Counter[str]


@dataclass
class _File:
    """What one file holds, before ids are compared across files: a file that turns out damaged is dropped whole."""

    rows_read: int = 0
    incomplete: int = 0
    rows: list[_Row] = field(default_factory=list)
    refused: list[tuple[Refusal, bool]] = field(default_factory=list)  # with: is its time known
    weeks: Counter[str] = field(default_factory=Counter)
    withdrawals: list[ConsentEvent] = field(default_factory=list)


@dataclass(frozen=True)
class _Week:
    round: str
    start: datetime
    end: datetime
    latest: datetime
    now: datetime
    ids: Ids
    settings: IngestionSettings


def import_landing(
    landing: str, *, round: str, ids: Ids, settings: IngestionSettings, now: datetime,
    quarantined_elsewhere: frozenset[RowKey] = frozenset(),
) -> Imported:  # fmt: skip
    """Read every log below `landing` (path or fsspec URL) and return what belongs to `round`.

    `now` is the clock that tells a future timestamp. Rows whose time cannot be used belong to no week: they come back in this import's
    quarantine unless they are among `quarantined_elsewhere` (file, line, hash of the raw row). Raises `BadInput` where there is no such folder.
    """
    start, end = window(round)
    week = _Week(round, start, end, now + timedelta(seconds=settings.max_future_s), now, ids, settings)
    files, ignored = landing_files(landing)
    counts: Counter[str] = Counter(files=len(files), files_ignored=len(ignored))
    losses: Counter[str] = Counter()
    records: list[LogRecord] = []
    refusals: list[Refusal] = []
    consent: dict[str, ConsentEvent] = {}
    identities: set[Identity] = set()
    weeks: Counter[str] = Counter()
    seen: dict[str, str] = {}  # record id -> content hash; empty for a row of another week
    for file in files:
        found = _read_file(file, week)
        counts["rows_read"] += found.rows_read
        counts["incomplete"] += found.incomplete
        weeks.update(found.weeks)
        for event in found.withdrawals:
            consent.setdefault(event.event_id or "", event)
        for refusal, timed in found.refused:
            if not timed and row_key(refusal.file, refusal.line, refusal.raw) in quarantined_elsewhere:
                counts["quarantined_elsewhere"] += 1
            else:
                refusals.append(refusal)
        for row in found.rows:
            if row.made is None:
                counts["other_rounds"] += 1
                if row.record_id:
                    seen.setdefault(row.record_id, "")
                continue
            for event in row.made.consent:  # also of a duplicate: a withdrawal counts however it arrives
                consent.setdefault(event.event_id or "", event)
            content = row.made.record.content_sha256
            if row.record_id not in seen:
                seen[row.record_id] = content
                records.append(row.made.record)
                identities.update(row.made.identities)
                losses.update(row.losses)
            elif seen[row.record_id] == content:
                counts["duplicates"] += 1
            else:
                message = "a row with this id came before, with other content; give this row its own id"
                refusals.append(_refusal(file.name, row.line, Rejected("id_conflict", message, "id")))
    records.sort(key=lambda r: (r.timestamp, r.record_id))
    counts["accepted"], counts["quarantined"] = len(records), len(refusals)
    return Imported(
        records=to_table(LogRecord, records),
        quarantine=to_table(QuarantinedRow, [_quarantined(r, round) for r in sorted(refusals, key=lambda r: (r.file, r.line))]),
        consent_events=sorted(consent.values(), key=lambda e: (e.effective_at, e.event_id or "")),
        identities=sorted(identities),
        losses=dict(sorted(losses.items())),
        counts={name: counts[name] for name in COUNTS},
        weeks=dict(sorted(weeks.items())),
    )


def _read_file(file: LandingFile, week: _Week) -> _File:
    found = _File()
    last = 0
    try:
        for line in lines(file, week.settings.max_line_bytes):
            last = line.number
            _read_line(file.name, line, found, week)
    except Unreadable as error:
        # never half a file: what was read before the damage is dropped again, the file stays in the landing folder
        refusal = Refusal(file.name, last, 0, "unreadable_file", f"{error}; deliver the file again", None, "")
        return _File(rows_read=1, refused=[(refusal, False)])
    if last == 0:
        refusal = Refusal(file.name, 0, 0, "empty_file", "the file holds no line", None, "")
        return _File(rows_read=1, refused=[(refusal, False)])
    return found


def _read_line(name: str, line: Line, found: _File, week: _Week) -> None:
    """Put one line where it belongs in `found`."""
    timed = False
    row: Mapping[str, Any] | None = None
    try:
        row = _parse(line, week.settings.max_line_bytes)
        if row is None:
            found.incomplete += 1
            return
        found.rows_read += 1
        value, place = raw_timestamp(row)
        timestamp, zoned = parse_timestamp(value, place)
        if timestamp > week.latest:
            raise Rejected("future_timestamp", f"{place} lies after {week.latest:%Y-%m-%d %H:%M:%S} UTC, the clock of this import", place)
        timed = True
        dialect = dialect_of(row) if week.settings.format == "auto" else week.settings.format
        found.weeks[round_of(timestamp)] += 1
        if not week.start <= timestamp < week.end:
            found.rows.append(_Row(line, _claimed_id(row, dialect, week.ids), None, Counter()))
            found.withdrawals += withdrawals_of(row, ids=week.ids, now=week.now)
            return
        losses: Counter[str] = Counter() if zoned else Counter({f"{dialect}: time zone not said, read as UTC": 1})
        made = make_record(
            read_row(row, dialect), timestamp, losses, file=name, line=line.number, round=week.round, ids=week.ids, now=week.now
        )
        found.rows.append(_Row(line, made.record.record_id, made, losses))
    except _Unparsed as unparsed:
        found.rows_read += 1
        found.refused.append((_refusal(name, line, unparsed.why), False))
    except Rejected as rejected:
        found.refused.append((_refusal(name, line, rejected), timed))
        found.withdrawals += withdrawals_of(row or {}, ids=week.ids, now=week.now)


def _parse(line: Line, limit: int) -> Mapping[str, Any] | None:
    """The line's object; None where its writer has not finished it. Raises `_Unparsed`."""
    if line.length > limit:
        raise _Unparsed(Rejected("line_too_long", f"{line.length} bytes; the setting ingestion.max_line_bytes allows {limit}"))
    try:
        row = from_json(line.data, allow_inf_nan=False)
    except ValueError as error:
        if not line.ended:
            return None
        try:
            line.data.decode()
        except UnicodeDecodeError as wrong:
            raise _Unparsed(Rejected("wrong_encoding", f"not UTF-8 at byte {wrong.start} of the line; convert the file to UTF-8")) from None
        raise _Unparsed(Rejected("malformed_json", str(error))) from None
    if not isinstance(row, dict):
        if not line.ended:
            return None
        raise _Unparsed(Rejected("not_an_object", "a line must be one JSON object"))
    return row


class _Unparsed(Exception):
    def __init__(self, why: Rejected) -> None:
        super().__init__(why.message)
        self.why = why


def _claimed_id(row: Mapping[str, Any], dialect: str, ids: Ids) -> str:
    """The id that a row of another week takes; empty where it has none or no usable one."""
    response = row.get("response")
    try:
        raw = raw_id(row, "id") or (raw_id(response, "id") if dialect != "flywheel" and isinstance(response, Mapping) else None)
    except Rejected:
        return ""
    return ids.make("record", dialect, raw) if raw else ""


def _refusal(name: str, line: Line, why: Rejected) -> Refusal:
    return Refusal(name, line.number, line.offset, why.reason, why.message, why.field, readable(line.data))


def _quarantined(refusal: Refusal, round: str) -> dict[str, Any]:
    return {
        "round": round, "stage": "ingestion", "file": readable(refusal.file.encode("utf-8", "surrogateescape")), "line": refusal.line,
        "byte_offset": refusal.byte_offset, "reason": refusal.reason, "field": refusal.field, "message": refusal.message, "raw": refusal.raw,
    }  # fmt: skip
