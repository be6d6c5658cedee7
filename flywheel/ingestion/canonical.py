"""The canonical row as people write it (`docs/formats.md`), and its one strict form. It is closed: an unknown key is refused by name,
never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import RESPONSE, TOP
from flywheel.ingestion.turns import demand_list, demand_object, message, raw_id, tool_call, unknown_keys

NAME = "flywheel"
WHOLE_NUMBERS = ("seed", "max_tokens", "prompt_tokens", "completion_tokens")


def canonical_form(row: Mapping[str, Any], losses: Counter[str], name: str = NAME) -> dict[str, Any]:
    """A canonical row as people write it, in its strict form: content in parts as text, tool calls flat, one answer as a list of one.
    `losses` gains parts that are no text. Raises `Rejected` with the field."""
    unknown_keys(row, TOP)
    if "messages" not in row:
        raise Rejected("missing_field", "messages is missing: what was asked?", "messages")
    turns = demand_list(row["messages"], "messages")
    made = {k: _bare(v) if k in ("feedback", "template") else v for k, v in row.items() if v is not None and k not in ("response", "model")}
    for key in ("id", "conversation_id", "user_id"):
        made[key] = raw_id(row, key)
    made["messages"] = [message(m, f"messages.{i}", losses, strict=True, dialect=name) for i, m in enumerate(turns)]
    made["responses"] = _responses(row)
    for key in ("metadata", "profile"):
        if key in made and not isinstance(made[key], Mapping):
            raise Rejected("invalid_field", f"{key} must be an object", key)
    return made


def _responses(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    if "responses" in row and "response" in row:
        raise Rejected("invalid_field", "a row has either responses or response, not both", "response")
    if "responses" in row:
        if "model" in row:
            raise Rejected("unknown_field", "model stands beside response; in responses each answer has its own", "model")
        return [_response(r, f"responses.{i}") for i, r in enumerate(demand_list(row["responses"], "responses"))]
    if "response" not in row:
        raise Rejected("missing_field", "responses is missing: what was answered?", "responses")
    return [_response({"text": row["response"], "model": row.get("model")}, "response")]


def _response(value: Any, field: str) -> dict[str, Any]:
    answer = demand_object(value, field)
    unknown_keys(answer, RESPONSE, f"{field}.")
    for key in ("text", "model"):
        if answer.get(key) is None or (key == "model" and answer[key] == ""):
            raise Rejected("missing_field", f"{field} has no {key}", f"{field}.{key}" if field != "response" else key)
    calls = demand_list(answer.get("tool_calls") or [], f"{field}.tool_calls")
    made = {k: _bare(v) for k, v in answer.items() if v is not None and k != "tool_calls"}
    for key in WHOLE_NUMBERS:  # tables of other programs keep whole numbers with gaps as 51.0
        value = made.get(key)
        if isinstance(value, float) and value.is_integer():
            made[key] = int(value)
    if calls:
        made["tool_calls"] = [tool_call(c, f"{field}.tool_calls.{i}") for i, c in enumerate(calls)]
    return made


def _bare(value: Any) -> Any:
    return {k: v for k, v in value.items() if v is not None} if isinstance(value, Mapping) else value
