"""A round's rows sorted into shards of whole conversations, in one pass and flat memory: each shard's rows lie in a file of its own, sealed
with a key that only this run holds. Killed, what is left of them is noise.

A conversation's shard follows from its id and the number of shards alone: a withdrawal changes the shards that held its subject, no other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from flywheel.governance.keys import seal, unseal
from flywheel.storage.ids import KEY_BYTES

SHARD_ROWS = 4_096  # rows a shard, about: some seconds of work, some megabytes of memory
FLUSH_ROWS = 16_384  # rows that wait before they are written
PREFIX = ".spill-"
LENGTH = 8
Kind = Literal["rows", "earlier"]


def number_of_shards(rows: int, shard_rows: int = SHARD_ROWS) -> int:
    """A power of two, so that a few rows more or less move no conversation into another shard."""
    number = 1
    while rows > number * shard_rows:
        number *= 2
    return number


def places_of(conversation_ids: pa.ChunkedArray | pa.Array) -> Any:
    """Of each row, 64 bits that its conversation alone decides."""
    whole = conversation_ids.combine_chunks() if isinstance(conversation_ids, pa.ChunkedArray) else conversation_ids
    coded = whole.dictionary_encode()
    names = coded.dictionary.to_pylist()
    hashed = np.array([int.from_bytes(hashlib.sha256(n.encode()).digest()[:8], "big") for n in names], np.uint64)
    return hashed[coded.indices.to_numpy(zero_copy_only=False)]


class Known:
    """Which conversations a round has: eight bytes for each."""

    def __init__(self) -> None:
        self._parts: list[Any] = []
        self._all: Any = None

    def add(self, places: Any) -> None:
        self._parts.append(np.unique(places))

    def __call__(self, conversation_ids: pa.ChunkedArray | pa.Array) -> pa.BooleanArray:
        """Of each row, whether its conversation is among them. (One in 10^13 may be taken for one: it is left out by name later.)"""
        if self._all is None:
            self._all = np.unique(np.concatenate(self._parts)) if self._parts else np.array([], np.uint64)
            self._parts = []
        places = places_of(conversation_ids)
        if not len(self._all):
            return pa.array(np.zeros(len(places), bool))
        return pa.array(self._all[np.minimum(np.searchsorted(self._all, places), len(self._all) - 1)] == places)


class Spill:
    """Takes tables (columns of one schema a kind, among them `conversation_id`) and gives each shard its rows, in the order they came in."""

    def __init__(self, folder: Path, shards: int) -> None:
        self.shards, self.key, self.conversations = shards, os.urandom(KEY_BYTES), Known()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        self._waiting: dict[Kind, list[pa.Table]] = {"rows": [], "earlier": []}

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, kind: Kind, tables: Iterable[pa.Table]) -> int:
        """Everything of a kind; how many rows that were."""
        rows = 0
        for table in tables:
            if table.num_rows:
                rows += table.num_rows
                self._waiting[kind].append(table)
                if sum(t.num_rows for t in self._waiting[kind]) >= FLUSH_ROWS:
                    self._flush(kind)
        self._flush(kind)
        return rows

    def _flush(self, kind: Kind) -> None:
        if not self._waiting[kind]:
            return
        table = pa.concat_tables(self._waiting[kind])
        self._waiting[kind] = []
        places = places_of(table["conversation_id"])
        if kind == "rows":
            self.conversations.add(places)
        number = (places % np.uint64(self.shards)).astype(np.int64)
        order = np.argsort(number, kind="stable")
        table = table.take(pa.array(order))
        starts = np.searchsorted(number[order], np.arange(self.shards + 1))
        for shard in np.unique(number).tolist():
            self._append(kind, shard, table.slice(starts[shard], starts[shard + 1] - starts[shard]))
        pa.default_memory_pool().release_unused()

    def _append(self, kind: Kind, shard: int, table: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_table(table.combine_chunks())
        sealed = seal(self.key, bytes(sink.getvalue()), _bound(kind, shard))
        descriptor = os.open(_file(self.folder, kind, shard), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(len(sealed).to_bytes(LENGTH, "big") + sealed)


def spilled(folder: Path, key: bytes, kind: Kind, shard: int) -> pa.Table | None:
    """The rows of a shard in order, None where it has none. Raises `IntegrityError` on a file that was altered."""
    tables = [_opened(key, sealed, kind, shard) for sealed in _pieces(_file(folder, kind, shard))]
    return pa.concat_tables(tables).combine_chunks() if tables else None


def _pieces(path: Path) -> Iterator[bytes]:
    if not path.exists():
        return
    with open(path, "rb") as file:
        while length := file.read(LENGTH):
            yield file.read(int.from_bytes(length, "big"))


def _opened(key: bytes, sealed: bytes, kind: Kind, shard: int) -> pa.Table:
    own = pa.BufferOutputStream()
    own.write(unseal(key, sealed, _bound(kind, shard)))
    with pa.ipc.open_stream(pa.BufferReader(own.getvalue())) as reader:
        return reader.read_all()


def _file(folder: Path, kind: Kind, shard: int) -> Path:
    return folder / f"{kind}-{shard:06d}"


def _bound(kind: Kind, shard: int) -> bytes:
    return f"spill|{kind}|{shard}".encode()
