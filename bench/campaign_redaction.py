"""Kill -9 of a round's redaction at random moments, by one and by three processes in turn: the same table, facts and vault as without a kill, no
partial table on the way, and no worker that outlives its parent.

    python -m bench.campaign_redaction --kills 30
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
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.kill_results import told
from flywheel.storage import Home
from tests.governance.stored_rounds import BEFORE, ROUND, new_home, outcome, rows_of
from tests.small_rounds import CHECKOUT, environment

RESULTS = Path(__file__).resolve().parent / "results"
ROWS, EARLIER = 1_500, 200
PATIENCE_S = 30


def start(home: Home, workers: int) -> subprocess.Popen[str]:
    """The redaction of the home's round in a process of its own."""
    command = [sys.executable, "-m", "tests.governance.stored_rounds", str(home.root), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(home.root))


def children_of(pid: int) -> set[int]:
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(c) for c in (task / "children").read_text().split()}
    return found


def outlived(pids: set[int]) -> set[int]:
    """Which of them are alive still after some patience."""
    until = time.monotonic() + PATIENCE_S
    while (left := {p for p in pids if _alive(p)}) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--per-round", type=int, default=5, help="of these in one round before it may finish")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "redaction_kills.json")
    options = parser.parse_args(arguments)
    rng, runs, kills = random.Random(options.seed), list[dict[str, Any]](), 0
    with tempfile.TemporaryDirectory() as scratch:
        rows, earlier = rows_of(ROWS, 1), rows_of(EARLIER, 1, BEFORE)
        calm = new_home(Path(scratch) / "calm", rows, earlier)
        process = start(calm, 1)
        lines = len(process.communicate()[0].splitlines())
        expected = outcome(calm)
        while kills < options.kills:
            home = new_home(Path(scratch) / f"killed-{len(runs)}", rows, earlier)
            at, problems = list[str](), list[str]()
            for number in range(min(options.per_round, options.kills - kills)):
                workers = 1 if number % 2 else 3
                # a moment by progress, not by the clock: on a busy machine the clock would kill nothing but starts
                shards, moment = rng.choice([0, *range(lines)]), rng.uniform(0, 0.4)
                process = start(home, workers)
                assert process.stdout is not None
                said = [process.stdout.readline() for _ in range(shards)]
                time.sleep(moment * (10 if not shards else 1))
                began_by_it = children_of(process.pid)
                if process.poll() is not None:
                    at.append(f"{workers} processes: had ended")
                    break
                os.kill(process.pid, signal.SIGKILL)
                said += process.communicate()[0].splitlines()
                kills += 1
                at.append(f"{workers} processes: {said[-1].strip().split(': ')[1] if said else 'before the first shard'}")
                if home.lake.manifest("redacted_logs", ROUND) is not None:
                    at[-1] += " (the table was in place)"
                if left := outlived(began_by_it):
                    problems.append(f"{len(left)} processes outlived their parent")
            done = start(home, rng.choice([1, 3]))
            done.communicate()
            problems += [] if done.returncode == 0 else [f"exit code {done.returncode}"]
            problems += [] if not problems and outcome(home) == expected else ["another outcome than without a kill"]
            problems += ["checkpoints are left"] if (home.restricted / "redaction" / ROUND).exists() else []
            runs.append({"kills": at, "problems": problems})
            print(f"{kills}/{options.kills} kills, {sum(len(r['problems']) for r in runs)} problems", at, flush=True)
    return told(runs, kills, options.out, rows=ROWS, seed=options.seed)


if __name__ == "__main__":
    sys.exit(main())
