"""Rows that belong to no week (their time cannot be read) are quarantined in the round that saw them first, and in no other."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa

from flywheel.storage import Home


def quarantined_elsewhere(home: Home, round: str) -> frozenset[tuple[str, int]]:
    """(file, line) of every row that another round holds in its quarantine."""
    found: set[tuple[str, int]] = set()
    for other in home.lake.rounds("quarantine"):
        if other != round:
            table = home.lake.read("quarantine", other, ["file", "line"])
            found |= set(zip(table["file"].to_pylist(), table["line"].to_pylist(), strict=True))
    return frozenset(found)


def quarantine_reasons(quarantine: pa.Table) -> dict[str, int]:
    """Rows by reason code."""
    return dict(sorted(Counter(quarantine["reason"].to_pylist()).items()))
