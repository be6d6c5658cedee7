"""Which dialect a row speaks, decided by its content (a file may mix them), and where each keeps its time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.canonical import from_canonical
from flywheel.ingestion.chat_completions import from_nvidia, from_openai
from flywheel.ingestion.draft import Draft
from flywheel.ingestion.quarantine import Rejected

READERS = {"flywheel": from_canonical, "openai": from_openai, "nvidia": from_nvidia}


def dialect_of(row: Mapping[str, Any]) -> str:
    """`nvidia`, `openai` or `flywheel`."""
    if "choices" in row or "request" in row or isinstance(row.get("response"), Mapping):
        return "nvidia" if "workload_id" in row or "client_id" in row else "openai"
    return "flywheel"


def raw_timestamp(row: Mapping[str, Any]) -> tuple[Any, str]:
    """The row's time as it came, and the field that holds it. Raises `Rejected` where there is none."""
    response = row.get("response")
    inner = response if isinstance(response, Mapping) else {}
    for holder, key, name in ((row, "timestamp", "timestamp"), (inner, "created", "response.created"), (row, "created", "created")):
        if holder.get(key) is not None:
            return holder[key], name
    raise Rejected("missing_field", "timestamp is missing: a record belongs to the week of its request", "timestamp")


def read_row(row: Mapping[str, Any], dialect: str) -> Draft:
    """The row as a draft. Raises `Rejected`."""
    return READERS[dialect](row)
