"""Rows that arrive after their week was run. The batch of that week is out; they enter the pool of the next round."""

from __future__ import annotations

from flywheel.rounds.context import pool_rounds
from flywheel.storage.home import Home


def late_rounds(home: Home, round: str) -> dict[str, int]:
    """Earlier rounds of the pool of `round` for which its import saw more rows in the landing folder than their own import did: round
    to rows seen. Running `inference_logs` to `redacted_logs` of such a round takes the rows in."""
    newest = home.lake.manifest("inference_logs", round)
    if newest is None:
        return {}
    seen: dict[str, int] = newest.facts.get("weeks", {})
    late = {}
    for earlier in pool_rounds(home, round)[:-1]:
        own = home.lake.manifest("inference_logs", earlier)
        if own is not None and seen.get(earlier, 0) > own.facts.get("weeks", {}).get(earlier, 0):
            late[earlier] = seen[earlier]
    return late
