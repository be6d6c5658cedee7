"""Messages as events: one log record (or span event) a message, as the conventions 1.28 to 1.36 say, and the older pair
`gen_ai.content.prompt` / `gen_ai.content.completion` of span events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.otel_attributes import EMPTY, loss_name
from flywheel.ingestion.formats.otel_indexed import parsed, raw_response
from flywheel.ingestion.formats.otel_kinds import CHOICE, COMPLETION, MESSAGE_EVENTS, PROMPT
from flywheel.ingestion.formats.otel_messages import Lost, Turn, answer_of, answers_of, openai_turn, turns_of
from flywheel.ingestion.formats.otel_wire import from_json
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_object

Event = tuple[str, Mapping[str, Any]]  # its name, what it says
OF_MESSAGES = frozenset({"role", "content", "name", "tool_calls", "id", "tool_call_id", "refusal"})
OF_CHOICES = frozenset({"index", "finish_reason", "message"})
REPR = ("[{'", "{'")


def fields_of(attributes: Mapping[str, Any], body: Any) -> Mapping[str, Any]:
    """What an event says, in its body or, as some write it, in its attributes. Raises `Rejected`."""
    content = attributes.get("gen_ai.event.content")  # Azure's SDKs and Semantic Kernel
    body = content if body in EMPTY and content is not None else body
    if isinstance(body, str):
        found = parsed(body)
        body = found if isinstance(found, dict) else {"content": body}
    if body is None:
        return attributes
    return {**attributes, **demand_object(body, "body")}


def read_events(events: Sequence[Event], lost: Lost) -> tuple[list[Turn] | None, list[Turn] | None]:
    """The messages and the answers that the events of one call tell, in their order. Raises `Rejected`."""
    turns: list[Turn] = []
    old: list[Turn] = []
    choices: dict[int, Turn] = {}
    completions: list[Turn] = []
    for name, fields in events:
        if name in MESSAGE_EVENTS:
            turns.append(_message(name, fields, lost))
        elif name == CHOICE:
            index, answer = _choice(fields, len(choices), lost)
            if choices.setdefault(index, answer) != answer:
                raise Rejected("invalid_field", f"two different choices have the index {index}", "gen_ai.choice.index")
        elif name == PROMPT:
            old += prompt_of(fields.get("gen_ai.prompt"), "gen_ai.prompt", lost)
        elif name == COMPLETION:
            completions += completion_of(fields.get("gen_ai.completion"), "gen_ai.completion", lost)
    return turns or old or None, [choices[i] for i in sorted(choices)] or completions or None


def _message(name: str, fields: Mapping[str, Any], lost: Lost) -> Turn:
    said = {key: fields[key] for key in ("role", "name", "tool_calls", "refusal") if fields.get(key) not in EMPTY}
    if fields.get("content") is not None:
        said["content"] = _content(fields["content"])
    call_id = fields.get("id", fields.get("tool_call_id"))
    if MESSAGE_EVENTS[name] == "tool" and call_id not in EMPTY:
        said["tool_call_id"] = call_id
    _count(name, fields, OF_MESSAGES, lost)
    if isinstance(said.get("tool_calls"), str):
        said["tool_calls"] = parsed(said["tool_calls"])
    return openai_turn(said, name, lost, MESSAGE_EVENTS[name])


def _choice(fields: Mapping[str, Any], position: int, lost: Lost) -> tuple[int, Turn]:
    index = fields.get("index")
    index = position if index is None else index
    if isinstance(index, str) and index.isascii() and index.isdigit() and len(index) < 7:
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 10**6:
        raise Rejected("invalid_field", "the index of a choice must be a small number", "gen_ai.choice.index")
    inner = fields.get("message")
    if isinstance(inner, str):
        found = parsed(inner)
        inner = found if isinstance(found, dict) else {"content": _content(inner)}
    if inner is None:
        inner = {key: fields[key] for key in ("role", "content", "refusal") if key in fields}
    said = dict(demand_object(inner, "gen_ai.choice.message"))
    if fields.get("tool_calls") not in EMPTY:
        said.setdefault("tool_calls", fields["tool_calls"])
    if isinstance(said.get("tool_calls"), str):
        said["tool_calls"] = parsed(said["tool_calls"])
    _count("gen_ai.choice", fields, OF_CHOICES | OF_MESSAGES, lost)
    return index, answer_of(openai_turn(said, "gen_ai.choice.message", lost, "assistant"), fields.get("finish_reason"))


def _count(name: str, fields: Mapping[str, Any], known: frozenset[str], lost: Lost) -> None:
    for key, value in fields.items():
        if key not in known and value not in EMPTY and not key.startswith(("gen_ai.system", "gen_ai.provider", "gen_ai.event", "event.")):
            lost.add(f"{name} {loss_name(key)}")


def _content(value: Any) -> Any:
    """Content; a list of texts that was written as JSON into an attribute is that list."""
    if isinstance(value, str) and value.startswith("[{"):
        found = parsed(value)
        if isinstance(found, list) and all(
            isinstance(p, dict) and isinstance(p.get("text"), str) and set(p) <= {"text", "type"} for p in found
        ):
            return found
    return value


def prompt_of(value: Any, field: str, lost: Lost) -> list[Turn]:
    """Conventions up to 1.27: `gen_ai.prompt`, OpenAI's messages as JSON text (or the question itself). Raises `Rejected`."""
    found = _old(value, field)
    if isinstance(found, dict) and isinstance(found.get("messages"), list):
        found = found["messages"]
    return [{"role": "user", "content": found}] if isinstance(found, str) else turns_of(found, field, lost)


def completion_of(value: Any, field: str, lost: Lost) -> list[Turn]:
    """Conventions up to 1.27: `gen_ai.completion`, a list of answers as JSON text (or the answer itself). Raises `Rejected`."""
    found = _old(value, field)
    if isinstance(found, dict) and "choices" in found:
        return raw_response(found, field, lost) or []
    return [{"text": found}] if isinstance(found, str) else answers_of(found, field, lost)


def _old(value: Any, field: str) -> Any:
    if value in EMPTY:
        raise Rejected("missing_field", f"{field} is missing in its event", field)
    if isinstance(value, str):
        if value.startswith(REPR):  # the old page of the conventions showed Python's way of writing it; guessing at it would corrupt texts
            raise Rejected("invalid_field", f"{field} is Python's repr of messages, no JSON", field)
        if value[:1] in ("[", "{"):
            try:
                return from_json(value)
            except ValueError:
                return value
    return value
