"""Squared distance of every point to its nearest centre, kept up to date as centres are added, one at a time or many at once.

Every distance that counts is a float64 sum of squared differences, so exact duplicates are at distance exactly 0 and equal points
tie exactly. Products in the vectors' own precision only bound a distance from both sides; so neither thread count nor BLAS changes a
result.

The bound. With u = eps / 2 the unit roundoff of the vectors' type and D columns, a dot product computed in any order, with or without
fused multiply-add, is off by at most D u |x||y| / (1 - D u) (Higham 2002, section 3.1), and |x||y| <= both / 2 with
both = |x|^2 + |y|^2. So |x - y|^2 = both - 2 x.y is known to within D eps both / 2, and `error` = 2 (D + 4) eps both is four times that: the
rest covers a centre rounded to the vectors' type (eps both / 2), thresholds rounded to it (eps both), and where the type is float64
itself the roundings of norms (D eps both / 2) and of the sum of squared differences ((D + 2) eps both), for which it is doubled
once more. `_absolute` covers products that underflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flywheel.selection.strategies.interface import Floats, Indices, Vectors

ROWS = 128  # rows a block of exact distances: 128 x 384 float64 stay in the cache
CENTRES = 128  # centres a matrix product
PRODUCTS = 1 << 18  # products a block: 1 MB of float32 stays in the cache
GATHERED = 8192  # most rows a block: they may be copied


@dataclass(frozen=True)
class Nearer:
    """Pairs of a row and a centre's column, with their squared distances or bounds of these from above."""

    rows: Indices
    columns: Indices
    squared: Floats

    def first(self, columns: int) -> Nearer:
        """Those of the first columns."""
        kept = self.columns < columns
        return Nearer(self.rows[kept], self.columns[kept], self.squared[kept])


class NearestCentre:
    """Squared Euclidean distances (N,) to the nearest centre; infinite while there is none."""

    def __init__(self, vectors: Vectors) -> None:
        """Of `vectors` (N, D), float32 or float64."""
        self._x = vectors
        self.squared: Floats = np.full(len(vectors), np.inf)
        self._norms: Floats = squared_norms(vectors)
        limits = np.finfo(vectors.dtype)
        self._relative = (2.0 if vectors.dtype == np.float32 else 4.0) * (vectors.shape[1] + 4) * float(limits.eps)
        self._absolute = 4.0 * vectors.shape[1] * float(limits.tiny)

    def add(self, centre: Vectors) -> None:
        """Account for a new centre (D,)."""
        self.lower(self.nearer(centre[None]))

    def add_all(self, centres: Vectors) -> None:
        """Account for many new centres (C, D): the first alone, so that there is something to compare with, then in growing blocks."""
        at, block = 0, 1
        while at < len(centres):
            self.lower(self.nearer(centres[at : at + block]))
            at, block = at + block, min(2 * block, CENTRES)

    def nearer(self, centres: Vectors, rows: Indices | None = None) -> Nearer:
        """All pairs of a row (of `rows` where given) and one of `centres` (C, D) that are nearer than the row's nearest centre so
        far. Nothing is changed."""
        if np.isposinf(self.squared[:1]).any() and rows is None and len(centres) == 1:  # nothing is known yet: no pair can be ruled out
            every = np.arange(len(self._x))
            return self._exact(every, np.zeros(len(every), np.int64), centres)
        row, column = _joined([(row, column) for row, column, _ in self._near(centres, rows)], 2)
        return self._exact(row, column, centres)

    def bounds(self, centres: Vectors, rows: Indices | None = None, below: float = 0.0) -> tuple[Nearer, Nearer]:
        """The same pairs with bounds of their squared distances from above, and exactly those that may be as near as `below`
        (squared). Nothing is changed."""
        theirs, found, close = squared_norms(centres), [], []
        for row, column, product in self._near(centres, rows):
            both = self._norms[row] + theirs[column]
            error = self._relative * both + self._absolute
            estimate = both - 2.0 * product
            found.append((row, column, np.maximum(estimate + error, 0.0)))
            tight = np.flatnonzero(estimate - error <= below)
            close.append((row[tight], column[tight]))
        row, column = _joined(close, 2)
        return Nearer(*_joined(found, 3)), self._exact(row, column, centres)

    def error(self) -> Floats:
        """How far `bounds` may be above the truth (N,), by centres no longer than the longest row."""
        error: Floats = 2.0 * (self._relative * (self._norms + self._norms.max(initial=0.0)) + self._absolute)
        return error

    def _near(self, centres: Vectors, rows: Indices | None) -> Iterator[tuple[Indices, Indices, Floats]]:
        """Pairs that cannot be ruled out, with their products: some that are nearer, and all of these."""
        dtype = self._x.dtype
        turned = np.ascontiguousarray(centres.astype(dtype).T)
        # x.y >= (both - error - squared) / 2 is where a pair can be nearer: the row's part and the column's, rounded down
        columns = _rounded_down(squared_norms(centres) * ((1 - self._relative) / 2), dtype)
        lowest = columns.min(initial=np.inf)
        block = min(max(PRODUCTS // max(len(centres), 1), 1), GATHERED)
        count = len(self._x) if rows is None else len(rows)
        products = np.empty((min(block, count), len(centres)), dtype)
        for at in range(0, count, block):
            some = slice(at, at + block) if rows is None else rows[at : at + block]
            limits = _rounded_down((self._norms[some] * (1 - self._relative) - self._absolute - self.squared[some]) / 2, dtype)
            vectors = self._x[at : at + block] if rows is None else self._x.take(rows[at : at + block], axis=0)
            product = product_of(vectors, turned, products[: len(limits)])
            # first each row's largest product against the lowest column part, then the few rows that may hold a pair in full
            near = np.flatnonzero(product.max(axis=1, initial=-np.inf) >= limits + lowest)
            if len(near):
                row, column = (product[near] >= limits[near, None] + columns).nonzero()
                row = near[row]
                yield (row + at if rows is None else rows[at + row]), column, product[row, column].astype(np.float64)

    def _exact(self, rows: Indices, columns: Indices, centres: Vectors) -> Nearer:
        exact = centres.astype(np.float64)
        squared = np.empty(len(rows))
        for at in range(0, len(rows), ROWS):
            some = slice(at, at + ROWS)
            squared[some] = squared_distances(self._x.take(rows[some], axis=0), exact.take(columns[some], axis=0))
        kept = squared < self.squared[rows]
        return Nearer(rows[kept], columns[kept], squared[kept])

    def lower(self, pairs: Nearer) -> None:
        """Account for such pairs."""
        np.minimum.at(self.squared, pairs.rows, pairs.squared)

    def distances(self) -> Floats:
        """Euclidean distances (N,)."""
        return np.sqrt(self.squared)


def _joined(parts: list[tuple[Any, ...]], columns: int) -> tuple[Any, ...]:
    if not parts:
        return tuple(np.zeros(0, np.float64 if column == 2 else np.int64) for column in range(columns))
    return tuple(np.concatenate([part[column] for part in parts]) for column in range(columns))


def product_of(these: Vectors, those: Vectors, out: Vectors | None = None) -> Vectors:
    """The matrix product. Of finite vectors of checked magnitude it is finite: a floating-point flag that BLAS raises comes from
    lanes that it throws away."""
    with np.errstate(all="ignore"):
        product: Vectors = np.matmul(these, those, out=out)
    return product


def squared_distances(these: Vectors, those: Vectors) -> Floats:
    """Row by row, in float64; `those` may be a single row."""
    difference = these.astype(np.float64)
    difference -= those
    squared: Floats = np.einsum("ij,ij->i", difference, difference)
    return squared


def squared_norms(vectors: Vectors) -> Floats:
    """Squared lengths (N,) in float64."""
    norms = np.empty(len(vectors))
    for at in range(0, len(vectors), ROWS):
        block = vectors[at : at + ROWS].astype(np.float64)
        norms[at : at + ROWS] = np.einsum("ij,ij->i", block, block)
    return norms


def _rounded_down(values: Floats, dtype: npt.DTypeLike) -> Vectors:
    rounded: Vectors = np.nextafter(values.astype(dtype), np.array(-np.inf, dtype))
    return rounded
