"""Messages and answers as the OpenTelemetry dialects write them, as canonical turns.

The conventions from 1.37 on say `{role, parts: [{type, ...}]}`; everything else speaks OpenAI's `{role, content, tool_calls}`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.otel_wire import from_json
from flywheel.ingestion.formats.pieces import FINISH
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import OLD_ROLES, ROLES, demand_list, demand_object, kind, message

PART_TYPES = frozenset({
    "reasoning", "thinking", "blob", "file", "uri", "image", "image_url", "audio", "input_audio", "video", "document", "server_tool_call",
    "server_tool_call_response", "compaction",
})  # fmt: skip
OF_MESSAGES = frozenset({"role", "parts", "name", "finish_reason"})
ROLE_NAMES = {**OLD_ROLES, "model": "assistant", "chatbot": "assistant"}
WRITE = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode  # as `turns.tool_call` writes them; made once, for it is slow to make
Turn = dict[str, Any]


class Lost:
    """Counts what a source said and a record has no place for."""

    __slots__ = ("counts", "format")

    def __init__(self, format: str) -> None:
        self.format, self.counts = format, Counter[str]()

    def add(self, what: str, times: int = 1) -> None:
        """`what` in the words of the source; the format's name is put before it."""
        self.counts[f"{self.format}: {what}"] += times


def role_of(value: Any, field: str) -> str:
    """A canonical role. Raises `Rejected`."""
    if value is None or value == "":
        raise Rejected("missing_field", f"{field} is missing: who said it?", field)
    if value.__class__ is str and value in ROLES:
        return str(value)
    role = ROLE_NAMES.get(value.lower(), value.lower()) if isinstance(value, str) else None
    if role not in ROLES:
        raise Rejected("invalid_field", f"{field} must be one of {', '.join(ROLES)}", field)
    return role


def finish_reason(value: Any) -> str | None:
    """OpenAI's word for why an answer ended."""
    return FINISH.get(value, value) if isinstance(value, str) and value else None


def tool_call(name: Any, arguments: Any, call_id: Any, field: str) -> Turn:
    """One canonical tool call. Arguments that are text stay as they came. Raises `Rejected`."""
    if not isinstance(name, str) or not name:
        raise Rejected("missing_field", f"{field} names no function", f"{field}.name")
    call: Turn = {"name": name, "arguments": "{}" if arguments is None else as_text(arguments)}
    if (made := text_id(call_id, f"{field}.id")) is not None:
        call["id"] = made
    return call


def text_id(value: Any, field: str) -> str | None:
    """An id as text; a number is one too. Raises `Rejected`."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Rejected("invalid_field", f"{field} must be text, is {kind(value)}", field)
    return str(value)


def as_text(value: Any) -> str:
    """Text as it is; any other value as JSON."""
    try:
        return value if isinstance(value, str) else WRITE(value)
    except RecursionError:
        raise Rejected("invalid_field", "a value is nested too deep") from None


def structured(value: Any, field: str) -> Any:
    """A value that may have come as JSON text, even twice. Raises `Rejected` where text is none (cut off by a length limit, say)."""
    for _ in range(2):
        if isinstance(value, str):
            try:
                value = from_json(value)
            except ValueError:
                raise Rejected("invalid_field", f"{field} is text, but no JSON: was it cut off?", field) from None
    return value


def turns_of(value: Any, field: str, lost: Lost) -> list[Turn]:
    """`gen_ai.input.messages`, or a list of messages of the older form. Raises `Rejected`."""
    value = structured(value, field)
    made: list[Turn] = []
    for number, entry in enumerate(demand_list([value] if isinstance(value, dict) else value, field)):
        said = entry if entry.__class__ is dict else demand_object(entry, f"{field}.{number}")
        if "parts" in said:
            made += _from_parts(said, f"{field}.{number}", lost)
        else:
            made.append(openai_turn(said, f"{field}.{number}", lost))
    return made


def openai_turn(said: Mapping[str, Any], field: str, lost: Lost, role: str | None = None) -> Turn:
    """A turn of the form `{role, content, tool_calls}`. Raises `Rejected`."""
    return message(
        {**said, "role": role_of(said.get("role") or role, f"{field}.role")}, field, lost.counts, strict=False, dialect=lost.format
    )


def system_turn(value: Any, field: str, lost: Lost) -> Turn | None:
    """`gen_ai.system_instructions`: a list of parts, or text. Raises `Rejected`."""
    if isinstance(value, str):
        try:
            value = from_json(value)
        except ValueError:  # the instructions themselves, unless they were a list that has been cut off
            if value.lstrip().startswith("["):
                raise Rejected("invalid_field", f"{field} is text, but no JSON: was it cut off?", field) from None
    if isinstance(value, (Mapping, list)):
        texts: list[str] = []
        for number, part in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(part, str):
                texts.append(part)
            elif isinstance(held := demand_object(part, f"{field}.{number}").get("parts"), list):  # messages instead of parts
                texts += [t["content"] for t in _from_parts({"role": "system", "parts": held}, f"{field}.{number}", lost)]
            else:
                _take_part(part, f"{field}.{number}", texts, [], [], lost)
        value = "\n".join(texts)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Rejected("invalid_field", f"{field} must be a list of parts, is {kind(value)}", field)
    return {"role": "system", "content": value}


def _from_parts(said: Mapping[str, Any], field: str, lost: Lost) -> list[Turn]:
    """One message of parts: a turn, and one of role tool for each tool result in it."""
    role = role_of(said.get("role"), f"{field}.role")
    texts: list[str] = []
    calls: list[Turn] = []
    results: list[Turn] = []
    parts = demand_list(said["parts"], f"{field}.parts")
    for number, part in enumerate(parts):
        if part.__class__ is dict and part.get("type") == "text" and (text := part.get("content")).__class__ is str:
            texts.append(text)
        else:
            _take_part(part, f"{field}.parts.{number}", texts, calls, results, lost)
    if not said.keys() <= OF_MESSAGES:
        for key in said:
            if key not in OF_MESSAGES and said[key] not in (None, "", [], {}):
                lost.add(f"messages[].{key}")
    if results and not texts and not calls:
        return results
    turn: Turn = {"role": role, "content": "\n".join(texts)}
    if (name := text_id(said.get("name"), f"{field}.name")) is not None:
        turn["name"] = name
    if calls:
        turn["tool_calls"] = calls
    return [*results, turn]


def _take_part(part: Any, field: str, texts: list[str], calls: list[Turn], results: list[Turn], lost: Lost) -> None:
    if isinstance(part, str):
        texts.append(part)
        return
    sort = (part if part.__class__ is dict else demand_object(part, field)).get("type")
    if sort == "text":
        text = part.get("content", part.get("text"))
        if not isinstance(text, str):
            raise Rejected("invalid_field", f"{field}.content must be text, is {kind(text)}", f"{field}.content")
        texts.append(text)
    elif sort == "tool_call":
        calls.append(tool_call(part.get("name"), part.get("arguments"), part.get("id"), field))
    elif sort == "tool_call_response":
        result = part.get("response", part.get("result"))
        turn: Turn = {"role": "tool", "content": "" if result is None else as_text(result)}
        if (call_id := text_id(part.get("id"), f"{field}.id")) is not None:
            turn["tool_call_id"] = call_id
        results.append(turn)
    else:
        lost.add(f"message part of type {sort if isinstance(sort, str) and sort in PART_TYPES else 'unknown to the conventions'}")


def answers_of(value: Any, field: str, lost: Lost) -> list[Turn]:
    """`gen_ai.output.messages`: each message is one choice. Raises `Rejected`."""
    value = structured(value, field)
    made = []
    for number, entry in enumerate(demand_list([value] if isinstance(value, dict) else value, field)):
        said = demand_object(entry, f"{field}.{number}")
        place = f"{field}.{number}"
        if "parts" in said:
            turns = _from_parts({**said, "role": "assistant"}, place, lost)
            if len(turns) > 1 or turns[0]["role"] == "tool":
                lost.add("tool result inside an answer", len(turns) - (turns[-1]["role"] != "tool"))
            answer = turns[-1] if turns[-1]["role"] != "tool" else {"content": ""}
        else:
            answer = openai_turn({k: v for k, v in said.items() if k not in ("finish_reason", "index", "role")}, place, lost, "assistant")
        made.append(answer_of(answer, said.get("finish_reason")))
    return made


def answer_of(turn: Mapping[str, Any], reason: Any) -> Turn:
    """A canonical response from a turn, still without its model."""
    answer: Turn = {"text": turn["content"]}
    if turn.get("tool_calls"):
        answer["tool_calls"] = turn["tool_calls"]
    if (word := finish_reason(reason)) is not None:
        answer["finish_reason"] = word
    return answer
