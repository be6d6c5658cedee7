"""Segments: what one chunk of input holds, worked out once. A segment is an immutable file named by the hash of the chunk's bytes and of
the settings that it was read with, so that the same bytes are never read twice, wherever they turn up.

The file holds Arrow streams one after the other and ends with a small JSON directory. It is written beside and renamed; a file that a
crash left unfinished has another name, and one that lost its end (a power cut) has no valid directory: both are made again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.ingestion.finish import Finisher
from flywheel.ingestion.looked_at import classified
from flywheel.ingestion.narrow import joined
from flywheel.ingestion.parsed import KeptPart, Parsed

# Of the file; segments whose input is gone cannot be made again, so that old layouts must stay readable. In layout 1 the keys stand among the
# rows, and no nested field is left out.
LAYOUT, LAYOUTS = 2, (1, 2)
MAGIC = b"FLYSEG01"
ROWS_A_BATCH = 512
WEEK_US, MONDAY = 7 * 86_400_000_000, 4 * 86_400_000_000  # 1970-01-05 was a Monday
KEYS = ("timestamp", "seq", "losses", "consent", "id_high", "id_low", "content_high", "content_low")
HALVES = KEYS[4:]
REFUSED = pa.schema([
    ("seq", pa.int32()), ("line", pa.int32()), ("offset", pa.int64()), ("length", pa.int64()), ("reason", pa.string()), ("message", pa.string()),
    ("field", pa.string()), ("raw", pa.string()), ("moment", pa.int64()),
])  # fmt: skip
PARTS = pa.schema([
    ("seq", pa.int32()), ("line", pa.int32()), ("offset", pa.int64()), ("length", pa.int64()), ("format", pa.string()), ("key", pa.string()),
    ("aliases", pa.list_(pa.string())), ("payload", pa.binary()), ("losses", pa.string()), ("digest", pa.binary(16)),
])  # fmt: skip
WITHDRAWN = pa.schema([("subject_id", pa.string()), ("consent", pa.int32())])


def weeks_of(moments: Any) -> Any:
    """Number of each moment's week (microseconds since 1970 in, weeks since 1970-01-05 out)."""
    return (np.asarray(moments, np.int64) - MONDAY) // WEEK_US


def halves(hexadecimal: pa.Array) -> tuple[Any, Any]:
    """The first 32 hex digits of each text as two unsigned numbers, in the order of the texts."""
    if not len(hexadecimal):
        return np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    array = hexadecimal.combine_chunks() if isinstance(hexadecimal, pa.ChunkedArray) else hexadecimal
    width = len(array[0].as_py())
    offset = array.offset * width
    digits = np.frombuffer(array.buffers()[2], np.uint8)[offset : offset + len(array) * width].reshape(len(array), width)[:, :32]
    nibbles = np.where(digits >= 97, digits - 87, digits - 48).astype(np.uint8)
    packed = np.ascontiguousarray((nibbles[:, 0::2] << 4) | nibbles[:, 1::2])
    pair = packed.view(">u8")
    return pair[:, 0].astype(np.uint64), pair[:, 1].astype(np.uint64)


def _rows(tables: Sequence[pa.Table], finisher: Finisher) -> pa.Table | None:
    """All rows of a chunk, sorted by (timestamp, record id), with the numbers that merging works on."""
    if not tables:
        return None
    table = joined(tables)
    columns = {}
    for name, column in (("id", "record_id"), ("content", "content_sha256")):
        columns[f"{name}_high"], columns[f"{name}_low"] = halves(table[column])
    moments = table["timestamp"].cast(pa.int64()).to_numpy()
    order = np.lexsort((table["seq"].to_numpy(), columns["id_low"], columns["id_high"], moments))
    table = classified(table, finisher.taxonomy)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table if (order[1:] > order[:-1]).all() else table.take(pa.array(order))


def write_segment(path: Path, parsed: Parsed, finisher: Finisher, meta: dict[str, Any]) -> None:
    """Put a segment in place, atomically. `meta` is kept with it."""
    rows = _rows(parsed.tables, finisher)
    parsed.tables.clear()
    tables: dict[str, pa.Table | None] = {
        "rows": None if rows is None else rows.drop_columns(list(HALVES)),
        "keys": None if rows is None else rows.select([c for c in (*KEYS, "origin") if c in rows.schema.names]),
        "refused": _table(REFUSED, parsed.refused),
        "parts": _parts(parsed.parts),
        "identities": _distinct(finisher.identities),
        "withdrawn": _table(WITHDRAWN, sorted(parsed.withdrawn | _withdrawn(rows, finisher))),
    }
    moments = [] if rows is None else rows["timestamp"].cast(pa.int64()).to_numpy()
    timed = [r.moment for r in parsed.refused if r.moment is not None]
    weeks = Counter(weeks_of(moments).tolist()) + Counter(weeks_of(timed).tolist())
    body = {
        **meta, "layout": LAYOUT, "items": parsed.items, "incomplete": parsed.incomplete, "skipped": dict(parsed.skipped), "parts": len(parsed.parts),
        "formats": dict(parsed.formats),
        "losses": [json.loads(text) for text in finisher.losses], "statements": [json.loads(text) for text in finisher.statements],
        "weeks": {str(k): v for k, v in sorted(weeks.items())}, "rows": 0 if rows is None else rows.num_rows,
    }  # fmt: skip
    write_container(path, {k: t for k, t in tables.items() if t is not None and t.num_rows}, body)


def write_container(path: Path, tables: dict[str, pa.Table], body: dict[str, Any]) -> None:
    """Tables and a directory as one file."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    directory: dict[str, Any] = {**body, "batch": ROWS_A_BATCH, "sections": {}}
    with pa.OSFile(str(temporary), "wb") as sink:
        sink.write(MAGIC)
        for name, table in tables.items():
            while sink.tell() % 64:
                sink.write(b"\0")
            start = sink.tell()
            keys = name == "keys"  # read as a whole, and mostly hashes that no compression makes smaller
            options = pa.ipc.IpcWriteOptions(compression=None if keys else "lz4", use_threads=False)
            with pa.ipc.new_file(sink, table.schema, options=options) as writer:
                writer.write_table(table, max_chunksize=table.num_rows if keys else ROWS_A_BATCH)
            directory["sections"][name] = [start, sink.tell() - start]
        text = json.dumps(directory, sort_keys=True).encode()
        sink.write(text + len(text).to_bytes(8, "big") + hashlib.sha256(text).digest()[:8])
    os.chmod(temporary, 0o600)
    os.replace(temporary, path)


def _table(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table | None:
    if not rows:
        return None
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _distinct(identities: Sequence[pa.Table]) -> pa.Table | None:
    """Each once, in the order in which they came."""
    if not identities:
        return None
    table = pa.concat_tables(identities)
    return table.group_by(table.schema.names, use_threads=False).aggregate([]).combine_chunks()


def _parts(parts: Sequence[KeptPart]) -> pa.Table | None:
    if not parts:
        return None
    digests = [
        hashlib.sha256(p.format.encode() + b"\0" + p.key.encode("utf-8", "surrogatepass") + b"\0" + p.payload).digest()[:16] for p in parts
    ]
    columns = [*zip(*parts, strict=True), digests]
    return pa.table([pa.array(_safe(c), f.type) for c, f in zip(columns, PARTS, strict=True)], schema=PARTS)


def _safe(values: Sequence[Any]) -> Sequence[Any]:
    return [list(v) if isinstance(v, tuple) else v for v in values]


def _withdrawn(rows: pa.Table | None, finisher: Finisher) -> set[tuple[str, int]]:
    """Statements of good rows that take consent back: they count whatever becomes of the row."""
    numbers = {n for text, n in finisher.statements.items() if "withdrawn_at" in json.loads(text)}
    if rows is None or not numbers:
        return set()
    pairs = zip(rows["subject_id"].to_pylist(), rows["consent"].to_pylist(), strict=True)
    return {(s, c) for s, c in pairs if c in numbers}


@dataclass(frozen=True)
class Segment:
    """A segment that is in place."""

    path: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Segment | None:
        """The segment at `path`; None where there is none, or none that is whole."""
        try:
            with open(path, "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(size - 16)
                tail = file.read(16)
                length = int.from_bytes(tail[:8], "big")
                file.seek(size - 16 - length)
                text = file.read(length)
        except (OSError, ValueError):
            return None
        if hashlib.sha256(text).digest()[:8] != tail[8:]:
            return None
        meta = json.loads(text)
        return cls(path, meta) if meta.get("layout") in LAYOUTS else None

    @cached_property
    def rows(self) -> int:
        return int(self.meta["rows"])

    def demand(self, name: str, columns: Sequence[str] | None = None, *, mapped: bool = True) -> pa.ipc.RecordBatchFileReader:
        """A section, or only some of its columns (of nested ones those that it has). A reader that is not `mapped` may be kept: what it has read does not stay in memory."""
        start, length = self.meta["sections"][name]
        end = start + length  # positions inside a section count from the file's start
        with pa.memory_map(str(self.path)) as file:
            whole = file.read_buffer()  # keeps the mapping alive by itself
        options = pa.ipc.IpcReadOptions(use_threads=False)
        if columns is not None:
            schema = pa.ipc.open_file(pa.BufferReader(whole), footer_offset=end).schema
            wanted = sorted(n for n in map(schema.get_field_index, columns) if n >= 0)
            options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=wanted)
        source = pa.BufferReader(whole) if mapped else pa.OSFile(str(self.path))
        return pa.ipc.open_file(source, footer_offset=end, options=options)

    def table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table | None:
        """A section whole; None where it is empty."""
        return self.demand(name, columns).read_all() if name in self.meta["sections"] else None

    def keys(self, columns: Sequence[str] = KEYS) -> pa.Table:
        """Numbers that tell the good rows apart."""
        return self.demand("keys" if "keys" in self.meta["sections"] else "rows", columns).read_all()

    def rows_of(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The good rows."""
        return self.demand("rows", columns).read_all()
