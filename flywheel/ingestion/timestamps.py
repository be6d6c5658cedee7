"""The moment of a request, from what logs write: ISO 8601, or a number since 1970 whose unit its size gives away."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.quarantine import Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# a field that was never set (0, -1) or is no time at all (20260106 read as seconds) lands near 1970: no week would ever claim such a row
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FLOOR = (EARLIEST - EPOCH) // MICROSECOND
CEILING = (datetime(9999, 12, 31, tzinfo=UTC) - EPOCH) // MICROSECOND
BASIC_DATE = re.compile(r"\d{8}")  # ISO 8601 basic form, as 20260106
# seconds stay below 1e11 until the year 5138; milliseconds, microseconds and nanoseconds of any date after 1973 lie above
UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))


def parse_timestamp(value: object, field: str = "timestamp") -> tuple[datetime, bool]:
    """The moment in UTC (to the microsecond), and whether the text said a time zone (one without is read as UTC).

    Raises `Rejected("invalid_timestamp")`, also for a moment before the year 2000.
    """
    moment, zoned = _read(value, field)
    if moment < EARLIEST:
        raise Rejected("invalid_timestamp", f"{field} lies before the year {EARLIEST.year}: not set, or in another unit?", field)
    return moment, zoned


def microseconds(values: Sequence[object]) -> tuple[list[int], set[int], dict[int, Rejected]]:
    """Moments in microseconds since 1970; the numbers of those that said no time zone; why the others cannot be used. Times that are all
    written the usual way are read at once."""
    try:
        if (column := usual_times(pa.array(values, pa.string()))) is not None:
            return column.to_pylist(), set(), {}
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers, or half a character
        pass
    moments, zoneless, wrong = [], set(), {}
    for number, value in enumerate(values):
        moment = 0
        try:
            if value is None:
                raise Rejected("missing_field", "timestamp is missing: a record belongs to the week of its request", "timestamp")
            at, zoned = parse_timestamp(value)
            moment = (at - EPOCH) // MICROSECOND
            if not zoned:
                zoneless.add(number)
        except Rejected as why:
            wrong[number] = why
        moments.append(moment)
    return moments, zoneless, wrong


def usual_times(texts: pa.Array) -> pa.Array | None:
    """Moments in microseconds since 1970 of texts that are all ISO 8601 with a time zone; None where any is not."""
    try:
        column = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    if column.null_count or (len(column) and (pc.min(column).as_py() < FLOOR or pc.max(column).as_py() >= CEILING)):
        return None
    return column


def _read(value: object, field: str) -> tuple[datetime, bool]:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Rejected("invalid_timestamp", f"{field} is neither ISO 8601 nor a number of seconds", field)
    try:
        number = _number(value)
        if number is not None:
            return _from_number(number), True
        moment = datetime.fromisoformat(str(value).strip())
        zoned = moment.tzinfo is not None
        return (moment if zoned else moment.replace(tzinfo=UTC)).astimezone(UTC), zoned
    except OverflowError:
        raise Rejected("invalid_timestamp", f"{field} lies outside the years 1 to 9999", field) from None
    except ValueError:
        raise Rejected("invalid_timestamp", f"{field} is neither ISO 8601 nor a number of seconds", field) from None


def _number(value: str | int | float) -> int | float | None:
    """The number that `value` is or spells; None for any other text."""
    if not isinstance(value, str):
        return value
    if BASIC_DATE.fullmatch(value.strip()):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _from_number(value: float) -> datetime:
    for limit, per_second in UNITS:
        if abs(value) < limit:
            if isinstance(value, int):  # exact where a float would round a nanosecond count
                return EPOCH + timedelta(microseconds=value * 1_000_000 // int(per_second))
            return EPOCH + timedelta(microseconds=round(value / per_second * 1e6))
    raise OverflowError("out of range")
