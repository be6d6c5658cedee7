"""Pure uncertainty sampling: the most uncertain rows. The baseline that returns clusters of near-identical hard cases."""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Parameters, Picks, Pool, checked_budget


def pick(pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks:
    """Rows by falling uncertainty, ties to the lower index; `seed` and `parameters` are not used."""
    uncertainty = pool.demand_uncertainty("entropy")
    order = np.argsort(-uncertainty, kind="stable")[: checked_budget(budget, len(pool))].astype(np.int64)
    return Picks(order, uncertainty[order], np.full(len(order), np.nan))
