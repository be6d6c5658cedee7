"""Audit reads through the views of `flywheel sql` while another process rewrites the same round, over and over: how many fail?

A read opens its own connection (as the command does) and must see whole partitions: every table either before or after a rewrite.

    python -m bench.audit_reads --reads 250
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flywheel.records import RESTRICTED_TABLES, TABLES
from flywheel.rounds import code_version
from flywheel.storage import Home
from flywheel.storage.commands import open_connection, run_query
from tests.small_rounds import CHECKOUT, R1, UNTRAINED, close_round, environment, new_home, open_round, reopen

RESULTS = Path(__file__).resolve().parent / "results"
OPEN_TABLES = [t for t in TABLES if t not in RESTRICTED_TABLES]


@dataclass
class Reads:
    """What the reader saw. `versions` is how many different states of the lake it met: one would prove nothing."""

    reads: int = 0
    failures: list[str] = field(default_factory=list)
    versions: int = 0
    rewrites: int = 0
    seconds: float = 0.0


def rewrite(folder: Path, round: str) -> None:
    """The writing process: every table of the round, with and without its last row, until it is ended. Prints each pass."""
    lake = reopen(folder).lake
    whole = {t: lake.read(t, round) for t in OPEN_TABLES if lake.manifest(t, round)}
    passes = 0
    while True:
        for name, table in whole.items():
            lake.write(name, round, table.slice(0, max(table.num_rows - passes % 2, 0)))
        passes += 1
        print(passes, flush=True)


def read_while_writing(home: Home, round: str, reads: int) -> Reads:
    """`reads` reads of all tables while `rewrite` runs in a process of its own."""
    whole = {t: m.rows for t in OPEN_TABLES if (m := home.lake.manifest(t, round)) is not None}
    counting = " union all ".join(
        f"select '{t}' as name, count(*) as n, count(round) as whole from \"{t}\" where round = date '{round}'"  # noqa: S608
        for t in whole
    )
    found, seen = Reads(), set()
    command = [sys.executable, "-m", "bench.audit_reads", "--rewrite", str(home.root), round]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(home.root))
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        began = time.monotonic()
        for number in range(reads):
            try:
                with open_connection(home) as connection:
                    _, rows = run_query(home, connection, counting)
            except Exception as error:  # whatever it is, it is a failed read
                found.failures.append(f"read {number}: {type(error).__name__}: {error}")
                continue
            finally:
                found.reads += 1
            torn = [name for name, n, filled in rows if n not in (whole[name], max(whole[name] - 1, 0)) or n != filled]
            if torn:
                found.failures.append(f"read {number}: {', '.join(torn)} neither before nor after")
            seen.add(tuple(rows))
        found.seconds = time.monotonic() - began
        if writer.poll() is not None:
            found.failures.append("the writer ended by itself")
    finally:
        writer.kill()
        found.rewrites = len((writer.stdout.read() if writer.stdout else "").splitlines())
        writer.wait()
    found.versions = len(seen)
    return found


def measure(reads: int) -> Reads:
    """On a home of one small closed round."""
    with tempfile.TemporaryDirectory() as scratch:
        home = new_home(Path(scratch) / "home", UNTRAINED)
        open_round(home, R1)
        close_round(home, R1)
        return read_while_writing(home, R1, reads)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=250)
    parser.add_argument("--rewrite", nargs=2, metavar=("HOME", "ROUND"), help="be the writer (used by the reader)")
    parser.add_argument("--out", type=Path, default=RESULTS / "audit_reads.json")
    options = parser.parse_args(arguments)
    if options.rewrite:
        rewrite(Path(options.rewrite[0]), options.rewrite[1])
    found = measure(options.reads)
    result = {
        "commit": code_version(), "goal": {"failures": 0}, "measured": {"reads": found.reads, "failures": len(found.failures)}, "rewrites": found.rewrites,
        "states_seen": found.versions, "seconds": round(found.seconds, 1), "first_failures": found.failures[:5],
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["measured"] | {"rewrites": found.rewrites, "states_seen": found.versions}))
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
