"""The residual search over a stored table, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from flywheel.governance.residual import Leak, needles_of, table_leaks
from flywheel.governance.vault import Vault


def stored_leaks(batches: Iterable[pa.RecordBatch], vault: Vault) -> list[Leak]:
    """`residual_leaks` of a partition's rows in order: only the vault's values are all in memory."""
    needles, found, first = needles_of(vault), list[Leak](), 0
    for batch in batches:
        found += [leak for leak in table_leaks(pa.Table.from_batches([batch]), needles, first_row=first) if not leak.guess]
        first += batch.num_rows
    return found
