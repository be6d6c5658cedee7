"""The value of a statistic, or the plain statement that it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flywheel.quality.counts import IntArray, Statistic, patterns


@dataclass(frozen=True)
class Estimate:
    """`value` is None where the statistic is undefined (`status`, with `reason`), never NaN. `low` and `high`: interval, where asked for.
    `n_items`: items that contribute; `n_annotations`: their ratings."""

    value: float | None
    n_items: int
    n_annotations: int
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @property
    def status(self) -> Literal["defined", "undefined"]:
        return "undefined" if self.value is None else "defined"

    def with_interval(self, interval: tuple[float, float] | None) -> Estimate:
        """The same estimate with its bounds; None leaves them out."""
        return self if interval is None else replace(self, low=interval[0], high=interval[1])


def point_estimate(counts: IntArray, statistic: Statistic, *, minimum_ratings: int = 2) -> Estimate:
    """`statistic` of a count matrix. Items with fewer than `minimum_ratings` ratings count in neither n."""
    per_item = counts.sum(axis=1)
    usable = per_item >= minimum_ratings
    n_items, n_annotations = int(usable.sum()), int(per_item[usable].sum())
    if not n_items:
        return Estimate(None, 0, 0, reason=f"no item has {minimum_ratings} or more ratings")
    found = patterns(counts)
    value = float(statistic(found.rows, found.weights)[0])
    if np.isnan(value):
        return Estimate(None, n_items, n_annotations, reason="no variation: every rating is the same label")
    return Estimate(value, n_items, n_annotations)
