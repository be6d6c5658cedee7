"""Hybrid selection side by side in one run: the reference formula (all distances again each step, as its authors wrote it), a plain
float32 incremental scan, and ours. A timing counts only where the picks are equal.

    OMP_NUM_THREADS=1 python -m bench.selection_hybrid --n 5000 --k 200
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

from flywheel.selection import hybrid_active_select


def reference(x: np.ndarray, u: np.ndarray, k: int, w: float = 0.6) -> np.ndarray:
    """SOURCE.md, "Reference hybrid", with the distances by scikit-learn."""
    from sklearn.metrics import pairwise_distances

    u = (u - u.min()) / (np.ptp(u) + 1e-9)
    selected, remaining = [int(u.argmax())], set(range(len(x)))
    remaining.discard(selected[0])
    for _ in range(1, k):
        rest = np.array(sorted(remaining))
        d = pairwise_distances(x[rest], x[selected]).min(1)
        d = (d - d.min()) / (np.ptp(d) + 1e-9)
        best = int(rest[(w * u[rest] + (1 - w) * d).argmax()])
        selected.append(best)
        remaining.discard(best)
    return np.array(selected)


def incremental(x: np.ndarray, u: np.ndarray, k: int, w: float = 0.6) -> np.ndarray:
    """One float32 matrix-vector product a step for unit vectors: fast, and not exact (facts/scale.md)."""
    u = (u - u.min()) / (np.ptp(u) + 1e-9)
    at, d2, alive, selected = int(u.argmax()), np.full(len(x), 9, np.float32), np.ones(len(x), bool), []
    while True:
        selected.append(at)
        alive[at] = False
        if len(selected) == k:
            return np.array(selected)
        np.minimum(d2, 2 - 2 * (x @ x[at]), out=d2)
        d = np.sqrt(np.maximum(d2, 0))
        low, high = d[alive].min(), d[alive].max()
        score = w * u + (1 - w) * (d - low) / (high - low + 1e-9)
        score[~alive] = -np.inf
        at = int(score.argmax())


def pool(kind: str, n: int, d: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    if kind == "clustered":
        x = rng.standard_normal((max(n // 50, 2), d))[rng.integers(0, max(n // 50, 2), n)] + 0.4 * x
        copies = rng.random(n) < 0.1
        x[copies] = x[rng.integers(0, n, copies.sum())]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), rng.beta(2, 2, n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=5_000)
    parser.add_argument("--k", type=int, default=200)
    parser.add_argument("--d", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--without-reference", action="store_true", help="its time grows with k squared")
    options = parser.parse_args()
    methods: dict[str, Callable[..., np.ndarray]] = {"ours": hybrid_active_select, "incremental": incremental}
    if not options.without_reference:
        methods["reference"] = reference
    for kind in ("clustered", "random"):
        x, u = pool(kind, options.n, options.d, 0)
        cpu: dict[str, list[float]] = {name: [] for name in methods}
        picks: dict[str, np.ndarray] = {}
        for _ in range(options.repeats):
            for name, method in methods.items():
                begin = time.process_time()
                picks[name] = method(x, u, options.k)
                cpu[name].append(time.process_time() - begin)
        median = {name: statistics.median(seconds) for name, seconds in cpu.items()}
        result = {
            "pool": kind, "n": options.n, "k": options.k, "d": options.d, "threads": os.environ.get("OMP_NUM_THREADS", "default"),
            "load_average": os.getloadavg()[0], "cpu_s": {name: round(s, 3) for name, s in median.items()},
            "ratio_to_ours": {name: round(s / median["ours"], 2) for name, s in median.items() if name != "ours"},
            "equal_picks_prefix": {
                name: int(np.argmin([*(picks[name] == picks["ours"]), False])) for name in methods if name != "ours"
            },
        }  # fmt: skip
        print(json.dumps(result))


if __name__ == "__main__":
    main()
