"""The interactions as OpenTelemetry instrumentations record them: five dialects of spans, events and log records, as OTLP/JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.ingestion.dialects.interactions import ASKED_OF, MODEL, Interaction, Json
from tests.ingestion.dialects.openai_writers import IMAGE, request, response, turn, turns
from tests.ingestion.dialects.otlp_wire import base64_ids, event, log, logs, snake_case, span, spans

REASON = {"tool_calls": "tool_call"}  # the conventions' singular


def around(one: Interaction) -> list[Json]:
    """The root of the trace, and what surrounds the call in it: a retriever, a guardrail, an HTTP span."""
    root = span(one, "answer", {"openinference.span.kind": "CHAIN"}, which=0, after=-1)
    del root["parentSpanId"]
    found = [root, span(one, "POST", {"http.request.method": "POST", "server.address": "api.openai.com"}, which=9, after=0.1)]
    found[1]["parentSpanId"] = one.span()
    if one.documents:
        said = {"openinference.span.kind": "RETRIEVER", "input.value": "warranty"}
        for i, key in enumerate(one.documents):
            said[f"retrieval.documents.{i}.document.id"] = key
        found.append(span(one, "retrieve", said, which=2, after=-0.5))
    if one.guardrail:
        said = {
            "openinference.span.kind": "GUARDRAIL",
            "guardrail.name": one.guardrail["name"],
            "guardrail.decision": one.guardrail["decision"],
        }
        found.append(span(one, "guard", said, which=3, after=0.7))
    return found


def judgements(one: Interaction) -> list[Json]:
    """The conventions' way to judge an answer later: one event a judgement, in a trace of its own, joined by the response's id."""
    if not one.feedback:
        return []
    told = one.feedback
    pairs = [("user_feedback", {"score.value": told["score"], "score.label": "thumbs_down", "explanation": told["comment"]}),
             ("correction", {"explanation": told["edited_text"]})]  # fmt: skip
    made = []
    for name, said in pairs:
        record = log(one, "gen_ai.evaluation.result", None, 60, {
            "gen_ai.evaluation.name": name, "gen_ai.response.id": one.id, **{f"gen_ai.evaluation.{k}": v for k, v in said.items()}})  # fmt: skip
        del record["traceId"], record["spanId"], record["body"]
        made.append(record)
    return [logs(*made)]


def told(one: Interaction, *found: Json, records: list[Json] | None = None) -> list[Json]:
    return [spans(*around(one), *found), *([logs(*records)] if records else []), *judgements(one)]


# --- the conventions ----------------------------------------------------------------------------------------------------------------------


def facts(one: Interaction, provider: str) -> Json:
    """What all versions of the conventions from 1.27 on say in attributes of the span."""
    made: Json = {
        "gen_ai.operation.name": "chat", provider: "openai", "gen_ai.request.model": ASKED_OF, "gen_ai.conversation.id": one.conversation,
        "user.id": one.user, **{f"gen_ai.request.{k}": v for k, v in one.parameters.items()}, "server.address": "api.openai.com", "server.port": 443,
    }  # fmt: skip
    if one.template:
        made |= {"gen_ai.prompt.name": one.template["id"], "gen_ai.prompt.version": one.template["version"]}
    if not one.failed:
        made |= {"gen_ai.response.id": one.id, "gen_ai.response.model": MODEL, "gen_ai.response.finish_reasons": [a["finish_reason"] for a in one.answers],
                 "gen_ai.usage.input_tokens": one.tokens[0], "gen_ai.usage.output_tokens": one.tokens[1]}  # fmt: skip
    return made


def parts(one: Interaction, said: Json) -> list[Json]:
    if said["role"] == "tool":
        return [{"type": "tool_call_response", "id": said["tool_call_id"], "response": said["content"]}]
    made: list[Json] = []
    if isinstance(said["content"], list):
        made = [
            {"type": "text", "content": p["text"]} if p["type"] == "text" else
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"} for p in said["content"]
        ]  # fmt: skip
    elif said["content"]:
        made = [{"type": "text", "content": said["content"]}]
    for called in said.get("tool_calls") or ():
        function = called["function"]
        made.append({"type": "tool_call", "id": called["id"], "name": function["name"], "arguments": json.loads(function["arguments"])})
    return made


def contents(one: Interaction) -> Json:
    """Messages as the conventions say them from 1.37 on."""
    made: Json = {}
    system = [m["content"] for m in one.messages if m["role"] == "system"]
    if system:
        made["gen_ai.system_instructions"] = [{"type": "text", "content": s} for s in system]
    made["gen_ai.input.messages"] = [{"role": m["role"], "parts": parts(one, m)} for m in turns(one) if m["role"] != "system"]
    if not one.failed:
        made["gen_ai.output.messages"] = [
            {"role": "assistant", "parts": parts(one, turn({"role": "assistant", "content": a["text"], **a})),
             "finish_reason": REASON.get(a["finish_reason"], a["finish_reason"])}
            for a in one.answers
        ]  # fmt: skip
    return made


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def spans_137_text(one: Interaction) -> list[Json]:
    said = {**facts(one, "gen_ai.provider.name"), **{k: text(v) for k, v in contents(one).items()}}
    return told(one, span(one, "chat gpt-4o-mini", said))


def spans_137_structured(one: Interaction) -> list[Json]:
    return told(one, span(one, "chat gpt-4o-mini", {**facts(one, "gen_ai.provider.name"), **contents(one)}))


def events_137(one: Interaction) -> list[Json]:
    """The span says little, the event says all."""
    whole = {**facts(one, "gen_ai.provider.name"), **contents(one)}
    record = log(one, "gen_ai.client.inference.operation.details", None, 0.4, whole)
    bare = {k: v for k, v in facts(one, "gen_ai.provider.name").items() if k not in ("user.id", "gen_ai.conversation.id")}
    return told(one, span(one, "chat gpt-4o-mini", bare), records=[record])


def span_event_137(one: Interaction) -> list[Json]:
    """The event as an event of its span (what a tracer without a logs pipeline does)."""
    happened = event(one, "gen_ai.client.inference.operation.details", contents(one), 0.4)
    return told(one, span(one, "chat gpt-4o-mini", facts(one, "gen_ai.provider.name"), [happened]))


def messages_136(one: Interaction) -> list[tuple[str, Json]]:
    made: list[tuple[str, Json]] = []
    for said in turns(one):
        body: Json = {}
        if said["content"]:
            body["content"] = said["content"]
        if said.get("tool_calls"):
            body["tool_calls"] = said["tool_calls"]
        if said["role"] == "tool":
            body["id"] = said["tool_call_id"]
        made.append((f"gen_ai.{said['role']}.message", body))
    for i, a in enumerate(one.answers):
        message = turn({"role": "assistant", "content": a["text"], **{k: v for k, v in a.items() if k == "tool_calls"}})
        body = {"index": i, "finish_reason": a["finish_reason"], "message": {k: v for k, v in message.items() if v is not None}}
        made.append(("gen_ai.choice", body))
    return made


def logs_136(one: Interaction) -> list[Json]:
    records = [log(one, name, body, 0.01 * i) for i, (name, body) in enumerate(messages_136(one))]
    return told(one, span(one, "chat gpt-4o-mini", facts(one, "gen_ai.system")), records=records[::-1])


def logs_136_named_by_attribute(one: Interaction) -> list[Json]:
    """As SDKs wrote before OTLP had `eventName`; no `index` in a lonely choice, JSON text as body."""
    records = []
    for i, (name, body) in enumerate(messages_136(one)):
        record = log(one, name, text(body), 0.01 * i, {"event.name": name})
        del record["eventName"]
        records.append(record)
    return told(one, span(one, "chat gpt-4o-mini", facts(one, "gen_ai.system")), records=records)


def span_events_136(one: Interaction) -> list[Json]:
    """Message events of a span with their body in attributes (Azure's and Google's SDKs)."""
    found = []
    for i, (name, body) in enumerate(messages_136(one)):
        found.append(event(one, name, {"gen_ai.system": "openai", "gen_ai.event.content": text(body)}, 0.01 * i))
    return told(one, span(one, "chat gpt-4o-mini", facts(one, "gen_ai.system"), found))


def span_events_127(one: Interaction) -> list[Json]:
    found = [event(one, "gen_ai.content.prompt", {"gen_ai.prompt": text(turns(one))}, 0)]
    if not one.failed:
        answered = [
            {**turn({"role": "assistant", "content": a["text"], **{k: v for k, v in a.items() if k == "tool_calls"}})} for a in one.answers
        ]
        found.append(event(one, "gen_ai.content.completion", {"gen_ai.completion": text(answered)}, 0.4))
    said = facts(one, "gen_ai.system")
    for new, old in (
        ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    ):
        if new in said:
            said[old] = said.pop(new)
    return told(one, span(one, "chat gpt-4o-mini", said, found))


# --- the two families that flatten messages -----------------------------------------------------------------------------------------------


def indexed(prefix: str, found: list[Json], reasons: list[str] | None = None) -> Json:
    made: Json = {}
    for n, said in enumerate(found):
        place = f"{prefix}.{n}"
        made[f"{place}.role"] = said["role"]
        if said["content"]:
            made[f"{place}.content"] = said["content"] if isinstance(said["content"], str) else text(said["content"])
        if said["role"] == "tool":
            made[f"{place}.tool_call_id"] = said["tool_call_id"]
        for m, called in enumerate(said.get("tool_calls") or ()):
            made |= {f"{place}.tool_calls.{m}.id": called["id"], f"{place}.tool_calls.{m}.name": called["function"]["name"],
                     f"{place}.tool_calls.{m}.arguments": called["function"]["arguments"]}  # fmt: skip
        if reasons:
            made[f"{place}.finish_reason"] = reasons[n]
    return made


def answered(one: Interaction) -> list[Json]:
    return [turn({"role": "assistant", "content": a["text"], **{k: v for k, v in a.items() if k == "tool_calls"}}) for a in one.answers]


def openllmetry(one: Interaction) -> list[Json]:
    made: Json = {
        "llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": ASKED_OF, "llm.is_streaming": False,
        "gen_ai.openai.api_base": "https://api.openai.com/v1/", "gen_ai.request.temperature": one.parameters["temperature"],
        "gen_ai.request.top_p": one.parameters["top_p"], "gen_ai.request.max_tokens": one.parameters["max_tokens"],
        "gen_ai.request.seed": one.parameters["seed"], "traceloop.association.properties.session_id": one.conversation,
        "traceloop.association.properties.user_id": one.user, "traceloop.workflow.name": "answer", "traceloop.entity.path": "",
        **indexed("gen_ai.prompt", turns(one)),
    }  # fmt: skip
    if one.template:
        made |= {"traceloop.prompt.key": one.template["id"], "traceloop.prompt.version": int(one.template["version"])}
    if not one.failed:
        made |= {"gen_ai.response.model": MODEL, "gen_ai.response.id": one.id, "llm.usage.total_tokens": sum(one.tokens),
                 "gen_ai.usage.prompt_tokens": one.tokens[0], "gen_ai.usage.completion_tokens": one.tokens[1],
                 **indexed("gen_ai.completion", answered(one), [a["finish_reason"] for a in one.answers])}  # fmt: skip
    return told(one, span(one, "openai.chat", made))


def openllmetry_first(one: Interaction) -> list[Json]:
    """Before the conventions existed, all of it was called `llm.`."""
    made: Json = {
        "llm.request.type": "chat", "llm.vendor": "OpenAI", "llm.request.model": ASKED_OF, "llm.temperature": one.parameters["temperature"],
        "llm.top_p": one.parameters["top_p"], "llm.request.max_tokens": one.parameters["max_tokens"], "llm.user": one.user,
        "traceloop.association.properties.chat_id": one.conversation, **indexed("llm.prompts", turns(one)),
    }  # fmt: skip
    if not one.failed:
        made |= {"llm.response.model": MODEL, "llm.usage.total_tokens": sum(one.tokens), "llm.usage.prompt_tokens": one.tokens[0],
                 "llm.usage.completion_tokens": one.tokens[1],
                 **indexed("llm.completions", answered(one), [a["finish_reason"] for a in one.answers])}  # fmt: skip
    return told(one, span(one, "openai.chat", made))


def flattened(prefix: str, found: list[Json], reasons: list[str] | None = None) -> Json:
    """OpenInference's attributes of messages."""
    made: Json = {}
    for n, said in enumerate(found):
        place = f"{prefix}.{n}.message"
        made[f"{place}.role"] = said["role"]
        if isinstance(said["content"], list):
            for m, part in enumerate(said["content"]):
                inner = f"{place}.contents.{m}.message_content"
                made |= (
                    {f"{inner}.type": "text", f"{inner}.text": part["text"]} if part["type"] == "text" else
                    {f"{inner}.type": "image", f"{inner}.image.image.url": IMAGE["image_url"]["url"]}
                )  # fmt: skip
        elif said["content"]:
            made[f"{place}.content"] = said["content"]
        if said["role"] == "tool":
            made[f"{place}.tool_call_id"] = said["tool_call_id"]
        for m, called in enumerate(said.get("tool_calls") or ()):
            inner = f"{place}.tool_calls.{m}.tool_call"
            made |= {f"{inner}.id": called["id"], f"{inner}.function.name": called["function"]["name"],
                     f"{inner}.function.arguments": called["function"]["arguments"]}  # fmt: skip
        if reasons:
            made[f"{place}.finish_reason"] = reasons[n]
    return made


def inference(one: Interaction) -> Json:
    """The attributes of an OpenInference span, as the OpenAI instrumentation sets them: also the whole request and response as JSON."""
    asked = request(one)
    made: Json = {
        "openinference.span.kind": "LLM", "llm.system": "openai", "llm.provider": "openai", "llm.model_name": ASKED_OF,
        "llm.invocation_parameters": text({k: v for k, v in asked.items() if k not in ("messages", "tools")}),
        "input.value": text(asked), "input.mime_type": "application/json", "session.id": one.conversation, "user.id": one.user,
        "metadata": text({"shop": "de"}), "tag.tags": ["support"], **flattened("llm.input_messages", turns(one)),
    }  # fmt: skip
    if one.template:
        made |= {"llm.prompt_template.template": "You are {x}", "llm.prompt_template.version": one.template["version"], "prompt.id": one.template["id"],
                 "llm.prompt_template.variables": text({"x": "ShopForge support."})}  # fmt: skip
    if not one.failed:
        made |= {"llm.model_name": MODEL, "output.value": text(response(one)), "output.mime_type": "application/json",
                 "llm.token_count.prompt": one.tokens[0], "llm.token_count.completion": one.tokens[1], "llm.token_count.total": sum(one.tokens),
                 "llm.token_count.prompt_details.cache_read": 0, **flattened("llm.output_messages", answered(one))}  # fmt: skip
    return made


def openinference(one: Interaction) -> list[Json]:
    return told(one, span(one, "ChatCompletion", inference(one)))


def openinference_raw(one: Interaction) -> list[Json]:
    """Only the raw request and response (an instrumentation that flattens nothing)."""
    said = {k: v for k, v in inference(one).items() if not k.startswith(("llm.input_messages", "llm.output_messages"))}
    return told(one, span(one, "ChatCompletion", said))


def both_families(one: Interaction) -> Json:
    return {**facts(one, "gen_ai.provider.name"), **{k: text(v) for k, v in contents(one).items()}, **inference(one)}


def two_families(one: Interaction) -> list[Json]:
    """One span that carries the conventions and OpenInference."""
    return told(one, span(one, "ChatCompletion", both_families(one)))


def two_instrumentations(one: Interaction) -> list[Json]:
    """One call seen by two instrumentations: a span inside a span."""
    outer = span(one, "ChatCompletion", {k: v for k, v in inference(one).items() if k != "output.value"}, which=4)
    if one.failed:
        outer["status"] = {"code": 2}
    inner = {
        **span(one, "chat", {**facts(one, "gen_ai.provider.name"), **{k: text(v) for k, v in contents(one).items()}}),
        "parentSpanId": one.span(4),
    }
    return told(one, outer, inner)


# --- other spellings of the wire ----------------------------------------------------------------------------------------------------------


def in_snake_case(one: Interaction) -> list[Json]:
    return [snake_case(row) for row in logs_136(one)]


def message_to_json(one: Interaction) -> list[Json]:
    return [base64_ids(row) for row in events_137(one)]


def a_row_a_part(one: Interaction) -> list[Json]:
    """Every span and record in a row of its own, the newest first: the parts of a trace lie apart."""
    made = []
    for row in logs_136(one):
        for group in row.get("resourceSpans", ()):
            made += [spans(s) for scope in group["scopeSpans"] for s in scope["spans"]]
        for group in row.get("resourceLogs", ()):
            made += [logs(r) for scope in group["scopeLogs"] for r in scope["logRecords"]]
    return made[::-1]


def exported_twice(one: Interaction) -> list[Json]:
    return [*logs_136(one), *logs_136(one)]
