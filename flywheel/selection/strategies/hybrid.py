"""The reference hybrid: uncertainty and distance to what is picked already, both min-max normalised (SOURCE.md, Selection).

    u'   = (u - min u) / (max u - min u + 1e-9)                       once
    pick   argmax u'                                                  first
    d'   = (d - min d) / (max d - min d + 1e-9)                       each step, over the remaining rows
    pick   argmax w u' + (1 - w) d'                                   then

d is the Euclidean distance to the nearest pick. Ties go to the lower index. Where all remaining distances lie within 1e-6 (all
distinct points are picked, or there is only one) the formula would normalise rounding noise up to [0, 1]; there d' is defined as
0, so uncertainty decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flywheel.selection.strategies.interface import (
    Floats,
    Indices,
    Parameters,
    Picks,
    Pool,
    checked_budget,
    checked_pool,
    checked_weight,
)  # fmt: skip
from flywheel.selection.strategies.nearest import NearestCentre

EXHAUSTED = 1e-6
GUARD = 1e-9


def hybrid_active_select(embeddings: Any, uncertainties: Any, k: int = 1200, w_uncertainty: float = 0.6) -> Indices:
    """Indices of the reference hybrid's picks, in order; min(k, N) of them.

    `embeddings` (N, D), any float type, need not be normalised (an all-zero row is a point like any other); `uncertainties` (N,),
    any scale. An empty pool gives no picks. Time O(N D k), memory O(N) beyond the input. Raises `BadInput` naming the row that is
    not finite, or the argument that does not fit.
    """
    pool = checked_pool(embeddings, uncertainties)
    return pick(pool, checked_budget(k, len(pool)), seed=0, parameters=Parameters(w_uncertainty)).indices


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """The hybrid; `seed` is not used. Documented variant: with labelled points these are centres from the start, and the first
    pick too weighs its distance."""
    w = checked_weight(parameters.w_uncertainty)
    uncertainty = pool.demand_uncertainty("hybrid")
    k = checked_budget(budget, len(pool))
    indices, scores, distances = np.zeros(k, np.int64), np.zeros(k), np.full(k, np.nan)
    if k == 0:
        return Picks(indices, scores, distances)
    normalised = (uncertainty - uncertainty.min()) / (np.ptp(uncertainty) + GUARD)
    weighted = w * normalised
    nearest = NearestCentre(pool.vectors)
    for known in pool.labelled if pool.labelled is not None else ():
        nearest.add(known)
    remaining = np.ones(len(pool), bool)
    for step in range(k):
        score = weighted.copy()
        if step or pool.labelled is not None:
            distance = nearest.distances()
            score += (1 - w) * spread(distance, remaining)
            score[~remaining] = -np.inf
            at = int(score.argmax())
            distances[step] = distance[at]
        else:
            # by u' itself: at w = 0 the weighted signal is all zero, and the reference still starts at the most uncertain row
            at = int(normalised.argmax())
        indices[step], scores[step] = at, score[at]
        remaining[at] = False
        nearest.add(pool.vectors[at])
    return Picks(indices, scores, distances)


def spread(distance: Floats, remaining: np.ndarray[Any, np.dtype[np.bool_]]) -> Floats:
    """Distances min-max normalised over the remaining rows; all 0 where they do not differ by 1e-6."""
    left = distance[remaining]
    low, extent = float(left.min()), float(np.ptp(left))
    if extent < EXHAUSTED:
        return np.zeros(len(distance))
    normalised: Floats = (distance - low) / (extent + GUARD)
    return normalised
