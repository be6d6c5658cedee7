"""What every strategy gets and gives. A strategy is one file with one function `pick`, named in the registry beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from flywheel.errors import BadInput

LARGEST = 1e150  # squares of larger numbers overflow
LARGEST_SINGLE = 1e15  # the same in float32
BLOCK = 4096  # rows checked at a time

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Vectors = npt.NDArray[Any]


@dataclass(frozen=True)
class Pool:
    """What there is to pick from: `vectors` (N, D), `uncertainty` (N,) or None without a model, `labelled` (L, D) or None."""

    vectors: Vectors
    uncertainty: Floats | None = None
    labelled: Vectors | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def demand_uncertainty(self, strategy: str) -> Floats:
        """The uncertainty. Raises `BadInput` where there is no model yet."""
        if self.uncertainty is None:
            raise BadInput(f"strategy {strategy} needs an uncertainty for every row; without a model use bootstrap, kcenter or random")
        return self.uncertainty


@dataclass(frozen=True)
class Picks:
    """Picks in order: row `indices` (k,), `score` (k,), and `distance` (k,) to the nearest centre at the moment of the pick
    (NaN where the strategy looks at none)."""

    indices: Indices
    score: Floats
    distance: Floats


@dataclass(frozen=True)
class Parameters:
    """What strategies can be told. `w_uncertainty`: weight of uncertainty against distance, in [0, 1]."""

    w_uncertainty: float = 0.6


class Strategy(Protocol):
    """Picks min(budget, N) rows. Deterministic in its arguments; ties go to the lower index."""

    def __call__(self, pool: Pool, budget: int, *, seed: int, parameters: Parameters) -> Picks: ...


def checked_pool(vectors: Any, uncertainty: Any = None, labelled: Any = None) -> Pool:
    """A pool with finite numbers and fitting shapes. Raises `BadInput` naming the first bad row."""
    rows = _matrix("embeddings", vectors)
    signal = None if uncertainty is None else _column(uncertainty, len(rows))
    known = None if labelled is None or len(labelled) == 0 else _matrix("labelled", labelled)
    if known is not None and len(rows) and known.shape[1] != rows.shape[1]:
        raise BadInput(f"labelled vectors have {known.shape[1]} columns, the pool's {rows.shape[1]}: they come from different embedders")
    if known is not None and rows.dtype == np.float32 and np.abs(known).max(initial=0.0) > LARGEST_SINGLE:
        rows = rows.astype(np.float64)
    return Pool(rows, signal, known)


def checked_budget(budget: Any, n: int) -> int:
    """How many to pick: min(budget, n). Raises `BadInput` on a negative or fractional number."""
    if isinstance(budget, bool) or not isinstance(budget, (int, np.integer)) or budget < 0:
        raise BadInput(f"k must be a whole number of at least 0, got {budget!r}")
    return min(int(budget), n)


def checked_weight(w_uncertainty: float) -> float:
    """The weight. Raises `BadInput` outside [0, 1]."""
    if not 0 <= w_uncertainty <= 1:
        raise BadInput(f"w_uncertainty must lie in [0, 1], got {w_uncertainty!r}")
    return float(w_uncertainty)


def _matrix(name: str, values: Any) -> Vectors:
    rows = np.asarray(values)
    if rows.size == 0 and rows.ndim < 2:
        rows = rows.reshape(0, 1)
    if rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise BadInput(f"{name} must be a numeric matrix (rows, columns), got shape {rows.shape} of {rows.dtype}")
    # float32 stays float32 (half the memory, and a memory map stays one) where its squares cannot overflow in the distance filter
    if rows.dtype != np.float32:
        rows = rows.astype(np.float64, copy=False)
    rows = np.require(rows, requirements=["C", "A"])
    largest = 0.0
    for at in range(0, len(rows), BLOCK):  # by blocks: no second array of the pool's size
        magnitude = np.abs(rows[at : at + BLOCK]).max(axis=1, initial=0.0).astype(np.float64)  # NaN stays NaN
        if not (magnitude <= LARGEST).all():
            row = int((~(magnitude <= LARGEST)).argmax())
            if not np.isfinite(magnitude[row]):
                raise BadInput(f"{name}: row {at + row} holds a value that is not finite; embed it again or leave the row out")
            raise BadInput(f"{name}: row {at + row} holds a value beyond {LARGEST:g}; scale the vectors")
        largest = max(largest, float(magnitude.max(initial=0.0)))
    return rows.astype(np.float64) if rows.dtype == np.float32 and largest > LARGEST_SINGLE else rows


def _column(values: Any, n: int) -> Floats:
    column = np.asarray(values)
    if column.shape != (n,) or (n and column.dtype.kind not in "fiu"):
        raise BadInput(f"uncertainty must hold one number for each of the {n} rows, got shape {column.shape} of {column.dtype}")
    column = column.astype(np.float64)
    bad = ~(np.abs(column) <= LARGEST)
    if bad.any():
        raise BadInput(
            f"uncertainty: row {int(bad.argmax())} is not a finite number up to {LARGEST:g}; score it again or leave the row out"
        )
    return column
