"""Krippendorff's alpha for any number of raters, missing ratings, and four levels of measurement.

With o_ck the coincidences (an item with m ratings adds n_c (n_k - [c = k]) / (m - 1)), n_c their margins, n their sum, and d a squared
difference: alpha = 1 - (n - 1) sum o_ck d_ck / sum n_c n_k d_ck. Krippendorff (2011), Computing Krippendorff's alpha-reliability.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from flywheel.errors import BadInput
from flywheel.quality.counts import FloatArray, IntArray, Statistic, as_counts, weighted_sum
from flywheel.quality.estimate import Estimate, point_estimate

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")


def krippendorff_alpha(
    data: ArrayLike | tuple[Any, Any, Any], level: Level = "nominal", *, values: Sequence[float] | None = None
) -> Estimate:
    """Alpha of `data`: counts (n_items, K), or (items, raters, labels) with one entry a rating.

    `values`: what the columns of a count matrix measure, needed for the interval and ratio levels; for (items, raters, labels) the
    labels themselves. Ordinal uses the order of columns (of sorted labels). Undefined when no item has two ratings or when all ratings
    are the same label. Raises `BadInput` on an unknown level or on labels that are no numbers where numbers are needed."""
    counts, labels = as_counts(data)
    return point_estimate(counts, alpha_statistic(level, values if values is not None else labels))


def alpha_statistic(level: Level = "nominal", values: Sequence[Any] | None = None) -> Statistic:
    """Alpha as a function of patterns and weights, for point estimate and bootstrap alike."""
    if level not in LEVELS:
        raise BadInput(f"level {level!r} is none of {', '.join(LEVELS)}")
    if level in ("nominal", "ordinal"):
        return partial(_alpha, level, None)
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"the {level} level needs numbers as labels, got {values!r}") from None
    if values is None or numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise BadInput(f"the {level} level needs the number that each column stands for (values=), got {values!r}")
    return partial(_alpha, level, numbers)


def _alpha(level: Level, values: FloatArray | None, rows: IntArray, weights: FloatArray) -> FloatArray:
    if values is not None and len(values) != rows.shape[1]:
        raise BadInput(f"{len(values)} values for {rows.shape[1]} label columns")
    per_item = rows.sum(axis=1)
    usable = per_item >= 2
    n = rows[usable].astype(np.float64)
    ratings = per_item[usable].astype(np.float64)
    coincidences = (n[:, :, None] * n[:, None, :] - n[:, :, None] * np.eye(rows.shape[1])) / (ratings - 1)[:, None, None]
    observed = weighted_sum(weights[:, usable], coincidences)
    margins = observed.sum(axis=2)
    total = margins.sum(axis=1)
    distance = _squared_difference(level, values, margins)
    disagreement = (observed * distance).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * distance).sum(axis=(1, 2))
    defined = expected > 0
    return np.where(defined, 1 - (total - 1) * disagreement / np.where(defined, expected, 1.0), np.nan)


def _squared_difference(level: Level, values: FloatArray | None, margins: FloatArray) -> FloatArray:
    """Squared differences (B or 1, K, K); the ordinal ones depend on the sample's margins."""
    width = margins.shape[1]
    if level == "nominal":
        return np.asarray((1 - np.eye(width))[None])
    if level == "ordinal":  # ranks between c and k, half of both ends
        upto = np.cumsum(margins, axis=1)
        middle = upto - margins / 2
        return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)
    if values is None:
        raise BadInput(f"the {level} level needs values")
    difference = values[:, None] - values[None, :]
    if level == "interval":
        return np.asarray(difference[None] ** 2)
    size = values[:, None] + values[None, :]
    return np.asarray(np.divide(difference, size, out=np.zeros_like(difference), where=size != 0)[None] ** 2)
