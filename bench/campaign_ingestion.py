"""Kill -9 an import at random moments, run it again: every record exactly once, the same partition as an undisturbed run.

The folder mixes formats and compressions, and its import reads with several processes; a kill takes the whole process group. The slow
test uses `killed_import` with few kills; this is the long form.

    python -m bench.campaign_ingestion --kills 50
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.kill_results import told
from flywheel.ingestion import import_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, Lake

RESULTS = Path(__file__).resolve().parent / "results"
SAMPLES = Path(__file__).resolve().parents[1] / "tests" / "ingestion" / "samples"
ROUND, NOW = "2026-01-05", datetime(2026, 6, 1, tzinfo=UTC)
WORDS = [
    "order",
    "parcel",
    "refund",
    "invoice",
    "late",
    "broken",
    "please",
    "track",
    "account",
    "charge",
    "twice",
    "label",
    "warranty",
    "blue",
    "large",
]


def canonical_row(number: int, rng: random.Random) -> dict[str, Any]:
    """A row of about 1 kB."""
    return {
        "id": f"r-{number}", "timestamp": f"2026-01-{5 + number % 7:02d}T{number % 24:02d}:{number % 60:02d}:40Z", "user_id": f"u-{number % 997}",
        "conversation_id": f"c-{number // 3}", "messages": [{"role": "user", "content": " ".join(rng.choices(WORDS, k=60))}],
        "responses": [{"text": " ".join(rng.choices(WORDS, k=60)), "model": "m-1", "prompt_tokens": 51}], "profile": {"name": f"Ada Byron{number % 997}"},
        "consent": {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-11-03T09:00:00Z"},
    }  # fmt: skip


def mixed_folder(folder: Path, rows: int, seed: int = 0) -> None:
    """Logs in many forms, some rows twice, some bad."""
    import zstandard

    rng = random.Random(seed)
    folder.mkdir(parents=True)
    lines = [json.dumps(canonical_row(n, rng)).encode() for n in range(rows)]
    bad = [b'{"broken": ', b'{"id": "x", "colour": 1}']
    quarter = rows // 4
    (folder / "plain.jsonl").write_bytes(b"\n".join([*lines[: 2 * quarter], *bad]) + b"\n")
    (folder / "more.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines[2 * quarter - 50 : 3 * quarter]) + b"\n", 1))
    (folder / "rest.jsonl.zst").write_bytes(zstandard.compress(b"\n".join(lines[3 * quarter :]) + b"\n"))
    (folder / "array.json").write_bytes(b"[" + b",\n".join(lines[:200]) + b"]")
    for sample in sorted(SAMPLES.glob("*")):
        if sample.is_file():
            shutil.copy(sample, folder / f"sample-{sample.name}")


def import_once(folder: Path, home: Path) -> dict[str, Any]:
    """One import into `home`'s lake. Returns what it gave."""
    lake = Lake(home / "lake", home / "restricted")
    writer = lake.writer("inference_logs", ROUND)
    found = import_landing(
        str(folder),
        round=ROUND,
        ids=Ids(b"k" * 32),
        settings=IngestionSettings(workers=2),
        now=NOW,
        store=home / "ingestion",
        partition=writer,
    )
    quarantine = lake.write("quarantine", ROUND, found.quarantine)
    manifest = writer.commit(facts={"counts": found.counts})
    return {"sha256": manifest.sha256, "rows": manifest.rows, "quarantine": quarantine.sha256, "counts": found.counts}


@dataclass
class Killed:
    """An import under fire."""

    kills: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)


def killed_import(folder: Path, home: Path, moments: Sequence[float]) -> Killed:
    """Start the import anew for each of `moments` (seconds after it began to work) and kill it then; at last let it run to its end."""
    found = Killed()
    home.mkdir(parents=True)
    for moment in moments:
        process = _start(folder, home)
        assert process.stdout is not None
        process.stdout.readline()  # the interpreter is up: work begins
        try:
            process.wait(timeout=moment)
            found.kills.append(f"{moment:.3f} s: had ended with {process.returncode}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            found.kills.append(f"{moment:.3f} s")
        process.stdout.close()
        found.problems += _visible(home)
    process = _start(folder, home)
    said, _ = process.communicate(timeout=600)
    if process.returncode:
        found.problems.append(f"the last run ended with {process.returncode}")
    else:
        found.result = json.loads(said.splitlines()[-1])
    return found


def _start(folder: Path, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.campaign_ingestion", "--import-into", str(home), "--folder", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[1], start_new_session=True)


def _visible(home: Path) -> list[str]:
    """What a reader would find wrong at this moment."""
    lake = Lake(home / "lake", home / "restricted")
    manifest = lake.manifest("inference_logs", ROUND)
    if manifest is None:
        return []
    ids = lake.read("inference_logs", ROUND, ["record_id"])["record_id"].to_pylist()
    return [] if len(ids) == len(set(ids)) == manifest.rows else ["a partition is visible that is not whole"]


def differences(expected: dict[str, Any], killed: Killed) -> list[str]:
    """Everything that is not as it should be."""
    wrong = [f"{k}: {killed.result.get(k)} instead of {v}" for k, v in expected.items() if killed.result.get(k) != v]
    return killed.problems + wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--per-home", type=int, default=3, help="of these in one home before its import may finish")
    parser.add_argument("--rows", type=int, default=80_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "ingestion_kills.json")
    parser.add_argument("--import-into", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.import_into is not None:
        print("ready", flush=True)
        print(json.dumps(import_once(options.folder, options.import_into)), flush=True)
        return 0
    rng = random.Random(options.seed)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "landing"
        mixed_folder(folder, options.rows)
        began = time.monotonic()
        calm = killed_import(folder, Path(scratch) / "calm", [])
        length, expected, remaining = time.monotonic() - began, calm.result, options.kills
        if calm.problems:
            raise SystemExit(str(calm.problems))
        while remaining > 0:
            moments = sorted(rng.uniform(0, length) for _ in range(min(options.per_home, remaining)))
            killed = killed_import(folder, Path(scratch) / f"home-{len(runs)}", moments)
            remaining -= max(sum("had ended" not in k for k in killed.kills), 1)
            runs.append({"kills": killed.kills, "problems": differences(expected, killed)})
            shutil.rmtree(Path(scratch) / f"home-{len(runs) - 1}")
            print(f"{options.kills - remaining}/{options.kills} kills, {sum(len(r['problems']) for r in runs)} problems", flush=True)
    kills = sum("had ended" not in k for r in runs for k in r["kills"])
    facts = {"seconds_uninterrupted": round(length, 1), "records": expected["rows"], "counts": expected["counts"], "seed": options.seed}
    return told(runs, kills, options.out, **facts)


if __name__ == "__main__":
    sys.exit(main())
