"""One shard of a round's redaction, here or in a worker process.

A worker has no key of the vault and never opens it: it gets its rows sealed with the run's own key, writes redacted rows, and hands the raw
values that it found back through a pipe, to the one process that stores them.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import pyarrow as pa

from flywheel.governance.redaction import REDACTION_VERSION, Redacted, redact_records
from flywheel.governance.redaction_checkpoints import shard_key, write_rows
from flywheel.governance.redaction_spill import spilled
from flywheel.records import ConsentedRecord
from flywheel.settings import GovernanceSettings
from flywheel.storage import empty_table, parquet_bytes

Assemble = Callable[[pa.Table, pa.Table | None], tuple[pa.Table, dict[str, int]]]
"""Puts earlier turns before the requests that lack them; what became of the records. It must be importable by name: it travels."""

READS = ("identifiers", "presidio_language", "minimum_score", "ner", "ner_threshold", "not_names")
LIBRARIES = ("presidio-analyzer", "detect-secrets", "phonenumbers", "rapidfuzz", "spacy", "numpy", "pyarrow", "pydantic")


@dataclass(frozen=True)
class Work:
    """What the shards of a round have in common. Plain data: it travels to the workers once."""

    round: str
    settings: GovernanceSettings
    assemble: Assemble
    fingerprint: str
    folder: Path
    spill: Path
    key: bytes


@dataclass(frozen=True)
class Done:
    """A shard: its name and what assembly said of it. `fresh` is None where its checkpoint was there already. `payload` hash as `sha256`."""

    key: str
    assembly: dict[str, int]
    fresh: Redacted | None = None
    rows: int = 0
    sha256: str = ""


def fingerprint(settings: GovernanceSettings, token_key_id: str) -> str:
    """Hash of what redacts: settings, version, code, libraries, the recogniser's model, and the key that names tokens."""
    read = settings.model_dump(mode="json", include=set(READS))
    said = [REDACTION_VERSION, token_key_id, read, _code(), {name: _version(name) for name in LIBRARIES}, _model(settings.ner)]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """A change to a rule that nobody gave a new version must not mix with what the old one did."""
    return _hash_of(Path(__file__).parent, "*.py")


def _model(ner: str) -> str:
    if ner == "off":
        return ner
    folder = Path(__file__).parent / "ner" / "model" if ner == "shipped" else Path(ner)
    return _hash_of(folder, "*") if folder.is_dir() else _version(ner)


def _hash_of(folder: Path, pattern: str) -> str:
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob(pattern) if p.is_file() and p.suffix != ".pyc"):
        data = path.read_bytes()
        found.update(f"{path.relative_to(folder)}\0{len(data)}\0".encode() + data)
    return found.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def redact_shard(work: Work, number: int, *, again: bool = False) -> Done:
    """Read the shard, put its conversations together, redact them, write the rows; unless that is done already (`again`: nonetheless)."""
    rows = spilled(work.spill, work.key, "rows", number)
    whole, assembly = work.assemble(
        rows if rows is not None else empty_table(ConsentedRecord), spilled(work.spill, work.key, "earlier", number)
    )
    key = shard_key(work.fingerprint, work.round, parquet_bytes(whole))
    if not again and (work.folder / f"{key}.json").exists():
        return Done(key, assembly)
    found = redact_records(whole, settings=work.settings, round=work.round)
    payload = parquet_bytes(found.table.replace_schema_metadata(None))
    write_rows(work.folder, key, payload)
    rows_written = found.table.num_rows
    light = Redacted(found.table.slice(0, 0), [], found.findings, found.literals, found.stats)  # what goes through the pipe
    pa.default_memory_pool().release_unused()
    return Done(key, assembly, light, rows_written, hashlib.sha256(payload).hexdigest())


# --- in a worker ----------------------------------------------------------------------------------------------------------------------------

_here: dict[str, Any] = {}


def start(work: Work) -> None:
    """What a worker does first: end with its parent, whatever ends that, and use one core."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from threadpoolctl import threadpool_limits

    _here["threads"] = threadpool_limits(1)
    _here["work"] = work


def _end_with_parent() -> None:
    """A worker waits for work on a pipe that it holds itself: of a killed parent it would never hear, and go on holding raw rows."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def redact_here(number: int, again: bool) -> Done:
    """`redact_shard` of the round that this worker was started for."""
    return redact_shard(_here["work"], number, again=again)
