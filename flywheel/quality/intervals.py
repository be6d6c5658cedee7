"""Intervals: the bootstrap over items, Wilson's for shares, and how many items a decision needs.

Items are resampled, not pairs of ratings: resampling pairs (as the customary alpha bootstrap does) covers 78-84 % where it claims 95 %
(facts/quality.md, section 6).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from flywheel.quality.counts import Statistic, as_counts, patterns

ALPHA_SD_AT_ONE_ITEM = 0.5  # sd of alpha is about .5 / sqrt(items) with three raters (.05 at 100: facts/quality.md, section 6)


def bootstrap_interval(
    data: ArrayLike | tuple[Any, Any, Any],
    statistic: Statistic,
    *,
    replicates: int = 1_000,
    seed: int = 0,
    confidence: float = 0.95,
    sides: int = 2,
) -> tuple[float, float] | None:
    """Percentile interval of `statistic` over items with two or more ratings. `sides=1` gives two bounds that each hold with probability
    `confidence` alone. None where fewer than two items contribute, or where most replicates are undefined."""
    counts, _ = as_counts(data)
    found = patterns(counts[counts.sum(axis=1) >= 2])
    n_items = int(found.items.sum())
    if n_items < 2:
        return None
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n_items, found.items / n_items, size=replicates).astype(np.float64)
    values = statistic(found.rows, weights)
    values = values[np.isfinite(values)]
    if len(values) < replicates / 2:
        return None
    tail = (1 - confidence) / sides
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float] | None:
    """Wilson's score interval for a share (Wilson 1927); None for n = 0."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def binomial_two_sided_p(successes: int, n: int) -> float:
    """Exact two-sided p value of a fair coin showing `successes` heads in `n` throws; 1 for n = 0."""
    k = min(successes, n - successes)
    log_half = n * math.log(2)
    tail = math.fsum(math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - log_half) for i in range(k + 1))
    return min(1.0, 2 * tail)


def gold_items_needed(expected_alpha: float, floor: float, *, confidence: float = 0.95, power: float = 0.8) -> int | None:
    """Gold items (three raters each) for the one-sided bound to clear `floor` with probability `power` when alpha really is
    `expected_alpha`; None where it lies at the floor, where no number decides."""
    distance = abs(expected_alpha - floor)
    if distance < 0.005:
        return None
    z = NormalDist().inv_cdf(confidence) + NormalDist().inv_cdf(power)
    return math.ceil((z * ALPHA_SD_AT_ONE_ITEM / distance) ** 2)
