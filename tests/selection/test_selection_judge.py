from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from flywheel.errors import BadInput
from flywheel.records import JudgeLabel
from flywheel.selection import Calibration, judge_pairs, select_batch
from flywheel.selection.judge import clopper_pearson_upper, find_threshold
from flywheel.settings import JudgeSettings, SelectionSettings
from flywheel.storage import from_table

ROUND = "2026-01-05"
RIGHT = Calibration([0.99] * 400, ["a"] * 400)


@dataclass
class Scorer:
    p: np.ndarray
    model_id: str = "rm-1"

    def predict(self, pairs):
        return np.array([[self.p[int(i[1:])] for i in pairs["pair_id"].to_pylist()]])


@pytest.fixture
def judged(tables):
    def run(p, calibration=RIGHT, model=True, random_share=0.0, **settings):
        p = np.asarray(p, float)
        pairs, embeddings, uncertainty = tables(np.random.default_rng(0).standard_normal((len(p), 4)), np.ones(len(p)))
        picks, _ = select_batch(
            pairs, embeddings, uncertainty, round=ROUND, labelled=None, seed=0, settings=SelectionSettings(budget=len(p), random_share=random_share)
        )  # fmt: skip
        scorer = Scorer(p) if model else None
        table = judge_pairs(picks, pairs, round=ROUND, model=scorer, calibration=calibration, settings=JudgeSettings(**settings))
        return from_table(JudgeLabel, table), picks

    return run


@pytest.mark.parametrize(
    ("errors", "n", "bound"),
    # R: qbeta(.95, errors + 1, n - errors); with no error it is 1 - .05^(1/n)
    [(0, 10, 0.2588656), (0, 58, 1 - 0.05 ** (1 / 58)), (1, 10, 0.3941633), (5, 100, 0.1022533)],
)
def test_the_bound_is_clopper_pearsons(errors, n, bound):
    assert clopper_pearson_upper(errors, n, 0.95) == pytest.approx(bound, abs=1e-6)
    assert clopper_pearson_upper(n, n, 0.95) == clopper_pearson_upper(0, 0, 0.95) == 1.0


def test_the_judge_keeps_confident_pairs_once_its_error_is_bounded(judged):
    rows, _ = judged([0.99, 0.01, 0.995, 0.6], Calibration([0.99] * 400 + [0.6] * 50, ["a"] * 400 + ["b"] * 50), maximum_share=1.0)
    assert [(r.route, r.decision) for r in rows] == [("judge", "a"), ("judge", "b"), ("judge", "a"), ("human", "a")]
    assert "errors in 400 earlier pairs" in rows[0].reason


def test_few_calibration_pairs_prove_nothing_even_without_an_error(judged):
    assert find_threshold(Calibration([0.99] * 40, ["a"] * 40), 0.05) is None
    rows, _ = judged([0.99], Calibration([0.99] * 40, ["a"] * 40), maximum_share=1.0)
    assert rows[0].route == "human"


def test_ties_and_both_bad_count_as_errors_of_a_judge_that_only_says_a_or_b():
    assert find_threshold(RIGHT, 0.05) is not None
    assert find_threshold(Calibration([0.99] * 400, ["a"] * 340 + ["tie"] * 30 + ["both_bad"] * 30), 0.05) is None


def test_an_often_wrong_judge_keeps_more_than_allowed_in_under_5_percent_of_worlds():
    # true error .08 at every confidence, allowed .05: the search over the grid must not find a lucky threshold
    rng = np.random.default_rng(0)
    lucky = 0
    for _ in range(300):
        p = 0.5 + rng.random(300) / 2
        lucky += find_threshold(Calibration(p, np.where(rng.random(300) < 0.08, "b", "a")), 0.05) is not None
    assert lucky / 300 < 0.05


def test_random_arms_always_go_to_people(judged):
    rows, picks = judged([0.99] * 40, random_share=0.5, maximum_share=1.0)
    arms = dict(zip(picks["pair_id"].to_pylist(), picks["arm"].to_pylist(), strict=True))
    assert {r.route for r in rows if arms[r.pair_id] != "active"} == {"human"}
    assert {r.route for r in rows if arms[r.pair_id] == "active"} == {"judge"}


def test_the_judges_share_is_capped_and_the_most_confident_come_first(judged):
    rows, _ = judged([0.992, 0.999, 0.995, 0.991], maximum_share=0.5)
    assert [r.route for r in rows] == ["human", "judge", "judge", "human"]
    assert "share is full" in rows[0].reason


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"model": False}, "no model yet"), ({"enabled": False}, "judge is off"), ({"calibration": None}, "no calibration yet")],
)
def test_without_model_calibration_or_permission_all_goes_to_people(judged, options, reason):
    rows, _ = judged([0.99, 0.98], **options)
    assert [(r.route, r.reason) for r in rows] == [("human", reason)] * 2


def test_a_bad_calibration_or_a_pick_without_a_pair_is_an_error(judged, tables):
    with pytest.raises(BadInput, match="calibration"):
        find_threshold(Calibration([0.5, np.nan], ["a", "b"]), 0.05)
    with pytest.raises(BadInput, match="one of a, b, tie, both_bad"):
        find_threshold(Calibration([0.5], ["skip"]), 0.05)
    _, picks = judged([0.99])
    pairs, _, _ = tables(np.eye(3))
    with pytest.raises(BadInput, match="have no row in response_pairs"):
        judge_pairs(picks, pairs.slice(1), round=ROUND, model=Scorer(np.ones(9)), calibration=None, settings=JudgeSettings())
