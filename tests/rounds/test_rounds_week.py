"""Round keys are Mondays, and a wrong one is refused with the right one named."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.weeks import next_round, parse_round, previous_round, round_of, rounds_between, window


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)), st.integers(-12, 12))
def test_every_moment_lies_in_its_round(moment: datetime, offset: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=offset)))
    start, end = window(round_of(aware))
    assert start <= aware < end
    assert start.weekday() == 0
    assert parse_round(round_of(aware)) == round_of(aware)


def test_neighbours() -> None:
    assert next_round("2026-01-05") == "2026-01-12"
    assert previous_round("2026-01-19", 2) == "2026-01-05"
    assert rounds_between("2026-01-05", "2026-01-19") == ["2026-01-05", "2026-01-12", "2026-01-19"]
    assert round_of(datetime(2026, 1, 12, 0, 0, tzinfo=UTC)) == "2026-01-12"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("2026-11-10", "did you mean 2026-11-09"),
        ("last week", "not a date"),
        ("2025-12-29", "before the first round"),
        ("2026-13-01", "not a date"),
    ],
)
def test_a_wrong_key_is_refused_with_the_way_out(key: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        parse_round(key, start=date(2026, 1, 5))


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(BadInput, match="lies after"):
        rounds_between("2026-01-12", "2026-01-05")
