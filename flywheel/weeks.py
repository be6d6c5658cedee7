"""Round keys: the Monday of the week [Monday, next Monday) UTC of the request's timestamp."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from flywheel.errors import BadInput
from flywheel.settings import Settings

WEEK = timedelta(days=7)


def round_of(timestamp: datetime) -> str:
    """The round that a timestamp (timezone-aware) falls into."""
    day = timestamp.astimezone(UTC).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def parse_round(key: str, *, start: date | None = None) -> str:
    """A checked key. Raises `BadInput` naming the nearest valid key (Dagster itself accepts a wrong key silently)."""
    try:
        day = date.fromisoformat(key)
    except ValueError:
        raise BadInput(f"round {key!r} is not a date; a round is named by its Monday, as 2026-01-05") from None
    monday = day - timedelta(days=day.weekday())
    if day != monday:
        raise BadInput(f"round {key} is a {day:%A}; a round is named by its Monday: did you mean {monday}?")
    if start is not None and day < start:
        raise BadInput(f"round {key} lies before the first round {start} (setting `start`)")
    return day.isoformat()


def window(key: str) -> tuple[datetime, datetime]:
    """[start, end) of a round, UTC."""
    begin = datetime.combine(date.fromisoformat(key), datetime.min.time(), UTC)
    return begin, begin + WEEK


def round_end(key: str) -> datetime:
    """The cutoff: the moment after the round's last."""
    return window(key)[1]


def previous_round(key: str, count: int = 1) -> str:
    """The round `count` weeks before."""
    return (date.fromisoformat(key) - count * WEEK).isoformat()


def next_round(key: str) -> str:
    """The round after."""
    return (date.fromisoformat(key) + WEEK).isoformat()


def rounds_between(first: str, last: str) -> list[str]:
    """Keys from `first` to `last`, both included, ascending. Raises `BadInput` when the order is wrong."""
    if first > last:
        raise BadInput(f"the first round {first} lies after the last {last}")
    keys = [first]
    while keys[-1] < last:
        keys.append(next_round(keys[-1]))
    return keys


def first_round(settings: Settings) -> str:
    """Key of the first round."""
    return settings.start.isoformat()
