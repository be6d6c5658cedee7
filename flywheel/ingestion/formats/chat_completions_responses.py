"""Items of the OpenAI Responses API (messages, function calls, their outputs, reasoning) to canonical turns and to an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.pieces import as_text, count_lost, count_parts, empty, turn_of
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object, text_of, tool_call

PLAIN = {  # what an item of each type may hold that is carried, or says nothing
    "call": frozenset({"type", "id", "call_id", "name", "arguments", "input", "status"}),
    "output": frozenset({"type", "id", "call_id", "output", "status"}),
    "message": frozenset({"type", "id", "role", "content", "status", "phase"}),
}
CALLS = frozenset({"function_call", "custom_tool_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
KINDS = frozenset({  # named in the loss report; any other is "another type"
    "reasoning", "item_reference", "web_search_call", "file_search_call", "computer_call", "computer_call_output", "code_interpreter_call",
    "image_generation_call", "local_shell_call", "local_shell_call_output", "mcp_call", "mcp_list_tools", "mcp_approval_request",
    "mcp_approval_response", "compaction",
})  # fmt: skip
REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}


def is_items(value: Any) -> bool:
    """Is this list one of the Responses API: does an item in it say so by its type?"""
    return isinstance(value, list) and any(
        isinstance(i, Mapping)
        and isinstance(i.get("type"), str)
        and (i["type"] in CALLS or i["type"] in OUTPUTS or i["type"] in ("message", "reasoning"))
        for i in value
    )


def instructions_of(value: Any, field: str, format: str, losses: Counter[str]) -> list[dict[str, Any]]:
    """Instructions as the system's turn."""
    if empty(value):
        return []
    if isinstance(value, str):
        return [{"role": "system", "content": value}]
    return turns_of_items(value, field, format, losses)


def turns_of_items(value: Any, field: str, format: str, losses: Counter[str]) -> list[dict[str, Any]]:
    """Input items as turns; function calls join the assistant's turn before them. Raises `Rejected`."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    turns: list[dict[str, Any]] = []
    for number, found in enumerate(demand_list(value, field)):
        here = f"{field}.{number}"
        item = demand_object(found, here)
        sort = item.get("type", "message")
        if not isinstance(sort, str):
            raise Rejected("invalid_field", f"{here}.type must be text", f"{here}.type")
        place = f"{format}: {_outline(field)}[]"
        if sort in CALLS:
            count_lost(item, PLAIN["call"], f"{place}.", losses)
            if not turns or turns[-1]["role"] != "assistant":
                turns.append({"role": "assistant", "content": ""})
            turns[-1].setdefault("tool_calls", []).append(_call(item, here))
        elif sort in OUTPUTS:
            count_lost(item, PLAIN["output"], f"{place}.", losses)
            output = item.get("output")
            text = (
                text_of(output, f"{here}.output", losses, format) if isinstance(output, list) else as_text("" if output is None else output)
            )
            turns.append(
                {"role": "tool", "content": text, **({"tool_call_id": item["call_id"]} if item.get("call_id") is not None else {})}
            )
        elif sort == "message":
            said = {k: v for k, v in item.items() if k not in ("type", "id", "status", "phase")}
            turns.append(turn_of(said, here, format, losses))
        else:
            _lose(item, sort, place, losses)
    return turns


def answer_of_items(value: Any, field: str, format: str, losses: Counter[str]) -> dict[str, Any]:
    """Output items as one answer: `text`, `tool_calls`, `token_logprobs`. Raises `Rejected`."""
    if isinstance(value, str):
        return {"text": value}
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    logprobs: list[Any] = []
    place = f"{format}: {_outline(field)}[]"
    for number, found in enumerate(demand_list(value, field)):
        here = f"{field}.{number}"
        item = demand_object(found, here)
        sort = item.get("type", "message")
        if sort == "message":
            count_lost(item, PLAIN["message"], f"{place}.", losses)
            content = item.get("content")
            texts.append(text_of(content, f"{here}.content", losses, format))
            if isinstance(content, list):
                count_parts(content, f"{place}.content[].", losses)
            for part in content if isinstance(content, list) else ():
                if isinstance(part, Mapping):
                    logprobs += _logprobs(part, f"{place}.content[]", losses)
                    if not empty(part.get("annotations")):
                        losses[f"{place}.content[].annotations"] += 1
        elif isinstance(sort, str) and sort in CALLS:
            count_lost(item, PLAIN["call"], f"{place}.", losses)
            calls.append(_call(item, here))
        else:
            _lose(item, sort, place, losses)
    made: dict[str, Any] = {"text": "\n".join(t for t in texts if t)}
    if calls:
        made["tool_calls"] = calls
    if logprobs and not calls:
        made["token_logprobs"] = logprobs
    return made


def finish_of(response: Mapping[str, Any], calls: bool) -> str | None:
    """Why the answer ended, in the words of chat completions."""
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    if isinstance(reason, str):
        return REASONS.get(reason, reason)
    if response.get("status", "completed") != "completed":
        return None
    return "tool_calls" if calls else "stop"


def _call(item: Mapping[str, Any], field: str) -> dict[str, Any]:
    arguments = item.get("arguments", item.get("input"))
    call = {"name": item.get("name"), "id": item.get("call_id", item.get("id"))}
    return tool_call({**call, **({} if arguments is None else {"arguments": arguments})}, field)


def _logprobs(part: Mapping[str, Any], place: str, losses: Counter[str]) -> list[Any]:
    found = part.get("logprobs")
    if not isinstance(found, list) or not all(isinstance(t, Mapping) for t in found):
        return []
    if any(t.get("top_logprobs") for t in found):
        losses[f"{place}.logprobs[].top_logprobs"] += 1
    return [t.get("logprob") for t in found]


def _lose(item: Mapping[str, Any], sort: Any, place: str, losses: Counter[str]) -> None:
    if sort == "reasoning" and all(empty(v) for k, v in item.items() if k not in ("type", "id", "status")):
        return  # it says only that there was some
    losses[f"{place} of type {sort}" if isinstance(sort, str) and sort in KINDS else f"{place} of another type"] += 1


def _outline(field: str) -> str:
    """A dotted field with its numbers as []."""
    return ".".join("[]" if p.isdigit() else p for p in field.split(".")).replace(".[]", "[]")
