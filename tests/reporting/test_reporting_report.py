"""The page: self-contained, honest about what is absent, no raw value, the same bytes again."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from flywheel.reporting import render_report, report_summary

R1, R2 = "2026-01-05", "2026-01-12"
SECTIONS = ("Funnel", "Agreement", "Raters", "Selection", "Dataset version", "Model comparison", "Money", "Quarantine")


@pytest.fixture
def page(home, world, moment):
    """`page(round)`: the HTML of a round."""
    return lambda round: render_report(home, round, now=moment).read_text()


def test_a_closed_round_tells_its_whole_story(world, page):
    world.closed_round(R1, accuracy=0.68, bootstrap=True)
    world.closed_round(R2)
    html = page(R2)
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in html
    for said in (
        "12 to 18 January 2026", "SIMULATED LABELS", "base-77aa01c2d3e4f50", "0.67 to 0.80", "53.7 to 59.7 %", "$1.08", "reference from the source: $0.85",
        "malformed_json", "Promoted: the candidate serves", "Nothing: the next round builds on it.", "116",
    ):  # fmt: skip
        assert said in html, said
    assert html.count(">passed</span>") == 4


def test_the_page_fetches_nothing_and_runs_nothing(world, page):
    world.closed_round(R1)
    html = page(R1)
    assert not re.search(
        r"<(script|link|img|iframe|object|embed|base|form)\b|@import|url\(|\bon\w+=|javascript:|https?://|//", html.split("<body>", 1)[1]
    )
    assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", html)
    assert "default-src 'none'" in html


def test_no_raw_value_of_the_restricted_zone_is_on_the_page(world, page):
    world.closed_round(R1)
    assert "jane.doe" not in page(R1)
    assert "@example" not in page(R1)


def test_text_from_outside_is_escaped(world, page):
    world.logs(R1)
    world.selection(R1)
    world.batch(R1)
    world.labels(R1, "fail", ['<script>alert("x")</script> `rm <b>`'])
    html = page(R1)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<code>rm &lt;b&gt;</code>" in html


def test_a_failed_gate_is_shown_with_its_reason_and_the_way_out(world, page):
    world.logs(R1)
    world.selection(R1)
    world.batch(R1)
    world.labels(R1, "fail", ["alpha on gold .41 below .65"], origin="human", alpha=0.41)
    html = page(R1)
    assert 'class="gate bad"' in html
    assert "alpha on gold .41 below .65" in html
    assert f"<code>flywheel round abandon {R1} --reason TEXT</code>" in html
    assert "Not reached: this round has published no dataset version." in html
    assert "SIMULATED LABELS" not in html


def test_a_verdict_for_other_bytes_is_called_outdated(world, page):
    world.logs(R1)
    world.selection(R1)
    world.batch(R1)
    world.labels(R1)
    world.labels(R1, origin="human")  # other annotations, so the first verdict no longer counts
    world.verdicts.root.joinpath("agreement", R1, "000001.json").unlink()
    assert ">outdated</span>" in page(R1)


def test_an_open_round_says_what_it_waits_for(world, page):
    world.logs(R1)
    world.selection(R1, bootstrap=True)
    world.batch(R1)
    html = page(R1)
    assert ">published</span>" in html
    assert "Deliver label files to" in html
    assert "bootstrap" in html


def test_statistics_other_than_alpha_stand_beside_it(world, page):
    world.logs(R1)
    world.selection(R1)
    world.batch(R1)
    world.labels(R1)
    html = page(R1)
    assert "0.80 (0.75 to 0.85)" in html
    assert "about 64 gold items would decide the gate" in html
    assert "alpha, bounds of the gate" in html


def test_a_round_that_nobody_touched_has_a_page(page):
    html = page(R1)
    assert html.count(">not reached</span>") == 4
    assert "Not reached: nothing is read yet." in html


def test_a_kept_model_is_explained(world, page):
    world.closed_round(R1, promoted=False)
    html = page(R1)
    assert "Kept: the candidate does not serve." in html
    assert ">not met</span>" in html
    assert html.index("<li>not met: overall win rate") < html.index("<li>met: code win rate at greedy"), "what was not met comes first"
    assert "and 3 more" in html


def test_the_same_data_and_moment_give_the_same_bytes(home, world, moment):
    world.closed_round(R1)
    first = render_report(home, R1, now=moment).read_bytes()
    assert render_report(home, R1, now=moment).read_bytes() == first
    later = render_report(home, R1, now=moment + timedelta(hours=1)).read_bytes()
    assert later != first
    assert later.replace(b"10:30 UTC", b"09:30 UTC") == first, "nothing but the moment of writing"


def test_every_picture_and_table_has_words(world, page):
    world.closed_round(R2)
    html = page(R2)
    assert all('role="img" aria-label="' in svg or 'aria-hidden="true"' in svg for svg in re.findall(r"<svg[^>]*>", html))
    assert html.count("<table") == html.count("<caption>") == html.count('role="region"')
    assert "nan" not in re.sub(r"[^a-z ]", " ", html.lower()).split()
    assert ">None<" not in html


def test_the_markup_is_balanced(world, page):
    world.closed_round(R2)
    void, open_tags = {"meta"}, []

    class Checker(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                open_tags.append(tag)

        def handle_startendtag(self, tag, attrs):
            """Closed in place."""

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(page(R2))
    assert open_tags == []


def test_times_are_utc(home, world):
    from datetime import timezone

    world.logs(R1)
    summer = datetime(2026, 1, 26, 9, 30, tzinfo=timezone(timedelta(hours=2)))
    assert "2026-01-26 07:30 UTC" in render_report(home, R1, now=summer).read_text()
    assert summer.astimezone(UTC).hour == 7


def test_the_summary_has_ten_lines_in_every_state(home, world):
    assert len(report_summary(home, R1)) == 10
    world.closed_round(R1)
    lines = report_summary(home, R1)
    assert len(lines) == 10
    assert lines[0] == "Round 2026-01-05 (5 to 11 January 2026): closed; SIMULATED LABELS"
    assert "Gates: consent passed, residual leak passed, agreement passed, promotion passed" in lines
    assert lines[-1] == f"Report: {home.reports / 'round-2026-01-05.html'}"
