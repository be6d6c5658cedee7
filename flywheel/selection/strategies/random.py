"""Uniform random sampling: the baseline that every claim is measured against."""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Parameters, Picks, Pool, checked_budget


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """A uniform draw without replacement. The score is the probability of being drawn."""
    k = checked_budget(budget, len(pool))
    order = np.random.default_rng(seed).permutation(len(pool))[:k].astype(np.int64)
    return Picks(order, np.full(k, k / max(len(pool), 1)), np.full(k, np.nan))
