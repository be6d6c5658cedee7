"""Majority vote with a posterior.

Every rater is right with one common probability p, and wrong labels are equally likely; labels are equally likely beforehand. Then

    P(y = k | votes) proportional to p^{n_k} ((1 - p) / (K - 1))^{m - n_k},

so the most probable label is the most frequent one. p is found by EM (items whose answer is known enter as known), with a Beta(8, 2)
prior, and never below 1 / 2.
"""

from __future__ import annotations

import math

from flywheel.quality.aggregation.ratings import Ratings, normalised
from flywheel.quality.counts import FloatArray

PRIOR_RIGHT, PRIOR_WRONG = 8.0, 2.0
LOWEST, HIGHEST = 0.5, 0.995


def majority_posterior(ratings: Ratings, *, iterations: int = 200, tolerance: float = 1e-10) -> FloatArray:
    """(n_items, K) posterior of each item's label."""
    votes = ratings.votes()
    total = votes.sum(axis=1, keepdims=True)
    accuracy = PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG)
    posterior = _posterior(votes, total, accuracy, ratings)
    for _ in range(iterations):
        right = float((posterior * votes).sum())
        updated = min(HIGHEST, max(LOWEST, (right + PRIOR_RIGHT) / (float(total.sum()) + PRIOR_RIGHT + PRIOR_WRONG)))
        posterior = _posterior(votes, total, updated, ratings)
        if abs(updated - accuracy) < tolerance:
            break
        accuracy = updated
    return posterior


def _posterior(votes: FloatArray, total: FloatArray, accuracy: float, ratings: Ratings) -> FloatArray:
    right, wrong = math.log(accuracy), math.log((1 - accuracy) / max(1, ratings.n_labels - 1))
    return normalised(votes * right + (total - votes) * wrong, ratings.allowed)
