"""The quarantine of a round as it is written: refused rows chunk by chunk, in the order of files and lines, never all of them at once.

A file of a million bad lines has a million rows here. They come out of the segments as columns, and go into the partition a piece at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.assembly import Joined
from flywheel.ingestion.merge import Merge, Picked
from flywheel.ingestion.originals import Originals
from flywheel.ingestion.quarantine import RowKey, readable, row_key
from flywheel.ingestion.reading import FileRefusal, Reading
from flywheel.ingestion.segments import REFUSED
from flywheel.records import SCHEMA_VERSION, QuarantinedRow
from flywheel.storage.arrow import arrow_schema
from flywheel.storage.parquet import parquet_bytes
from flywheel.storage.partition import PartitionWriter

SCHEMA = arrow_schema(QuarantinedRow)
ROWS_A_PART = 1 << 17
BYTES_A_PART = 64 << 20
OWN = tuple(n for n in REFUSED.names if n not in ("seq", "length"))


class Conflicting(NamedTuple):
    """Rows that only the comparison with others refuses, in the order of the files, and why."""

    rows: Picked
    reason: str
    message: str
    field: str


@dataclass
class QuarantineRows:
    """Goes once through all that is refused in the window [`start`, `end`) of time (microseconds since 1970), or at no known time before
    `latest`. `counts` has, after that: quarantined, quarantined_elsewhere, others (refused rows of other windows)."""

    reading: Reading
    joined: Joined
    merge: Merge
    originals: Originals
    compared: Sequence[Conflicting]
    round: str
    start: int
    end: int
    latest: int
    elsewhere: frozenset[RowKey] = frozenset()
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def tables(self) -> Iterator[pa.Table]:
        """The rows in the columns of `quarantine`, those of one chunk of a file at a time."""
        refused: dict[str, list[FileRefusal]] = {}
        for one in self.reading.refused:
            refused.setdefault(one.name, []).append(one)
        assembled = self._assembled()
        for number, at in enumerate(self.reading.occurrences):
            for name in [n for n in refused if n < at.name]:
                yield from self._kept(_of_files(refused.pop(name)))
            if at.retired:
                continue
            parts = [] if (own := at.segment.table("refused", OWN)) is None else [self._of_window(own)]
            if assembled is not None:
                first, after = np.searchsorted(assembled["origin"].to_numpy(), [number, number + 1])
                parts.append(self._of_window(assembled.slice(first, after - first).select(OWN)))
            made = [_placed(part, at.name, at.line, at.offset) for part in parts if part.num_rows]
            made += [table for one in self.compared for table in self._of_comparison(one, number)]
            yield from self._kept(pa.concat_tables(made).combine_chunks() if made else None)
        for name in list(refused):
            yield from self._kept(_of_files(refused[name]))

    def into(self, partition: PartitionWriter | None) -> pa.Table:
        """All rows as a table; or into `partition`, and an empty table. The same rows give the same files, however they came."""
        if partition is None:
            return pa.concat_tables([SCHEMA.empty_table(), *self.tables()])
        for number, part in enumerate(_parts(self.tables())):
            payload, path = parquet_bytes(part), partition.scratch(number)
            path.write_bytes(payload)
            partition.add(path, part.num_rows, hashlib.sha256(payload).hexdigest())
        return SCHEMA.empty_table()

    def _assembled(self) -> pa.Table | None:
        """What was refused when parts were put together, by the chunk it stands in."""
        found = []
        for segment in self.joined.segments:
            table = segment.table("refused", OWN)
            if table is not None:
                found.append(table.append_column("origin", pa.array(segment.meta["refused_origins"], pa.int64())))
        if not found:
            return None
        table = pa.concat_tables(found)
        return table.take(pa.array(np.argsort(table["origin"].to_numpy(), kind="stable"))).combine_chunks()

    def _of_window(self, table: pa.Table) -> pa.Table:
        moment = pc.fill_null(table["moment"], 2**62).to_numpy()
        timed = moment <= self.latest
        mine = ~timed | ((moment >= self.start) & (moment < self.end))
        self.counts["others"] += int((~mine).sum())
        table = table.drop_columns(["moment"]).append_column("timed", pa.array(timed))
        return table if mine.all() else table.filter(pa.array(mine))

    def _of_comparison(self, one: Conflicting, number: int) -> Iterator[pa.Table]:
        first, after = np.searchsorted(one.rows.order >> 32, [number, number + 1])
        if first == after:
            return
        found = list(self.originals.of(self.merge, one.rows.take(slice(first, after))))
        count = len(found)
        columns = {
            "file": [place[0] for place, _ in found], "line": [place[1] for place, _ in found], "byte_offset": [place[2] for place, _ in found],
            "reason": [one.reason] * count, "field": [one.field] * count, "message": [one.message] * count,
            "raw": [valid(raw) for _, raw in found], "timed": [one.reason == "id_conflict"] * count,
        }  # fmt: skip
        yield _table(columns)

    def _kept(self, table: pa.Table | None) -> Iterator[pa.Table]:
        """Rows by line, without those that another round's quarantine holds."""
        if table is None or not table.num_rows:
            return
        lines = table["line"].to_numpy()
        if (lines[1:] < lines[:-1]).any():
            table = table.take(pa.array(np.argsort(lines, kind="stable")))
        if self.elsewhere:
            rows = zip(*(table[n].to_pylist() for n in ("timed", "file", "line", "raw")), strict=True)
            here = np.array([timed or row_key(*row) not in self.elsewhere for timed, *row in rows], bool)
            self.counts["quarantined_elsewhere"] += int((~here).sum())
            table = table.filter(pa.array(here))
        if not table.num_rows:
            return
        self.counts["quarantined"] += table.num_rows
        self.reasons.update({v["values"]: v["counts"] for v in pc.value_counts(table["reason"]).to_pylist()})
        constant = {"round": self.round, "schema_version": SCHEMA_VERSION, "stage": "ingestion"}
        yield pa.table(
            [
                pa.repeat(pa.scalar(constant[f.name], f.type), table.num_rows) if f.name in constant else table[f.name].cast(f.type)
                for f in SCHEMA
            ],
            schema=SCHEMA,
        )


def valid(text: str | None) -> str | None:
    """Text that UTF-8 can hold: half characters as backslash escapes."""
    return None if text is None else text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


def shown_name(name: str) -> str:
    """A file's name as the table holds it."""
    return readable(name.encode("utf-8", "surrogateescape"))


COLUMNS: dict[str, pa.DataType] = {
    "file": pa.string(), "line": pa.int64(), "byte_offset": pa.int64(), "reason": pa.string(), "field": pa.string(), "message": pa.string(),
    "raw": pa.string(), "timed": pa.bool_(),
}  # fmt: skip


def _table(columns: dict[str, Any]) -> pa.Table:
    return pa.table({n: pa.array(columns[n], t) for n, t in COLUMNS.items()})


def _of_files(refused: Sequence[FileRefusal]) -> pa.Table:
    count = len(refused)
    return _table({
        "file": [shown_name(r.name) for r in refused], "line": [r.line for r in refused], "byte_offset": [0] * count,
        "reason": [r.reason for r in refused], "field": [None] * count, "message": [valid(r.message) for r in refused], "raw": [""] * count,
        "timed": [False] * count,
    })  # fmt: skip


def _placed(table: pa.Table, name: str, line: int, offset: int | None) -> pa.Table:
    """Refused rows of a chunk that stands there."""
    count = table.num_rows
    at = pa.nulls(count, pa.int64()) if offset is None else pc.add(table["offset"], pa.scalar(offset, pa.int64()))
    made = {
        "file": pa.repeat(pa.scalar(shown_name(name), pa.string()), count), "byte_offset": at,
        "line": pc.add(table["line"].cast(pa.int64()), pa.scalar(line + 1, pa.int64())),
    }  # fmt: skip
    return pa.table({n: made[n] if n in made else table[n] for n in COLUMNS})


def _parts(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows again, as many at a time as one file of the partition holds: cut at rows alone, never at the bounds of what came. At least
    one, which may be empty."""
    held, rows, size, none = list[pa.Table](), 0, 0, True
    for table in tables:
        sizes = np.concatenate([[0], np.cumsum(pc.binary_length(table["raw"]).to_numpy(), dtype=np.int64)])
        done = 0
        while done < table.num_rows:
            fits = int(np.searchsorted(sizes, sizes[done] + BYTES_A_PART - size, "right")) - 1 - done
            fits = min(max(fits, 0 if rows else 1), ROWS_A_PART - rows, table.num_rows - done)  # one row at least, however long
            held.append(table.slice(done, fits))
            done, rows, size = done + fits, rows + fits, size + int(sizes[done + fits] - sizes[done])
            if done < table.num_rows:
                yield pa.concat_tables(held)
                held, rows, size, none = [], 0, 0, False
    if rows or none:
        yield pa.concat_tables([SCHEMA.empty_table(), *held])
