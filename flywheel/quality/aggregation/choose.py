"""Which method, and how far to trust it: decided by the items whose answer is known.

No method wins everywhere (Dawid-Skene beats the majority vote by 4-14 points on some real sets and loses on others: facts/quality.md,
section 3). So each method predicts known items whose answer is hidden from it (cross-fitted), and the one with the lower log-loss is
taken. The same predictions give a temperature: known items are easier than natural ones, so it may only soften, never sharpen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flywheel.quality.aggregation.dawid_skene import dawid_skene_posterior
from flywheel.quality.aggregation.majority import majority_posterior
from flywheel.quality.aggregation.ratings import Ratings
from flywheel.quality.counts import FloatArray

Method = Literal["majority", "dawid_skene"]
METHODS: dict[Method, Callable[[Ratings], FloatArray]] = {"majority": majority_posterior, "dawid_skene": dawid_skene_posterior}
FOLDS = 5
MINIMUM_KNOWN = 20
TEMPERATURES = np.linspace(1.0, 5.0, 81)
SMALLEST = 1e-12


@dataclass(frozen=True)
class Aggregation:
    """Posterior (n_items, K) by `method`, softened by `temperature`. `log_loss`: cross-fitted, on `n_known` items, by method."""

    posterior: FloatArray
    method: Method
    temperature: float
    log_loss: dict[str, float]
    n_known: int
    reason: str


def aggregate(ratings: Ratings, method: Literal["auto", "majority", "dawid_skene"] = "auto") -> Aggregation:
    """The posterior of every item. `auto` takes the majority vote where fewer than 20 items are known or where it does as well."""
    known = np.flatnonzero(ratings.known)
    candidates: list[Method] = [method] if method != "auto" else ["majority", "dawid_skene"]
    if len(known) < MINIMUM_KNOWN:
        chosen = candidates[0]
        reason = f"{len(known)} items with a known answer, fewer than {MINIMUM_KNOWN}: neither choice nor calibration"
        return Aggregation(METHODS[chosen](ratings), chosen, 1.0, {}, len(known), reason)
    predicted: dict[str, FloatArray] = {name: _cross_fitted(ratings, known, METHODS[name]) for name in candidates}
    losses: dict[str, float] = {name: _log_loss(p, ratings.allowed[known]) for name, p in predicted.items()}
    chosen = min(candidates, key=lambda name: (losses[name], candidates.index(name)))
    temperature = min(TEMPERATURES, key=lambda t: (_log_loss(softened(predicted[chosen], float(t)), ratings.allowed[known]), t))
    reason = "configured" if method != "auto" else f"lower cross-fitted log-loss on {len(known)} known items"
    posterior = softened(METHODS[chosen](ratings), float(temperature))
    return Aggregation(posterior, chosen, float(temperature), dict(losses), len(known), reason)


def softened(posterior: FloatArray, temperature: float) -> FloatArray:
    """Rows proportional to p^(1 / temperature)."""
    raised = np.maximum(posterior, SMALLEST) ** (1 / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def _cross_fitted(ratings: Ratings, known: NDArray[np.int64], fit: Callable[[Ratings], FloatArray]) -> FloatArray:
    """Posterior (n_known, K) of each known item, fitted with its own answer hidden."""
    predicted = np.empty((len(known), ratings.n_labels))
    for fold in range(FOLDS):
        members = np.arange(len(known)) % FOLDS == fold
        hidden = np.zeros(len(ratings.items), dtype=np.bool_)
        hidden[known[members]] = True
        predicted[members] = fit(ratings.hiding(hidden))[known[members]]
    return predicted


def _log_loss(posterior: FloatArray, allowed: NDArray[np.bool_]) -> float:
    """Mean of -ln P(any right label)."""
    return float(-np.log(np.maximum((posterior * allowed).sum(axis=1), SMALLEST)).mean())
