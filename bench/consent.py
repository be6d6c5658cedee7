"""The consent ledger at scale: append in bulk, load and verify in a process of its own, ask about a million rows.

Seconds are of CPU: other work may run beside it. In the same run, what any reader of the file must do at least: parse each line as JSON
and hash it.

    python -m bench.consent --events 300000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.orchestration import peak_megabytes
from flywheel.governance import ConsentLedger, Statement, permitted
from flywheel.governance.consent import PURPOSES
from flywheel.rounds import code_version
from flywheel.storage import Ids
from tests.small_rounds import CHECKOUT, environment

RESULTS = Path(__file__).resolve().parent / "results"
GOAL = {"append_100k_s": 2.0, "load_and_verify_s": 3.0, "megabytes": 400.0}
IDS = Ids(b"bench consent ledger, not secret")
T0 = datetime(2026, 1, 1, tzinfo=UTC)
NOW = T0 + timedelta(days=100)
CHUNK = 100_000


def subject(number: int) -> str:
    return IDS.make("subject", str(number))


def statements(first: int, count: int) -> list[Statement]:
    """Three purposes a subject; one subject in ten has withdrawn, one in ten has expired."""
    found = []
    for number in range(first, first + count):
        person, purpose = divmod(number, len(PURPOSES))
        action, until = ("withdrawn" if person % 10 == 0 else "granted"), (T0 + timedelta(days=50) if person % 10 == 1 else None)
        at = T0 + timedelta(seconds=person)
        found.append(Statement(subject(person), PURPOSES[purpose], action, "consent", "3", at, "bench", until))  # type: ignore[arg-type]
    return found


def write(path: Path, events: int) -> list[float]:
    """Append `events` in chunks; seconds of each."""
    seconds = []
    for first in range(0, events, CHUNK):
        chunk = statements(first, min(CHUNK, events - first))
        began = time.process_time()
        ConsentLedger(path).append_statements(chunk, ids=IDS, recorded_at=T0)
        seconds.append(time.process_time() - began)
    return seconds


def ask(path: Path, rows: int) -> dict[str, Any]:
    """A fresh process: load and verify, then judge a table of `rows`. Memory before the table is made."""
    began = time.process_time()
    state = ConsentLedger(path).state()
    loaded, megabytes = time.process_time() - began, peak_megabytes()
    people = state.subjects.take(pa.array([i % len(state.subjects) for i in range(rows)], pa.int64()))
    table = pa.table({"subject_id": people, "timestamp": pa.array([T0] * rows, pa.timestamp("us", "UTC"))})
    began = time.process_time()
    found = permitted(table, ConsentLedger(path), "training", NOW, {"training": {"consent": 365}})
    judged = time.process_time() - began
    return {"load_and_verify_s": loaded, "megabytes": megabytes, "rows": rows, "judge_s": judged, "refused": sum(found.reasons.values())}


def floor(path: Path) -> float:
    """Seconds to parse and hash each line with the standard library."""
    began = time.process_time()
    with open(path, "rb") as file:
        for line in file:
            json.loads(line)
            hashlib.sha256(line).hexdigest()
    return time.process_time() - began


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--ask", type=Path, help="be the reader (a process of its own)")
    parser.add_argument("--out", type=Path, default=RESULTS / "consent.json")
    options = parser.parse_args(arguments)
    if options.ask:
        print(json.dumps(ask(options.ask, options.rows)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "consent.jsonl"
        appended = write(path, options.events)
        command = [sys.executable, "-m", "bench.consent", "--ask", str(path), "--rows", str(options.rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT, env=environment(Path(scratch)))
        found, least, size = json.loads(done.stdout), floor(path), path.stat().st_size
    measured = {"append_100k_s": max(appended), **{k: found[k] for k in ("load_and_verify_s", "megabytes")}}
    beside = {
        "judge_1m_rows_s": found["judge_s"],
        "refused": found["refused"],
        "parse_and_hash_only_s": least,
        "file_megabytes": size / 1e6,
    }
    shown = {k: round(v, 2) for k, v in measured.items()}
    result = {"commit": code_version(), "goal": GOAL, "measured": shown, "events": options.events, "rows": options.rows,
              **{k: round(v, 2) for k, v in beside.items()}}  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({**shown, **{k: round(v, 2) for k, v in beside.items()}}))
    return int(any(measured[k] > limit for k, limit in GOAL.items()))


if __name__ == "__main__":
    sys.exit(main())
