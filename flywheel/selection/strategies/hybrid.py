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
    Indices,
    Parameters,
    Picks,
    Pool,
    checked_budget,
    checked_pool,
    checked_weight,
)  # fmt: skip
from flywheel.selection.strategies.lazy import GUARD, Formula, LazyGreedy
from flywheel.selection.strategies.nearest import NearestCentre


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
    if k == 0:
        return Picks(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    normalised = (uncertainty - uncertainty.min()) / (np.ptp(uncertainty) + GUARD)
    nearest, remaining = NearestCentre(pool.vectors), np.ones(len(pool), bool)
    formula = Formula(w * normalised, 1 - w)
    if pool.labelled is not None:
        nearest.add_all(pool.labelled)
        return LazyGreedy(pool.vectors, nearest, formula, remaining, k).run()
    # by u' itself: at w = 0 the weighted signal is all zero, and the reference still starts at the most uncertain row
    first = int(normalised.argmax())
    nearest.add(pool.vectors[first])
    remaining[first] = False
    later = LazyGreedy(pool.vectors, nearest, formula, remaining, k - 1).run()
    return Picks(np.append(first, later.indices), np.append(formula.weighted[first], later.score), np.append(np.nan, later.distance))
