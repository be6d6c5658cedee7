"""One inference of TensorZero, with the model inferences behind it, to a canonical row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.chat_completions_call import logprobs_of
from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.pieces import (
    as_mapping,
    as_text,
    carry_metadata,
    count_lost,
    empty,
    finish_reason,
    is_id,
    maybe_json,
    number,
    object_or_json,
    whole,
    without_none,
)
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object, tool_call

NAME = "tensorzero"
CARRIED = frozenset({
    "id", "inference_id", "function_name", "variant_name", "episode_id", "input", "output", "inference_params", "timestamp", "tags", "type",
})  # fmt: skip
MODEL_CARRIED = frozenset({
    "id", "inference_id", "model_name", "model_provider_name", "input_tokens", "output_tokens", "finish_reason", "timestamp", "system",
    "input_messages", "output",
    "raw_response",
})  # fmt: skip
ONE_OF_MANY = MODEL_CARRIED - {"system", "input_messages", "output", "raw_response"}  # candidates and judges: not the answer itself
PARAMETERS = frozenset({"temperature", "top_p", "seed", "max_tokens"})
BLOCK = frozenset({"type", "text", "value", "id", "name", "arguments", "raw_name", "raw_arguments", "result"})
NO_TEXT = frozenset({"thought", "image", "file", "unknown", "audio", "video"})
EMPTY_JSON = ("", "{}", "[]", "null")


def inference_row(row: Json, called: Sequence[Json], time: str, losses: Counter[str]) -> dict[str, Any]:
    """The canonical row of an inference; `called` are its model inferences. Raises `Rejected` with the field."""
    made: dict[str, Any] = {"messages": _messages(row, called, losses)}
    answer = _output(row.get("output"), losses)
    provider = _provider_response(called)
    made["id"] = provider.get("id") if is_id(provider.get("id")) else str(row["id"]).lower()
    made["timestamp"] = time
    if not empty(row.get("episode_id")):
        made["conversation_id"] = str(row["episode_id"]).lower()
    shared = {"model": _model(row, called, provider, losses), **_parameters(row.get("inference_params"), losses), **_usage(called, losses)}
    made["responses"] = [without_none({**answer, **shared, "token_logprobs": _logprobs(provider, losses)})]
    metadata = {"function_name": row.get("function_name"), "variant_name": row.get("variant_name")}
    if made["id"] != str(row["id"]).lower():
        metadata["inference_id"] = row["id"]
    if len(called) == 1 and not empty(called[0].get("model_provider_name")):
        metadata["model_provider_name"] = called[0]["model_provider_name"]
    _tags(made, row.get("tags"), without_none(metadata), losses)
    nothing = {k for k, v in row.items() if isinstance(v, str) and v.strip() in EMPTY_JSON}
    count_lost(row, CARRIED | nothing, f"{NAME}: ", losses)
    for model in called:
        nothing = {k for k, v in model.items() if isinstance(v, str) and v.strip() in EMPTY_JSON}
        count_lost(model, (MODEL_CARRIED if len(called) == 1 else ONE_OF_MANY) | nothing, f"{NAME}: model_inference.", losses)
    return made


def blocks_answer(blocks: Any, field: str, losses: Counter[str]) -> dict[str, Any]:
    """Content blocks as one answer."""
    texts, calls, _ = _blocks(demand_list(blocks, field), field, losses)
    return {"text": "\n".join(texts), **({"tool_calls": calls} if calls else {})}


def _output(value: Any, losses: Counter[str]) -> dict[str, Any]:
    """Blocks of a chat function, or the object of a JSON function, whose `raw` is what the model wrote."""
    found = None if value in EMPTY_JSON else maybe_json(value)
    if empty(found):
        raise Rejected("missing_field", "output is missing: what was answered?", "output")
    if isinstance(found, Mapping):
        count_lost(found, {"raw", "parsed"}, f"{NAME}: output.", losses)
        raw = found.get("raw")
        return {"text": raw if isinstance(raw, str) else as_text(found.get("parsed", found))}
    if isinstance(found, str):
        return {"text": found}
    return blocks_answer(found, "output", losses)


def _messages(row: Json, called: Sequence[Json], losses: Counter[str]) -> list[dict[str, Any]]:
    given = object_or_json(row.get("input"), "input")
    count_lost(given, {"system", "messages"}, f"{NAME}: input.", losses)
    missing: Counter[str] = Counter()
    turns = [*_system(given.get("system"), "input.system", missing), *_turns(given.get("messages", []), "input.messages", missing)]
    templates = [key for key in missing if "template" in key]
    if templates and len(called) == 1 and (called[0].get("input_messages") or called[0].get("system")):
        # the variant's template made the prompt; what the model was sent stands in the model inference
        sent: Counter[str] = Counter()
        rendered = maybe_json(called[0].get("input_messages"))
        turns = [
            *_system(called[0].get("system"), "model_inference.system", sent),
            *_turns(rendered if isinstance(rendered, list) else [], "model_inference.input_messages", sent),
        ]
        missing = sent
    losses.update(missing)
    return turns


def _system(value: Any, field: str, losses: Counter[str]) -> list[dict[str, Any]]:
    if empty(value):
        return []
    if not isinstance(value, str):
        losses[f"{NAME}: {field} (arguments of a template: its text is not in the row)"] += 1
    return [{"role": "system", "content": as_text(value)}]


def _turns(value: Any, field: str, losses: Counter[str]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for index, found in enumerate(demand_list(value, field)):
        here = f"{field}.{index}"
        turn = demand_object(found, here)
        role = turn.get("role")
        if role is None:
            raise Rejected("missing_field", f"{here} has no role", f"{here}.role")
        if role not in ("user", "assistant", "system"):
            raise Rejected("invalid_field", f"{here}.role must be user, assistant or system", f"{here}.role")
        if "content" not in turn:
            raise Rejected("missing_field", f"{here} has no content", f"{here}.content")
        count_lost(turn, {"role", "content"}, f"{NAME}: {field}[].", losses)
        content = turn["content"]
        if isinstance(content, Mapping):
            content = [{"type": "text", "arguments": content}]
        texts, calls, results = _blocks(
            [content] if isinstance(content, str) else demand_list(content, f"{here}.content"), f"{here}.content", losses
        )
        turns += results  # results answer the assistant's calls before anything new is said
        if texts or calls or not results:
            turns.append({"role": role, "content": "\n".join(texts), **({"tool_calls": calls} if calls else {})})
    return turns


def _blocks(blocks: list[Any], field: str, losses: Counter[str]) -> tuple[list[str], list[dict[str, Any]], list[dict[str, Any]]]:
    """Texts, tool calls, and tool results as turns."""
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    place = f"{NAME}: {field.partition('.')[0]} content"
    for index, found in enumerate(blocks):
        here = f"{field}.{index}"
        if isinstance(found, str):
            texts.append(found)
            continue
        block = demand_object(found, here)
        sort = block.get("type", "text")
        said = block.get("text", block.get("value"))
        if sort in ("text", "raw_text") and isinstance(said, str):
            texts.append(said)
        elif sort in ("text", "template"):
            losses[f"{place} (arguments of a template: its text is not in the row)"] += 1
            texts.append(as_text(block.get("arguments", said)))
        elif sort == "tool_call":
            calls.append(_call(block, here))
        elif sort == "tool_result":
            result = {"role": "tool", "content": as_text(block.get("result", "")), "tool_call_id": block.get("id")}
            if result["tool_call_id"] is None:  # else the call with this id has the name
                result["name"] = block.get("name")
            results.append(without_none(result))
        elif isinstance(sort, str) and sort in NO_TEXT:
            losses[f"{place} of type {sort}"] += 1
        else:
            losses[f"{place} of another type"] += 1
        if block.keys() - BLOCK and isinstance(sort, str) and sort not in NO_TEXT:
            count_lost(block, BLOCK, f"{place}[].", losses)
    return texts, calls, results


def _call(block: Mapping[str, Any], field: str) -> dict[str, Any]:
    """A tool call: as the model wrote it (`raw_...`) where that is kept, for the parsed form is empty if it did not fit the tool."""
    raw, parsed = block.get("raw_arguments"), block.get("arguments")
    arguments = raw if raw is not None else parsed
    name = block.get("raw_name") if block.get("raw_name") is not None else block.get("name")
    return tool_call({"name": name, "id": block.get("id"), **({} if arguments is None else {"arguments": arguments})}, field)


def _provider_response(called: Sequence[Json]) -> Mapping[str, Any]:
    """What the provider sent, where one call stands behind the inference and its answer was kept as one JSON object."""
    if len(called) != 1:
        return {}
    found = maybe_json(called[0].get("raw_response"))
    return found if isinstance(found, Mapping) else {}


def _logprobs(provider: Mapping[str, Any], losses: Counter[str]) -> list[float] | None:
    """Log-probabilities are only in the provider's own response; the rest of it is told by the other columns, or lost."""
    if not provider:
        return None
    losses[f"{NAME}: model_inference.raw_response (all but id, model and log-probabilities)"] += 1
    choices = provider.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    if not isinstance(choice, Mapping) or not choice.get("logprobs"):
        return None
    return logprobs_of(choice["logprobs"], "model_inference.raw_response", f"{NAME}: model_inference.raw_response.logprobs", {}, losses)


def _model(row: Json, called: Sequence[Json], provider: Mapping[str, Any], losses: Counter[str]) -> str:
    """Who answered: as the provider said it, else the configured model, else the variant."""
    if isinstance(provider.get("model"), str) and provider["model"]:
        return str(provider["model"])
    names = [m.get("model_name") for m in called if isinstance(m.get("model_name"), str) and m.get("model_name")]
    found = names[-1] if names else row.get("variant_name")
    if not isinstance(found, str) or not found:
        raise Rejected("missing_field", "variant_name is missing, and no model inference names the model", "variant_name")
    if len(set(names)) > 1:
        losses[f"{NAME}: model_inference.model_name (several models behind one inference)"] += 1
    _, provided, short = found.rpartition("::")  # openai::gpt-4o-mini names provider and model
    if not names and not provided:
        losses[f"{NAME}: model not known (variant_name stands for it: no ModelInference row)"] += 1
    return short or found


def _usage(called: Sequence[Json], losses: Counter[str]) -> dict[str, Any]:
    if len(called) != 1:
        if called and any(m.get("output_tokens") for m in called):
            losses[f"{NAME}: model_inference.output_tokens (of several model inferences)"] += 1
        return {}
    model = called[0]
    reason = finish_reason(model.get("finish_reason"))
    return {
        "prompt_tokens": whole(model.get("input_tokens")),
        "completion_tokens": whole(model.get("output_tokens")),
        "finish_reason": reason,
    }


def _parameters(value: Any, losses: Counter[str]) -> dict[str, Any]:
    """Parameters by the variant's type: `{"chat_completion": {"temperature": 0.5}}`."""
    found = maybe_json(value)
    if not isinstance(found, Mapping):
        return {}
    made: dict[str, Any] = {}
    for sort in sorted(k for k in found if isinstance(k, str)):
        given = found[sort]
        if not isinstance(given, Mapping):
            count_lost({sort: given}, frozenset(), f"{NAME}: inference_params.", losses)
            continue
        count_lost(given, PARAMETERS, f"{NAME}: inference_params.", losses)
        for key in PARAMETERS:
            if not empty(given.get(key)):
                made.setdefault(key, whole(given[key]) if key in ("seed", "max_tokens") else number(given[key]))
    return made


def _tags(made: dict[str, Any], value: Any, metadata: dict[str, Any], losses: Counter[str]) -> None:
    """Tags are metadata: the user, a conversation and a consent statement in them go to their places."""
    tags = as_mapping(value) or ({} if empty(value) or value in EMPTY_JSON else {"tags": value})
    chosen = next((k for k in ("conversation_id", "session_id") if is_id(tags.get(k))), None)
    if chosen is not None:  # a conversation that the application named stands before the episode
        if made.get("conversation_id") is not None:
            metadata["episode_id"] = made["conversation_id"]
        made["conversation_id"] = tags[chosen]
        tags = {k: v for k, v in tags.items() if k != chosen}
    carry_metadata(made, {**metadata, **tags}, NAME, losses)
