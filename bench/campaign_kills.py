"""Kill -9 anywhere, run again: the same result, nothing partial to see, nothing doubled.

Runs a small demo once without interruption, then again and again with its whole process group killed: after named steps, or at random
moments. After each kill every visible partition must be whole and the audit content; at the end all that a run leaves behind must be
equal, hash by hash. The fast suite's slow test uses `killed_demo` with the named steps; this is the long form.

    python -m bench.campaign_kills --kills 40
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.kill_results import told
from flywheel.governance import verify_audit
from flywheel.storage.commands import open_connection
from tests.small_rounds import CHECKOUT, LOGS, environment, new_home, reopen, state_of

STEPS = [
    "inference_logs", "redacted_logs", "response_pairs", "embeddings", "labeling_batch", "annotations", "preference_dataset", "dpo_model",
    "promotion",
]  # fmt: skip
RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Killed:
    """One demo under fire: where it was killed, what was wrong (nothing, one hopes), and what it left behind."""

    kills: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    state: dict[str, str] = field(default_factory=dict)


def start(folder: Path, weeks: int, logs: int) -> subprocess.Popen[str]:
    """`flywheel demo` in a process group of its own."""
    command = [sys.executable, "-m", "flywheel.cli", "demo", "--weeks", str(weeks), "--logs", str(logs), "--home", str(folder)]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(folder), start_new_session=True
    )


def finish(folder: Path, weeks: int, logs: int) -> str:
    """Let it run to its end. Returns what is wrong, or an empty string."""
    process = start(folder, weeks, logs)
    _, said = process.communicate()
    return "" if process.returncode == 0 else f"exit code {process.returncode}: {said[-1_500:]}"


def kill_after_step(folder: Path, step: str, weeks: int, logs: int) -> str:
    """Kill as soon as the step is reported as done (so: in whatever comes next). Returns a note; the run may have ended before."""
    process = start(folder, weeks, logs)
    assert process.stderr is not None
    for line in process.stderr:
        if line.split()[:2] == ["✓", step]:
            break
    return _kill(process, f"after {step}")


def kill_after_seconds(folder: Path, seconds: float, weeks: int, logs: int) -> str:
    """Kill at a moment that knows nothing of steps."""
    process = start(folder, weeks, logs)
    assert process.stderr is not None
    threading.Thread(target=process.stderr.read, daemon=True).start()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    return _kill(process, f"after {seconds:.2f} s")


def _kill(process: subprocess.Popen[str], note: str) -> str:
    if process.poll() is not None:
        return f"{note}: had ended with {process.returncode}"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return note


def wrong_now(folder: Path) -> list[str]:
    """What a reader would find wrong at this moment: partitions that are not whole, broken chains, views that cannot be read."""
    home = reopen(folder)
    problems = list(verify_audit(home).problems)
    for manifest in home.lake.manifests():
        if home.lake.read(manifest.table, manifest.round).num_rows != manifest.rows:
            problems.append(f"{manifest.table}[{manifest.round}] has other rows than its manifest says")
    with open_connection(home) as connection:
        names = [r[0] for r in connection.execute("select view_name from duckdb_views() where not internal").fetchall()]
        for name in names:
            connection.execute(f'select count(*) from "{name}"').fetchall()  # noqa: S608
    return problems


def killed_demo(folder: Path, *, steps: Sequence[str] = (), seconds: Sequence[float] = (), weeks: int = 2, logs: int = LOGS) -> Killed:
    """A fresh small home, killed once for each step and each moment, then run to its end."""
    new_home(folder)
    found = Killed()
    for step in steps:
        found.kills.append(kill_after_step(folder, step, weeks, logs))
        found.problems += [f"{found.kills[-1]}: {p}" for p in wrong_now(folder)]
    for moment in seconds:
        found.kills.append(kill_after_seconds(folder, moment, weeks, logs))
        found.problems += [f"{found.kills[-1]}: {p}" for p in wrong_now(folder)]
    wrong = finish(folder, weeks, logs)
    if wrong:
        found.problems.append(wrong)
    found.problems += [f"at the end: {p}" for p in wrong_now(folder)]
    found.state = state_of(reopen(folder))
    return found


def differences(one: dict[str, str], two: dict[str, str]) -> list[str]:
    return sorted(k for k in {*one, *two} if one.get(k) != two.get(k))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="random kills in all")
    parser.add_argument("--per-demo", type=int, default=6, help="of these in one demo before it may finish")
    parser.add_argument("--logs", type=int, default=LOGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "kills.json")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)
    runs, remaining = [], options.kills
    with tempfile.TemporaryDirectory() as scratch:
        calm = Path(scratch) / "calm"
        new_home(calm)
        began = time.monotonic()
        wrong = finish(calm, 2, options.logs)
        if wrong:
            raise SystemExit(wrong)
        length = time.monotonic() - began
        expected = state_of(reopen(calm))
        while remaining > 0:
            count = min(options.per_demo, remaining)
            # what is done already is not done again, so that each attempt is shorter than the one before
            moments = [rng.uniform(1.0, max(length * 0.3, 4.0)) for _ in range(count)]
            killed = killed_demo(Path(scratch) / f"killed-{len(runs)}", seconds=moments, logs=options.logs)
            wrongs = killed.problems + [f"differs: {d}" for d in differences(expected, killed.state)]
            remaining -= sum("had ended" not in k for k in killed.kills)
            runs.append({"kills": killed.kills, "problems": wrongs})
            print(f"{options.kills - remaining}/{options.kills} kills, {sum(len(r['problems']) for r in runs)} problems", flush=True)
    facts = {"seconds_uninterrupted": round(length, 1), "compared": len(expected), "seed": options.seed}
    return told(runs, options.kills - remaining, options.out, **facts)


if __name__ == "__main__":
    sys.exit(main())
