"""Small files that become large: each is imported in a process of its own whose memory and time are measured.

python -m bench.fuzz_bombs [NAME ...]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import zstandard

MB = 1 << 20
SIZE = 1_024  # MB of text
GROWTH = 300  # MB that an import may take beyond what the interpreter and its libraries do
NUMBERS = 1_000_000  # bad lines, each of which is kept in quarantine
SECONDS = 120.0
ROW = b'{"id":"a","timestamp":"2026-01-06T10:00:00Z","messages":[{"role":"user","content":"'


def _zeros(start: bytes = b"", fill: bytes = b"0") -> Iterator[bytes]:
    yield start
    for _ in range(SIZE):
        yield fill * (MB // len(fill))


def _gzip(chunks: Iterator[bytes]) -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(c) for c in chunks) + packer.flush()


def _zstd(chunks: Iterator[bytes]) -> bytes:
    packer = zstandard.ZstdCompressor(19).compressobj()
    return b"".join(packer.compress(c) for c in chunks) + packer.flush()


def _frame(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip of zero bytes": lambda: _gzip(_zeros(fill=b"\0")),
    "zstd of zero bytes": lambda: _zstd(_zeros(fill=b"\0")),
    "gzip of line ends": lambda: _gzip(_zeros(fill=b"\n")),
    "gzip of one canonical line": lambda: _gzip(_zeros(ROW)),
    "zstd of one canonical line": lambda: _zstd(_zeros(ROW)),
    "gzip of an array with one long text": lambda: _gzip(_zeros(b'[{"a":"')),
    "zstd of an object with one long text": lambda: _zstd(_zeros(b'{\n"a":"')),
    "gzip of an array of brackets": lambda: _gzip(_zeros(b'[{"a":', b"[")),
    "gzip of an array of spaces": lambda: _gzip(_zeros(b'[{"a":1}', b" ")),
    "numbers": lambda: b"".join(b"%d\n" % n for n in range(NUMBERS)),
    "collector frame of zeros": lambda: _frame(_zstd(_zeros(b'{"resourceSpans":"'))),
}


ROWS = {"numbers": NUMBERS}  # of bombs that hold more than one row


def measured(file: Path) -> None:
    """Import the folder of `file` and print what it took (for a process of its own)."""
    from datetime import UTC, datetime

    from flywheel.ingestion import import_landing
    from flywheel.ingestion.taxonomy import Taxonomy
    from flywheel.settings import IngestionSettings
    from flywheel.storage import Ids

    settings = IngestionSettings(workers=1)
    taxonomy, options = (
        Taxonomy.load(settings),
        {"round": None, "ids": Ids(b"k" * 32), "settings": settings, "now": datetime(2027, 1, 1, tzinfo=UTC)},
    )
    with tempfile.TemporaryDirectory() as calm:
        (Path(calm) / "a.jsonl").write_bytes(ROW + b'"}],"responses":[{"text":"b","model":"m"}]}\n')
        import_landing(calm, taxonomy=taxonomy, **options)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    found = import_landing(str(file.parent), taxonomy=taxonomy, **options)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    print(
        json.dumps(
            {
                "mb": grown,
                "seconds": round(time.monotonic() - began, 1),
                "reasons": sorted(found.reasons),
                "quarantined": found.counts["quarantined"],
                "read": found.counts["rows_read"],
            }
        )
    )


def bombs(names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Each bomb, what its import took and whether that was within bounds."""
    results = []
    for name, make in BOMBS.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "bomb.jsonl"
            file.write_bytes(make())
            size = file.stat().st_size
            command = [sys.executable, "-m", "bench.fuzz_bombs", "--measure", str(file)]
            try:
                done = subprocess.run(
                    command, check=False, capture_output=True, text=True, timeout=SECONDS * 2, env=os.environ | {"MALLOC_ARENA_MAX": "2"}
                )
                took = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-800:]}
            except subprocess.TimeoutExpired:
                took = {"error": "does not end"}
        held = (
            took.get("mb", GROWTH) < GROWTH
            and took.get("seconds", SECONDS) < SECONDS
            and took.get("read") == took.get("quarantined") == ROWS.get(name, 1)
            and len(took.get("reasons", [])) == 1
        )
        results.append({"bomb": name, "bytes": size, "held": held, **took})
        print(json.dumps(results[-1]), flush=True)
    return results


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measured(Path(sys.argv[2]))
    else:
        sys.exit(0 if all(b["held"] for b in bombs(sys.argv[1:])) else 1)
