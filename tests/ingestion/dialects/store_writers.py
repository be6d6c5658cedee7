"""The interactions as systems that keep traces export them: Phoenix, Langfuse, TensorZero."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.ingestion.dialects.interactions import ASKED_OF, MODEL, Interaction, Json
from tests.ingestion.dialects.openai_writers import answer, request, response, turns
from tests.ingestion.dialects.otel_writers import around, both_families, inference, text
from tests.ingestion.dialects.otlp_wire import snake_case, span

# --- Phoenix ------------------------------------------------------------------------------------------------------------------------------


def exported(one: Interaction, said: Json, name: str, kind: str, span_id: str, parent: str | None, after: float = 0) -> Json:
    """A span of `GET /v1/projects/{p}/spans`: flat attributes, the metadata taken apart."""
    flat = {k: v for k, v in said.items() if k not in ("metadata", "openinference.span.kind")}
    if "metadata" in said:
        flat |= {f"metadata.{k}": v for k, v in json.loads(said["metadata"]).items()}
    failed = bool(one.failed) and kind == "LLM"
    return {
        "id": "U3Bhbjox", "name": name, "context": {"trace_id": one.trace(), "span_id": span_id}, "span_kind": kind, "parent_id": parent,
        "start_time": (one.began + timedelta(seconds=after)).isoformat(), "end_time": (one.began + timedelta(seconds=after + 0.5)).isoformat(),
        "status_code": "ERROR" if failed else "OK", "status_message": one.failed if failed else "",
        "attributes": flat, "events": [{"name": "exception", "timestamp": one.began.isoformat(), "attributes": {
            "exception.type": one.failed, "exception.message": "429"}}] if failed else [],
    }  # fmt: skip


def neighbours(one: Interaction) -> list[Json]:
    found = [exported(one, {}, "answer", "CHAIN", one.span(0), None, -1)]
    if one.documents:
        said = {f"retrieval.documents.{i}.document.id": key for i, key in enumerate(one.documents)}
        found.append(exported(one, said, "retrieve", "RETRIEVER", one.span(2), one.span(0), -0.5))
    if one.guardrail:
        said = {"guardrail.decision": one.guardrail["decision"]}
        found.append(exported(one, said, one.guardrail["name"], "GUARDRAIL", one.span(3), one.span(0), 0.7))
    return found


def annotations(one: Interaction) -> list[Json]:
    if not one.feedback:
        return []
    told = one.feedback
    when = (one.began + timedelta(minutes=1)).isoformat()
    base = {"annotator_kind": "HUMAN", "metadata": {}, "identifier": "", "source": "APP", "user_id": None, "created_at": when, "updated_at": when,
            "span_id": one.span()}  # fmt: skip
    good = {"label": "thumbs-down", "score": told["score"], "explanation": told["comment"]}
    return [{"data": [{**base, "id": "U3BhbkFubm90YXRpb246MQ==", "name": "user_feedback", "result": good},
                      {**base, "id": "U3BhbkFubm90YXRpb246Mg==", "name": "correction", "result": {"label": None, "score": None, "explanation": told["edited_text"]}}],
             "next_cursor": None}]  # fmt: skip


def page(one: Interaction, said: Json) -> list[Json]:
    call = exported(one, said, "ChatCompletion", "LLM", one.span(), one.span(0))
    return [{"data": [call, *neighbours(one)], "next_cursor": None}, *annotations(one)]


def phoenix(one: Interaction) -> list[Json]:
    return page(one, inference(one))


def phoenix_two_families(one: Interaction) -> list[Json]:
    """Phoenix derives `llm.*` from `gen_ai.*` and gives both."""
    return page(one, both_families(one))


def phoenix_lines(one: Interaction) -> list[Json]:
    """One span a line."""
    return [*phoenix(one)[0]["data"], *(a for row in annotations(one) for a in row["data"])]


def nest(flat: Json) -> Json:
    """Dotted names as objects, numbers in them as lists."""
    root: Json = {}
    for key, value in flat.items():
        at, *rest = key.split(".")
        node = root
        for step in rest:
            node = node.setdefault(at, {})
            at = step
        node[at] = value

    def listed(node: Any) -> Any:
        if not isinstance(node, dict):
            return node
        made = {k: listed(v) for k, v in node.items()}
        return list(made.values()) if made and all(k.isdigit() for k in made) else made

    return listed(root)


def phoenix_nested(one: Interaction) -> list[Json]:
    rows = phoenix_lines(one)
    return [{**row, "attributes": nest(row["attributes"])} if "attributes" in row else row for row in rows]


def phoenix_frame(one: Interaction) -> list[Json]:
    """Rows of `get_spans_dataframe` as JSON lines: columns, messages as lists."""
    made = []
    for row in phoenix(one)[0]["data"]:
        said = nest({k: v for k, v in row["attributes"].items() if k.startswith("llm.") and "_messages." in k}).get("llm", {})
        columns = {f"attributes.{k}": v for k, v in row["attributes"].items() if "_messages." not in k}
        columns |= {f"attributes.llm.{k}": [_half(m) for m in v] for k, v in said.items()}
        made.append({**{k: row[k] for k in ("name", "span_kind", "parent_id", "start_time", "end_time", "status_code", "status_message", "events")},
                     "context.span_id": row["context"]["span_id"], "context.trace_id": row["context"]["trace_id"], **columns})  # fmt: skip
    return [*made, *(a for row in annotations(one) for a in row["data"])]


def _half(message: Json) -> Json:
    """`message.role` stays one name in a row of the frame."""
    made = {f"message.{k}": v for k, v in message["message"].items()}
    if "message.tool_calls" in made:
        made["message.tool_calls"] = [
            {"tool_call.id": c["tool_call"]["id"], "tool_call.function.name": c["tool_call"]["function"]["name"],
             "tool_call.function.arguments": c["tool_call"]["function"]["arguments"]} for c in made["message.tool_calls"]
        ]  # fmt: skip
    if "message.contents" in made:
        made["message.contents"] = [{f"message_content.{k}": v for k, v in c["message_content"].items()} for c in made["message.contents"]]
    return made


def phoenix_otlpv1(one: Interaction) -> list[Json]:
    """`GET /spans/otlpv1`: bare spans in snake_case."""
    found = [snake_case(s) for s in (*around(one), span(one, "ChatCompletion", inference(one)))]
    return [{"data": found, "next_cursor": None}, *annotations(one)]


# an interaction whose generation has the provider's whole response as its output, as some programs log it
WHOLE_RESPONSE = "logprobs"


# --- Langfuse -----------------------------------------------------------------------------------------------------------------------------


def clock(one: Interaction, after: float = 0) -> str:
    return (one.began + timedelta(seconds=after)).strftime("%Y-%m-%d %H:%M:%S.%f")


def observation(one: Interaction) -> Json:
    """A row of `observations_v2/`."""
    parameters = {k: v for k, v in request(one).items() if k in ("temperature", "top_p", "seed", "max_completion_tokens")}
    asked: Any = turns(one)
    output: Any = None
    if not one.failed:
        spoken = [{k: v for k, v in answer(one, a).items() if v is not None and v != []} for a in one.answers]
        output = spoken[0] if len(spoken) == 1 else spoken
        if one.name == WHOLE_RESPONSE:
            output = response(one)
    return {
        "id": f"obs-{one.name}", "trace_id": f"tr-{one.name}", "project_id": "p", "environment": "production", "type": "GENERATION",
        "parent_observation_id": f"root-{one.name}", "start_time": clock(one), "end_time": clock(one, 0.5), "name": "OpenAI-generation",
        "metadata": {}, "level": "ERROR" if one.failed else "DEFAULT", "status_message": one.failed or "", "version": "", "input": text(asked),
        "output": None if output is None else text(output), "provided_model_name": ASKED_OF if one.failed else MODEL,
        "model_parameters": text(parameters), "usage_details": {} if one.failed else {"input": one.tokens[0], "output": one.tokens[1], "total": sum(one.tokens)},
        "cost_details": {}, "completion_start_time": None, "prompt_id": "", "prompt_name": one.template.get("id", ""),
        "prompt_version": int(one.template["version"]) if one.template else None, "total_cost": None, "latency": 0.5, "time_to_first_token": None,
        "model_id": "", "created_at": clock(one, 2), "updated_at": clock(one, 2), "tool_calls": [], "tool_call_names": [], "tool_definitions": {},
        "user_id": one.user, "session_id": one.conversation, "trace_name": "answer", "tags": ["support"], "release": "", "bookmarked": False, "public": False,
    }  # fmt: skip


def beside(one: Interaction) -> list[Json]:
    """The rest of the trace: its root, a retriever, a guardrail."""
    empty = {**observation(one), "input": "", "output": "", "provided_model_name": None, "model_parameters": None, "usage_details": {}, "prompt_name": "",
             "prompt_version": None, "level": "DEFAULT", "status_message": ""}  # fmt: skip
    made = [
        {**empty, "id": f"root-{one.name}", "type": "SPAN", "parent_observation_id": "", "name": "answer", "start_time": clock(one, -1)}
    ]
    if one.documents:
        found = text([{"id": key, "score": 0.9} for key in one.documents])
        made.append(
            {**empty, "id": f"ret-{one.name}", "type": "RETRIEVER", "name": "retrieve", "output": found, "start_time": clock(one, -0.5)}
        )
    if one.guardrail:
        made.append({**empty, "id": f"guard-{one.name}", "type": "GUARDRAIL", "name": one.guardrail["name"],
                     "output": text({"decision": one.guardrail["decision"]}), "start_time": clock(one, 0.7)})  # fmt: skip
    return made


def scores(one: Interaction) -> list[Json]:
    if not one.feedback:
        return []
    told = one.feedback
    base = {"timestamp": clock(one, 60), "project_id": "p", "environment": "production", "trace_id": f"tr-{one.name}", "observation_id": f"obs-{one.name}",
            "session_id": None, "dataset_run_id": None, "source": "API", "comment": None, "string_value": None, "value": None,
            "created_at": clock(one, 60), "updated_at": clock(one, 60)}  # fmt: skip
    return [
        {
            **base,
            "id": "sc-1",
            "name": "user-feedback",
            "value": 0,
            "data_type": "BOOLEAN",
            "string_value": "False",
            "comment": told["comment"],
        },
        {**base, "id": "sc-2", "name": "rating", "value": told["score"], "data_type": "NUMERIC", "source": "ANNOTATION"},
        {**base, "id": "sc-3", "name": "correction", "data_type": "TEXT", "string_value": told["edited_text"]},
    ]


def langfuse(one: Interaction) -> list[Json]:
    return [*scores(one), observation(one), *beside(one)]


def langfuse_objects(one: Interaction) -> list[Json]:
    """Input, output and parameters as objects instead of text; the request's input is the whole request."""
    made = []
    for row in langfuse(one):
        read = {k: json.loads(v) if k in ("input", "output", "model_parameters") and isinstance(v, str) and v[:1] in ("[", "{") else v
                for k, v in row.items()}  # fmt: skip
        made.append({**read, "input": {"messages": read["input"], "model": ASKED_OF}} if row.get("type") == "GENERATION" else read)
    return made


def langfuse_legacy(one: Interaction) -> list[Json]:
    """`traces/` and `observations/`: the trace knows user and session, the observation does not."""
    of_trace = ("user_id", "session_id", "tags", "release", "bookmarked", "public", "trace_name")
    trace = {"id": f"tr-{one.name}", "timestamp": clock(one, -1), "name": "answer", "environment": "production", "project_id": "p", "metadata": {},
             "user_id": one.user, "session_id": one.conversation, "release": None, "version": None, "public": False, "bookmarked": False,
             "tags": ["support"], "input": None, "output": None, "created_at": clock(one, 2), "updated_at": clock(one, 2)}  # fmt: skip
    rows = [{k: v for k, v in row.items() if k not in of_trace} for row in (observation(one), *beside(one))]
    return [trace, *rows, *scores(one)]


def camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word.capitalize() for word in rest)


def langfuse_rest(one: Interaction) -> list[Json]:
    """`GET /api/public/traces/{id}`: camelCase, observations and scores inside, values as objects, the model called `model`."""
    found = []
    for row in langfuse_objects(one)[len(scores(one)) :]:
        renamed = {
            camel(k): v
            for k, v in row.items()
            if k not in ("user_id", "session_id", "tags", "release", "bookmarked", "public", "trace_name")
        }
        renamed["model"] = renamed.pop("providedModelName")
        renamed["startTime"] = renamed["startTime"].replace(" ", "T")[:-3] + "Z"
        renamed["usage"] = (
            {"input": one.tokens[0], "output": one.tokens[1], "total": sum(one.tokens), "unit": "TOKENS"} if row["usage_details"] else None
        )
        renamed["modelParameters"] = renamed["modelParameters"] or {}
        found.append(renamed)
    trace = {"id": f"tr-{one.name}", "timestamp": one.began.isoformat().replace("+00:00", "Z"), "name": "answer", "userId": one.user,
             "sessionId": one.conversation, "release": None, "version": None, "public": False, "tags": ["support"], "metadata": None, "input": None,
             "output": None, "projectId": "p", "environment": "production", "htmlPath": "/x", "latency": 0.5, "totalCost": 0, "observations": found,
             "scores": [{camel(k): v for k, v in s.items()} for s in scores(one)]}  # fmt: skip
    return [trace]


# --- TensorZero ---------------------------------------------------------------------------------------------------------------------------


def uuid7(one: Interaction, last: int, after: int = 0) -> str:
    milliseconds = (one.seconds + after) * 1000
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | (one.number << 16) | last))


def blocks(said: Json) -> list[Json]:
    if said["role"] == "tool":
        return [{"type": "tool_result", "id": said["tool_call_id"], "name": "track", "result": said["content"]}]
    made: list[Json] = []
    content = (
        said["content"] if isinstance(said["content"], list) else [{"type": "text", "text": said["content"]}] if said["content"] else []
    )
    for part in content:
        made.append(
            {"type": "text", "text": part["text"]}
            if part["type"] == "text"
            else {"type": "file", "file_type": "base64", "mime_type": "image/png"}
        )
    for called in said.get("tool_calls") or ():
        function = called["function"]
        made.append({"type": "tool_call", "id": called["id"], "name": function["name"], "arguments": function["arguments"]})
    return made


def tensorzero(one: Interaction) -> list[Json]:
    """Rows as the API gives them: objects."""
    if one.failed:  # the gateway stores no inference that failed
        return []
    inference_id = uuid7(one, 1)
    (said,) = one.answers
    output: list[Json] = [{"type": "text", "text": said["text"]}] if said["text"] else []
    for called in said.get("tool_calls", ()):
        output.append({"type": "tool_call", "id": called["id"], "name": called["name"], "arguments": json.loads(called["arguments"]),
                       "raw_name": called["name"], "raw_arguments": called["arguments"]})  # fmt: skip
    given: Json = {"messages": []}
    for turn in turns(one):
        if turn["role"] == "system":
            given["system"] = turn["content"]
            continue
        given["messages"].append({"role": "user" if turn["role"] == "tool" else turn["role"], "content": blocks(turn)})
    row = {
        "id": inference_id, "function_name": "answer", "variant_name": "gpt", "episode_id": uuid7(one, 2), "input": given, "output": output,
        "tool_params": None, "inference_params": {"chat_completion": one.parameters}, "processing_time_ms": 500, "timestamp": clock(one)[:19],
        "tags": {"user_id": one.user, "conversation_id": one.conversation}, "ttft_ms": None, "extra_body": [], "snapshot_hash": None,
    }  # fmt: skip
    model = {
        "id": uuid7(one, 3), "inference_id": inference_id, "raw_request": text(request(one)), "raw_response": text(response(one)),
        "model_name": "openai::gpt-4o-mini", "model_provider_name": "openai", "input_tokens": one.tokens[0], "output_tokens": one.tokens[1],
        "response_time_ms": 480, "ttft_ms": None, "timestamp": clock(one)[:19], "system": given.get("system"), "input_messages": given["messages"],
        "output": output, "cached": False, "finish_reason": {"tool_calls": "tool_call"}.get(said["finish_reason"], said["finish_reason"]),
    }  # fmt: skip
    return [*tensorzero_feedback(one), model, row]


def tensorzero_feedback(one: Interaction) -> list[Json]:
    if not one.feedback:
        return []
    told, target = one.feedback, uuid7(one, 1)
    base = {"tags": {}, "timestamp": clock(one, 60)[:19]}
    return [
        {"id": uuid7(one, 4, 60), "target_id": target, "metric_name": "thumbs_up", "value": False, **base},
        {"id": uuid7(one, 5, 60), "target_id": target, "metric_name": "rating", "value": told["score"], **base},
        {"id": uuid7(one, 6, 60), "target_id": target, "target_type": "inference", "value": told["comment"], **base},
        {"id": uuid7(one, 7, 60), "inference_id": target, "value": text([{"type": "text", "text": told["edited_text"]}]), **base},
    ]


def tensorzero_clickhouse(one: Interaction) -> list[Json]:
    """Rows of ClickHouse as JSONEachRow: JSON columns as text, absent text as empty."""
    made = []
    for row in tensorzero(one):
        wide = {k: text(v) if k in ("input", "output", "tool_params", "inference_params", "input_messages", "extra_body") and v is not None else v
                for k, v in row.items()}  # fmt: skip
        made.append({k: "" if v is None and k in ("tool_params", "system") else v for k, v in wide.items()})
    return made


def tensorzero_json_function(one: Interaction) -> list[Json]:
    """The same as a JSON function: what was said is the raw text of an object."""
    rows = tensorzero_clickhouse(one)
    for row in rows:
        if "function_name" in row:
            row["output"] = text({"raw": one.answers[0]["text"], "parsed": None})
            row["output_schema"], row["auxiliary_content"] = "{}", "[]"
            del row["tool_params"]
    return rows
