"""One call is one record, however many spans, events and attribute families tell of it; what fails says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.ingestion.formats.otel import OTEL
from flywheel.ingestion.formats.phoenix import PHOENIX
from tests.ingestion.test_ingestion_otel import Read, read

TRACE = "5b8efff798038103d269b633813fc60c"
START = 1767693600123456789
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]
CHAT: dict[str, Any] = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(ANSWERED),
}  # fmt: skip
OI: dict[str, Any] = {
    "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hi",
    "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "Hello",
}  # fmt: skip


def value(it: Any) -> dict[str, Any]:
    if isinstance(it, bool):
        return {"boolValue": it}
    if isinstance(it, int):
        return {"intValue": str(it)}
    if isinstance(it, float):
        return {"doubleValue": it}
    if isinstance(it, list):
        return {"arrayValue": {"values": [value(v) for v in it]}}
    if isinstance(it, dict):
        return {"kvlistValue": {"values": pairs(it)}}
    return {"stringValue": it}


def pairs(held: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": k, "value": value(v)} for k, v in held.items()]


def span(attributes: dict[str, Any], number: int = 1, parent: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE, "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "", "name": "s",
        "startTimeUnixNano": str(START + number * 1000), "attributes": pairs(attributes), **more,
    }  # fmt: skip


def log(name: str, body: Any = None, number: int = 1, attributes: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": f"{number:016x}", "eventName": name, "timeUnixNano": str(START), "body": value(body or {}),
            "attributes": pairs(attributes or {}), **more}  # fmt: skip


def otlp(*spans: Any, logs: Any = (), resource: Any = None) -> list[dict[str, Any]]:
    row: dict[str, Any] = {"resourceSpans": [{"resource": resource or {}, "scopeSpans": [{"spans": list(spans)}]}]}
    if logs:
        row["resourceLogs"] = [{"scopeLogs": [{"logRecords": list(logs)}]}]
    return [row]


def seen(*spans: Any, logs: Any = (), resource: Any = None) -> Read:
    return read(OTEL, otlp(*spans, logs=logs, resource=resource))


def only(found: Read) -> dict[str, Any]:
    assert found.bad == []
    (row,) = found.rows
    return row


def test_a_call_without_ids_of_its_provider_is_named_by_its_span() -> None:
    row = only(seen(span(CHAT)))
    assert row["id"] == f"{TRACE}:{1:016x}"
    assert row["messages"] == [{"role": "user", "content": "Hi"}]
    assert row["responses"] == [{"text": "Hello", "finish_reason": "stop", "model": "m"}]


def test_choices_are_responses_and_their_tokens_a_total() -> None:
    two = [{"role": "assistant", "parts": [{"type": "text", "content": t}], "finish_reason": "stop"} for t in ("Yes", "No")]
    found = seen(
        span(
            {
                **CHAT,
                "gen_ai.output.messages": two,
                "gen_ai.usage.output_tokens": 8,
                "gen_ai.usage.input_tokens": 3,
                "gen_ai.request.choice.count": 2,
            }
        )
    )
    assert [(r["text"], r["prompt_tokens"], r.get("completion_tokens")) for r in only(found)["responses"]] == [
        ("Yes", 3, None),
        ("No", 3, None),
    ]
    assert found.losses == {"otel: completion tokens (a total over several choices)": 1}


def test_choices_of_log_events_stand_in_the_order_of_their_index() -> None:
    logs = [
        log("gen_ai.choice", {"index": i, "finish_reason": "stop", "message": {"content": t}}) for i, t in ((1, "second"), (0, "first"))
    ]
    row = only(seen(span({"gen_ai.request.model": "m"}), logs=[log("gen_ai.user.message", {"content": "Hi"}), *logs, logs[0]]))
    assert [r["text"] for r in row["responses"]] == ["first", "second"]


def test_logs_whose_span_is_not_exported_are_a_call_too() -> None:
    attributes = {**CHAT, "gen_ai.response.id": "r-1"}
    row = only(
        read(OTEL, [{"resourceLogs": [{"scopeLogs": [{"logRecords": [log("gen_ai.client.inference.operation.details", attributes)]}]}]}])
    )
    assert row["id"] == "r-1"
    assert row["responses"][0]["text"] == "Hello"


def test_a_details_event_without_any_trace_is_a_record_by_itself() -> None:
    record = log("gen_ai.client.inference.operation.details", None, attributes=CHAT)
    del record["traceId"], record["spanId"]
    row = only(seen(logs=[record]))
    assert "id" not in row
    assert row["timestamp"] == "2026-01-06T10:00:00.123456+00:00"


def test_two_families_on_one_span_count_once_and_a_contradiction_is_said() -> None:
    found = seen(span({**OI, **CHAT}))
    assert len(only(found)["messages"]) == 1
    assert found.losses == {}
    found = seen(span({**OI, **CHAT, "llm.output_messages.0.message.content": "Something else"}))
    assert only(found)["responses"][0]["text"] == "Hello"
    assert found.losses == {"otel: llm.output_messages.N (differs from the call's other messages)": 1}


def test_the_second_family_fills_what_the_first_does_not_say() -> None:
    mixed = {**{k: v for k, v in CHAT.items() if k != "gen_ai.input.messages"}, **OI, "llm.token_count.prompt": 4}
    row = only(seen(span(mixed)))
    assert row["messages"] == [{"role": "user", "content": "Hi"}]
    assert row["responses"][0]["prompt_tokens"] == 4


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_call_that_two_instrumentations_saw_is_one_record(order: tuple[int, int]) -> None:
    spans = {1: span({**OI, "session.id": "c"}, 1), 2: span({**CHAT, "gen_ai.response.id": "r-1"}, 2, parent=1)}
    found = seen(*(spans[n] for n in order))
    row = only(found)
    assert (row["id"], row["conversation_id"], row["timestamp"]) == ("r-1", "c", "2026-01-06T10:00:00.123457+00:00")
    assert found.joined == 1


def test_two_calls_with_the_same_answer_beside_each_other_stay_two() -> None:
    assert len(seen(span(CHAT, 1), span(CHAT, 2)).rows) == 2
    assert len(seen(span({**CHAT, "gen_ai.response.id": "a"}, 1), span({**CHAT, "gen_ai.response.id": "b"}, 2, parent=1)).rows) == 2


def test_a_layer_that_records_no_content_adds_what_it_knows() -> None:
    server = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}
    row = only(seen(span(CHAT, 1), span(server, 2, parent=1)))
    assert row["responses"][0]["prompt_tokens"] == 5


def test_a_failed_call_is_refused_by_its_error() -> None:
    asked = {k: v for k, v in CHAT.items() if k != "gen_ai.output.messages"}
    found = seen(span({**asked, "error.type": "rate_limit_exceeded"}, status={"code": 2}))
    assert [(b.reason, b.message) for b in found.bad] == [("no_response", "the call failed: rate_limit_exceeded")]
    events = [{"name": "exception", "attributes": pairs({"exception.type": "openai.Timeout"})}]
    found = seen(span(asked, status={"code": "STATUS_CODE_ERROR"}, events=events))
    assert found.bad[0].message == "the call failed: openai.Timeout"
    assert found.bad[0].raw["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == "s"


def test_a_call_whose_content_was_not_recorded_is_refused_too() -> None:
    assert [b.field for b in seen(span({"gen_ai.request.model": "m", "gen_ai.operation.name": "chat"})).bad] == ["gen_ai.output.messages"]


def test_parts_that_are_no_text_are_counted_by_their_type() -> None:
    parts = [{"type": "text", "content": "See"}, {"type": "blob", "modality": "image", "content": "aGk="}, {"type": "reasoning", "content": "hm"},
             {"type": "of-my-own", "x": 1}]  # fmt: skip
    found = seen(span({**CHAT, "gen_ai.input.messages": [{"role": "user", "parts": parts}]}))
    assert only(found)["messages"] == [{"role": "user", "content": "See"}]
    assert found.losses == {f"otel: message part of type {t}": 1 for t in ("blob", "reasoning", "unknown to the conventions")}


def test_tool_results_in_one_message_are_turns_of_their_own() -> None:
    parts = [
        {"type": "tool_call_response", "id": "a", "response": {"b": 1, "a": 2}},
        {"type": "tool_call_response", "id": "b", "response": "ok"},
    ]
    row = only(seen(span({**CHAT, "gen_ai.input.messages": [{"role": "user", "parts": parts}]})))
    assert row["messages"] == [
        {"role": "tool", "content": '{"a": 2, "b": 1}', "tool_call_id": "a"}, {"role": "tool", "content": "ok", "tool_call_id": "b"},
    ]  # fmt: skip


def test_openais_form_in_the_new_attributes_is_read_as_well() -> None:
    row = only(seen(span({**CHAT, "gen_ai.input.messages": json.dumps([{"role": "user", "content": "Hi"}])})))
    assert row["messages"] == [{"role": "user", "content": "Hi"}]


def test_input_and_output_values_stand_in_where_there_are_no_messages() -> None:
    raw = {"id": "r-9", "object": "chat.completion", "model": "m-2", "choices": [
        {"message": {"role": "assistant", "content": "Yes"}, "finish_reason": "length", "logprobs": {"content": [{"token": "Yes", "logprob": -0.5}]}}]}  # fmt: skip
    row = only(seen(span({"openinference.span.kind": "LLM", "input.value": json.dumps({"messages": [{"role": "user", "content": "Is it?"}]}),
                          "output.value": json.dumps(raw)})))  # fmt: skip
    assert row["id"] == "r-9"
    assert row["responses"] == [{"text": "Yes", "finish_reason": "length", "token_logprobs": [-0.5], "model": "m-2"}]
    row = only(seen(span({"openinference.span.kind": "LLM", "llm.model_name": "m", "input.value": "Is it?", "output.value": "Yes"})))
    assert (row["messages"][0]["content"], row["responses"][0]["text"]) == ("Is it?", "Yes")


def test_text_completions_are_one_question_and_its_answers() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.prompts.0.prompt.text": "Once",
        "llm.choices.0.completion.text": "upon",
    }
    row = only(seen(span(attributes)))
    assert (row["messages"], row["responses"][0]["text"]) == ([{"role": "user", "content": "Once"}], "upon")
    row = only(
        seen(span({"openinference.span.kind": "LLM", "llm.model_name": "m", "input.value": '{"prompt": "Once"}', "output.value": "upon"}))
    )
    assert row["messages"] == [{"role": "user", "content": "Once"}]


def test_metadata_tags_and_templates_of_openinference() -> None:
    row = only(seen(span({
        **OI, "metadata": '{"plan": "pro", "conversation_id": "c-7", "deep": {"a": 1}}', "tag.tags": ["vip"], "prompt.id": "support",
        "llm.prompt_template.version": "v3", "llm.system": "openai"}), resource={"attributes": pairs({"deployment.environment.name": "prod"})}))  # fmt: skip
    assert row["template"] == {"id": "support", "version": "v3"}
    assert row["conversation_id"] == "c-7"
    assert {k: row["metadata"][k] for k in ("plan", "deep", "tags", "provider", "environment")} == {
        "plan": "pro", "deep": {"a": 1}, "tags": ["vip"], "provider": "openai", "environment": "prod",
    }  # fmt: skip


def test_a_template_without_a_name_is_named_by_its_text() -> None:
    found = seen(
        span({**OI, "llm.prompt_template.template": "Say {x}", "llm.prompt_template.version": "1", "llm.prompt_template.variables": "{}"})
    )
    template = only(found)["template"]
    assert template["version"] == "1"
    assert template["id"].startswith("sha256-")
    assert found.losses == {"otel: llm.prompt_template.template": 1, "otel: llm.prompt_template.variables": 1}


CONSENT = {"purposes": ["training"], "legal_basis": "consent", "policy_version": "1", "granted_at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("said", [{"flywheel.consent": json.dumps(CONSENT)}, {"flywheel.consent": CONSENT}, {"metadata": json.dumps({"consent": CONSENT})},
                                  {"traceloop.association.properties.consent": json.dumps(CONSENT)}])  # fmt: skip
def test_a_statement_of_consent_is_carried(said: dict[str, Any]) -> None:
    assert only(seen(span({**CHAT, **said})))["consent"] == CONSENT


def test_a_statement_that_phoenix_flattened_is_put_together_again() -> None:
    row = {"name": "s", "context": {"trace_id": TRACE, "span_id": "1" * 16}, "span_kind": "LLM", "start_time": "2026-01-06T10:00:00Z",
           "attributes": {**OI, **{f"metadata.consent.{k}": v for k, v in CONSENT.items()}}}  # fmt: skip
    assert only(read(PHOENIX, [row]))["consent"] == CONSENT


def test_what_is_only_called_consent_grants_nothing() -> None:
    found = seen(span({**CHAT, "metadata": '{"consent": "train"}'}))
    row = only(found)
    assert "consent" not in row
    assert row["metadata"]["consent"] == "train"
    assert found.losses == {"otel: metadata.consent (not a consent statement)": 1}


RETRIEVER = {"openinference.span.kind": "RETRIEVER", "retrieval.documents.1.document.id": 7, "retrieval.documents.0.document.id": "doc-a",
             "retrieval.documents.0.document.content": "text"}  # fmt: skip
GUARDRAIL = {"openinference.span.kind": "GUARDRAIL", "output.value": '{"decision": "pass"}', "guardrail.reason": "no insults"}


def test_what_was_retrieved_and_guarded_around_the_only_call_is_part_of_it() -> None:
    row = only(seen(span({"openinference.span.kind": "CHAIN"}, 9), span(RETRIEVER, 1, parent=9), span(OI, 2, parent=9),
                    span(GUARDRAIL, 3, parent=9, name="toxicity")))  # fmt: skip
    assert row["responses"][0]["retrieval"] == {"ids": ["doc-a", "7"]}
    assert row["responses"][0]["guardrails"] == [{"name": "toxicity", "decision": "pass", "detail": "no insults"}]


def test_with_several_calls_a_retrieval_belongs_to_those_beside_it() -> None:
    found = seen(
        span(RETRIEVER, 1, parent=8),
        span(OI, 2, parent=8),
        span({**OI, "llm.output_messages.0.message.content": "x"}, 3, parent=9),
        span(RETRIEVER, 4),
    )
    assert [r["responses"][0].get("retrieval") for r in found.rows] == [{"ids": ["doc-a", "7"]}, None]
    assert found.skipped == {"retrieval": 1}
    assert found.losses == {"otel: retrieval span (no call that it belongs to)": 1}


def test_in_a_chain_of_calls_each_retrieval_belongs_to_the_call_that_came_next() -> None:
    first, second = OI, {**OI, "llm.output_messages.0.message.content": "x"}
    other = {**RETRIEVER, "retrieval.documents.0.document.id": "doc-b"}
    found = seen(
        span(RETRIEVER, 1, parent=9),
        span(first, 2, parent=9),
        span(other, 3, parent=9),
        span(second, 4, parent=9),
        span(GUARDRAIL, 5, parent=9),
    )
    assert [r["responses"][0]["retrieval"]["ids"][0] for r in found.rows] == ["doc-a", "doc-b"]
    assert "guardrails" in found.rows[1]["responses"][0]


def test_a_guardrail_that_names_no_decision_is_skipped_and_counted() -> None:
    found = seen(span(OI, 1), span({**GUARDRAIL, "output.value": "Anna Schmidt wrote: ..."}, 2))
    assert "guardrails" not in only(found)["responses"][0]
    assert found.skipped == {"guardrail": 1}


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "m"}, "embedding"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}, "tool"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.response.id": "r", **{k: CHAT[k] for k in CHAT if "messages" in k}}, "agent"),
        ({"openinference.span.kind": "AGENT", **{k: OI[k] for k in OI if "messages" in k}}, "agent"),
        ({"traceloop.span.kind": "workflow"}, "chain"), ({"llm.request.type": "embedding", "gen_ai.request.model": "m"}, "embedding"),
        ({"openinference.span.kind": "RETRIEVER"}, "retriever"), ({"http.method": "GET"}, "http"), ({"db.system": "postgresql"}, "database"), ({}, "span"),
    ],
)  # fmt: skip
def test_what_is_no_model_call_is_skipped_by_kind(attributes: dict[str, Any], kind: str) -> None:
    found = seen(span(attributes))
    assert found.skipped == {kind: 1}
    assert found.losses == {}


def test_other_logs_and_metrics_are_skipped() -> None:
    found = read(OTEL, [*otlp(logs=[log("app.started"), {"body": {"stringValue": "hello"}}]), {"resourceMetrics": [{}]}])
    assert found.skipped == {"log": 2, "metrics": 1}


def test_every_attribute_of_a_call_has_a_place_or_is_counted() -> None:
    attributes = {
        **CHAT,
        "gen_ai.request.top_k": 5,
        "my.own.0.thing": "x",
        "my.own.1.thing": "y",
        "empty": "",
        "Anna Schmidt <anna@example.com>": 1,
    }
    found = seen(
        span(attributes, links=[{"traceId": "x"}], droppedAttributesCount=3),
        resource={"attributes": pairs({"team": "a", "host.name": "b"})},
    )
    only(found)
    assert found.losses == {
        "otel: gen_ai.request.top_k": 1, "otel: my.own.N.thing": 2, "otel: an attribute with an unusual name": 1, "otel: links": 1,
        "otel: droppedAttributesCount": 1, "otel: resource team": 1,
    }  # fmt: skip


def test_a_bare_span_a_line_and_old_containers_are_read() -> None:
    assert only(read(OTEL, [span(CHAT)]))["id"] == f"{TRACE}:{1:016x}"
    assert only(read(OTEL, [{"resource_spans": [{"instrumentationLibrarySpans": [{"spans": [span(CHAT)]}]}]}]))["responses"]
    assert only(read(OTEL, [{"scopeSpans": [{"spans": [span(CHAT)]}]}]))["responses"]


def test_the_sdks_console_form_is_read_as_phoenixs() -> None:
    row = {"name": "chat", "context": {"trace_id": f"0x{TRACE}", "span_id": "0x00000000000000a1", "trace_state": "[]"}, "kind": "SpanKind.CLIENT", "parent_id": None,
           "start_time": "2026-01-06T10:00:00.5Z", "end_time": "2026-01-06T10:00:01Z", "status": {"status_code": "OK"}, "attributes": CHAT, "events": [], "links": [],
           "resource": {"attributes": {"service.name": "shop"}, "schema_url": ""}}  # fmt: skip
    assert PHOENIX.claims(row)
    found = only(read(PHOENIX, [row]))
    assert (found["id"], found["timestamp"]) == (f"{TRACE}:00000000000000a1", "2026-01-06T10:00:00.500000+00:00")


def test_phoenixs_data_frame_and_nested_attributes_are_read() -> None:
    frame = {"context.trace_id": TRACE, "context.span_id": "1" * 16, "span_kind": "LLM", "start_time": "2026-01-06T10:00:00+00:00", "attributes.llm.model_name": "m",
             "attributes.llm.input_messages": [{"message.role": "user", "message.content": "Hi"}],
             "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "Hello"}]}  # fmt: skip
    nested = {"context": {"trace_id": TRACE, "span_id": "1" * 16}, "span_kind": "LLM", "start_time": "2026-01-06T10:00:00+00:00", "attributes": {
        "llm": {"model_name": "m", "input_messages": [{"message": {"role": "user", "content": "Hi"}}], "output_messages": [{"message": {"role": "assistant", "content": "Hello"}}]}}}  # fmt: skip
    assert only(read(PHOENIX, [frame])) == only(read(PHOENIX, [nested]))
