"""Strategies: which rows of a pool to pick. One file each, one interface, one registry.

In: pool vectors, labelled vectors, uncertainty, budget, seed. Out: ordered picks with score and distance. Guarantees: deterministic,
ties to the lower index, min(budget, N) distinct picks, and a clear error instead of a score that is not finite.
"""

from __future__ import annotations

from typing import Any

from flywheel.errors import BadInput
from flywheel.selection.strategies import bootstrap, entropy, hybrid, kcenter, random
from flywheel.selection.strategies.hybrid import hybrid_active_select
from flywheel.selection.strategies.interface import Parameters, Picks, Pool, Strategy, checked_budget, checked_pool

STRATEGIES: dict[str, Strategy] = {
    "hybrid": hybrid.pick,
    "entropy": entropy.pick,
    "kcenter": kcenter.pick,
    "random": random.pick,
    "bootstrap": bootstrap.pick,
}
NEED_UNCERTAINTY = frozenset({"hybrid", "entropy"})

__all__ = ["NEED_UNCERTAINTY", "STRATEGIES", "Parameters", "Picks", "Pool", "Strategy", "demand_strategy", "hybrid_active_select", "select"]


def demand_strategy(name: str) -> Strategy:
    """The strategy of that name. Raises `BadInput` listing those that exist."""
    found = STRATEGIES.get(name)
    if found is None:
        raise BadInput(f"unknown strategy {name!r} (setting selection.strategy); there are: {', '.join(sorted(STRATEGIES))}")
    return found


def select(
    strategy: str, embeddings: Any, uncertainties: Any = None, *, k: int, labelled: Any = None, seed: int = 0, w_uncertainty: float = 0.6
) -> Picks:
    """Pick min(k, N) rows of `embeddings` (N, D) by a named strategy; `uncertainties` (N,) or None, `labelled` (L, D) or None.
    Raises `BadInput` on an unknown strategy, a row that is not finite, or shapes that do not fit."""
    pool = checked_pool(embeddings, uncertainties, labelled)
    return demand_strategy(strategy)(pool, checked_budget(k, len(pool)), seed=seed, parameters=Parameters(w_uncertainty))
