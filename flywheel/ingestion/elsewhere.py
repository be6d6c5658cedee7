"""Rows that belong to no week (their time cannot be read) are quarantined in the round that saw them first, and in no other."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from flywheel.ingestion.quarantine import RowKey, row_key
from flywheel.storage import Home


def quarantined_elsewhere(home: Home, round: str) -> frozenset[RowKey]:
    """Every row that another round holds in its quarantine."""
    tables = (home.lake.read("quarantine", r, ["file", "line", "raw"]) for r in home.lake.rounds("quarantine") if r != round)
    return frozenset(key for table in tables for key in row_keys(table))


def row_keys(quarantine: pa.Table) -> frozenset[RowKey]:
    """What tells the rows of a quarantine table from one another."""
    return frozenset(row_key(q["file"], q["line"], q["raw"]) for q in quarantine.select(["file", "line", "raw"]).to_pylist())


def quarantine_reasons(quarantine: pa.Table) -> dict[str, int]:
    """Rows by reason code."""
    return dict(sorted(Counter(quarantine["reason"].to_pylist()).items()))
