"""Where request and response of a logged call lie: loggers, client wrappers and HTTP proxies each wrap them in their own way, and a stream
may have been kept as its chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.pieces import count_lost, empty, from_json, maybe_json, object_or_json
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object

REQUESTS = ("request", "request_body", "kwargs")
RESPONSES = ("response", "response_body")
ASKED = frozenset({"messages", "prompt", "input"})
ANSWERED = frozenset({"choices", "output", "error", "object"})
CHUNK = "chat.completion.chunk"
CHUNK_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation"})
EVENT = "data:"


class Side(NamedTuple):
    """A request or a response as the API has it, and where it lies: `name` in the row, `path` with the dot behind it."""

    body: Mapping[str, Any]
    name: str
    path: str


def request_of(row: Json, format: str, losses: Counter[str]) -> Side | None:
    """The request beside the response; None where there is none. Raises `Rejected`."""
    return _side(row, REQUESTS, ASKED, format, losses)


def response_of(row: Json, format: str, losses: Counter[str]) -> Side | None:
    """The response beside the request; None where there is none. Raises `Rejected`."""
    return _side(row, RESPONSES, ANSWERED, format, losses)


def _side(row: Json, names: tuple[str, ...], marks: Set[str], format: str, losses: Counter[str]) -> Side | None:
    name = next((n for n in names if row.get(n) is not None), None)
    if name is None:
        return None
    held, path = _whole(row[name], name, format, losses), name
    inner = held.get("body")
    if inner is not None and marks.isdisjoint(held):  # an exchange over HTTP
        count_lost(held, {"body"}, f"{format}: {name}.", losses)
        path = f"{name}.body"
        held = _whole(inner, path, format, losses)
    return Side(held, name, f"{path}.")


def _whole(value: Any, field: str, format: str, losses: Counter[str]) -> Mapping[str, Any]:
    """An object, JSON text of one, or the chunks of a stream put together. Raises `Rejected`."""
    if isinstance(value, str) and value.startswith(EVENT):  # server-sent events as they came over the wire
        told = (line[len(EVENT) :].strip() for line in value.splitlines() if line.startswith(EVENT))
        value = [from_json(text, field) for text in told if text != "[DONE]"]
    elif isinstance(value, str):
        value = maybe_json(value)
    if isinstance(value, list) and value and all(isinstance(c, Mapping) and c.get("object") == CHUNK for c in value):
        return completion_of(value, field, f"{format}: {field}[].", losses)
    return object_or_json(value, field)


def completion_of(chunks: list[Any], field: str, place: str, losses: Counter[str]) -> dict[str, Any]:
    """The completion that a stream's chunks tell. Raises `Rejected`."""
    made: dict[str, Any] = {"object": "chat.completion"}
    choices: dict[int, dict[str, Any]] = {}
    for number, chunk in enumerate(chunks):
        count_lost(chunk, CHUNK_FIELDS, place, losses)
        for key in ("id", "created", "model", "usage"):
            if not empty(chunk.get(key)):
                made[key] = chunk[key]
        for value in demand_list(chunk.get("choices") or [], f"{field}.{number}.choices"):
            told = demand_object(value, f"{field}.{number}.choices")
            index = _index(told, f"{field}.{number}.choices")
            choice = choices.setdefault(index, {"index": index, "message": {"role": "assistant", "content": None}})
            for key, held in told.items():
                if key == "delta":
                    _add_delta(choice["message"], demand_object(held or {}, f"{field}.{number}.choices.delta"), field)
                elif key == "logprobs" and isinstance(held, Mapping):
                    _add_logprobs(choice, held)
                elif key != "index" and held is not None:
                    choice[key] = held
    made["choices"] = [_finished(choices[index]) for index in sorted(choices)]
    return made


def _add_delta(message: dict[str, Any], delta: Mapping[str, Any], field: str) -> None:
    for key, held in delta.items():
        if held is None or key == "role":
            continue
        if key == "tool_calls":
            calls = message.setdefault("tool_calls", {})
            for value in demand_list(held, f"{field}.tool_calls"):
                called = demand_object(value, f"{field}.tool_calls")
                kept = calls.setdefault(_index(called, f"{field}.tool_calls"), {"function": {}})
                function = called.get("function") if isinstance(called.get("function"), Mapping) else {}
                kept.update({k: v for k, v in called.items() if k not in ("index", "function") and v is not None})
                _join(kept["function"], function or {})
        elif key == "function_call":
            _join(message.setdefault("function_call", {}), demand_object(held, f"{field}.function_call"))
        elif isinstance(held, str):
            message[key] = (message.get(key) or "") + held
        else:
            message[key] = held


def _join(kept: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, held in more.items():
        if held is not None:
            kept[key] = kept.get(key, "") + held if isinstance(held, str) else held


def _add_logprobs(choice: dict[str, Any], told: Mapping[str, Any]) -> None:
    kept = choice.setdefault("logprobs", {})
    for key, held in told.items():
        if isinstance(held, list):
            kept[key] = [*kept.get(key, []), *held]


def _index(value: Mapping[str, Any], field: str) -> int:
    index = value.get("index", 0)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < 10**6:
        raise Rejected("invalid_field", f"{field}.index must be a small number", f"{field}.index")
    return index


def _finished(choice: dict[str, Any]) -> dict[str, Any]:
    calls = choice["message"].get("tool_calls")
    if isinstance(calls, dict):
        choice["message"]["tool_calls"] = [calls[n] for n in sorted(calls)]
    return choice
