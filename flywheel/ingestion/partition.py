"""Chosen rows of many segments as one table in order: read a block at a time, so that memory does not grow with the number of rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flywheel.ingestion.narrow import SCHEMA, joined, whole
from flywheel.ingestion.segments import Segment
from flywheel.records import SCHEMA_VERSION

FILE_VERSION = 1  # a change of the bytes that the same rows become needs a new one
BLOCK = 4_096
OPEN_FILES = 200
ROWS_A_PART = 262_144
ROWS_A_GROUP = 16_384
SOURCE = SCHEMA.field("source").type
TABLE_COLUMNS = tuple(n for n in SCHEMA.names if n not in ("round", "schema_version", "source"))
PLACED = ("format", "line")
# columns whose values repeat; for the others a dictionary is work without gain
REPEATED = [
    "round", "schema_version", "domain", "task_type", "language", "source.format", "source.file", "messages.list.element.role",
    "responses.list.element.generation.model_id", "responses.list.element.generation.finish_reason", "responses.list.element.generation.checkpoint",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A segment, and where its rows stand: one file and the line before the segment's first, or for an assembled one those of each origin."""

    segment: Segment
    names: tuple[str, ...]
    lines: tuple[int, ...]
    assembled: bool = False


class Gather:
    """Rows of many segments in any order. Quickest where rows of one segment are asked for in ascending order: a batch is kept until the next
    one is needed."""

    def __init__(self, places: Sequence[Place], columns: Sequence[str] = TABLE_COLUMNS) -> None:
        self._places, self._columns = places, tuple(dict.fromkeys((*columns, *PLACED)))
        self._made = (*(c for c in self._columns if c != "format"), "source")
        self._held: dict[int, tuple[int, pa.RecordBatch]] = {}
        self._readers: dict[int, pa.ipc.RecordBatchFileReader] = {}

    def take(self, run: Any, row: Any) -> pa.Table:
        """These rows (numbers of places and of rows in them) in this order, with `source` put together."""
        by_run = np.lexsort((row, run))
        pieces: list[pa.RecordBatch] = []
        bounds = np.flatnonzero(np.diff(run[by_run])) + 1
        for part in np.split(by_run, bounds):
            if len(part):
                pieces += self._pieces(int(run[part[0]]), row[part])
        back = np.empty(len(by_run), np.int64)
        back[by_run] = np.arange(len(by_run))
        return whole(_together(pieces).take(pa.array(back)), self._made)

    def _pieces(self, number: int, rows: Any) -> Iterator[pa.RecordBatch]:
        size = self._places[number].segment.meta["batch"]
        for part in np.split(rows, np.flatnonzero(np.diff(rows // size)) + 1):
            batch = self._batch(number, int(part[0]) // size)
            first, last = int(part[0]) % size, int(part[-1]) % size
            if last == batch.num_rows - 1:
                self._held.pop(number, None)  # read to its end
            if last - first + 1 == len(part):
                yield batch.slice(first, len(part))
            else:
                yield batch.take(pa.array(part % size))

    def _batch(self, number: int, at: int) -> pa.RecordBatch:
        held = self._held.get(number)
        if held is not None and held[0] == at:
            return held[1]
        place = self._places[number]
        batch = _placed(self._reader(number, place).get_batch(at), place, self._columns)
        self._held[number] = (at, batch)
        return batch

    def _reader(self, number: int, place: Place) -> pa.ipc.RecordBatchFileReader:
        found = self._readers.get(number)
        if found is None:
            columns = (*self._columns, "origin") if place.assembled else self._columns
            found = place.segment.demand("rows", columns, mapped=False)
            if len(self._readers) < OPEN_FILES:
                self._readers[number] = found
        return found


def _placed(batch: pa.RecordBatch, place: Place, columns: Sequence[str]) -> pa.RecordBatch:
    line = batch.column("line").to_numpy().astype(np.int64) + 1
    if place.assembled:
        origin = batch.column("origin").to_numpy()
        file = pa.array([place.names[o] for o in origin.tolist()], pa.string())
        line = line + np.array(place.lines, np.int64)[origin]
    else:
        file, line = pa.repeat(pa.scalar(place.names[0], pa.string()), batch.num_rows), line + place.lines[0]
    fields = [SOURCE.field(i) for i in range(SOURCE.num_fields)]
    source = pa.StructArray.from_arrays([batch.column("format"), file, pa.array(line, pa.int64())], fields=fields)
    kept = [c for c in columns if c != "format" and c in batch.schema.names]
    return pa.RecordBatch.from_arrays([*(batch.column(c) for c in kept), source], names=[*kept, "source"])


def _together(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches one after the other; few at a time have fields of their own."""
    same = [list(group) for _, group in groupby(batches, lambda b: b.schema)]
    return joined([pa.Table.from_batches(group) for group in same])


def blocks(places: Sequence[Place], run: Any, row: Any, columns: Sequence[str] = TABLE_COLUMNS) -> Iterator[pa.Table]:
    """Rows in order, a block at a time."""
    gather = Gather(places, columns)
    for start in range(0, len(run), BLOCK):
        yield gather.take(run[start : start + BLOCK], row[start : start + BLOCK])


def in_table_form(block: pa.Table, round: str | pa.Array) -> pa.Table:
    """A block in the columns of `inference_logs`."""
    rounds = pa.repeat(pa.scalar(round, pa.string()), block.num_rows) if isinstance(round, str) else round
    version = pa.repeat(pa.scalar(SCHEMA_VERSION, pa.int64()), block.num_rows)
    made = {"round": rounds, "schema_version": version}
    return pa.table([made[n] if n in made else block[n] for n in SCHEMA.names], schema=SCHEMA)


@dataclass(frozen=True)
class PartTask:
    """Rows of one Parquet file to be written."""

    path: Path
    round: str
    places: tuple[Place, ...]
    run: Any
    row: Any


@dataclass(frozen=True)
class WrittenPart:
    """A Parquet file, and rows by (domain, task type)."""

    path: Path
    rows: int
    sha256: str
    coverage: Counter[tuple[str, str]]


def write_part(task: PartTask) -> WrittenPart:
    """Write one file of a partition. The same rows give the same bytes."""
    coverage: Counter[tuple[str, str]] = Counter()
    with pq.ParquetWriter(
        str(task.path), SCHEMA, compression="zstd", compression_level=1, use_dictionary=REPEATED, write_statistics=["timestamp", "record_id"],
        store_schema=True, data_page_size=1 << 20, write_batch_size=4_096,
    ) as writer:  # fmt: skip
        held: list[pa.Table] = []
        for block in blocks(task.places, task.run, task.row):
            held.append(in_table_form(block, task.round))
            coverage.update(coverage_of(held[-1]))
            if sum(t.num_rows for t in held) >= ROWS_A_GROUP:
                writer.write_table(pa.concat_tables(held), row_group_size=ROWS_A_GROUP)
                held.clear()
                pa.default_memory_pool().release_unused()
        if held or not len(task.run):
            writer.write_table(pa.concat_tables(held) if held else SCHEMA.empty_table(), row_group_size=ROWS_A_GROUP)
    with open(task.path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return WrittenPart(task.path, len(task.run), sha256, coverage)


def coverage_of(table: pa.Table) -> Counter[tuple[str, str]]:
    """Rows by (domain, task type)."""
    both = pc.binary_join_element_wise(table["domain"], table["task_type"], "\0")
    return Counter({tuple(v["values"].split("\0")): v["counts"] for v in pc.value_counts(both).to_pylist()})
