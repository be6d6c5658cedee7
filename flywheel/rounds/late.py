"""Rows, and parts of them, that arrive after their week was run. The batch of that week is out; they enter the pool of the next round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.rounds.context import pool_rounds
from flywheel.storage.home import Home


def late_rounds(home: Home, round: str) -> dict[str, str]:
    """Earlier rounds of the pool of `round` whose week holds other records by its import than by their own: rows that came late, and
    records that a late part (a score, a log event, an answer of a batch) completes or changes. Round to what names the state that was
    seen. Running `inference_logs` to `redacted_logs` of such a round takes them in."""
    newest = home.lake.manifest("inference_logs", round)
    if newest is None:
        return {}
    late = {}
    for earlier in pool_rounds(home, round)[:-1]:
        own = home.lake.manifest("inference_logs", earlier)
        if own is not None and (seen := _news(newest.facts, own.facts, earlier)) is not None:
            late[earlier] = seen
    return late


def _news(newest: Mapping[str, Any], own: Mapping[str, Any], week: str) -> str | None:
    seen: str | None = newest.get("digests", {}).get(week)
    known = own.get("digests", {}).get(week)
    if seen is None or known is None:  # written before there were digests
        rows = newest.get("weeks", {}).get(week, 0)
        return str(rows) if rows > own.get("weeks", {}).get(week, 0) else None
    return seen if seen != known and newest["revision"] > own["revision"] else None
