"""One generation of Langfuse to a canonical row: input and output in the many forms that its integrations write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.chat_completions_call import Call, choices_of, usage_of
from flywheel.ingestion.formats.chat_completions_responses import answer_of_items, instructions_of, is_items, turns_of_items
from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.langfuse_rows import moment
from flywheel.ingestion.formats.langfuse_turns import said_by, speaker, turns_of
from flywheel.ingestion.formats.pieces import (
    as_mapping,
    as_text,
    carry_metadata,
    count_call,
    count_lost,
    empty,
    finish_reason,
    is_id,
    label,
    maybe_json,
    number,
    whole,
    without_none,
)
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import tool_call

NAME = "langfuse"
CARRIED = frozenset({
    "id", "type", "trace_id", "start_time", "input", "output", "provided_model_name", "model_parameters", "usage_details", "usage",
    "prompt_name", "prompt_version",
    "metadata", "user_id", "session_id", "tags", "environment", "release", "version", "name", "trace_name", "tool_calls",
    "parent_observation_id",
    "tool_call_names", "prompt_tokens", "completion_tokens", "total_tokens",
})  # fmt: skip
TRACE_CARRIED = frozenset(
    {"id", "timestamp", "user_id", "session_id", "tags", "environment", "release", "version", "name", "metadata", "html_path"}
)
OLD_COSTS = ("inputCost", "outputCost", "totalCost", "promptTokens", "completionTokens", "totalTokens")
OLD_USAGE = ("prompt_tokens", "completion_tokens")
# in both kinds of row; a trace's name is its own
CONTEXT = ("environment", "release", "tags", "version")
PARAMETERS = {
    "temperature": ("temperature",), "top_p": ("top_p", "topP"), "seed": ("seed",),
    "max_tokens": ("max_completion_tokens", "max_tokens", "maxTokens", "max_output_tokens", "maxOutputTokens"),
}  # fmt: skip
SAID_BY_DEFAULT = {"level": "DEFAULT", "bookmarked": False, "public": False}
TEXTS = ("content", "text", "completion")


def no_output(row: Json) -> tuple[str, str] | None:
    """Message and field, where the generation failed."""
    if label(row.get("level")).upper() != "ERROR" or not empty(row.get("output")):
        return None
    status = row.get("status_message")
    return f"the generation failed: {status[:200] if isinstance(status, str) and status else 'ERROR'}", "level"


def generation_row(row: Json, trace: Json, losses: Counter[str]) -> dict[str, Any]:
    """The canonical row of a generation; `trace` gives what only its trace says. Raises `Rejected` with the field."""
    asked, answered = maybe_json(row.get("input")), maybe_json(row.get("output"))
    if empty(asked):
        raise Rejected("missing_field", "input is missing: what was asked? An export can leave input and output out", "input")
    if empty(answered):
        raise Rejected("missing_field", "output is missing: what was answered?", "output")
    made: dict[str, Any] = {"messages": _messages(asked, row["input"], losses)}
    parameters = as_mapping(row.get("model_parameters"))
    answers = _answers(answered, row, made, losses)
    shared = {"model": _model(row, answered, asked), **_parameters(parameters, asked, losses)}
    tokens = _tokens(row, losses)
    if len(answers) > 1 and tokens.pop("completion_tokens", None) is not None:
        losses[f"{NAME}: usage_details.output (a total over several answers)"] += 1
    made["responses"] = [without_none({**shared, **tokens, **a}) for a in answers]
    made.setdefault("id", row.get("id"))
    made["timestamp"] = moment(row.get("start_time"))
    if made["timestamp"] is None:
        raise Rejected("missing_field", "start_time is missing: a record belongs to the week of its request", "start_time")
    for place, key in (("conversation_id", "session_id"), ("user_id", "user_id")):
        value = row.get(key) or trace.get(key)
        if is_id(value):
            made[place] = value
    _context(made, row, trace, losses)
    defaults = frozenset(k for k, v in SAID_BY_DEFAULT.items() if row.get(k) == v)
    count_lost(row, CARRIED | defaults, f"{NAME}: ", losses)
    count_lost(trace, TRACE_CARRIED | frozenset(k for k, v in SAID_BY_DEFAULT.items() if trace.get(k) == v), f"{NAME}: trace.", losses)
    return without_none(made)


def _context(made: dict[str, Any], row: Json, trace: Json, losses: Counter[str]) -> None:
    """Template, and what has its place in metadata."""
    metadata: dict[str, Any] = {}
    for holder in (trace, row):
        found = as_mapping(holder.get("metadata"))
        metadata.update(found)
        if not found and not empty(holder.get("metadata")):
            metadata["metadata"] = holder["metadata"]
    for key in CONTEXT:
        value = row.get(key)
        value = trace.get(key) if empty(value) else value
        if not empty(value):
            metadata.setdefault(key, value)
    for key, value in (
        ("trace_id", row.get("trace_id")),
        ("name", row.get("name")),
        ("trace_name", row.get("trace_name") or trace.get("name")),
    ):
        if not empty(value):
            metadata.setdefault(key, value)
    name, version = row.get("prompt_name"), row.get("prompt_version")
    if is_id(name) and is_id(version):
        made["template"] = {"id": str(name), "version": str(version)}
    elif not empty(name):
        metadata.setdefault("prompt_name", name)
    carry_metadata(made, metadata, NAME, losses)


def _model(row: Json, answered: Any, asked: Any) -> str:
    """What answered as the response itself says it, else as the integration did, else what was asked for."""
    responded = answered.get("model") if isinstance(answered, Mapping) and "choices" in answered else None
    requested = asked.get("model") if isinstance(asked, Mapping) else None
    for found in (responded, row.get("provided_model_name"), requested):
        if isinstance(found, str) and found:
            return found
    raise Rejected("missing_field", "provided_model_name is missing: which model answered?", "provided_model_name")


def _messages(asked: Any, raw: Any, losses: Counter[str]) -> list[dict[str, Any]]:
    """The turns of an input. What is no list of turns is one turn of the user, as it came."""
    if isinstance(asked, Mapping):
        if isinstance(asked.get("messages"), list):
            count_lost(
                asked, {"messages", "model", "system", *(k for keys in PARAMETERS.values() for k in keys)}, f"{NAME}: input.", losses
            )
            return [
                *instructions_of(asked.get("system"), "input.system", NAME, losses),
                *turns_of(asked["messages"], "input.messages", losses),
            ]
        if isinstance(asked.get("input"), (list, str)) and ("instructions" in asked or is_items(asked["input"])):
            count_lost(
                asked, {"input", "instructions", "model", *(k for keys in PARAMETERS.values() for k in keys)}, f"{NAME}: input.", losses
            )
            return [
                *instructions_of(asked.get("instructions"), "input.instructions", NAME, losses),
                *turns_of_items(asked["input"], "input.input", NAME, losses),
            ]
        if "role" in asked and ("content" in asked or "tool_calls" in asked):
            return turns_of([asked], "input", losses)
        if isinstance(asked.get("prompt"), str) and len(asked) == 1:
            return [{"role": "user", "content": asked["prompt"]}]
    elif isinstance(asked, list):
        turns = asked[0] if len(asked) == 1 and isinstance(asked[0], list) else asked
        if turns and all(isinstance(t, Mapping) and ("role" in t or speaker(t)) for t in turns):
            return turns_of(turns, "input", losses)
        if is_items(turns):
            return turns_of_items(turns, "input", NAME, losses)
        if any(isinstance(t, Mapping) and "role" in t for t in turns):  # turns, and something else between them
            return turns_of(turns, "input", losses)
    return [{"role": "user", "content": as_text(raw)}]


def _answers(answered: Any, row: Json, made: dict[str, Any], losses: Counter[str]) -> list[dict[str, Any]]:
    """The answers of an output; a whole response of the API also gives its id."""
    if isinstance(answered, Mapping):
        if isinstance(answered.get("choices"), list):
            call = Call({}, {"model": "?", **answered}, "input.", "output.", NAME)
            count_lost(answered, {"id", "object", "created", "model", "choices", "usage"}, f"{NAME}: output.", losses)
            if is_id(answered.get("id")):
                made["id"] = answered["id"]
            answers = choices_of(call, losses)
            return [{k: v for k, v in a.items() if k != "model"} for a in answers]
        if isinstance(answered.get("output"), list) and is_items(answered["output"]):
            count_lost(answered, {"id", "object", "created_at", "model", "output", "usage", "status"}, f"{NAME}: output.", losses)
            if is_id(answered.get("id")):
                made["id"] = answered["id"]
            call = Call({}, answered, "input.", "output.", NAME)
            return [{**answer_of_items(answered["output"], "output.output", NAME, losses), **usage_of(call, True, losses)}]
        if answered.get("role") is not None or speaker(answered) or "tool_calls" in answered or "function_call" in answered:
            turn = answered if "role" in answered or speaker(answered) else {"role": "assistant", **answered}
            said = said_by(turn, "output", losses)
            return [_with_calls({**_last(said, made), **_answer(said[-1], turn)}, row, losses)]
        key = next((k for k in TEXTS if isinstance(answered.get(k), str)), None)
        if key is not None and len(answered) == 1:
            return [_with_calls({"text": answered[key]}, row, losses)]
    elif isinstance(answered, list) and answered:
        if is_items(answered):
            return [answer_of_items(answered, "output", NAME, losses)]
        if all(isinstance(a, Mapping) and ("role" in a or speaker(a)) for a in answered):
            return _spoken(answered, row, made, losses)
        if all(isinstance(a, Mapping) and a.get("type") in ("text", "output_text") and isinstance(a.get("text"), str) for a in answered):
            return [_with_calls({"text": "\n".join(a["text"] for a in answered)}, row, losses)]
        if all(isinstance(a, str) for a in answered):
            return [{"text": a} for a in answered]
    return [_with_calls({"text": as_text(row["output"])}, row, losses)]


def _spoken(turns: list[Any], row: Json, made: dict[str, Any], losses: Counter[str]) -> list[dict[str, Any]]:
    """A list of turns: answers beside each other where all are the assistant's, else a run of which the last turn is the answer."""
    said = [t for i, turn in enumerate(turns) for t in said_by(turn, f"output.{i}", losses)]
    if len(said) == len(turns) and all(t["role"] == "assistant" for t in said):
        answers = [_answer(t, turn) for t, turn in zip(said, turns, strict=True)]
        return [_with_calls(answers[0], row, losses)] if len(answers) == 1 else answers
    return [_with_calls(_last(said, made), row, losses)]


def _last(said: list[dict[str, Any]], made: dict[str, Any]) -> dict[str, Any]:
    """The last turn as the answer; the turns before it were said on the way."""
    if said[-1]["role"] != "assistant":
        raise Rejected("invalid_field", "output does not end with the assistant's turn", "output")
    made["messages"] = [*made["messages"], *said[:-1]]
    return _answer(said[-1], {})


def _answer(said: Mapping[str, Any], turn: Mapping[str, Any]) -> dict[str, Any]:
    answer = {"text": said["content"], **({"tool_calls": said["tool_calls"]} if "tool_calls" in said else {})}
    if isinstance(turn.get("finish_reason"), str):
        answer["finish_reason"] = finish_reason(turn["finish_reason"])
    return answer


def _with_calls(answer: dict[str, Any], row: Json, losses: Counter[str]) -> dict[str, Any]:
    """Tool calls also have a column of their own, each as JSON text; it counts where the output itself has none."""
    calls = row.get("tool_calls")
    if "tool_calls" not in answer and isinstance(calls, list) and calls:
        found = [maybe_json(c) for c in calls]
        answer["tool_calls"] = [tool_call(c, f"tool_calls.{i}") for i, c in enumerate(found)]
        for call in found:
            count_call(call, f"{NAME}: tool_calls[].", losses)
    return answer


def _parameters(parameters: Mapping[str, Any], asked: Any, losses: Counter[str]) -> dict[str, Any]:
    known = {key for keys in PARAMETERS.values() for key in keys}
    count_lost(parameters, known, f"{NAME}: model_parameters.", losses)
    made: dict[str, Any] = {}
    for place, keys in PARAMETERS.items():
        for holder in (parameters, asked if isinstance(asked, Mapping) else {}):
            for key in keys:
                if place not in made and not empty(holder.get(key)):
                    value = whole(holder[key]) if place in ("seed", "max_tokens") else number(holder[key])
                    if value is not None:
                        made[place] = value
                    elif label(holder[key]).strip().lower() not in ("inf", "infinity", "none", "null"):  # how no limit is written
                        losses[f"{NAME}: model_parameters.{key} (not a number)"] += 1
    return made


def _tokens(row: Json, losses: Counter[str]) -> dict[str, Any]:
    """Tokens in and out. The kinds of usage exclude each other: cached input tokens are not part of `input`."""
    older = as_mapping(row.get("usage"))
    count_lost(
        older,
        {"input", "output", "total", "unit", "prompt_tokens", "completion_tokens", "total_tokens", *OLD_COSTS},
        f"{NAME}: usage.",
        losses,
    )
    usage = as_mapping(row.get("usage_details")) or older or {k: row[k] for k in OLD_USAGE if k in row}
    made: dict[str, Any] = {}
    for place, beginnings in (("prompt_tokens", ("input", "prompt")), ("completion_tokens", ("output", "completion"))):
        found = [whole(v) for k, v in usage.items() if isinstance(k, str) and k.lower().startswith(beginnings) and "cost" not in k.lower()]
        counted = [v for v in found if v is not None]
        if counted:
            made[place] = sum(counted)
    told = {
        k
        for k in usage
        if isinstance(k, str) and (k.lower().startswith(("input", "prompt", "output", "completion", "total")) or k == "unit")
    }
    count_lost(usage, told, f"{NAME}: usage_details.", losses)
    return made
