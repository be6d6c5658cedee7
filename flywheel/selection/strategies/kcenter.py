"""k-center greedy (core-set): each pick is the row farthest from everything labelled or picked.

Gonzalez 1985 (a 2-approximation of the covering radius); Sener and Savarese 2018, arXiv 1708.00489.
"""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Parameters, Picks, Pool, checked_budget
from flywheel.selection.strategies.nearest import NearestCentre


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """Farthest first; without labelled points the first row is drawn by `seed`. The score is the distance."""
    k = checked_budget(budget, len(pool))
    indices, distances = np.zeros(k, np.int64), np.full(k, np.nan)
    nearest = NearestCentre(pool.vectors)
    for known in pool.labelled if pool.labelled is not None else ():
        nearest.add(known)
    remaining = np.ones(len(pool), bool)
    for step in range(k):
        if step == 0 and pool.labelled is None:
            at = int(np.random.default_rng(seed).integers(len(pool)))
        else:
            distance = np.where(remaining, nearest.distances(), -np.inf)
            at = int(distance.argmax())
            distances[step] = distance[at]
        indices[step] = at
        remaining[at] = False
        nearest.add(pool.vectors[at])
    return Picks(indices, np.nan_to_num(distances), distances)
