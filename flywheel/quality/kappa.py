"""Kappa coefficients: Cohen's for two raters (plain and weighted), Fleiss' for many, with missing ratings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from flywheel.errors import BadInput
from flywheel.quality.counts import FloatArray, IntArray, as_counts, weighted_sum
from flywheel.quality.estimate import Estimate, point_estimate

Weights = Literal["linear", "quadratic"]


def agreement_weights(width: int, weights: Weights | None) -> FloatArray:
    """(K, K): 1 on the diagonal, falling with the distance of the categories (none: 0 off the diagonal)."""
    if weights is None or width < 2:
        return np.eye(width)
    distance = np.abs(np.subtract.outer(np.arange(width), np.arange(width))) / (width - 1)
    if weights == "linear":
        return np.asarray(1 - distance)
    if weights == "quadratic":
        return np.asarray(1 - distance**2)
    raise BadInput(f"weights {weights!r} is none of linear, quadratic, None")


def confusion_matrix(first: Sequence[Any], second: Sequence[Any], categories: Sequence[Any] | None = None) -> IntArray:
    """(K, K): how often the first rater said row and the second column, over items that both rated. Default categories: sorted labels."""
    if len(first) != len(second):
        raise BadInput(f"{len(first)} labels of the first rater but {len(second)} of the second")
    names = list(categories) if categories is not None else sorted({*first, *second})
    index = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    for one, other in zip(first, second, strict=True):
        matrix[index[one], index[other]] += 1
    return matrix


def cohen_kappa(matrix: ArrayLike, *, weights: Weights | None = None, confidence: float = 0.95) -> Estimate:
    """Cohen's kappa of a confusion matrix (K, K), with the large-sample interval of Fleiss, Cohen and Everitt (1969).

    kappa = (po - pe) / (1 - pe). The project's source works the matrix 42 3 1 / 4 38 2 / 2 1 27 and says .71; it is .8348 (po .892,
    pe .344; 13 off the diagonal). Undefined without items and when both raters use one and the same category throughout."""
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or (counts.size and counts.min() < 0):
        raise BadInput(f"a confusion matrix is square and non-negative, got shape {counts.shape}")
    n = int(counts.sum())
    if not n:
        return Estimate(None, 0, 0, reason="no item was rated by both")
    p = counts / n
    row, column = p.sum(axis=1), p.sum(axis=0)
    w = agreement_weights(len(p), weights)
    observed, expected = float((w * p).sum()), float((w * np.outer(row, column)).sum())
    if expected >= 1:
        return Estimate(None, n, 2 * n, reason="no variation: both raters use one category")
    kappa = (observed - expected) / (1 - expected)
    spread = w @ column  # mean weight of each row category, and of each column category below
    other = w.T @ row
    term = (p * (w - (spread[:, None] + other[None, :]) * (1 - kappa)) ** 2).sum() - (kappa - expected * (1 - kappa)) ** 2
    error = float(np.sqrt(max(0.0, float(term)) / n) / (1 - expected))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    return Estimate(kappa, n, 2 * n, low=max(-1.0, kappa - z * error), high=min(1.0, kappa + z * error))


def fleiss_kappa(data: ArrayLike | tuple[Any, Any, Any]) -> Estimate:
    """Fleiss' kappa, generalised to items with different numbers of ratings (Gwet 2014, ch. 2): observed agreement over items with two
    or more ratings, category shares as means over items with at least one. With equal numbers it is Fleiss (1971)."""
    counts, _ = as_counts(data)
    return point_estimate(counts, fleiss_statistic)


def fleiss_statistic(rows: IntArray, weights: FloatArray) -> FloatArray:
    """Fleiss' kappa as a function of patterns and weights."""
    observed, shares = observed_and_shares(rows, weights, np.eye(rows.shape[1]))
    expected = (shares**2).sum(axis=1)
    return chance_corrected(observed, expected)


def percent_agreement(data: ArrayLike | tuple[Any, Any, Any]) -> Estimate:
    """Share of agreeing pairs of ratings within an item, as the mean over items with two or more ratings."""
    counts, _ = as_counts(data)
    return point_estimate(counts, percent_statistic)


def percent_statistic(rows: IntArray, weights: FloatArray) -> FloatArray:
    """Percent agreement as a function of patterns and weights."""
    return observed_and_shares(rows, weights, np.eye(rows.shape[1]))[0]


def observed_and_shares(rows: IntArray, weights: FloatArray, agreement: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Observed (weighted) agreement (B,) and mean category shares (B, K). nan where no item has two ratings."""
    per_item = rows.sum(axis=1).astype(np.float64)
    n = rows.astype(np.float64)
    shares = weighted_sum(weights, n / per_item[:, None]) / weights.sum(axis=1)[:, None]
    usable = per_item >= 2
    m, k = per_item[usable], n[usable]
    agreeing = (k * (np.einsum("pk,lk->pl", k, agreement) - 1)).sum(axis=1) / (m * (m - 1))
    used = weights[:, usable].sum(axis=1)
    total = weighted_sum(weights[:, usable], agreeing)
    return np.where(used > 0, total / np.where(used > 0, used, 1.0), np.nan), shares


def chance_corrected(observed: FloatArray, expected: FloatArray) -> FloatArray:
    """(observed - expected) / (1 - expected); nan where chance alone would agree always."""
    room = 1 - expected
    defined = room > 1e-15
    return np.where(defined, (observed - expected) / np.where(defined, room, 1.0), np.nan)
