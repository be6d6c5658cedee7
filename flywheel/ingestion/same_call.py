"""One call that came in twice in two forms: rows of one id whose content differs, but not in what was asked and answered.

A call that two tools have logged has other metadata, parameters or ids of tool calls in each log. That is a repetition, not a contradiction.
Only rows whose ids collide are read for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from flywheel.ingestion.merge import Picked
from flywheel.ingestion.partition import BLOCK, Gather, Place

LOSS = "duplicate with other metadata or feedback"
COLUMNS = ("messages", "responses", "raw_user", "raw_conversation")
_decode, _sorted = msgspec.json.Decoder().decode, msgspec.json.Encoder(order="sorted").encode


def same_calls(places: Sequence[Place], rows: Picked, firsts: Picked) -> Any:
    """Of each row, whether the first row of its id tells the same call (`run` is -1 in `firsts` where that one is not to be compared)."""
    same = np.zeros(len(rows), bool)
    compared = np.flatnonzero(firsts.run >= 0)
    for start in range(0, len(compared), BLOCK):
        some = compared[start : start + BLOCK]
        mine, theirs = (Gather(places, COLUMNS).take(r.run[some], r.row[some]).to_pylist() for r in (rows, firsts))
        same[some] = [_same(one, other) for one, other in zip(mine, theirs, strict=True)]
    return same


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    for name in ("raw_user", "raw_conversation"):
        if one[name] is not None and other[name] is not None and one[name] != other[name]:
            return False
    return _said(one) == _said(other)


def _said(row: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    asked = [(m["role"], m["content"], _calls(m)) for m in row["messages"]]
    return asked, [(r["text"], r["generation"]["model_id"], _calls(r)) for r in row["responses"]]


def _calls(turn: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(c["name"], _arguments(c["arguments"])) for c in turn["tool_calls"] or ()]


def _arguments(text: str) -> Any:
    """Arguments in one form: logs write the same JSON with other spaces and in another order."""
    try:
        return _sorted(_decode(text))
    except (ValueError, OverflowError, RecursionError):
        return text
