"""Gwet's AC1 and AC2: agreement whose chance term does not collapse when one label dominates.

With one label on 95 % of items, kappa of two raters who agree on 95 % can be .27 while AC1 is .95 (the kappa paradox): hence AC1
beside alpha everywhere. Gwet (2008), doi:10.1348/000711006X126600.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from flywheel.quality.counts import FloatArray, IntArray, Statistic, as_counts
from flywheel.quality.estimate import Estimate, point_estimate
from flywheel.quality.kappa import Weights, agreement_weights, chance_corrected, observed_and_shares


def gwet_ac1(data: ArrayLike | tuple[Any, Any, Any], *, weights: Weights | None = None) -> Estimate:
    """AC1 of counts (n_items, K) or (items, raters, labels); with `weights` AC2 for ordered categories.

    pe = T / (K (K - 1)) sum pi_k (1 - pi_k), T the sum of the weights. K is the number of columns: a category that could have been used
    counts although nobody did. Defined (1) for unanimous ratings; undefined for fewer than two categories."""
    counts, _ = as_counts(data)
    return point_estimate(counts, gwet_statistic(weights))


def gwet_statistic(weights: Weights | None = None) -> Statistic:
    """AC1 or AC2 as a function of patterns and weights."""
    return partial(_gwet, weights)


def _gwet(scheme: Weights | None, rows: IntArray, weights: FloatArray) -> FloatArray:
    width = rows.shape[1]
    if width < 2:
        return np.full(len(weights), np.nan)
    agreement = agreement_weights(width, scheme)
    observed, shares = observed_and_shares(rows, weights, agreement)
    expected = agreement.sum() / (width * (width - 1)) * (shares * (1 - shares)).sum(axis=1)
    return chance_corrected(observed, expected)
