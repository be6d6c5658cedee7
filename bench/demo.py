"""What `make demo` costs after set-up: seconds and memory of the whole process tree, and what a second run does again.

Two homes are run side by side in one session (`--homes`): every table, dataset version and model of the second must have the first's hash.
Run: `python -m bench.demo [--weeks 2] [--logs 2000]`; writes bench/results/demo.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from flywheel.rounds import code_version

RESULTS = Path(__file__).parent / "results"
GOAL = {"seconds": 480.0, "memory_mb": 3_000.0, "second_run_seconds": 30.0}


def tree_mb(process: psutil.Process) -> float:
    """Proportional set size of a process and its descendants, in MB: shared pages count once."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return total / 1e6


def run(home: Path, weeks: int, logs: int) -> tuple[float, float, dict[str, object]]:
    """Seconds, peak MB and the command's result."""
    command = [
        str(Path(sys.executable).with_name("flywheel")),
        "demo",
        "--home",
        str(home),
        "--weeks",
        str(weeks),
        "--logs",
        str(logs),
        "--json",
    ]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak, watched, stop = 0.0, psutil.Process(process.pid), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.2):
            try:
                peak = max(peak, tree_mb(watched))
            except psutil.NoSuchProcess:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    output, _ = process.communicate()
    stop.set()
    thread.join()
    if process.returncode != 0:
        raise SystemExit(f"the demo failed with {process.returncode}")
    return time.monotonic() - started, peak, json.loads(output)["result"]


def main(arguments: list[str] | None = None) -> dict[str, object]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=2)
    parser.add_argument("--logs", type=int, default=2_000)
    parser.add_argument("--homes", type=int, default=2, help="fresh homes whose hashes must agree")
    given = parser.parse_args(arguments if arguments is not None else [])
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder) / f"home{n}" for n in range(given.homes)]
        first = [run(h, given.weeks, given.logs) for h in homes]
        again_s, _, again = run(homes[0], given.weeks, given.logs)
    differing = sorted({t for _, _, r in first for t, h in r["hashes"].items() if first[0][2]["hashes"].get(t) != h})  # type: ignore[attr-defined]
    seconds = statistics.median(s for s, _, _ in first)
    result: dict[str, object] = {
        "commit": code_version(),
        "weeks": given.weeks, "logs_a_week": given.logs, "homes": given.homes, "seconds_median": round(seconds, 1),
        "seconds": [round(s, 1) for s, _, _ in first], "peak_memory_mb": round(max(m for _, m, _ in first)),
        "second_run_seconds": round(again_s, 1), "tables_compared": len(first[0][2]["hashes"]),  # type: ignore[arg-type]
        "same_hashes_in_every_home": not differing, "tables_that_differ": differing,
        "same_hashes_after_a_second_run": again["hashes"] == first[0][2]["hashes"], "goal": GOAL,
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "demo.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(f"{'':36}{'measured':>12}{'goal':>10}")
    print(f"{'seconds after set-up (median)':36}{seconds:12.0f}{GOAL['seconds']:10.0f}")
    print(f"{'peak memory, MB (whole tree, PSS)':36}{result['peak_memory_mb']!s:>12}{GOAL['memory_mb']:10.0f}")
    print(f"{'second run, seconds':36}{again_s:12.1f}{GOAL['second_run_seconds']:10.0f}")
    print(
        f"same hashes in every home: {result['same_hashes_in_every_home']} {', '.join(differing)}; after a second run: {result['same_hashes_after_a_second_run']}"
    )
    return result


if __name__ == "__main__":
    found = main(sys.argv[1:])
    within = found["seconds_median"] <= GOAL["seconds"] and found["peak_memory_mb"] <= GOAL["memory_mb"]  # type: ignore[operator]
    sys.exit(0 if within and found["same_hashes_in_every_home"] and found["same_hashes_after_a_second_run"] else 1)
