"""Turns of a conversation as logs write them, to the canonical message: content as text or parts, tool calls in either known form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.quarantine import Rejected

ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal"})
OLD_ROLES = {"function": "tool", "human": "user", "ai": "assistant", "bot": "assistant"}


def demand_object(value: Any, field: str) -> Mapping[str, Any]:
    """`value`, which must be a JSON object."""
    if type(value) is not dict and not isinstance(value, Mapping):  # the first is nearly always enough, and ten times as quick
        raise Rejected("invalid_field", f"{field} must be an object, is {kind(value)}", field)
    return value


def demand_list(value: Any, field: str) -> list[Any]:
    """`value`, which must be a JSON list."""
    if not isinstance(value, list):
        raise Rejected("invalid_field", f"{field} must be a list, is {kind(value)}", field)
    return value


def raw_id(row: Mapping[str, Any], key: str) -> str | None:
    """An id as text (a number is one too). Raises `Rejected` on anything else."""
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise Rejected("invalid_field", f"{key} must be text or a whole number, and not empty", key)
    return str(value)


def kind(value: Any) -> str:
    """A JSON type's name, for messages."""
    names = {
        "str": "text",
        "int": "a number",
        "float": "a number",
        "bool": "true or false",
        "NoneType": "null",
        "list": "a list",
        "dict": "an object",
    }
    return names.get(type(value).__name__, type(value).__name__)


def unknown_keys(row: Mapping[str, Any], known: frozenset[str], prefix: str = "") -> None:
    """Refuse a key that the canonical form does not have."""
    extra = sorted(k for k in row if k not in known)
    if extra:
        field = f"{prefix}{extra[0]}"
        raise Rejected("unknown_field", f"{field} is not a field of the canonical form; known: {', '.join(sorted(known))}", field)


def message(value: Any, field: str, losses: Counter[str], *, strict: bool, dialect: str) -> dict[str, Any]:
    """One turn. `strict` refuses unknown keys, otherwise they are counted as lost."""
    turn = demand_object(value, field)
    if strict:
        unknown_keys(turn, MESSAGE, f"{field}.")
    role = turn.get("role")
    if role is None:
        raise Rejected("missing_field", f"{field} has no role", f"{field}.role")
    role = OLD_ROLES.get(role, role) if isinstance(role, str) and not strict else role
    if role not in ROLES:
        raise Rejected("invalid_field", f"{field}.role must be one of {', '.join(ROLES)}", f"{field}.role")
    if "content" not in turn and not any(turn.get(key) for key in ("tool_calls", "function_call", "refusal")):
        raise Rejected("missing_field", f"{field} has neither content nor tool calls", f"{field}.content")
    for key in turn:
        if key not in MESSAGE and key not in ("function_call", "refusal") and turn[key] not in (None, [], {}):
            losses[f"{dialect}: messages[].{key}"] += 1
    said: dict[str, Any] = {"role": role, "content": text_of(turn.get("content"), f"{field}.content", losses, dialect)}
    if isinstance(turn.get("refusal"), str) and turn["refusal"]:
        if said["content"]:
            losses[f"{dialect}: messages[].refusal (beside content)"] += 1
        said["content"] = said["content"] or turn["refusal"]
    for key in ("name", "tool_call_id"):
        if turn.get(key) is not None:
            said[key] = turn[key]
    calls = demand_list(turn.get("tool_calls") or [], f"{field}.tool_calls")
    if isinstance(turn.get("function_call"), Mapping):  # the form before tools
        calls = [*calls, {"function": turn["function_call"]}]
    if calls:
        said["tool_calls"] = [tool_call(c, f"{field}.tool_calls.{i}") for i, c in enumerate(calls)]
    return said


def text_of(content: Any, field: str, losses: Counter[str], dialect: str) -> str:
    """Content as text: parts joined by a line break; a part that is no text (an image) is counted as lost."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts = []
    for number, part in enumerate(demand_list(content, field)):
        if isinstance(part, str):
            texts.append(part)
            continue
        sort = demand_object(part, f"{field}.{number}").get("type", "text")
        found = part.get("text", part.get("refusal", part.get("content")))
        if isinstance(sort, str) and sort in TEXT_PARTS and isinstance(found, str):
            texts.append(found)
        else:
            losses[f"{dialect}: content part of another type than text"] += 1
    return "\n".join(texts)


def tool_call(value: Any, field: str) -> dict[str, Any]:
    """A call as `{id, name, arguments}` or as `{id, type, function: {name, arguments}}`; arguments as text or object."""
    call = demand_object(value, field)
    body = demand_object(call["function"], f"{field}.function") if "function" in call else call
    if not isinstance(body.get("name"), str):
        raise Rejected("missing_field", f"{field} names no function", f"{field}.name")
    arguments = body.get("arguments")
    if arguments is None:
        arguments = "{}"
    elif not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    made: dict[str, Any] = {"name": body["name"], "arguments": arguments}
    if call.get("id") is not None:
        made["id"] = call["id"]
    return made
