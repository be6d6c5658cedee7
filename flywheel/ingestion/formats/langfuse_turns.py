"""Turns as the integrations of Langfuse log them: OpenAI's, LangChain's (the speaker is the message's type), and those whose tool calls and
results are parts of the content (Anthropic, the Vercel AI SDK, OpenTelemetry's parts)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.chat_completions_responses import is_items, turns_of_items
from flywheel.ingestion.formats.pieces import as_text, count_lost, label, turn_of
from flywheel.ingestion.turns import text_of

NAME = "langfuse"
TYPES = {"human": "user", "ai": "assistant", "system": "system", "tool": "tool", "function": "tool"}
CALLS = frozenset({"tool_use", "tool-call", "tool_call"})
RESULTS = frozenset({"tool_result", "tool-result", "tool_call_response"})
CALL_PART = frozenset({"type", "id", "toolCallId", "tool_call_id", "name", "toolName", "input", "args", "arguments"})
RESULT_PART = frozenset(
    {"type", "id", "tool_use_id", "toolCallId", "tool_call_id", "name", "toolName", "content", "result", "output", "response"}
)
CALL_IDS = ("id", "tool_use_id", "toolCallId", "tool_call_id")


def speaker(turn: Mapping[str, Any]) -> str | None:
    """LangChain names the speaker by the message's type."""
    return TYPES.get(label(turn.get("type")))


def turns_of(turns: list[Any], field: str, losses: Counter[str]) -> list[dict[str, Any]]:
    """Canonical turns. Raises `Rejected` with the field."""
    if is_items(turns):
        return turns_of_items(turns, field, NAME, losses)
    return [said for index, turn in enumerate(turns) for said in said_by(turn, f"{field}.{index}", losses)]


def said_by(turn: Any, field: str, losses: Counter[str]) -> list[dict[str, Any]]:
    """One turn as canonical turns: tool results in it are turns of their own, before what is said."""
    if not isinstance(turn, Mapping):
        return [turn_of(turn, field, NAME, losses)]
    given = {k: v for k, v in turn.items() if k not in ("finish_reason", "parts")}
    if "role" not in turn and speaker(turn):
        given = {"role": speaker(turn), **{k: v for k, v in given.items() if k != "type"}}
    if "parts" in turn and given.get("content") is None:
        given["content"] = turn["parts"]
    parts = given.get("content")
    if not isinstance(parts, list) or not any(isinstance(p, Mapping) and label(p.get("type")) in CALLS | RESULTS for p in parts):
        return [turn_of(given, field, NAME, losses)]
    calls = given["tool_calls"] if isinstance(given.get("tool_calls"), list) else []
    spoken, results = [], []
    for index, part in enumerate(parts):
        sort = label(part.get("type")) if isinstance(part, Mapping) else ""
        if sort in CALLS:
            count_lost(part, CALL_PART, f"{NAME}: messages[].content[].", losses)
            calls = [*calls, _call(part)]
        elif sort in RESULTS:
            count_lost(part, RESULT_PART, f"{NAME}: messages[].content[].", losses)
            results.append(_result(part, f"{field}.content.{index}", losses))
        else:
            spoken.append(part)
    if results and not spoken and not calls:
        return results
    return [*results, turn_of({**given, "content": spoken, "tool_calls": calls}, field, NAME, losses)]


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    arguments = next((part[k] for k in ("input", "args", "arguments") if part.get(k) is not None), None)
    return {"id": _id(part), "name": part.get("name", part.get("toolName")), **({} if arguments is None else {"arguments": arguments})}


def _result(part: Mapping[str, Any], field: str, losses: Counter[str]) -> dict[str, Any]:
    value = next((part[k] for k in ("content", "result", "output", "response") if part.get(k) is not None), "")
    if isinstance(value, Mapping) and value.keys() == {"type", "value"}:  # the AI SDK says what kind of output it is
        value = value["value"]
    if isinstance(value, list) and value and all(isinstance(p, Mapping) and "type" in p for p in value):
        value = text_of(value, field, losses, NAME)
    found = _id(part, ("tool_use_id", *CALL_IDS))
    return {"role": "tool", "content": as_text(value), **({"tool_call_id": found} if found is not None else {})}


def _id(part: Mapping[str, Any], keys: tuple[str, ...] = CALL_IDS) -> Any:
    return next((part[k] for k in keys if part.get(k) is not None), None)
