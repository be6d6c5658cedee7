"""Ingestion beside DuckDB: the same file, the same cores, one after the other.

DuckDB parses the file with `read_json` into a table. Ours reads, validates, makes keyed ids, removes duplicates, classifies, sorts and
writes the partition, quarantine, consent statements and identities. Also a second import of the same folder, and other forms a record.

    python -m bench.ingestion --rows 1000000
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.processes import resident_of, watched
from flywheel.rounds import code_version

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parents[1]
GOALS = {"canonical_ratio": 3.0, "other_ratio_a_record": 15.0, "peak_megabytes": 1_000}
WORDS = [
    "the",
    "order",
    "parcel",
    "refund",
    "invoice",
    "customer",
    "delivered",
    "broken",
    "please",
    "track",
    "account",
    "charge",
    "twice",
    "return",
    "label",
    "warranty",
    "blue",
    "large",
]
DUCKDB = """
import duckdb, sys, time
connection = duckdb.connect()
connection.execute(f"set threads = {sys.argv[2]}")
began = time.perf_counter()
connection.execute(f"create temp table t as select * from read_json('{sys.argv[1]}', format = 'newline_delimited')")
print(time.perf_counter() - began)
"""
OURS = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
if __name__ == "__main__":
    began = time.perf_counter()
    from flywheel.ingestion import import_landing
    from flywheel.settings import IngestionSettings
    from flywheel.storage import Ids, Lake
    folder, home, workers = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    lake = Lake(home / "lake", home / "restricted")
    writer = lake.writer("inference_logs", "2026-01-05")
    found = import_landing(folder, round="2026-01-05", ids=Ids(b"k" * 32), settings=IngestionSettings(workers=workers),
                           now=datetime(2026, 6, 1, tzinfo=UTC), store=home / "ingestion", partition=writer)
    lake.write("quarantine", "2026-01-05", found.quarantine)
    manifest = writer.commit()
    print(json.dumps([time.perf_counter() - began, found.counts, manifest.sha256]))
"""


def canonical(number: int, rng: random.Random) -> dict[str, Any]:
    """A row of about 1.1 kB: two answers, a profile, a consent statement."""
    user = rng.randrange(100_000)
    return {
        "id": f"r-{number}", "timestamp": f"2026-01-{5 + number % 7:02d}T{number % 24:02d}:{number % 60:02d}:40Z", "conversation_id": f"c-{number // 3}",
        "user_id": f"u-{user}", "domain": "support",
        "messages": [{"role": "system", "content": "You are ShopForge support."}, {"role": "user", "content": " ".join(rng.choices(WORDS, k=30))}],
        "responses": [{"text": " ".join(rng.choices(WORDS, k=22)), "model": "m-1", "temperature": 0.7, "prompt_tokens": 51, "completion_tokens": 30},
                      {"text": " ".join(rng.choices(WORDS, k=22)), "model": "m-2"}],
        "profile": {"name": f"Ada Byron{user}", "email": f"u{user}@mail.example"},
        "consent": {"purposes": ["labeling", "training", "evaluation"], "legal_basis": "consent", "policy_version": "2026-01", "granted_at": "2025-11-03T09:00:00Z"},
    }  # fmt: skip


def openai(number: int, rng: random.Random) -> dict[str, Any]:
    """The same as a chat-completions log."""
    row = canonical(number, rng)
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": r["text"]}}
        for i, r in enumerate(row["responses"])
    ]
    response = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1767693600 + number % 500_000, "model": "m-1", "choices": choices,
                "usage": {"prompt_tokens": 51, "completion_tokens": 30, "total_tokens": 81}}  # fmt: skip
    return {"request": {"model": "m-1", "messages": row["messages"], "temperature": 0.7, "user": row["user_id"]}, "response": response}


def otel(number: int, rng: random.Random) -> dict[str, Any]:
    """The same as a span of the conventions since 1.37, one request a line."""
    row = canonical(number, rng)
    parts = [{"role": m["role"], "parts": [{"type": "text", "content": m["content"]}]} for m in row["messages"]]
    said = [{"role": "assistant", "parts": [{"type": "text", "content": r["text"]}], "finish_reason": "stop"} for r in row["responses"]]
    values = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m-1", "gen_ai.response.model": "m-1",
        "gen_ai.response.id": f"chatcmpl-{number}", "gen_ai.conversation.id": row["conversation_id"], "user.id": row["user_id"],
        "gen_ai.input.messages": json.dumps(parts), "gen_ai.output.messages": json.dumps(said),
    }  # fmt: skip
    start = (1767693600 + number % 500_000) * 10**9
    span = {"traceId": f"{number + 1:032x}", "spanId": f"{number + 1:016x}", "name": "chat m-1", "kind": 3, "startTimeUnixNano": str(start), "endTimeUnixNano": str(start + 10**9),
            "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in values.items()], "status": {}}  # fmt: skip
    return {"resourceSpans": [{"resource": {"attributes": []}, "scopeSpans": [{"scope": {"name": "x"}, "spans": [span]}]}]}


def lines(make: Callable[[int, random.Random], dict[str, Any]], rows: int) -> bytes:
    rng = random.Random(1)
    return b"".join(json.dumps(make(n, rng)).encode() + b"\n" for n in range(rows))


def parquet(path: Path, rows: int) -> None:
    """Canonical rows as a Parquet file with struct columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(1)
    pq.write_table(pa.Table.from_pylist([canonical(n, rng) for n in range(rows)]), path)


def run(code: str, *arguments: object) -> tuple[Any, float]:
    """What a fresh interpreter prints, and the peak memory of its process tree."""
    process = subprocess.Popen([sys.executable, "-c" if code == DUCKDB else _script(code), *((code,) if code == DUCKDB else ()), *map(str, arguments)],
                               stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    return watched(process, resident_of, 0.05)


_scripts: dict[str, str] = {}


def _script(code: str) -> str:
    """The code as a file: worker processes import the program that started them."""
    if code not in _scripts:
        with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as file:
            file.write(code)
        _scripts[code] = file.name
    return _scripts[code]


def processor() -> float:
    """Processor seconds of all processes that were run so far: unlike the clock, they hardly depend on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, scratch: Path, rows: int, cores: int, repeats: int, *, again: bool = False) -> dict[str, Any]:
    """Our import of `folder`, anew each time."""
    seconds, peaks, second, used = [], [], [], []
    counts: dict[str, int] = {}
    for number in range(repeats):
        home = scratch / f"home-{folder.name}-{number}"
        before = processor()
        (taken, counts, _), peak = run(OURS, folder, home, cores)
        used.append(processor() - before)
        seconds.append(taken)
        peaks.append(peak)
        if again:
            second.append(run(OURS, folder, home, cores)[0][0])
    if counts["accepted"] != rows:
        raise SystemExit(f"{folder.name}: {counts}")
    made = {
        "seconds": round(statistics.median(seconds), 2),
        "all_s": [round(s, 2) for s in seconds],
        "processor_us_a_record": round(min(used) / rows * 1e6, 1),
        "peak_megabytes": round(max(peaks)),
        "rows": rows,
    }
    return made | ({"again_s": round(statistics.median(second), 2)} if second else {})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--other-rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=min(os.cpu_count() or 1, 2))
    parser.add_argument("--out", type=Path, default=RESULTS / "ingestion.json")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as text:
        scratch = Path(text)
        folders = {name: scratch / name for name in ("canonical", "canonical_gzip", "canonical_parquet", "openai", "otel")}
        for folder in folders.values():
            folder.mkdir()
        with open(folders["canonical"] / "logs.jsonl", "wb") as file:
            rng = random.Random(1)
            for number in range(options.rows):
                file.write(json.dumps(canonical(number, rng)).encode() + b"\n")
        few = options.other_rows
        (folders["canonical_gzip"] / "logs.jsonl.gz").write_bytes(gzip.compress(lines(canonical, few), 3))
        parquet(folders["canonical_parquet"] / "logs.parquet", few)
        (folders["openai"] / "logs.jsonl").write_bytes(lines(openai, few))
        (folders["otel"] / "spans.jsonl").write_bytes(lines(otel, few))
        before = processor()
        duck = [run(DUCKDB, folders["canonical"] / "logs.jsonl", options.cores)[0] for _ in range(options.repeats)]
        duck_processor = (processor() - before) / options.repeats
        base = statistics.median(duck)
        ours = {"canonical": measure(folders["canonical"], scratch, options.rows, options.cores, options.repeats, again=True)}
        for name in list(folders)[1:]:
            ours[name] = measure(folders[name], scratch, few, options.cores, 1)
    for name, found in ours.items():
        found["ratio_a_record"] = round(found["seconds"] / found["rows"] / (base / options.rows), 2)
        found["processor_ratio_a_record"] = round(found["processor_us_a_record"] / (duck_processor / options.rows * 1e6), 2)
        print(
            f"{name:20} {found['rows']:>9} rows {found['seconds']:>8.2f} s   x{found['ratio_a_record']:<6} {found['peak_megabytes']:>6} MB"
            f"   {found['processor_us_a_record']:>6} us of processor, x{found['processor_ratio_a_record']}"
        )
    others = max(f["ratio_a_record"] for n, f in ours.items() if n != "canonical")
    measured = {
        "canonical_ratio": ours["canonical"]["ratio_a_record"],
        "canonical_processor_ratio": ours["canonical"]["processor_ratio_a_record"],
        "other_ratio_a_record": others,
        "peak_megabytes": max(f["peak_megabytes"] for f in ours.values()),
    }
    result = {
        "commit": code_version(), "machine": {"cores": options.cores, "python": platform.python_version()}, "goal": GOALS, "measured": measured,
        "load": [round(v, 1) for v in os.getloadavg()], "duckdb_read_json_s": round(base, 2),
        "duckdb_processor_us_a_record": round(duck_processor / options.rows * 1e6, 1), "duckdb_all_s": [round(d, 2) for d in duck], "ours": ours,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"DuckDB read_json {base:.2f} s", json.dumps(measured), "->", options.out.name)
    return 1 if any(measured[k] > GOALS[k] for k in GOALS) else 0


if __name__ == "__main__":
    sys.exit(main())
