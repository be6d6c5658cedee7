"""Dawid and Skene's model, with confusion matrices shrunk towards the pool's.

Item i has a true label y_i with P(y_i = k) = pi_k; rater r says l with probability T_r[k, l] when the truth is k.

    E: P(y_i = k | labels) proportional to pi_k prod_{ratings of i} T_r[k, l]
    M: pi_k proportional to 1 + sum_i P(y_i = k);  T_r[k, l] proportional to s T[k, l] + sum_{i: r says l} P(y_i = k)

T is the pooled confusion matrix, itself shrunk towards a good rater's. With few labels a rater (12 labels each, or 3 an item) the plain
model loses to the majority vote; shrinking keeps such raters near the pool. Items whose answer is known enter as known.
Dawid and Skene (1979), doi:10.2307/2346806.
"""

from __future__ import annotations

import numpy as np

from flywheel.quality.aggregation.majority import majority_posterior
from flywheel.quality.aggregation.ratings import Ratings, normalised
from flywheel.quality.counts import FloatArray

RATER_STRENGTH = 4.0  # pseudo-ratings a row of a rater's matrix, spread as the pool's row
POOL_STRENGTH = 4.0  # pseudo-ratings a row of the pool's matrix, spread as a good rater's row
GOOD_RATER = 0.8


def dawid_skene_posterior(ratings: Ratings, *, iterations: int = 100, tolerance: float = 1e-8) -> FloatArray:
    """(n_items, K) posterior of each item's label; starts from the majority's."""
    posterior = majority_posterior(ratings)
    for _ in range(iterations):
        updated = _expectation(ratings, *_maximisation(ratings, posterior))
        change = float(np.abs(updated - posterior).max(initial=0.0))
        posterior = updated
        if change < tolerance:
            break
    return posterior


def _maximisation(ratings: Ratings, posterior: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Class shares (K,) and confusion matrices (raters, K, K)."""
    width, n_raters = ratings.n_labels, len(ratings.raters)
    counts = np.empty((n_raters, width, width))
    for truth in range(width):
        weighted = np.bincount(ratings.rater * width + ratings.label, posterior[ratings.item, truth], minlength=n_raters * width)
        counts[:, truth, :] = weighted.reshape(n_raters, width)
    good = np.full((width, width), (1 - GOOD_RATER) / max(1, width - 1))
    np.fill_diagonal(good, GOOD_RATER)
    pool = counts.sum(axis=0) + POOL_STRENGTH * good
    pool /= pool.sum(axis=1, keepdims=True)
    confusion = counts + RATER_STRENGTH * pool
    confusion /= confusion.sum(axis=2, keepdims=True)
    shares = posterior.sum(axis=0) + 1
    return np.asarray(shares / shares.sum()), confusion


def _expectation(ratings: Ratings, shares: FloatArray, confusion: FloatArray) -> FloatArray:
    evidence = np.log(confusion)
    weights = np.empty((len(ratings.items), ratings.n_labels))
    for truth in range(ratings.n_labels):
        weights[:, truth] = np.bincount(ratings.item, evidence[ratings.rater, truth, ratings.label], minlength=len(ratings.items))
    return normalised(weights + np.log(shares), ratings.allowed)
