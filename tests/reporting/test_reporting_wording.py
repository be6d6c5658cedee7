"""Numbers and names as people read them, and pictures that place them right."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.reporting import wording
from flywheel.reporting.figures import Scale, bins, histogram, interval_mark, spanning
from flywheel.reporting.report import commands


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.count(1234567), "1,234,567"), (wording.count(None), "–"), (wording.usd(1234.5), "$1,234.50"), (wording.usd(0.000002), "$0.000002"),
        (wording.usd(0.0038149), "$0.0038"), (wording.usd(0), "$0.00"), (wording.usd(0.01), "$0.01"), (wording.number(-0.5), "−0.50"), (wording.percent(0.125), "12.5 %"),
        (wording.interval(0.61, 0.739), "0.61 to 0.74"), (wording.interval(None, 0.7), "–"), (wording.percent_interval(0.5, 0.625), "50.0 to 62.5 %"),
        (wording.week("2026-01-05"), "5 to 11 January 2026"), (wording.week("2026-01-26"), "26 January to 1 February 2026"),
        (wording.week("2025-12-29"), "29 December 2025 to 4 January 2026"), (wording.moment(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)), "2026-01-02 03:04 UTC"),
        (wording.pseudonym("0123456789abcdef0123456789abcdef"), "01234567"), (wording.pseudonym("sim-careful-1"), "sim-careful-1"),
        (wording.reason("no_consent"), "no consent"), (wording.reason("some_new_code"), "some new code"),
    ],
)  # fmt: skip
def test_numbers_and_codes_in_words(shown, expected):
    assert shown == expected


def test_commands_become_code_and_everything_is_escaped():
    assert commands("run `a <b>` & wait") == "run <code>a &lt;b&gt;</code> &amp; wait"


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.floats(-1, 1))
def test_a_scale_holds_every_value_and_line(values, line):
    scale = spanning(values, [(line, "reference")], step=0.05)
    assert all(scale.low - 1e-9 <= v <= scale.high + 1e-9 for v in (*values, line))
    assert 2 <= scale.at(line) <= 98
    assert 1 <= len(scale.ticks) <= 8


@given(st.lists(st.floats(0, 1), max_size=50))
def test_bins_count_each_value_once(values):
    edges = [i / 10 for i in range(11)]
    assert sum(bins(values, edges)) == len(values)


def test_a_picture_says_in_words_what_it_shows_and_escapes_them():
    scale = Scale(0, 1, ((0.65, "reference"),))
    mark = interval_mark(scale, 0.5, 0.4, 0.6, label='gold "A" <b>')
    assert 'aria-label="gold &quot;A&quot; &lt;b&gt;"' in mark
    assert 'cx="50.00%"' in mark
    assert 'x1="64.40%"' in mark
    assert "circle" not in interval_mark(scale, None, None, None, label="undefined")
    assert histogram([3, 0], [1, 0], label="x").count("<rect") == 2
