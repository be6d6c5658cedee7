"""The short way of the commonest trace: one call of the conventions since 1.37, alone, with its messages as JSON text in attributes.

It gives what assembling gives, or nothing: a span with anything else goes the long way, which knows every dialect and names what is wrong.
A test compares the two.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec

from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.otel_attributes import EMPTY, Sorted, sort_attributes
from flywheel.ingestion.formats.otel_facts import NUMBERS
from flywheel.ingestion.formats.otel_kinds import CALL, OPERATIONS
from flywheel.ingestion.formats.otel_messages import Lost, as_text, finish_reason
from flywheel.ingestion.formats.otel_row import OF_THE_REQUEST, TOTAL
from flywheel.ingestion.formats.otel_seen import RENAMED, of_resource
from flywheel.ingestion.formats.otel_wire import alone, attributes, identifier, moment, number
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow, Message, Response, ToolCall

SAID_ELSEWHERE = frozenset({
    "traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano", "attributes", "status", "flags", "traceState",
})  # fmt: skip
SINGLE = frozenset({
    "response_id", "model", "conversation_id", "user_id", "finish_reasons", "system", "input", "output", "choices", *NUMBERS,
})  # fmt: skip
IDS = ("response_id", "conversation_id", "user_id")
FINE = frozenset({None, 0, 1, "STATUS_CODE_UNSET", "STATUS_CODE_OK"})
LARGEST = 2**63


class _Text(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="text", gc=False):
    content: str


class _Call(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="tool_call", gc=False):
    name: str
    arguments: Any = None
    id: str | None = None


class _Result(msgspec.Struct, forbid_unknown_fields=True, tag_field="type", tag="tool_call_response", gc=False):
    response: Any
    id: str | None = None


class _Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    parts: list[_Text | _Call | _Result]


class _Answer(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    parts: list[_Text | _Call]
    role: Literal["assistant"]
    finish_reason: str | None = None


_turns = msgspec.json.Decoder(list[_Turn]).decode
_answers = msgspec.json.Decoder(list[_Answer]).decode
_texts = msgspec.json.Decoder(list[_Text]).decode


def quick_call(payload: Json, format: str) -> tuple[CanonicalRow, Counter[str]] | None:
    """The record of a trace of one part, and its losses; None where it has to go the long way."""
    try:
        return _call(payload, Lost(format))
    except (Rejected, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _call(payload: Json, lost: Lost) -> tuple[CanonicalRow, Counter[str]] | None:
    items, span, resource = alone(payload)
    status = span.get("status") or {}
    if items != "spans" or not status.keys() <= {"code", "message"} or status.get("code") not in FINE:
        return None
    for key, value in span.items():
        if key in SAID_ELSEWHERE or value in EMPTY or value in (0, "0"):
            continue
        if key not in RENAMED:
            return None
        lost.add(RENAMED[key])
    trace, own = identifier(span.get("traceId"), "traceId"), identifier(span.get("spanId"), "spanId")
    identifier(span.get("parentSpanId"), "parentSpanId")
    time = moment(span.get("startTimeUnixNano"), "startTimeUnixNano")
    found = attributes(span.get("attributes"), "attributes")
    operation = found.get("gen_ai.operation.name")
    if trace is None or own is None or time is None or time < "2000" or OPERATIONS.get(operation) != CALL:  # type: ignore[arg-type]
        return None
    if any(value.__class__ is dict or (value.__class__ is list and any(v.__class__ is not str for v in value)) for value in found.values()):
        return None
    sorted_ = sort_attributes(found, lost)
    slots, metadata = sorted_.slots, sorted_.metadata
    if not slots.keys() <= SINGLE or any(sorted_.trees.values()) or any(k.startswith("consent.") for k in metadata):
        return None
    kept, dropped = of_resource(resource)
    for name in dropped:
        lost.add(name)
    metadata = {"trace_id": trace, "span_id": own, **metadata, **{k: v for k, v in kept.items() if k not in metadata}}
    if any(v.__class__ is not str and v.__class__ is not list for v in metadata.values()):
        return None
    messages, answers = _messages(sorted_), _said(sorted_, lost)
    if not messages or not answers:
        return None
    ids = {name: _id(sorted_.get(name)) for name in IDS}
    return CanonicalRow(
        id=ids["response_id"] or f"{trace}:{own}", timestamp=time, conversation_id=ids["conversation_id"], user_id=ids["user_id"], messages=messages,
        responses=answers, metadata=metadata,
    ), lost.counts  # fmt: skip


def _messages(found: Sorted) -> list[Message]:
    made: list[Message] = []
    for turn in _turns(found.get("input")):
        texts, calls = [], []
        results = False
        for part in turn.parts:
            if isinstance(part, _Text):
                texts.append(part.content)
            elif isinstance(part, _Call):
                calls.append(_called(part))
            else:
                results = True
                made.append(Message("tool", "" if part.response is None else as_text(part.response), tool_call_id=part.id or None))
        if texts or calls or not results:
            made.append(Message(turn.role, "\n".join(texts), None, calls or None))
    value = found.get("system")
    system = "" if value is None else "\n".join(t.content for t in _texts(value))
    if made and system and not (made[0].role in ("system", "developer") and made[0].content == system):
        made.insert(0, Message("system", system))
    return made


def _said(found: Sorted, lost: Lost) -> list[Response] | None:
    model, reasons = found.get("model"), found.get("finish_reasons") or ()
    answers = _answers(found.get("output"))
    if not isinstance(model, str) or isinstance(reasons, str) or found.get("choices") not in (None, len(answers)):
        return None
    told: dict[str, Any] = {n: number(v, n, whole=NUMBERS[n]) for n, (_, v, _) in found.slots.items() if n in NUMBERS}
    if any(abs(value) >= LARGEST for value in told.values()):
        return None
    asked = {name: told[name] for name in OF_THE_REQUEST if name in told}
    if "completion_tokens" in told:
        if len(answers) == 1:
            asked["completion_tokens"] = told["completion_tokens"]
        else:
            lost.add(TOTAL)
    made = []
    for n, answer in enumerate(answers):
        texts = [part.content for part in answer.parts if isinstance(part, _Text)]
        calls = [_called(part) for part in answer.parts if isinstance(part, _Call)]
        reason = finish_reason(answer.finish_reason) or (finish_reason(reasons[n]) if n < len(reasons) else None)
        made.append(Response("\n".join(texts), model, calls or None, finish_reason=reason, **asked))
    return made if any(a.text or a.tool_calls for a in made) else None


def _called(part: _Call) -> ToolCall:
    if not part.name:
        raise Rejected("missing_field", "a call names no function", "gen_ai.input.messages")
    return ToolCall(part.name, "{}" if part.arguments is None else as_text(part.arguments), part.id or None)


def _id(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Rejected("invalid_field", "an id that is no text", None)
    return value
