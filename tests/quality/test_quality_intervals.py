"""Intervals: the pattern bootstrap is the item bootstrap, and covers; Wilson and the exact binomial agree with the libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.quality import bootstrap_interval, gold_items_needed, krippendorff_alpha, wilson_interval
from flywheel.quality.alpha import alpha_statistic
from flywheel.quality.gate import probability_below_half
from flywheel.quality.intervals import binomial_two_sided_p


def sample(rng: np.random.Generator, n: int, accuracy: float, raters: int = 3) -> np.ndarray:
    truth = rng.choice(3, n, p=(0.42, 0.42, 0.16))
    right = rng.random((n, raters)) < accuracy
    labels = np.where(right, truth[:, None], (truth[:, None] + rng.integers(1, 3, (n, raters))) % 3)
    return np.stack([(labels == k).sum(axis=1) for k in range(3)], axis=1)


def test_drawing_patterns_is_drawing_items() -> None:
    counts = sample(np.random.default_rng(0), 80, 0.85)
    low, high = bootstrap_interval(counts, alpha_statistic(), replicates=4_000, seed=1) or (0.0, 0.0)
    rng = np.random.default_rng(2)
    naive = [krippendorff_alpha(counts[rng.integers(0, 80, 80)]).value for _ in range(1_000)]
    assert np.allclose(np.quantile(np.array(naive, dtype=float), [0.025, 0.975]), [low, high], atol=0.015)


def test_the_same_seed_gives_the_same_bounds_in_any_item_order() -> None:
    counts = sample(np.random.default_rng(0), 60, 0.8)
    assert bootstrap_interval(counts, alpha_statistic(), seed=3) == bootstrap_interval(counts[::-1], alpha_statistic(), seed=3)
    assert bootstrap_interval(counts, alpha_statistic(), seed=3) != bootstrap_interval(counts, alpha_statistic(), seed=4)


def test_one_sided_bounds_are_those_of_the_90_percent_interval() -> None:
    counts = sample(np.random.default_rng(0), 60, 0.8)
    assert bootstrap_interval(counts, alpha_statistic(), sides=1) == pytest.approx(
        bootstrap_interval(counts, alpha_statistic(), confidence=0.9)
    )


def test_without_items_or_variation_there_is_no_interval() -> None:
    assert bootstrap_interval(np.array([[2, 0]]), alpha_statistic()) is None
    assert bootstrap_interval(np.array([[2, 0]] * 20), alpha_statistic()) is None


def test_the_item_bootstrap_covers() -> None:
    truth = krippendorff_alpha(sample(np.random.default_rng(9), 300_000, 0.9)).value
    rng = np.random.default_rng(10)
    bounds = [bootstrap_interval(sample(rng, 100, 0.9), alpha_statistic(), replicates=300, seed=i) for i in range(300)]
    covered = sum(b is not None and b[0] <= truth <= b[1] for b in bounds) / len(bounds)
    assert 0.90 <= covered <= 0.98


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 1))
def test_wilson_agrees_with_statsmodels(n: int, share: float) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    k = round(n * share)
    assert wilson_interval(k, n) == pytest.approx(proportion.proportion_confint(k, n, method="wilson"), abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 1))
def test_exact_tails_agree_with_scipy(n: int, share: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    k = round(n * share)
    assert binomial_two_sided_p(k, n) == pytest.approx(stats.binomtest(k, n).pvalue, abs=1e-9)
    assert probability_below_half(k, n) == pytest.approx(stats.beta.cdf(0.5, k + 1, n - k + 1), abs=1e-9)


def test_gold_needed_grows_as_alpha_nears_the_floor() -> None:
    needed = [gold_items_needed(a, 0.65) for a in (0.9, 0.8, 0.75, 0.70)]
    assert needed == sorted(needed, key=lambda n: n or 0)
    assert 100 <= (gold_items_needed(0.764, 0.65) or 0) <= 130  # facts/quality.md, section 6: 78 % at 100 items
    assert gold_items_needed(0.652, 0.65) is None
    assert wilson_interval(0, 0) is None
