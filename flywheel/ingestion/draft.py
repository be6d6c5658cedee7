"""What every dialect is read into: the parts of a record before ids are made and the schema is checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.ingestion.quarantine import Rejected


@dataclass
class Draft:
    """One row, in the words of `flywheel.records.LogRecord`, with raw ids. `losses` counts source fields that have no place there."""

    dialect: str
    source_id: str | None
    conversation: str | None
    user: str | None
    messages: list[dict[str, Any]]
    responses: list[dict[str, Any]]
    domain: Any = None
    task_type: Any = None
    language: Any = None
    feedback: Any = None
    template: Any = None
    profile: Any = None
    metadata: Any = None
    consent: Any = None
    losses: Counter[str] = field(default_factory=Counter)


def raw_id(row: Mapping[str, Any], key: str) -> str | None:
    """An id as text (a number is one too). Raises `Rejected` on anything else."""
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise Rejected("invalid_field", f"{key} must be text or a whole number, and not empty", key)
    return str(value)
