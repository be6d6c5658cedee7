"""Rows of Langfuse in one spelling: snake_case keys, one row an id, times with their zone."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.pieces import empty, label
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.timestamps import EPOCH, parse_timestamp

CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
UNZONED = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?")
Rows = list[tuple[int, Json]]


def in_snake(row: Json) -> dict[str, Any]:
    """The row with the blob export's keys; the REST API has the same in camelCase, and calls the model `model`."""
    if "trace_id" in row and "model" not in row:
        return dict(row)
    made: dict[str, Any] = {}
    for key, value in row.items():
        name = CAMEL.sub(lambda m: "_" + m.group(1).lower(), key) if isinstance(key, str) and not key.islower() else key
        name = "provided_model_name" if name == "model" else name
        if made.get(name) is None:
            made[name] = value
    return made


def moment(value: Any) -> Any:
    """A time of the export with its zone, which it leaves out: UTC."""
    if isinstance(value, datetime):
        value = value.isoformat()
    return value.replace(" ", "T") + "Z" if isinstance(value, str) and UNZONED.fullmatch(value) else value


def started(row: Json) -> tuple[datetime, str]:
    """What rows of a trace are ordered by."""
    try:
        when = parse_timestamp(moment(row.get("start_time", row.get("timestamp"))))[0]
    except Rejected:
        when = EPOCH
    return when, label(row.get("id"))


def newest(rows: Sequence[tuple[int, Json]]) -> Rows:
    """One row an id: exports overlap, and the two observation exports hold each observation twice. The latest change counts, and what it
    leaves empty comes from the other."""
    kept: dict[str, tuple[int, Json]] = {}
    for index, row in rows:
        key = label(row.get("id")) or f"#{index}"
        before = kept.get(key)
        if before is None:
            kept[key] = (index, row)
            continue
        old, new = sorted((before, (index, row)), key=lambda found: _age(found[1]))
        kept[key] = (new[0], {**old[1], **{k: v for k, v in new[1].items() if not empty(v) or k not in old[1]}})
    return list(kept.values())


def _age(row: Json) -> tuple[str, int, str]:
    """Later is larger; of equal ones the fuller row, then the larger text, so that the order of the files does not matter."""
    try:
        text = json.dumps(row, sort_keys=True, default=str)
    except RecursionError:
        text = ""
    return label(row.get("updated_at")), len(row), text
