"""Consent and redaction of a stored week, from 10,000 to 1,000,000 records: records a second, and the peak memory of the whole process tree (PSS:
shared pages count once), by number of processes. Also the same bytes whatever that number, and after a kill in the middle.

    python -m bench.redaction_scale                                          10,000 and 100,000 records, recogniser on
    python -m bench.redaction_scale --sizes 10000 1000000 --workers 2 --ner off --out bench/results/redaction_scale_campaign.json

The records are short generated chats of two or three requests; agents repeat themselves. Memory counts as flat when the largest size needs
at most a quarter more than the smallest that the processes share.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.processes import proportional_of, watched
from flywheel.records import LogRecord
from flywheel.rounds import code_version
from flywheel.storage import Home, arrow_schema, sha256_file, to_table
from flywheel.storage.ids import install_key

ROUND, START = "2026-01-05", datetime(2026, 1, 5, 1, tzinfo=UTC)
RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = 20_000
FLAT = 1.25
ROWS_A_PART, ROWS_A_GROUP = 262_144, 16_384  # as ingestion writes them
FIRST = ["Katarina", "Oluwaseun", "Wilhelmina", "Tomasz", "Ingrid", "Babajide", "Marguerite", "Søren", "Priyanka", "Leopold"]
LAST = ["Brandvold", "Adeyemi", "Hartog", "Kowalczyk", "Solheim", "Okafor", "Delacroix", "Kjærgaard", "Raghunathan", "Steinbach"]
ASKED = [
    "Hi, my name is {name}. Where is my order SF-{order}?", "It is {first} again, the parcel with the blue lamp is still not here.", "Please mail me at {mail}, thank you",
    "You can call me on {phone} after six in the evening.", "The refund for SF-{order} has not arrived, and I was charged twice.", "ok thanks, that is all for today",
]  # fmt: skip
ANSWERED = [
    "Thank you for your patience. I am looking into it and will come back to you shortly.", "I see the order, it left our warehouse on Monday.",
    "I am sorry for the trouble. The refund takes three to five working days.", "Is there anything else that I can help you with today?",
    "Thanks {first}, I have noted that for SF-{order}.",
]  # fmt: skip


def records(home: Home, first: int, last: int) -> pa.Table:
    """Records of a week; the same numbers give the same ones."""
    rng = random.Random(first)
    like = {
        "round": ROUND, "record_id": "r", "conversation_id": "c", "subject_id": "s", "timestamp": START, "domain": "support", "task_type": "generation",
        "messages": [{"role": "user", "content": "x"}], "responses": [{"text": "x", "generation": {"model_id": "m-1"}}],
        "source": {"format": "flywheel", "file": "a.jsonl", "line": 1}, "content_sha256": "0" * 64,
    }  # fmt: skip
    template, rows = to_table(LogRecord, [like]).to_pylist()[0], []
    for number in range(first, last):
        talk = number // 40 * 16 + number % 16  # two or three of sixteen conversations at a time
        who = talk % SUBJECTS
        first_name = FIRST[who % 10]
        words = {
            "first": first_name, "name": f"{first_name} {LAST[who // 10 % 10]}", "order": f"{talk % 1_000_000:06d}", "mail": f"u{who}@mail.example",
            "phone": f"+1 202 555 {who % 10_000:04d}",
        }  # fmt: skip
        made = {
            "record_id": home.ids.make("record", str(number)), "conversation_id": home.ids.make("conversation", str(talk)),
            "subject_id": home.ids.make("subject", str(who)), "timestamp": START + timedelta(seconds=number // 2),
            "messages": [{**template["messages"][0], "content": rng.choice(ASKED).format(**words)}],
            "responses": [{**template["responses"][0], "text": rng.choice(ANSWERED).format(**words)}],
            "profile": json.dumps({"email": words["mail"], "name": words["name"]}),
        }  # fmt: skip
        rows.append({**template, **made})
    return pa.Table.from_pylist(rows, schema=arrow_schema(LogRecord))


def prepare(folder: Path, n: int, ner: str) -> Home:
    """A home with fixed keys, the week's logs in the files that ingestion writes, and everybody's consent but one subject's in ten."""
    from flywheel.governance import ConsentLedger, Statement
    from flywheel.settings import Settings

    folder.mkdir(parents=True)
    (folder / "flywheel.toml").write_text(f'clock = "2026-02-01T00:00:00+00:00"\n[governance]\nner = "{ner}"\n')
    home = Home(Settings.load(home=folder))
    for name in ("id.key", "vault.key"):
        install_key(home.restricted / "keys" / name, b"k" * 32)
    writer = home.lake.writer("inference_logs", ROUND)
    for part, first in enumerate(range(0, n, ROWS_A_PART)):
        path, last = writer.scratch(part), min(first + ROWS_A_PART, n)
        with pq.ParquetWriter(str(path), arrow_schema(LogRecord), compression="zstd") as file:
            for low in range(first, last, ROWS_A_GROUP):
                file.write_table(records(home, low, min(low + ROWS_A_GROUP, last)), row_group_size=ROWS_A_GROUP)
        writer.add(path, last - first, sha256_file(path))
    writer.commit()
    said = [
        Statement(home.ids.make("subject", str(who)), "labeling", "granted", "consent", "1", START - timedelta(days=30), "bench")
        for who in range(SUBJECTS) if who % 10
    ]  # fmt: skip
    ConsentLedger(home.restricted / "consent.jsonl").append_statements(said, ids=home.ids, recorded_at=START)
    return home


def work(folder: Path, workers: int) -> None:
    """What is measured, in a process of its own: consent, then redaction, as the assets do it."""
    from functools import partial

    from flywheel.governance import ConsentCheck, RoundRedaction, Vault
    from flywheel.ingestion.conversations import assemble_conversations
    from flywheel.rounds import earlier_records
    from flywheel.settings import Settings

    home = Home(Settings.load(home=folder))
    began = time.perf_counter()
    partition = home.lake.writer("consented_logs", ROUND)
    ConsentCheck(home).consented(home.lake.batches("inference_logs", ROUND), ROUND, partition)
    consented = partition.commit()
    consent_s = time.perf_counter() - began
    ask = ConsentCheck(home).ask("labeling")
    earlier = partial(earlier_records, home, ROUND, allowed=ConsentCheck(home).ask("labeling"))
    assemble = partial(assemble_conversations, settings=home.settings.ingestion)
    settings = home.settings.governance.model_copy(update={"workers": workers})
    vault = Vault.open(home)
    with RoundRedaction(home.restricted / "redaction", ROUND, vault=vault, settings=settings, assemble=assemble, tell=_say) as redaction:
        partition = home.lake.writer("redacted_logs", ROUND)
        found = redaction.run(ask.batches(home.lake.batches("consented_logs", ROUND)), earlier, rows=consented.rows, partition=partition)
        manifest = partition.commit(facts=found)
        redaction.sweep()
    seconds = time.perf_counter() - began
    print(json.dumps({
        "seconds": round(seconds, 1), "consent_s": round(consent_s, 1), "records": manifest.rows, "spans": found["stats"]["spans"],
        "parts": max(len(manifest.parts), 1), "sha256": manifest.sha256, "turns_added": found["conversations"]["turns_added"],
        "vault": {k: vault.status()[k] for k in ("values", "copies", "conversations_with_aliases")},
    }))  # fmt: skip


def _say(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


def measured(folder: Path, workers: int, *, kill_at: int | None = None) -> dict[str, Any]:
    """One run in a fresh process tree. `kill_at`: first another one that is killed after so many lines of progress."""
    command = [sys.executable, "-m", "bench.redaction_scale", "--work", str(folder), "--workers", str(workers)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if kill_at is not None:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment)
        assert process.stderr is not None
        for _ in range(kill_at):
            process.stderr.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    found, peak = watched(process, proportional_of, 0.25)
    return {
        "workers": workers,
        **found,
        "records_per_s": round(found["records"] / found["seconds"], 1),
        "peak_pss_megabytes": round(peak),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ner", default="shipped")
    parser.add_argument("--out", type=Path, default=RESULTS / "redaction_scale.json")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        work(options.work, options.workers[0])
        return 0
    runs = []
    with tempfile.TemporaryDirectory() as scratch:
        for n in options.sizes:
            stored = prepare(Path(scratch) / f"logs-{n}", n, options.ner).root
            for workers in options.workers:
                folder = Path(shutil.copytree(stored, Path(scratch) / "run"))
                runs.append({"size": n, "ner": options.ner, **measured(folder, workers)})
                shutil.rmtree(folder)
                print(json.dumps(runs[-1]), flush=True)
            if n == min(options.sizes):
                folder = Path(shutil.copytree(stored, Path(scratch) / "run"))
                killed = measured(folder, max(options.workers), kill_at=2)
                shutil.rmtree(folder)
            shutil.rmtree(stored)
    same = all(len({r["sha256"] for r in runs if r["size"] == n}) == 1 for n in options.sizes)
    same = same and killed["sha256"] == next(r["sha256"] for r in runs if r["size"] == min(options.sizes))
    growth = {}
    for workers in options.workers:
        peaks = {r["size"]: r["peak_pss_megabytes"] for r in runs if r["workers"] == workers}
        growth[str(workers)] = round(peaks[max(peaks)] / peaks[min(peaks)], 2)
    result = {
        "commit": code_version(), "machine": {"cores": os.cpu_count(), "python": platform.python_version()}, "load": [round(v, 1) for v in os.getloadavg()],
        "goal": {"memory_growth": FLAT, "same_bytes": True}, "measured": {"memory_growth": growth, "same_bytes": same}, "runs": runs,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["measured"]), "->", options.out.name)
    return 0 if same and max(growth.values()) <= FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
