"""Ratings as count patterns: what every agreement statistic here works on.

Item i was given label k by `counts[i, k]` raters. Agreement depends on these counts alone, and a batch has few distinct rows
(patterns), so a bootstrap over items is one multinomial draw over patterns: 1,000 replicates cost about as much as one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flywheel.errors import BadInput

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
Statistic: TypeAlias = Callable[[IntArray, FloatArray], FloatArray]
"""(patterns (P, K), item counts of each pattern (B, P)) -> values (B,); nan marks an undefined replicate (inside this stage only)."""


@dataclass(frozen=True)
class Patterns:
    """Distinct rows of a count matrix and how many items have each."""

    rows: IntArray
    items: IntArray

    @property
    def weights(self) -> FloatArray:
        """(1, P): the sample itself as its only replicate."""
        return self.items[None, :].astype(np.float64)


def count_matrix(
    items: Sequence[Any] | NDArray[Any], labels: Sequence[Any] | NDArray[Any], categories: Sequence[Any] | None = None
) -> tuple[IntArray, list[Any]]:
    """Counts (n_items, K) and the categories in column order (default: the distinct labels, sorted). Items in sorted order.

    Raises `BadInput` when a label is not one of the given `categories`."""
    if len(items) != len(labels):
        raise BadInput(f"{len(items)} items but {len(labels)} labels: one label a rating")
    if not len(items):
        return np.zeros((0, len(categories or ())), np.int64), list(categories or ())
    _, item_index = np.unique(np.asarray(items), return_inverse=True)
    names, label_index = np.unique(np.asarray(labels), return_inverse=True)
    if categories is not None:
        column = {c: i for i, c in enumerate(categories)}
        unknown = [n for n in names.tolist() if n not in column]
        if unknown:
            raise BadInput(f"labels {unknown[:3]} are not among the categories {list(categories)}")
        label_index = np.asarray([column[n] for n in names.tolist()])[label_index]
    width = len(categories) if categories is not None else len(names)
    height = int(item_index.max()) + 1
    flat = np.bincount(item_index.astype(np.int64) * width + label_index, minlength=height * width)
    return flat.reshape(height, width), list(categories) if categories is not None else names.tolist()


def as_counts(data: ArrayLike | tuple[Any, Any, Any]) -> tuple[IntArray, list[Any] | None]:
    """A count matrix from either form that the statistics take: counts (n_items, K), or (items, raters, labels), one entry a rating.
    With the second form a rater may rate an item once. Raises `BadInput`."""
    if isinstance(data, tuple):
        items, raters, labels = data
        pairs = set(zip(np.asarray(items).tolist(), np.asarray(raters).tolist(), strict=True))
        if len(pairs) != len(items):
            raise BadInput(f"{len(items) - len(pairs)} ratings repeat an (item, rater) pair; keep one rating each")
        return count_matrix(items, labels)
    counts = np.asarray(data)
    if counts.ndim != 2 or not np.issubdtype(counts.dtype, np.integer) or (counts.size and counts.min() < 0):
        raise BadInput(f"counts must be a matrix of non-negative whole numbers (items x labels), got shape {counts.shape}, {counts.dtype}")
    return counts.astype(np.int64), None


def patterns(counts: IntArray) -> Patterns:
    """The distinct rows of `counts` with at least one rating, in a fixed order."""
    used = counts[counts.sum(axis=1) > 0]
    if not len(used):
        return Patterns(np.zeros((0, counts.shape[1]), np.int64), np.zeros(0, np.int64))
    base = int(used.max()) + 1
    if base ** used.shape[1] < 2**62:  # rows as numbers sort much faster than rows as rows
        codes = used @ (base ** np.arange(used.shape[1], dtype=np.int64))
        _, first, number = np.unique(codes, return_index=True, return_counts=True)
        return Patterns(used[first], number.astype(np.int64))
    rows, number = np.unique(used, axis=0, return_counts=True)
    return Patterns(rows, number.astype(np.int64))


def weighted_sum(weights: FloatArray, values: FloatArray) -> FloatArray:
    """(B, P) x (P, ...) -> (B, ...), by a fixed order of additions: BLAS may add in an order that depends on its threads."""
    return np.asarray(np.einsum("bp,p...->b...", weights, values), dtype=np.float64)
