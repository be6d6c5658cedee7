"""The first rounds, before there is a model: k-center greedy and random picks in turn.

k-center alone collects outliers (facts: worse facility coverage than random); random alone repeats the head of the traffic.
"""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Parameters, Picks, Pool, checked_budget
from flywheel.selection.strategies.nearest import NearestCentre


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """Even steps (the first is 0) take the next row of a seeded permutation, odd steps the row farthest from all picks and
    labelled points. The score is the distance at the moment of the pick, 0 for the very first."""
    k = checked_budget(budget, len(pool))
    indices, distances = np.zeros(k, np.int64), np.full(k, np.nan)
    permutation = iter(np.random.default_rng(seed).permutation(len(pool)).tolist())
    nearest = NearestCentre(pool.vectors)
    for known in pool.labelled if pool.labelled is not None else ():
        nearest.add(known)
    remaining = np.ones(len(pool), bool)
    for step in range(k):
        farthest = int(np.where(remaining, nearest.squared, -np.inf).argmax())
        at = farthest if step % 2 else next(i for i in permutation if remaining[i])
        if step or pool.labelled is not None:
            distances[step] = float(np.sqrt(nearest.squared[at]))
        indices[step] = at
        remaining[at] = False
        nearest.add(pool.vectors[at])
    return Picks(indices, np.nan_to_num(distances), distances)
