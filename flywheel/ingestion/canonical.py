"""The canonical JSONL line that users bring (`docs/formats.md`). It is closed: an unknown key is refused by name, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.draft import Draft, raw_id
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object, message, tool_call, unknown_keys

NAME = "flywheel"
TOP = frozenset({
    "id", "timestamp", "conversation_id", "user_id", "domain", "task_type", "language", "messages", "responses", "response", "model",
    "feedback", "template", "profile", "metadata", "consent",
})  # fmt: skip
GENERATION = frozenset({
    "checkpoint", "temperature", "top_p", "seed", "max_tokens", "finish_reason", "prompt_tokens", "completion_tokens", "retrieval",
    "guardrails", "sandbox", "token_logprobs",
})  # fmt: skip
RESPONSE = GENERATION | {"text", "model", "tool_calls"}


def from_canonical(row: Mapping[str, Any]) -> Draft:
    """Read one canonical row. Raises `Rejected` with the field."""
    unknown_keys(row, TOP)
    losses: Counter[str] = Counter()
    if "messages" not in row:
        raise Rejected("missing_field", "messages is missing: what was asked?", "messages")
    turns = demand_list(row["messages"], "messages")
    return Draft(
        dialect=NAME, source_id=raw_id(row, "id"), conversation=raw_id(row, "conversation_id"), user=raw_id(row, "user_id"),
        messages=[message(m, f"messages.{i}", losses, strict=True, dialect=NAME) for i, m in enumerate(turns)],
        responses=_responses(row), losses=losses,
        **{k: row.get(k) for k in ("domain", "task_type", "language", "feedback", "template", "profile", "metadata", "consent")},
    )  # fmt: skip


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
    return {
        "text": answer["text"],
        "tool_calls": [tool_call(c, f"{field}.tool_calls.{i}") for i, c in enumerate(calls)],
        "generation": {"model_id": answer["model"], **{k: answer[k] for k in sorted(GENERATION & set(answer)) if answer[k] is not None}},
    }
