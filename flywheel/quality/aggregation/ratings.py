"""Ratings as index arrays: what every aggregation method takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flywheel.quality.counts import FloatArray, IntArray


@dataclass(frozen=True)
class Ratings:
    """One entry a rating: item, rater and label indices (n,). `allowed` (n_items, K): labels that may be true; a row with some but not
    all set is an item whose answer is known. `items` and `raters` name the indices."""

    item: IntArray
    rater: IntArray
    label: IntArray
    allowed: NDArray[np.bool_]
    items: Sequence[str]
    raters: Sequence[str]

    @property
    def n_labels(self) -> int:
        return int(self.allowed.shape[1])

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n_items,): whether the answer is known."""
        return np.asarray(~self.allowed.all(axis=1))

    def votes(self) -> FloatArray:
        """(n_items, K): how many raters gave each label."""
        flat = np.bincount(self.item * self.n_labels + self.label, minlength=len(self.items) * self.n_labels)
        return np.asarray(flat.reshape(len(self.items), self.n_labels), dtype=np.float64)

    def hiding(self, hidden: NDArray[np.bool_]) -> Ratings:
        """The same ratings as if the answers of the `hidden` items (n_items,) were unknown."""
        return Ratings(self.item, self.rater, self.label, self.allowed | hidden[:, None], self.items, self.raters)


def make_ratings(
    rows: Sequence[tuple[str, str, str]], categories: Sequence[str], accepted: Mapping[str, Collection[str]] | None = None
) -> Ratings:
    """From (item, rater, label) rows, in any order. `accepted`: the right labels of items whose answer is known."""
    ordered = sorted(rows)
    items = sorted({item for item, _, _ in ordered})
    raters = sorted({rater for _, rater, _ in ordered})
    item_index, rater_index = {x: i for i, x in enumerate(items)}, {x: i for i, x in enumerate(raters)}
    label_index = {x: i for i, x in enumerate(categories)}
    allowed = np.ones((len(items), len(categories)), dtype=np.bool_)
    for item, right in (accepted or {}).items():
        if item in item_index:
            allowed[item_index[item]] = [c in right for c in categories]
    return Ratings(
        item=np.asarray([item_index[i] for i, _, _ in ordered], dtype=np.int64),
        rater=np.asarray([rater_index[r] for _, r, _ in ordered], dtype=np.int64),
        label=np.asarray([label_index[x] for _, _, x in ordered], dtype=np.int64), allowed=allowed, items=items, raters=raters,
    )  # fmt: skip


def normalised(log_weights: FloatArray, allowed: NDArray[np.bool_]) -> FloatArray:
    """Rows of probabilities from log weights, zero where not allowed."""
    masked = np.where(allowed, log_weights, -np.inf)
    raised = np.exp(masked - masked.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
