"""Raters are paused on evidence, not on two slips; what is no fault (skips, slowness, ties) counts for nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flywheel.quality import rater_quality
from flywheel.quality.raters import cusum_evidence, holm
from flywheel.records import RaterQualityRow
from flywheel.settings import QualitySettings
from flywheel.storage import from_table

SETTINGS = QualitySettings()
GOOD = {f"r{i}": 0.95 for i in range(9)}


def judged(made: Any) -> dict[str, RaterQualityRow]:
    return {r.rater: r for r in from_table(RaterQualityRow, rater_quality(made.annotations, round="2026-01-05", settings=SETTINGS))}


def test_good_raters_stay_and_bad_ones_are_paused(answered: Callable[..., Any]) -> None:
    rows = judged(answered(GOOD | {"spam": 0.33, "left": -1.0}, n_gold=70, n_natural=200))
    assert {name for name, r in rows.items() if r.state == "paused"} == {"spam", "left"}
    assert rows["left"].left_share == 1.0
    assert any(reason.startswith("side") for reason in rows["left"].reasons)
    assert rows["spam"].accuracy_high < 0.75 < rows["r0"].accuracy_low


def test_a_good_rater_is_hardly_ever_paused_and_a_random_one_soon() -> None:
    """Simulated gold sequences: 95 % right over 100 items, against one third right over 25."""
    rng = np.random.default_rng(0)
    limit = math.log(1 / SETTINGS.rater_false_pause)
    good = [cusum_evidence(list(rng.random(100) < 0.95), 0.9, 0.7) >= limit for _ in range(500)]
    random = [cusum_evidence(list(rng.random(25) < 1 / 3), 0.9, 0.7) >= limit for _ in range(500)]
    two_fails = [(rng.random(100) < 0.95).sum() < 99 for _ in range(500)]  # the naive rule
    assert np.mean(good) <= 0.02
    assert np.mean(random) >= 0.97
    assert np.mean(two_fails) > 0.9


def test_the_evidence_is_the_highest_cusum() -> None:
    up, down = math.log(0.3 / 0.1), math.log(0.7 / 0.9)
    assert cusum_evidence([], 0.9, 0.7) == cusum_evidence([True] * 50, 0.9, 0.7) == 0.0
    assert cusum_evidence([False, False], 0.9, 0.7) == pytest.approx(2 * up)
    assert cusum_evidence([True] * 9 + [False, True, False], 0.9, 0.7) == pytest.approx(2 * up + down)
    assert cusum_evidence([False] + [True] * 99, 0.9, 0.7) == pytest.approx(up)  # good work later does not undo it, nor add


def test_the_order_of_answering_decides_and_not_the_order_of_rows(answered: Callable[..., Any]) -> None:
    made = answered(GOOD | {"spam": 0.33}, n_gold=40, n_natural=40)
    before = judged(made)
    made.rows.reverse()
    assert judged(made) == before


def test_skips_count_for_nothing(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=0, n_gold=30)
    for task in made.tasks:
        made.say(task, "shy", "skip", skip_reason="disturbing")
    row = judged(made)["shy"]
    assert (row.n_annotations, row.n_gold, row.accuracy, row.left_share, row.side_bias_p, row.state) == (30, 0, None, None, None, "active")


def test_where_the_better_answer_happens_to_lie_left_is_no_side_bias(make_round: Callable[..., Any]) -> None:
    """All raters choose left, and rightly so: nobody is biased."""
    made = make_round(n_natural=60, n_gold=0)
    for task in made.tasks:
        for rater in ("r1", "r2", "r3"):
            made.say(task, rater, task.presented_left)
    assert {r.state for r in judged(made).values()} == {"active"}
    assert {r.left_share for r in judged(made).values()} == {1.0}


def test_a_rater_without_company_is_tested_against_one_half(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=40, n_gold=0)
    for task in made.tasks:
        made.say(task, "alone", task.presented_left)
    assert judged(made)["alone"].state == "paused"


def test_haste_is_watched_and_slowness_is_not(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=120, n_gold=30)
    pace = {"r0": 1.0, "r1": 4_000.0, "r2": 0.0}
    made.rows = [a.model_copy(update={"active_s": pace.get(a.rater, 20.0 + int(a.rater[1:]))}) for a in made.rows]
    rows = judged(made)
    assert (rows["r0"].state, rows["r2"].state) == ("watch", "watch")
    assert rows["r1"].state == "active"


def test_banked_answers_are_of_another_round(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=10, n_gold=10)
    made.rows = [a.model_copy(update={"status": "banked"}) for a in made.rows]
    assert judged(made) == {}


def test_holms_correction() -> None:
    assert holm({"x": 0.0001, "y": 0.0004, "z": 0.4}, 0.001) == {"x", "y"}
    assert holm({"x": 0.0004, "y": 0.4, "z": 0.5}, 0.001) == set()
