"""Rows that belong to no week (their time cannot be read) are quarantined in the round that saw them first, and in no other."""

from __future__ import annotations

import pyarrow as pa

from flywheel.ingestion.quarantine import RowKey, row_key
from flywheel.storage import Home

PLACE = ["file", "line", "raw"]


def quarantined_elsewhere(home: Home, round: str) -> frozenset[RowKey]:
    """Every row that another round holds in its quarantine."""
    others = [r for r in home.lake.rounds("quarantine") if r != round]
    return frozenset(key for r in others for batch in home.lake.batches("quarantine", r, PLACE) for key in row_keys(batch))


def row_keys(quarantine: pa.Table | pa.RecordBatch) -> frozenset[RowKey]:
    """What tells the rows of a quarantine table from one another."""
    return frozenset(row_key(*row) for row in zip(*(quarantine[n].to_pylist() for n in PLACE), strict=True))
