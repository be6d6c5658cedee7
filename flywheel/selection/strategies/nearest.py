"""Distance of every point to its nearest centre, kept up to date as centres are added: O(N D) a centre.

Every distance that counts is a float64 sum of squared differences, so exact duplicates are at distance exactly 0 and equal points
tie exactly. One matrix-vector product (in the vectors' own precision) only rules out the rows that a new centre cannot bring
nearer, with a bound on its rounding error; so neither thread count nor BLAS changes a result.
"""

from __future__ import annotations

import numpy as np

from flywheel.selection.strategies.interface import Floats, Vectors

ROWS = 512  # rows a block: 512 x 384 float64 stay in the cache


class NearestCentre:
    """Squared Euclidean distances (N,) to the nearest centre; infinite while there is none."""

    def __init__(self, vectors: Vectors) -> None:
        self._x = vectors
        self.squared: Floats = np.full(len(vectors), np.inf)
        self._norms: Floats = np.empty(len(vectors))
        for at in range(0, len(vectors), ROWS):
            block = vectors[at : at + ROWS].astype(np.float64)
            self._norms[at : at + ROWS] = np.einsum("ij,ij->i", block, block)
        # |fl(x.y) - x.y| <= D u |x||y| (Higham 2002, section 3.1); u |x||y| <= eps (|x|^2 + |y|^2) / 4, so this is twice what is needed
        limits = np.finfo(vectors.dtype)
        self._relative = 2.0 * vectors.shape[1] * float(limits.eps)
        self._absolute = 4.0 * vectors.shape[1] * float(limits.tiny)

    def add(self, centre: Vectors) -> None:
        """Account for a new centre (D,)."""
        exact = centre.astype(np.float64)
        both = self._norms + float(exact @ exact)
        product = (self._x @ centre.astype(self._x.dtype)).astype(np.float64)
        floor = both - 2.0 * product - (self._relative * both + self._absolute)
        nearer = np.flatnonzero(floor < self.squared)
        for at in range(0, len(nearer), ROWS):
            rows = nearer[at : at + ROWS]
            difference = self._x[rows].astype(np.float64) - exact
            self.squared[rows] = np.minimum(self.squared[rows], np.einsum("ij,ij->i", difference, difference))

    def distances(self) -> Floats:
        """Euclidean distances (N,)."""
        return np.sqrt(self.squared)
