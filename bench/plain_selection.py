"""What selection is compared with: the reference formula as its authors wrote it, a float32 incremental scan, and the plain float64 scan
that was the product before batches; it serves as the oracle (exact, one matrix-vector product a pick)."""

from __future__ import annotations

from typing import Any

import numpy as np

from flywheel.selection.strategies.nearest import NearestCentre

Array = np.ndarray[Any, Any]


def reference(x: Array, u: Array, k: int, w: float = 0.6, first: Array | None = None) -> Array:
    """SOURCE.md, "Reference hybrid": all distances again each step, by scikit-learn. `first`: picks to go on from; up to `k` in all."""
    from sklearn.metrics import pairwise_distances

    u = (u - u.min()) / (np.ptp(u) + 1e-9)
    selected = [int(u.argmax())] if first is None else first.tolist()
    remaining = set(range(len(x))) - set(selected)
    while len(selected) < k:
        rest = np.array(sorted(remaining))
        d = pairwise_distances(x[rest], x[selected]).min(1)
        d = (d - d.min()) / (np.ptp(d) + 1e-9)
        best = int(rest[(w * u[rest] + (1 - w) * d).argmax()])
        selected.append(best)
        remaining.discard(best)
    return np.array(selected)


def incremental(x: Array, u: Array, k: int, w: float = 0.6) -> Array:
    """One float32 matrix-vector product a step for unit vectors: fast, and not exact (its rounding decides close calls)."""
    u = (u - u.min()) / (np.ptp(u) + 1e-9)
    weighted = (w * u).astype(np.float32)
    at, d2, selected = int(u.argmax()), np.full(len(x), 9, np.float32), []
    alive = np.ones(len(x), bool)
    while True:
        selected.append(at)
        alive[at] = False
        if len(selected) == k:
            return np.array(selected)
        np.minimum(d2, 2 - 2 * (x @ x[at]), out=d2)
        d = np.sqrt(np.maximum(d2, 0))
        low, high = d.min(where=alive, initial=np.inf), d.max(where=alive, initial=-np.inf)
        score = weighted + np.float32((1 - w) / (high - low + 1e-9)) * (d - low)
        score[selected] = -np.inf
        at = int(score.argmax())


def plain(x: Array, u: Array, k: int, w: float = 0.6, labelled: Array | None = None) -> tuple[Array, Array, Array]:
    """Picks, scores and distances of the formula in float64, where distances within 1e-6 of each other count as none."""
    u = u.astype(np.float64)
    normalised = (u - u.min()) / (np.ptp(u) + 1e-9)
    nearest, left = NearestCentre(x), np.ones(len(x), bool)
    for known in labelled if labelled is not None else ():
        nearest.add(known)
    picks, scores, distances = [], [], []
    for step in range(min(k, len(x))):
        if step or labelled is not None:
            distance = nearest.distances()
            low, extent = distance[left].min(), np.ptp(distance[left])
            spread = np.zeros(len(x)) if extent < 1e-6 else (distance - low) / (extent + 1e-9)
            score = np.where(left, w * normalised + (1 - w) * spread, -np.inf)
            at = int(score.argmax())
        else:
            distance, score, at = np.full(len(x), np.nan), w * normalised, int(normalised.argmax())
        picks.append(at)
        scores.append(score[at])
        distances.append(distance[at])
        left[at] = False
        nearest.add(x[at])
    return np.array(picks, np.int64), np.array(scores), np.array(distances)
