"""Storage: where everything lies, and the only code that writes it.

In: Arrow tables and records. Out: immutable Parquet partitions with manifests, keyed ids, DuckDB views.
Guarantees: a reader sees a whole partition or the one before; the same rows give the same bytes; what is acknowledged is on disk.
"""

from flywheel.storage.arrow import arrow_schema, empty_table, from_table, to_table
from flywheel.storage.files import read_json, sha256_file, write_atomically, write_json
from flywheel.storage.home import Home
from flywheel.storage.ids import Ids, sha256_text
from flywheel.storage.lake import Lake
from flywheel.storage.parquet import parquet_bytes, read_parquet

__all__ = [
    "Home", "Ids", "Lake", "arrow_schema", "empty_table", "from_table", "parquet_bytes", "read_json", "read_parquet", "sha256_file", "sha256_text", "to_table",
    "write_atomically", "write_json",
]  # fmt: skip
