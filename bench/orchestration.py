"""What Dagster costs here: loading the code location, a step's overhead, `flywheel up` until it answers, audit reads during writes.

Overhead of a step: a run's wall time less the time inside our own functions (asset bodies, check bodies, reading and writing tables),
divided by its steps; median of several runs after a first one that loads the libraries. Once with the persistent SQLite instance that a
home uses, once with an ephemeral one.

    python -m bench.orchestration
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import audit_reads
from flywheel.rounds import code_version
from tests.small_rounds import CHECKOUT, R1, UNTRAINED, environment, new_home, reopen

RESULTS = Path(__file__).resolve().parent / "results"
GOALS = {"load_s": 3.0, "load_megabytes": 200, "overhead_s_a_step": 0.15, "up_ready_s": 10.0, "audit_read_failures": 0}
LOADING = """
import json, time
began = time.perf_counter()
import assets.definitions
assets.definitions.defs.get_repository_def()
seconds = time.perf_counter() - began
from bench.orchestration import peak_megabytes
print(json.dumps([seconds, peak_megabytes()]))
"""


def peak_megabytes() -> float:
    """Peak resident memory of this process. (Linux keeps `ru_maxrss` over exec: a child of a large process would show its parent's.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:")) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def child(folder: Path, *arguments: str) -> Any:
    """JSON that a subprocess prints last."""
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=CHECKOUT, env=environment(folder), check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def loading(repeats: int) -> dict[str, Any]:
    """Seconds and megabytes of importing the definitions in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as scratch:
        measured = [child(Path(scratch), "-c", LOADING) for _ in range(repeats)]
    return {
        "load_s": round(statistics.median(s for s, _ in measured), 2), "load_megabytes": round(statistics.median(m for _, m in measured), 1),
        "load_s_all": [round(s, 2) for s, _ in measured],
    }  # fmt: skip


class Stopwatch:
    """Time inside our own functions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*positional: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self._depth += 1
            try:
                return function(*positional, **named)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.perf_counter() - began

        return timed


def _measure_steps(folder: Path, repeats: int) -> dict[str, Any]:
    """In a process of its own: the decorators are wrapped before the graph is imported."""
    import dagster as dg

    watch = Stopwatch()
    asset, check = dg.asset, dg.asset_check
    dg.asset = lambda **given: lambda function: asset(**given)(watch.around(function))
    dg.asset_check = lambda **given: lambda function: check(**given)(watch.around(function))
    from assets.definitions import build_defs
    from assets.run import open_instance
    from resources.parquet import ParquetIOManager

    ParquetIOManager.handle_output = watch.around(ParquetIOManager.handle_output)
    ParquetIOManager.load_input = watch.around(ParquetIOManager.load_input)
    job = build_defs(path=str(folder), loggers=_silent()).resolve_job_def("weekly_round")

    def once(instance: Any) -> tuple[float, int, float]:
        watch.seconds = 0.0
        began = time.perf_counter()
        done = job.execute_in_process(partition_key=R1, instance=instance, run_config={"loggers": {"silent": {}}})
        whole = time.perf_counter() - began
        steps = sum(e.event_type_value == "STEP_SUCCESS" for e in done.all_events)
        return (whole - watch.seconds) / steps, steps, whole

    found: dict[str, Any] = {}
    with open_instance(folder) as persistent, dg.DagsterInstance.ephemeral() as ephemeral:
        for name, instance in (("sqlite", persistent), ("ephemeral", ephemeral)):
            once(instance)
            runs = [once(instance) for _ in range(repeats)]
            found[name] = {
                "overhead_s_a_step": round(statistics.median(r[0] for r in runs), 4), "all": [round(r[0], 4) for r in runs],
                "steps": runs[0][1], "run_s": round(statistics.median(r[2] for r in runs), 2),
            }  # fmt: skip
    return found


def _silent() -> dict[str, Any]:
    from assets.run import silent_logger

    return {"silent": silent_logger}


def step_overhead(repeats: int) -> dict[str, Any]:
    """Overhead a step of `weekly_round` on a small demo home."""
    from assets.commands.demo import deliver_logs

    with tempfile.TemporaryDirectory() as scratch:
        home = new_home(Path(scratch) / "home", UNTRAINED)
        deliver_logs(home, R1, 60)
        measured = child(home.root, "-m", "bench.orchestration", "--steps-of", str(home.root), "--repeats", str(repeats))
        assert reopen(home).lake.manifest("labeling_batch", R1)
    return {"overhead_s_a_step": measured["sqlite"]["overhead_s_a_step"], "step_details": measured}


@contextlib.contextmanager
def running_up(folder: Path) -> Iterator[float]:
    """`flywheel up` on a fresh home; gives the seconds from the start of the command until it says that it is ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "flywheel.cli", "up", "--port", str(port)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        cwd=CHECKOUT, env=environment(folder), start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "ready in" in line:
                break
        else:
            raise RuntimeError(said)
        yield time.monotonic() - began
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def up_ready(repeats: int) -> dict[str, Any]:
    seconds = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as scratch, running_up(Path(scratch) / "home") as found:
            seconds.append(found)
    return {"up_ready_s": round(statistics.median(seconds), 2), "up_ready_s_all": [round(s, 2) for s in seconds]}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reads", type=int, default=250)
    parser.add_argument("--steps-of", type=Path, help="measure the steps on this home (used by the benchmark itself)")
    parser.add_argument("--out", type=Path, default=RESULTS / "orchestration.json")
    options = parser.parse_args(arguments)
    if options.steps_of:
        print(json.dumps(_measure_steps(options.steps_of, options.repeats)))
        return 0
    measured: dict[str, Any] = {}
    for part in (
        lambda: loading(options.repeats),
        lambda: step_overhead(options.repeats),
        lambda: up_ready(3),
        lambda: _reads(options.reads),
    ):
        measured |= part()
    result = {
        "commit": code_version(), "goal": GOALS, "measured": measured, "met": {k: measured[k] <= GOALS[k] for k in GOALS},
        "machine": {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], "python": platform.python_version()},
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    for name, goal in GOALS.items():
        print(f"{name:24} {measured[name]:>10}   goal at most {goal:<8} {'met' if result['met'][name] else 'NOT MET'}")
    return 0 if all(result["met"].values()) else 1


def _reads(reads: int) -> dict[str, Any]:
    found = audit_reads.measure(reads)
    return {
        "audit_read_failures": len(found.failures), "audit_reads": found.reads, "audit_rewrites_meanwhile": found.rewrites,
        "audit_states_seen": found.versions, "audit_read_s": round(found.seconds / found.reads, 3),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
