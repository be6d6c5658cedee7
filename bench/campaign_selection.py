"""Generated pools, thousands of them: is every pick of the hybrid the formula's best?

Two judges. The plain float64 scan must give the same picks, scores and distances, to the bit. And a judge that shares no code with the
product recomputes each step's scores from scratch along our own sequence: our pick within 1e-9 of the best, and the lowest row of equals.
Batches and candidates are made small (down to 1), so that pools of a few hundred rows go through every path.

    python -m bench.campaign_selection --cases 10000 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any
from unittest import mock

import numpy as np

from bench.plain_selection import plain
from flywheel.selection import select
from flywheel.selection.strategies import lazy

Array = np.ndarray[Any, Any]
POOLS = ("random", "clustered", "duplicated", "grid", "constant", "near", "large", "tiny", "few", "unit", "offset", "line")
SIGNALS = ("free", "tied", "constant", "skewed", "binary", "follows")


def case(rng: np.random.Generator) -> dict[str, Any]:
    """A pool with what is asked of it."""
    n = int(rng.choice([1, 2, 3, 7, 20, 60, 150, 400], p=[0.01, 0.02, 0.02, 0.1, 0.25, 0.3, 0.2, 0.1]))
    d = int(rng.choice([1, 2, 3, 5, 8, 16, 384], p=[0.1, 0.2, 0.15, 0.15, 0.15, 0.15, 0.1]))
    kind, signal = str(rng.choice(POOLS)), str(rng.choice(SIGNALS))
    x = rng.standard_normal((n, d))
    if kind == "clustered":
        x = rng.standard_normal((6, d))[rng.integers(0, 6, n)] + 0.02 * x
    elif kind == "duplicated":
        x = x[rng.integers(0, max(2 * n // 3, 1), n)]
    elif kind == "few":
        x = x[rng.integers(0, 5, n) % n]
    elif kind == "grid":
        x = rng.integers(0, 4, (n, d)).astype(float)
    elif kind == "constant":
        x = np.ones((n, d)) * rng.standard_normal()
    elif kind == "near":
        x = 1 + 10.0 ** -rng.integers(2, 9) * x
    elif kind == "large":
        x = 1e4 * x
    elif kind == "tiny":
        x = 10.0 ** -rng.integers(2, 8) * x
    elif kind == "unit":
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        x[rng.random(n) < 0.2] = x[0]
    elif kind == "offset":
        x = x + 100
    elif kind == "line":
        x = np.linspace(0, 1, n)[:, None] * np.ones(d)
    u = {
        "free": rng.random(n), "tied": rng.integers(0, 4, n) / 3, "constant": np.full(n, 0.5), "skewed": rng.random(n) ** 8,
        "binary": rng.integers(0, 2, n).astype(float), "follows": np.abs(x[:, 0]),
    }[signal]  # fmt: skip
    x = x.astype(rng.choice([np.float32, np.float64]))
    return {
        "kind": kind, "signal": signal, "x": x, "u": u.astype(rng.choice([np.float32, np.float64])),
        "k": int(rng.choice([n, max(n // 2, 1), int(rng.integers(1, n + 1))])), "w": float(rng.choice([0.0, 0.3, 0.6, 0.6, 0.9, 1.0])),
        "labelled": x[rng.integers(0, n, int(rng.integers(1, 9)))] + rng.choice([0.0, 0.1]) if rng.random() < 0.25 else None,
        "batch": (int(rng.choice([1, 4, 32])), int(rng.choice([1, 8, 128]))),
        "widths": {"good": (int(rng.choice([1, 2, 8, 512])), 16384), "far": (int(rng.choice([1, 2, 64])), 8192)},
    }  # fmt: skip


def judge(case: dict[str, Any]) -> dict[str, Any]:
    """What is wrong with the hybrid's answer (nothing, if empty), and what the case was like."""
    x, u, k, w, labelled = (case[name] for name in ("x", "u", "k", "w", "labelled"))
    first, largest = case["batch"]
    with mock.patch.multiple(lazy, WIDTHS=case["widths"], FIRST_BATCH=first, LARGEST_BATCH=largest):
        got = select("hybrid", x, u, k=k, labelled=labelled, w_uncertainty=w)
    wrong: dict[str, Any] = {}
    for name, mine, oracle in zip(
        ("picks", "scores", "distances"), (got.indices, got.score, got.distance), plain(x, u, k, w, labelled), strict=True
    ):
        if not np.array_equal(mine, oracle, equal_nan=True):
            wrong[name] = int(np.argmin([*(mine == oracle), False]))
    wrong.update(from_scratch(x.astype(np.float64), u.astype(np.float64), got.indices, w, labelled))
    return wrong


def from_scratch(x: Array, u: Array, picks: Array, w: float, labelled: Array | None) -> dict[str, Any]:
    """Steps at which the score, from all differences again, of our pick is not the best within 1e-9, or not the lowest row of equals."""
    un = (u - u.min()) / (np.ptp(u) + 1e-9)
    squared = np.full(len(x), np.inf)
    for known in () if labelled is None else labelled.astype(np.float64):
        squared = np.minimum(squared, ((x - known) ** 2).sum(1))
    left = np.ones(len(x), bool)
    for step, at in enumerate(picks.tolist()):
        if not left[at]:
            return {"twice": step}
        score = un
        if step or labelled is not None:
            d = np.sqrt(squared)
            low, extent = d[left].min(), np.ptp(d[left])
            score = w * un + (0 if extent < 1e-6 else (1 - w) * (d - low) / (extent + 1e-9))
        best = score[left].max()
        if not score[at] >= best - 1e-9 and abs(np.ptp(np.sqrt(squared)[left]) - 1e-6) > 1e-12:
            return {"below_best": step, "by": float(best - score[at])}
        equals = np.flatnonzero(left & (score == best) & (x == x[at]).all(1) & (u == u[at]))
        if len(equals) and at != equals[0]:
            return {"tie": step}
        left[at] = False
        squared = np.minimum(squared, ((x - x[at]) ** 2).sum(1))
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begin, wrong, picks, kinds = time.perf_counter(), [], 0, dict.fromkeys(POOLS, 0)
    for seed in range(options.seed, options.seed + options.cases):
        made = case(np.random.default_rng(seed))
        found = judge(made)
        picks += min(made["k"], len(made["x"]))
        kinds[made["kind"]] += 1
        if found:
            wrong.append({"seed": seed, "kind": made["kind"], "signal": made["signal"], **found})
            print(json.dumps(wrong[-1]))
    result = {"cases": options.cases, "first_seed": options.seed, "picks": picks, "by_kind": kinds, "wrong": wrong,
              "threads": os.environ.get("OMP_NUM_THREADS", "default"), "seconds": round(time.perf_counter() - begin)}  # fmt: skip
    print(json.dumps(result))


if __name__ == "__main__":
    main()
