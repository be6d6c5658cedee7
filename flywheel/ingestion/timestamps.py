"""The moment of a request, from what logs write: ISO 8601, or a number since 1970 whose unit its size gives away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flywheel.ingestion.quarantine import Rejected

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# seconds stay below 1e11 until the year 5138; milliseconds, microseconds and nanoseconds of any date after 1973 lie above
UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))


def parse_timestamp(value: object, field: str = "timestamp") -> tuple[datetime, bool]:
    """The moment in UTC (to the microsecond), and whether the text said a time zone (one without is read as UTC).

    Raises `Rejected("invalid_timestamp")`.
    """
    if isinstance(value, str):
        try:
            return _from_number(float(value)), True
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value.strip())
            known = moment.tzinfo is not None
            return (moment if known else moment.replace(tzinfo=UTC)).astimezone(UTC), known
        except (ValueError, OverflowError):
            raise Rejected("invalid_timestamp", f"{field} is neither ISO 8601 nor a number of seconds", field) from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Rejected("invalid_timestamp", f"{field} is neither ISO 8601 nor a number of seconds", field)
    try:
        return _from_number(value), True
    except (ValueError, OverflowError):
        raise Rejected("invalid_timestamp", f"{field} lies outside the years 1 to 9999", field) from None


def _from_number(value: float) -> datetime:
    for limit, per_second in UNITS:
        if abs(value) < limit:
            if isinstance(value, int):  # exact where a float would round a nanosecond count
                return EPOCH + timedelta(microseconds=value * 1_000_000 // int(per_second))
            return EPOCH + timedelta(microseconds=round(value / per_second * 1e6))
    raise ValueError("out of range")
