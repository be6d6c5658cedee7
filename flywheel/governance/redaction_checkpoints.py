"""What is done of a round's redaction, shard by shard, so that a killed run goes on where it was.

A checkpoint holds the shard's redacted rows, notes (conversation, alias, token, subject) and counts: no raw value. Those are in the vault
by then; where it holds them no more (its subject was erased, a backup was restored) the checkpoint does not count. Its name is the hash of
all that decides the shard's bytes (`shard_key`). The folder lies in the restricted zone and is removed when the round is stored.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from flywheel.errors import IntegrityError
from flywheel.governance.redaction_spill import PREFIX
from flywheel.storage import parquet_bytes, read_json, read_parquet, sha256_file, write_atomically, write_json

Note = tuple[str, str, str, str]
"""Conversation, alias, token (empty: an alias that the log itself held), subject."""

NOTES = pa.schema([(name, pa.string()) for name in ("conversation_id", "alias", "token", "subject_id")])


@dataclass(frozen=True)
class Checkpoint:
    """A finished shard. `rows_path` is its part of the table, with hash `sha256`."""

    rows_path: Path
    notes_path: Path
    rows: int
    sha256: str
    stats: dict[str, Any]

    def notes(self) -> list[Note]:
        """Sorted."""
        table = read_parquet(self.notes_path.read_bytes())
        return list(zip(*(table[name].to_pylist() for name in NOTES.names), strict=True))

    def conversations(self) -> list[str]:
        """Those of its rows."""
        found: list[str] = read_parquet(self.rows_path.read_bytes(), ["conversation_id"])["conversation_id"].unique().to_pylist()
        return found


def shard_key(fingerprint: str, round: str, rows: bytes) -> str:
    """Names a shard's result by all that decides it: what redacts (`fingerprint`), the round, and the rows that are allowed, as they are read."""
    inputs = hashlib.sha256(rows).hexdigest()
    return hashlib.sha256(f"{fingerprint}\0{round}\0{inputs}".encode()).hexdigest()[:40]


def write_rows(folder: Path, key: str, payload: bytes) -> None:
    """A shard's part of the table. It counts only once `Checkpoints.put` names it."""
    write_atomically(folder / f"{key}.parquet", payload)  # readable as any file of the lake, whose file it becomes


class Checkpoints:
    """The checkpoints of one round, for one process at a time: a second waits until the first one ends."""

    def __init__(self, folder: Path, waits: Callable[[], None] = lambda: None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(folder.parent / f".{folder.name}.lock", waits)
        folder.mkdir(exist_ok=True, mode=0o700)  # the one before may have swept it while this one waited
        for left in folder.glob(f"{PREFIX}*"):  # of a killed run: its key is gone
            shutil.rmtree(left, ignore_errors=True)
        for half in folder.glob(".*.tmp"):
            with suppress(OSError):
                half.unlink()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._lock)

    def find(self, key: str) -> Checkpoint | None:
        """The finished shard of this name, as far as its files are what they were."""
        said = read_json(self.folder / f"{key}.json")
        if said is None:
            return None
        found = self._named(key, said)
        paths = {found.rows_path: said["sha256"], found.notes_path: said["notes_sha256"]}
        whole = all(path.exists() and sha256_file(path) == sha256 for path, sha256 in paths.items())
        return found if whole else None

    def put(self, key: str, notes: Iterable[Note], rows: int, sha256: str, stats: dict[str, Any]) -> Checkpoint:
        """Make a shard finished: its rows are written (`write_rows`), the vault holds its values."""
        columns = list(zip(*sorted(set(notes)), strict=True)) or [()] * len(NOTES)
        payload = parquet_bytes(pa.table([pa.array(list(c), pa.string()) for c in columns], schema=NOTES))
        write_atomically(self.folder / f"{key}.notes", payload, mode=0o600)
        said = {"rows": rows, "sha256": sha256, "notes_sha256": hashlib.sha256(payload).hexdigest(), "stats": stats}
        write_json(self.folder / f"{key}.json", said, mode=0o600)
        return self._named(key, said)

    def _named(self, key: str, said: dict[str, Any]) -> Checkpoint:
        return Checkpoint(self.folder / f"{key}.parquet", self.folder / f"{key}.notes", said["rows"], said["sha256"], said["stats"])

    def sweep(self) -> None:
        """The round is stored: nothing of this is needed any more."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _locked(path: Path, waits: Callable[[], None]) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waits()
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        os.close(descriptor)
        raise IntegrityError(f"{path.name} in the restricted zone cannot be locked ({error}); it must lie on a local file system") from None
    return descriptor
