"""Speed of the hybrid, side by side in one run: the reference formula, a float32 incremental scan, scikit-activeml's CoreSet, ours.

    python -m bench.selection_speed                       # 50,000 x 384, k = 1,200, one thread: text, random, clustered
    python -m bench.selection_speed --million POOL.npy    # 1,000,000 x 384 over a memory map, k = 2,000, all cores

Candidates and baseline take turns; medians of CPU and wall seconds, load average beside them. A timing of ours counts only where its
picks equal the plain float64 scan's, pick by pick. The reference costs N t distances at step t, so it is timed on stretches (each going on
from our picks, and compared with them) and summed up by the trapezoid rule; so marked. CoreSet is k-center alone: with the same first
row labelled its picks are compared with our k-center's. It is no dependency: pip install --target DIR scikit-activeml, PYTHONPATH=DIR.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from bench.plain_selection import incremental, plain, reference
from bench.selection_pools import clusters, gaussians, mixtures, texts
from flywheel.selection import hybrid_active_select, select

Array = np.ndarray[Any, Any]
STRETCH = 4  # steps of the reference timed at each place
PREFIX = 80  # steps of the incremental scan timed on a million rows: each costs the same


def timed(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, CPU seconds, wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def equal_prefix(these: Array, those: Array) -> int:
    """How many picks agree before the first that does not."""
    n = min(len(these), len(those))
    return int(np.argmin([*(these[:n] == those[:n]), False]))


def of_the_reference(x: Array, u: Array, picks: Array) -> dict[str, Any]:
    """CPU seconds of the reference for all picks, by stretches; `agrees` where each stretch's picks are ours."""
    k = len(picks)
    places = sorted({1, k // 4, k // 2, 3 * k // 4, k - STRETCH})
    rates, agrees = [], True
    for place in places:
        got, cpu, _ = timed(lambda place=place: reference(x, u, place + STRETCH, first=picks[:place]))
        rates.append(cpu / STRETCH)
        agrees &= bool((got == picks[: place + STRETCH]).all())
    return {"cpu_s": float(np.trapezoid(rates, places)), "extrapolated_from_steps": STRETCH * len(places), "equal_picks": agrees}


def of_coreset(x: Array, k: int) -> dict[str, Any]:
    """CPU seconds of scikit-activeml's CoreSet, row 0 labelled."""
    try:
        from skactiveml.pool import CoreSet  # type: ignore[import-not-found]
    except ImportError:
        return {"left_out": "scikit-activeml is not installed"}
    y = np.full(len(x), np.nan)
    y[0] = 0
    got, cpu, wall = timed(lambda: CoreSet(random_state=0).query(x, y, batch_size=k))
    ours, our_cpu, _ = timed(lambda: select("kcenter", x[1:], k=k, labelled=x[:1]).indices + 1)
    # it draws among exact copies, we take the lower row: compared by vector
    equal = int(np.argmin([*(x[np.asarray(got)] == x[ours]).all(axis=1), False]))
    return {"cpu_s": cpu, "wall_s": wall, "our_kcenter_cpu_s": our_cpu, "picks_equal_to_our_kcenter": equal}


def side_by_side(name: str, x: Array, u: Array, k: int, repeats: int, peers: bool) -> dict[str, Any]:
    """All methods on one pool, one thread."""
    load = os.getloadavg()[0]
    methods = {"ours": lambda: hybrid_active_select(x, u, k), "incremental": lambda: incremental(x, u, k)}
    cpu: dict[str, list[float]] = {method: [] for method in methods}
    wall: dict[str, list[float]] = {method: [] for method in methods}
    picks: dict[str, Array] = {}
    for _ in range(repeats):
        for method, run in methods.items():
            picks[method], spent, passed = timed(run)
            cpu[method].append(spent)
            wall[method].append(passed)
    ours = statistics.median(cpu["ours"])
    oracle, oracle_cpu, _ = timed(lambda: plain(x, u, k)[0])
    result: dict[str, Any] = {
        "pool": name, "n": len(x), "d": x.shape[1], "k": k, "threads": 1, "repeats": repeats, "load_average": [load, os.getloadavg()[0]],
        "equal_to_the_float64_scan": bool((picks["ours"] == oracle).all()), "float64_scan_cpu_s": oracle_cpu,
        "incremental_equal_prefix": equal_prefix(picks["incremental"], oracle),
        "cpu_s": {m: statistics.median(s) for m, s in cpu.items()}, "cpu_s_all": cpu, "wall_s": {m: statistics.median(s) for m, s in wall.items()},
        "ratio": {"incremental": statistics.median(cpu["incremental"]) / ours},
        "ratio_wall": {"incremental": statistics.median(wall["incremental"]) / statistics.median(wall["ours"])},
    }  # fmt: skip
    if peers:
        result["reference"] = of_the_reference(x, u, picks["ours"])
        result["ratio"]["reference"] = result["reference"]["cpu_s"] / ours
        result["coreset"] = of_coreset(x, k)
        if "cpu_s" in result["coreset"]:
            result["ratio"]["coreset"] = result["coreset"]["cpu_s"] / ours
    return result


def anonymous_bytes() -> int:
    """Highest anonymous memory so far is not kept by Linux; this is what stands now (RssAnon)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def million(path: str, k: int, method: str) -> dict[str, Any]:
    """One method over the memory map, in a process of its own: seconds and the most anonymous memory seen (sampled each 50 ms)."""
    import threading

    x = np.load(path, mmap_mode="r")
    u = np.random.default_rng(1).beta(2, 2, len(x))
    before, most, stop = anonymous_bytes(), [0], threading.Event()

    def sample() -> None:
        while not stop.wait(0.05):
            most[0] = max(most[0], anonymous_bytes())

    x.sum(dtype=np.float64)  # the pages are read once before either is timed
    threading.Thread(target=sample, daemon=True).start()
    if method == "ours":
        picks, cpu, wall = timed(lambda: hybrid_active_select(x, u, k))
    else:
        picks, cpu, wall = timed(lambda: incremental(np.asarray(x), u, PREFIX))
    stop.set()
    return {"cpu_s": cpu, "wall_s": wall, "anonymous_mb": most[0] / 1e6, "anonymous_before_mb": before / 1e6, "picks": picks.tolist()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--k", type=int, default=1_200)
    parser.add_argument("--d", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pools", default="text,random,clustered")
    parser.add_argument("--cache", type=Path, default=Path("bench_cache"), help="folder for embedded texts")
    parser.add_argument("--no-peers", action="store_true", help="leave out reference and CoreSet")
    parser.add_argument("--million", help="a float32 .npy of 1,000,000 rows; written from the text pool where there is none")
    parser.add_argument("--only", choices=["ours", "incremental"], help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="append the results to this file")
    options = parser.parse_args()
    results = []
    if options.only:
        print(json.dumps(million(options.million, options.k, options.only)))
        return
    if options.million:
        results.append(on_a_million(options.million, 2_000 if options.k == 1_200 else options.k, options.repeats, options.cache))
        print(json.dumps(results[-1]))
    else:
        made = {"text": lambda: texts(options.n, options.cache), "random": lambda: gaussians(options.n, options.d, 0),
                "clustered": lambda: clusters(options.n, options.d, 0)}  # fmt: skip
        for name in options.pools.split(","):
            x = made[name]()
            u = np.random.default_rng(1).beta(2, 2, len(x))
            if not options.no_peers:
                of_the_reference(x[:500], u[:500], hybrid_active_select(x[:500], u[:500], 40))
                of_coreset(x[:500], 5)  # libraries are loaded before the limit, which holds for those that are
            with threadpool_limits(1):
                results.append(side_by_side(name, x, u, options.k, options.repeats, not options.no_peers))
            print(json.dumps(results[-1]))
    if options.json:
        held = json.loads(options.json.read_text()) if options.json.exists() else []
        options.json.write_text(json.dumps(held + results, indent=1) + "\n")


def on_a_million(path: str, k: int, repeats: int, cache: Path) -> dict[str, Any]:
    """Ours in full against the incremental scan, whose steps all cost the same, so a prefix of them is scaled up."""
    if not Path(path).exists():
        mixtures(texts(50_000, cache), 1_000_000, Path(path), 0)
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "incremental": []}
    load = os.getloadavg()[0]
    for _ in range(repeats):
        for method, made in runs.items():
            command = [sys.executable, "-m", "bench.selection_speed", "--million", path, "--k", str(k), "--only", method]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            made.append(json.loads(done.stdout))
    seconds = {m: {c: statistics.median(r[c] for r in made) for c in ("cpu_s", "wall_s")} for m, made in runs.items()}
    for kind in ("cpu_s", "wall_s"):
        seconds["incremental"][kind] *= k / PREFIX
    return {
        "pool": "mixtures of text", "n": 1_000_000, "d": 384, "k": k, "threads": os.cpu_count(), "repeats": repeats,
        "load_average": [load, os.getloadavg()[0]], "seconds": seconds, "incremental_extrapolated_from_steps": PREFIX,
        "ratio_wall": seconds["incremental"]["wall_s"] / seconds["ours"]["wall_s"],
        "ratio_cpu": seconds["incremental"]["cpu_s"] / seconds["ours"]["cpu_s"],
        "incremental_equal_prefix": equal_prefix(np.array(runs["incremental"][0]["picks"]), np.array(runs["ours"][0]["picks"])),
        "same_picks_each_time": all(r["picks"] == runs["ours"][0]["picks"] for r in runs["ours"]),
        "anonymous_mb": max(r["anonymous_mb"] for r in runs["ours"]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
