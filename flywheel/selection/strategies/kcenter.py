"""k-center greedy (core-set): each pick is the row farthest from everything labelled or picked.

Gonzalez 1985 (a 2-approximation of the covering radius); Sener and Savarese 2018, arXiv 1708.00489.
"""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Parameters, Picks, Pool, checked_budget
from flywheel.selection.strategies.lazy import Formula, LazyGreedy
from flywheel.selection.strategies.nearest import NearestCentre


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """Farthest first; without labelled points the first row is drawn by `seed`. The score is the distance."""
    k = checked_budget(budget, len(pool))
    nearest, remaining = NearestCentre(pool.vectors), np.ones(len(pool), bool)
    formula = Formula(np.zeros(len(pool)), plain=True)
    if k == 0:
        return Picks(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    if pool.labelled is not None:
        nearest.add_all(pool.labelled)
        return LazyGreedy(pool.vectors, nearest, formula, remaining, k).run()
    first = int(np.random.default_rng(seed).integers(len(pool)))
    nearest.add(pool.vectors[first])
    remaining[first] = False
    later = LazyGreedy(pool.vectors, nearest, formula, remaining, k - 1).run()
    return Picks(np.append(first, later.indices), np.append(0.0, later.score), np.append(np.nan, later.distance))
