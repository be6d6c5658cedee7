"""Chat-completions logs: OpenAI request and response side by side (or merged in one object), and NVIDIA's flywheel log, which adds
`workload_id`, `client_id` and an epoch `timestamp`.

Field names after the API reference and NVIDIA's blueprint; its own validator accepts `messages: [{}]` and rows without `workload_id`, ours
does not. What has no place in a record is counted as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.draft import Draft, raw_id
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object, message

ENVELOPE = frozenset({
    "id", "timestamp", "conversation_id", "user_id", "domain", "task_type", "language", "feedback", "template", "profile", "metadata",
    "consent", "request", "response",
})  # fmt: skip
REQUEST = frozenset({"messages", "model", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "user", "metadata"})
RESPONSE = frozenset({"id", "model", "created", "choices", "usage"})
CHOICE = frozenset({"index", "message", "finish_reason", "logprobs"})
UNTOLD = frozenset({"object"})  # says only which kind of object this is


def from_openai(row: Mapping[str, Any]) -> Draft:
    """A row with `request` and `response`, or one object with `messages` and `choices`. Raises `Rejected` with the field."""
    return _draft(row, "openai", frozenset())


def from_nvidia(row: Mapping[str, Any]) -> Draft:
    """A row of NVIDIA's data flywheel log. Raises `Rejected` with the field."""
    for key in ("workload_id", "client_id"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise Rejected("missing_field", f"{key} is missing: which workload does this row belong to?", key)
    draft = _draft(row, "nvidia", frozenset({"workload_id", "client_id"}))
    draft.metadata = {**(draft.metadata or {}), "workload_id": row["workload_id"], "client_id": row["client_id"]}
    return draft


def _draft(row: Mapping[str, Any], dialect: str, more: frozenset[str]) -> Draft:
    losses: Counter[str] = Counter()
    merged = "choices" in row
    request = row if merged else demand_object(row.get("request", {}), "request")
    response = row if merged else demand_object(row.get("response", {}), "response")
    inside = "" if merged else "request."
    if "messages" not in request:
        raise Rejected("missing_field", f"{inside}messages is missing: what was asked?", f"{inside}messages")
    if "choices" not in response:
        raise Rejected("missing_field", "response.choices is missing: what was answered?", "response.choices")
    _count_lost(row, ENVELOPE | more | (REQUEST | RESPONSE if merged else frozenset()), "", dialect, losses)
    if not merged:
        _count_lost(request, REQUEST, "request.", dialect, losses)
        _count_lost(response, RESPONSE, "response.", dialect, losses)
    turns = demand_list(request["messages"], f"{inside}messages")
    choices = demand_list(response["choices"], "response.choices")
    user = raw_id(row, "user_id") or raw_id(request, "user")
    metadata = row.get("metadata")
    if not merged and request.get("metadata"):
        metadata = {**(metadata if isinstance(metadata, Mapping) else {}), **demand_object(request["metadata"], "request.metadata")}
    return Draft(
        dialect=dialect, source_id=raw_id(row, "id") or raw_id(response, "id"), conversation=raw_id(row, "conversation_id"), user=user,
        messages=[message(m, f"{inside}messages.{i}", losses, strict=False, dialect=dialect) for i, m in enumerate(turns)],
        responses=[_answer(c, i, request, response, len(choices), dialect, losses) for i, c in enumerate(choices)],
        metadata=metadata, losses=losses,
        **{k: row.get(k) for k in ("domain", "task_type", "language", "feedback", "template", "profile", "consent")},
    )  # fmt: skip


def _count_lost(part: Mapping[str, Any], known: frozenset[str], prefix: str, dialect: str, losses: Counter[str]) -> None:
    for key in part:
        if key not in known and key not in UNTOLD and part[key] not in (None, [], {}):
            losses[f"{dialect}: {prefix}{key}"] += 1


def _answer(
    value: Any, number: int, request: Mapping[str, Any], response: Mapping[str, Any], n_choices: int, dialect: str, losses: Counter[str]
) -> dict[str, Any]:
    field = f"response.choices.{number}"
    choice = demand_object(value, field)
    _count_lost(choice, CHOICE, "response.choices[].", dialect, losses)
    if "message" not in choice:
        raise Rejected("missing_field", f"{field} has no message", f"{field}.message")
    said = message({"role": "assistant", **demand_object(choice["message"], f"{field}.message")}, f"{field}.message", losses,
                   strict=False, dialect=dialect)  # fmt: skip
    model = response.get("model") or request.get("model")
    if not isinstance(model, str) or not model:
        raise Rejected("missing_field", "neither the response nor the request names a model", "response.model")
    generation: dict[str, Any] = {"model_id": model, "finish_reason": choice.get("finish_reason")}
    for key in ("temperature", "top_p", "seed"):
        generation[key] = request.get(key)
    generation["max_tokens"] = request.get("max_completion_tokens", request.get("max_tokens"))
    usage = response.get("usage") or {}
    if isinstance(usage, Mapping):
        generation["prompt_tokens"] = usage.get("prompt_tokens")
        if n_choices == 1:
            generation["completion_tokens"] = usage.get("completion_tokens")
        elif number == 0 and usage.get("completion_tokens") is not None:
            losses[f"{dialect}: response.usage.completion_tokens (a total over several choices)"] += 1
    generation["token_logprobs"] = _logprobs(choice.get("logprobs"), field, dialect, losses)
    return {
        "text": said["content"],
        "tool_calls": said.get("tool_calls", []),
        "generation": {k: v for k, v in generation.items() if v is not None},
    }


def _logprobs(value: Any, field: str, dialect: str, losses: Counter[str]) -> list[float] | None:
    content = value.get("content") if isinstance(value, Mapping) else None
    if not content:
        return None
    tokens = demand_list(content, f"{field}.logprobs.content")
    if any(isinstance(t, Mapping) and t.get("top_logprobs") for t in tokens):
        losses[f"{dialect}: response.choices[].logprobs.content[].top_logprobs"] += 1
    return [demand_object(t, f"{field}.logprobs.content.{i}").get("logprob") for i, t in enumerate(tokens)]  # type: ignore[misc]
