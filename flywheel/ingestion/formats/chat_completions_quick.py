"""The short way of the commonest rows: chat completions of plain text and tool calls, converted into typed structs in one go.

It gives what `chat_completions` gives, ten times as fast, or nothing: a row with anything beyond these fields goes the long way, which
knows every form and names what is wrong. A test compares the two.
"""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from flywheel.errors import FlywheelError
from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.pieces import FINISH, empty
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow, Message, Named, Response, Template, ToolCall, Whole64
from flywheel.ingestion.timestamps import parse_timestamp

Some = Annotated[str, Meta(min_length=1, pattern=r"\S")]
Nothing = Annotated[list[Any], Meta(max_length=0)] | None


class _Struct(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    pass


class _Function(_Struct, forbid_unknown_fields=True):
    name: str
    arguments: str | dict[str, Any] | list[Any] = "{}"


class _Call(_Struct, forbid_unknown_fields=True):
    function: _Function
    id: str | None = None
    type: Any = None
    index: Any = None


class _Turn(_Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | UnsetType | None = UNSET
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None


class _Answer(_Struct, forbid_unknown_fields=True):
    content: str | UnsetType | None = UNSET
    role: Literal["assistant"] | None = None
    tool_calls: list[_Call] | None = None
    refusal: None = None
    annotations: Nothing = None
    audio: None = None
    function_call: None = None


class _Choice(_Struct, forbid_unknown_fields=True):
    message: _Answer
    index: Any = None
    finish_reason: str | None = None
    logprobs: None = None


class _Usage(_Struct, forbid_unknown_fields=True):
    prompt_tokens: Whole64 | None = None
    completion_tokens: Whole64 | None = None
    total_tokens: Any = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None


class _Request(_Struct, forbid_unknown_fields=True):
    messages: list[_Turn]
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: Whole64 | None = None
    max_tokens: Whole64 | None = None
    max_completion_tokens: Whole64 | UnsetType | None = UNSET
    user: Some | None = None
    n: Any = None
    metadata: None = None
    tools: Any = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    stream: Any = None
    stream_options: Any = None
    stop: Any = None
    response_format: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    store: Any = None


class _Response(_Struct, forbid_unknown_fields=True):
    choices: Annotated[list[_Choice], Meta(min_length=1)]
    id: Some | None = None
    object: Any = None
    created: int | None = None
    model: str | None = None
    usage: _Usage | None = None
    system_fingerprint: Any = None
    service_tier: Any = None


class _Row(_Struct, forbid_unknown_fields=True):
    request: _Request
    response: _Response
    timestamp: str | int | None = None
    id: None = None
    conversation_id: Some | None = None
    user_id: Some | None = None
    domain: str | None = None
    task_type: str | None = None
    language: str | None = None
    template: Template | None = None
    feedback: None = None
    metadata: None = None
    consent: None = None
    error: None = None
    workload_id: Named | None = None
    client_id: Named | None = None


LOST_OF_REQUESTS = (
    "tools", "tool_choice", "parallel_tool_calls", "stream", "stream_options", "stop", "response_format", "presence_penalty", "frequency_penalty",
    "logprobs", "top_logprobs", "store",
)  # fmt: skip
LOST_OF_RESPONSES = ("system_fingerprint", "service_tier")
DETAILS = ("prompt_tokens_details", "completion_tokens_details")


def quick_row(row: Json, name: str, required: tuple[str, ...]) -> tuple[CanonicalRow, Counter[str]] | None:
    """The record of a row and its losses; None where the row has to go the long way."""
    try:
        found = msgspec.convert(row, _Row)
        asked, answered = found.request, found.response
        if required and not (found.workload_id and found.client_id):
            return None
        if not required and (found.workload_id is not None or found.client_id is not None):
            return None
        stamp = answered.created if found.timestamp is None else found.timestamp
        if stamp is None or (found.user_id is not None and asked.user not in (None, found.user_id)):
            return None
        parse_timestamp(stamp)
        model = answered.model or asked.model
        if not model or not _finite(asked.temperature) or not _finite(asked.top_p):
            return None
        messages = [_message(turn) for turn in asked.messages]
        losses: Counter[str] = Counter()
        responses = _responses(found, model, name, losses)
    except (ValueError, TypeError, OverflowError, RecursionError, Rejected, _LongWay):  # half a character in a text is a ValueError
        return None
    for key in LOST_OF_REQUESTS:
        if not empty(getattr(asked, key)):
            losses[f"{name}: request.{key}"] += 1
    for key in LOST_OF_RESPONSES:
        if not empty(getattr(answered, key)):
            losses[f"{name}: response.{key}"] += 1
    metadata: dict[str, Any] = {}
    if asked.model and asked.model != model:
        metadata["requested_model"] = asked.model
    for key in required:
        metadata[key] = getattr(found, key)
    return CanonicalRow(
        id=answered.id, timestamp=stamp, conversation_id=found.conversation_id, user_id=found.user_id or asked.user, domain=found.domain,
        task_type=found.task_type, language=found.language, messages=messages, responses=responses, template=found.template,
        metadata=metadata or None,
    ), losses  # fmt: skip


class _LongWay(FlywheelError):
    """Something that the short way cannot judge."""


def _message(turn: _Turn) -> Message:
    content = turn.content
    if content is UNSET and not turn.tool_calls:
        raise _LongWay
    calls = [_called(c) for c in turn.tool_calls] if turn.tool_calls else None
    return Message(turn.role, content or "", turn.name, calls, turn.tool_call_id)


def _called(call: _Call) -> ToolCall:
    arguments = call.function.arguments
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    return ToolCall(call.function.name, arguments, call.id)


def _responses(found: _Row, model: str, name: str, losses: Counter[str]) -> list[Response]:
    asked, answered, usage = found.request, found.response, found.response.usage
    limit = asked.max_tokens if asked.max_completion_tokens in (UNSET, None) else asked.max_completion_tokens
    completion = None
    if usage is not None:
        completion = usage.completion_tokens
        for key in DETAILS:
            held = getattr(usage, key)
            if held and not (isinstance(held, dict) and not any(held.values())):
                losses[f"{name}: response.usage.{key}"] += 1
        if completion is not None and len(answered.choices) > 1:
            losses[f"{name}: response.usage.completion_tokens (a total over several choices)"] += 1
            completion = None
    made = []
    for choice in answered.choices:
        said = choice.message
        if said.content is UNSET and not said.tool_calls:
            raise _LongWay
        reason = choice.finish_reason
        made.append(Response(
            said.content or "", model, [_called(c) for c in said.tool_calls] if said.tool_calls else None, None, asked.temperature, asked.top_p,
            asked.seed, limit, FINISH.get(reason, reason) if reason is not None else None,
            None if usage is None else usage.prompt_tokens, completion,
        ))  # fmt: skip
    return made


def _finite(value: float | None) -> bool:
    return value is None or isfinite(value)
