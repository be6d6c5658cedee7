"""One call of the OpenAI API, as request and response, to a canonical row: chat completions, the old `prompt` completions, and the
Responses API. Also what batch output, stored completions and Langfuse hold inside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from flywheel.ingestion.formats.chat_completions_exchange import Side
from flywheel.ingestion.formats.chat_completions_responses import answer_of_items, finish_of, instructions_of, turns_of_items
from flywheel.ingestion.formats.pieces import count_lost, empty, error_name, finish_reason, is_id, turn_of, without_none
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object

CHAT_REQUEST = frozenset(
    {"messages", "model", "temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "user", "metadata", "n"}
)
PROMPT_REQUEST = CHAT_REQUEST - {"messages"} | {"prompt", "echo"}
RESPONSES_REQUEST = frozenset({
    "input", "instructions", "model", "temperature", "top_p", "max_output_tokens", "user", "metadata", "conversation", "prompt",
    "previous_response_id",
})  # fmt: skip
CHAT_RESPONSE = frozenset({"id", "object", "model", "created", "choices", "usage"})
ONLY_ANSWERED = frozenset({
    "id", "object", "model", "created_at", "created", "output", "output_text", "usage", "status", "error", "incomplete_details",
})  # fmt: skip
CALL_FIELDS = CHAT_REQUEST | PROMPT_REQUEST | CHAT_RESPONSE
RESPONSES_FIELDS = RESPONSES_REQUEST | ONLY_ANSWERED
CHOICE = frozenset({"index", "message", "text", "finish_reason", "logprobs", "content_filter_results"})
NO_ANSWER_YET = ("failed", "cancelled", "queued", "in_progress")
LOGPROBS = frozenset({"content", "refusal", "tokens", "token_logprobs", "text_offset", "top_logprobs"})
COUNTED = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"})


class Call(NamedTuple):
    """A request and its response (one object where they are merged), the dotted paths where each lies, and the format's name."""

    request: Mapping[str, Any]
    response: Mapping[str, Any]
    asked_at: str
    answered_at: str
    format: str

    @property
    def merged(self) -> bool:
        return self.request is self.response


def no_call(answer: Mapping[str, Any]) -> str | None:
    """What an answer is that is no model's text: the kind of another endpoint."""
    data = answer.get("data")
    if answer.get("object") == "list" and isinstance(data, list) and "choices" not in answer:
        return "embedding"
    return "moderation" if isinstance(answer.get("results"), list) and "choices" not in answer else None


def failure(row: Mapping[str, Any], answered: Side | None) -> tuple[str, str] | None:
    """Message and field, where the log says that the call failed and has no answer."""
    response, path = (answered.body, answered.path) if answered is not None else ({}, "response.")
    if response.get("choices") or response.get("output"):
        return None
    if not empty(response.get("error")):
        return f"the call failed: {error_name(response['error'])}", f"{path}error"
    if not empty(row.get("error")) and not row.get("choices") and not row.get("output"):
        return f"the call failed: {error_name(row['error'])}", "error"
    if response.get("status") in NO_ANSWER_YET:
        return f"the call gave no answer: {response['status']}", f"{path}status"
    return None


def canonical_call(call: Call, losses: Counter[str]) -> dict[str, Any]:
    """The canonical row of the call alone. Raises `Rejected` with the field. `metadata` is the request's, as it came."""
    request, response = call.request, call.response
    if "choices" not in response and ("output" in response or response.get("object") == "response"):
        call = _with_inherited(call, losses)
        request = call.request
        made = _responses_call(call, losses)
    elif "messages" in request:
        if "choices" not in response:
            raise Rejected("missing_field", f"{call.answered_at}choices is missing: what was answered?", f"{call.answered_at}choices")
        known = CHAT_REQUEST | CHAT_RESPONSE if call.merged else CHAT_REQUEST
        _count(call, known, CHAT_RESPONSE, losses)
        field = f"{call.asked_at}messages"
        turns = demand_list(request["messages"], field)
        made = {"messages": [turn_of(m, f"{field}.{i}", call.format, losses) for i, m in enumerate(turns)]}
        made["responses"] = choices_of(call, losses)
    elif "prompt" in request:
        if "choices" not in response:
            raise Rejected("missing_field", f"{call.answered_at}choices is missing: what was answered?", f"{call.answered_at}choices")
        _count(call, PROMPT_REQUEST, CHAT_RESPONSE, losses)
        made = {"messages": [{"role": "user", "content": _prompt(call)}], "responses": choices_of(call, losses)}
    else:
        raise Rejected("missing_field", f"{call.asked_at}messages is missing: what was asked?", f"{call.asked_at}messages")
    created = response.get("created")
    for key, value in (
        ("id", response.get("id")),
        ("timestamp", created if created is not None else response.get("created_at")),
        ("user_id", request.get("user")),
    ):
        if value is not None:
            made[key] = value
    metadata = request.get("metadata")
    if not empty(metadata):
        made["metadata"] = demand_object(metadata, f"{call.asked_at}metadata")
    asked_of = request.get("model")
    if asked_of != made["responses"][0]["model"] and not empty(asked_of):
        made["metadata"] = {**made.get("metadata", {}), "requested_model": asked_of}
    return made


def _count(call: Call, asked: frozenset[str], answered: frozenset[str], losses: Counter[str]) -> None:
    if not call.merged:  # the fields of a merged object are counted with those beside it
        count_lost(call.request, asked, f"{call.format}: {call.asked_at}", losses)
        count_lost(call.response, answered, f"{call.format}: {call.answered_at}", losses)


def _model(call: Call) -> str:
    model = call.response.get("model") or call.request.get("model")
    if not isinstance(model, str) or not model:
        raise Rejected("missing_field", "neither the response nor the request names a model", f"{call.answered_at}model")
    return model


def _sampling(call: Call, limit: str, losses: Counter[str]) -> dict[str, Any]:
    """The parameters of the request, and the prompt's length."""
    request = call.request
    made = {"model": _model(call), "temperature": request.get("temperature"), "top_p": request.get("top_p"), "seed": request.get("seed")}
    made["max_tokens"] = request.get("max_tokens") if request.get(limit) is None else request[limit]
    return made


def usage_of(call: Call, one_answer: bool, losses: Counter[str]) -> dict[str, Any]:
    usage = call.response.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    place = f"{call.format}: {call.answered_at}usage."
    for key in usage.keys() - COUNTED:
        if not _all_zero(usage[key]):
            count_lost({key: usage[key]}, frozenset(), place, losses)
    made = {"prompt_tokens": usage.get("prompt_tokens", usage.get("input_tokens"))}
    completion = usage.get("completion_tokens", usage.get("output_tokens"))
    if one_answer:
        made["completion_tokens"] = completion
    elif completion is not None:
        losses[f"{place}completion_tokens (a total over several choices)"] += 1
    return made


def _all_zero(value: Any) -> bool:
    return not value or (isinstance(value, Mapping) and not any(value.values()))


def choices_of(call: Call, losses: Counter[str]) -> list[dict[str, Any]]:
    field = f"{call.answered_at}choices"
    choices = demand_list(call.response["choices"], field)
    if not choices:
        raise Rejected("empty_responses", f"{field} is empty: nothing was answered", "responses")
    shared = {**_sampling(call, "max_completion_tokens", losses), **usage_of(call, len(choices) == 1, losses)}
    return [_answer(call, c, f"{field}.{i}", shared, losses) for i, c in enumerate(choices)]


def _answer(call: Call, value: Any, field: str, shared: dict[str, Any], losses: Counter[str]) -> dict[str, Any]:
    choice = demand_object(value, field)
    count_lost(choice, CHOICE, f"{call.format}: {call.answered_at}choices[].", losses)
    if "message" in choice:
        given = demand_object(choice["message"], f"{field}.message")
        said = turn_of({**given, "role": given.get("role") or "assistant"}, f"{field}.message", call.format, losses)
    elif isinstance(choice.get("text"), str):
        said = {"content": _without_echo(call, choice["text"])}
    else:
        raise Rejected("missing_field", f"{field} has no message", f"{field}.message")
    made = {"text": said["content"], **shared, "finish_reason": finish_reason(choice.get("finish_reason"))}
    if said.get("tool_calls"):
        made["tool_calls"] = said["tool_calls"]
    if choice.get("logprobs"):
        made["token_logprobs"] = logprobs_of(
            choice["logprobs"], field, f"{call.format}: {call.answered_at}choices[].logprobs", call.request, losses
        )
    if isinstance(choice.get("content_filter_results"), Mapping) and choice["content_filter_results"]:
        made["guardrails"] = _filters(choice["content_filter_results"])
    return without_none(made)


def logprobs_of(value: Any, field: str, place: str, request: Mapping[str, Any], losses: Counter[str]) -> list[float] | None:
    """Log-probabilities of an answer's tokens, in the form of chat completions or of the old completions."""
    if not isinstance(value, Mapping):
        return None
    count_lost(value, LOGPROBS, f"{place}.", losses)
    old = value.get("token_logprobs")
    if isinstance(old, list):
        if not empty(value.get("top_logprobs")):
            losses[f"{place}.top_logprobs"] += 1
        if request.get("echo") is True or any(p is None for p in old):
            losses[f"{place}.token_logprobs (not of the answer alone)"] += 1
            return None
        return old
    content = value.get("content")
    if not empty(value.get("refusal")):
        losses[f"{place}.refusal"] += 1
    if not content:
        return None
    tokens = demand_list(content, f"{field}.logprobs.content")
    found = [demand_object(t, f"{field}.logprobs.content.{i}").get("logprob") for i, t in enumerate(tokens)]
    if any(t.get("top_logprobs") for t in tokens):
        losses[f"{place}.content[].top_logprobs"] += 1
    return found  # type: ignore[return-value]


def _prompt(call: Call) -> str:
    prompt, field = call.request["prompt"], f"{call.asked_at}prompt"
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise Rejected(
            "invalid_field", f"{field} must be one text: several prompts are several calls, and token numbers cannot be read", field
        )
    return prompt


def _without_echo(call: Call, text: str) -> str:
    prompt = call.request.get("prompt")
    return text.removeprefix(_prompt(call)) if call.request.get("echo") is True and prompt is not None else text


def _filters(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Azure's content filter: what it decided on the answer, by category."""
    made = []
    for name in sorted(k for k in found if isinstance(k, str)):
        verdict = found[name]
        if isinstance(verdict, Mapping):
            blocked = verdict.get("filtered") is True
            severity = verdict.get("severity")
            made.append(
                {"name": name, "decision": "block" if blocked else "allow", **({"detail": severity} if isinstance(severity, str) else {})}
            )
    return made


def _with_inherited(call: Call, losses: Counter[str]) -> Call:
    """The Responses API repeats the request in its response: what the logged request leaves out is taken from there."""
    if call.merged:
        return call
    request, response = call.request, call.response
    count_lost(request, RESPONSES_REQUEST, f"{call.format}: {call.asked_at}", losses)
    repeated = {k for k in response if k in request and request[k] == response[k]}
    inherited = {k: response[k] for k in RESPONSES_REQUEST if k in response and request.get(k) is None}
    count_lost(response, ONLY_ANSWERED | repeated | inherited.keys(), f"{call.format}: {call.answered_at}", losses)
    return call._replace(request={**request, **inherited})


def _responses_call(call: Call, losses: Counter[str]) -> dict[str, Any]:
    """A call of the Responses API."""
    request, response = call.request, call.response
    place = f"{call.format}: {call.asked_at}"
    if "input" not in request:
        raise Rejected("missing_field", f"{call.asked_at}input is missing: what was asked?", f"{call.asked_at}input")
    messages = [
        *instructions_of(request.get("instructions"), f"{call.asked_at}instructions", call.format, losses),
        *turns_of_items(request["input"], f"{call.asked_at}input", call.format, losses),
    ]
    if request.get("previous_response_id") is not None:
        losses[f"{place}previous_response_id (the turns before it are not in the row)"] += 1
    made: dict[str, Any] = {"messages": messages}
    answer = answer_of_items(response.get("output", response.get("output_text")), f"{call.answered_at}output", call.format, losses)
    shared = {**_sampling(call, "max_output_tokens", losses), **usage_of(call, True, losses)}
    made["responses"] = [without_none({**answer, **shared, "finish_reason": finish_of(response, bool(answer.get("tool_calls")))})]
    conversation = request.get("conversation")
    if isinstance(conversation, Mapping):
        count_lost(conversation, {"id"}, f"{place}conversation.", losses)
        conversation = conversation.get("id")
    if is_id(conversation):
        made["conversation_id"] = conversation
    made.update(_template(request.get("prompt"), place, losses))
    return made


def _template(prompt: Any, place: str, losses: Counter[str]) -> dict[str, Any]:
    """The reusable prompt that the Responses API names by id and version."""
    if not isinstance(prompt, Mapping):
        return {}
    count_lost(prompt, frozenset({"id", "version"}), f"{place}prompt.", losses)
    if is_id(prompt.get("id")) and is_id(prompt.get("version")):
        return {"template": {"id": str(prompt["id"]), "version": str(prompt["version"])}}
    count_lost(prompt, frozenset({"variables"}), f"{place}prompt.", losses)
    return {}
