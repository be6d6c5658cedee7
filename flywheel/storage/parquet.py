"""Tables to Parquet bytes and back, in memory, so that the bytes that are hashed are the bytes that are stored.

Arrow reads and writes only memory of its own here. Handed a Python buffer (bytes, BytesIO), its I/O threads may let go of it while the
interpreter ends, which aborts the process ("terminate called without an active exception"): 10 of 120 exits of a small script that reads
from Python buffers, 0 of 60 from Arrow's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def parquet_bytes(table: pa.Table) -> bytes:
    """Deterministic Parquet: one chunk a column, fixed compression, no Arrow metadata beyond the schema."""
    sink = pa.BufferOutputStream()
    pq.write_table(table.combine_chunks(), sink, compression="zstd", compression_level=3, row_group_size=65_536)
    return bytes(sink.getvalue())


def read_parquet(payload: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """The table in `payload`, or only `columns` of it. Raises `pa.ArrowInvalid` where it is no Parquet."""
    own = pa.BufferOutputStream()
    own.write(payload)
    return pq.read_table(pa.BufferReader(own.getvalue()), columns=list(columns) if columns else None)


def parquet_batches(path: Path, columns: Sequence[str] | None = None, rows: int = 8_192) -> Iterator[pa.RecordBatch]:
    """The rows of a file a few at a time: of a file of several row groups one is in memory. Raises `pa.ArrowInvalid` where it is no Parquet."""
    with pa.OSFile(str(path)) as file, pq.ParquetFile(file, pre_buffer=False) as opened:
        yield from opened.iter_batches(batch_size=rows, columns=list(columns) if columns else None, use_threads=False)
