"""Records back to canonical lines with raw ids, so that another installation can take them in: the same line gives the same record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

LINE_COLUMNS = (
    "timestamp", "record_id", "raw_id", "raw_conversation", "raw_user", "said_domain", "said_task_type", "language", "messages", "responses",
    "feedback", "template", "profile", "metadata",
)  # fmt: skip
IDS = (("id", "raw_id", "record_id"), ("conversation_id", "raw_conversation", "conversation_id"), ("user_id", "raw_user", "user_id"))
_encode = msgspec.json.Encoder().encode


def canonical_lines(block: pa.Table, statements: Sequence[Mapping[str, Any] | None]) -> Iterator[bytes]:
    """Each row as one JSON object; `statements` are the rows' consent."""
    for row, consent in zip(block.to_pylist(), statements, strict=True):
        yield _encode(_line(row, consent))


def _line(row: Mapping[str, Any], consent: Mapping[str, Any] | None) -> dict[str, Any]:
    profile = json.loads(row["profile"])
    made: dict[str, Any] = {}
    for name, column, key in IDS:
        value = row[column]
        if value is not None:
            made[name] = value
            if profile.get(key) == value:
                del profile[key]
            elif profile.get(f"log.{key}") == value:
                del profile[f"log.{key}"]
    made["timestamp"] = row["timestamp"].isoformat()
    metadata = json.loads(row["metadata"])
    optional = {
        "domain": row["said_domain"], "task_type": row["said_task_type"], "language": row["language"], "feedback": _bare(row["feedback"]),
        "template": row["template"], "profile": profile or None, "metadata": metadata or None, "consent": consent,
    }  # fmt: skip
    made["messages"] = [_bare(m) for m in row["messages"]]
    made["responses"] = [_response(r) for r in row["responses"]]
    return made | {k: v for k, v in optional.items() if v is not None}


def _response(answer: Mapping[str, Any]) -> dict[str, Any]:
    generation = dict(answer["generation"])
    return {
        "text": answer["text"],
        "model": generation.pop("model_id"),
        **(_bare({"tool_calls": answer["tool_calls"], **generation}) or {}),
    }


def _bare(value: Any) -> Any:
    """Without what is empty."""
    if isinstance(value, Mapping):
        return {k: _bare(v) for k, v in value.items() if v is not None and v != []}
    return [_bare(v) for v in value] if isinstance(value, list) else value
