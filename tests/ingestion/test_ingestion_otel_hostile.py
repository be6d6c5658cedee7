"""Spans that nobody should have written: every one of them becomes an item with a reason, none an exception."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.ingestion.formats.otel import OTEL
from flywheel.ingestion.formats.phoenix import PHOENIX
from flywheel.ingestion.quarantine import REASONS, Rejected
from tests.ingestion.test_ingestion_otel import DIALECTS, Read, read, sample
from tests.ingestion.test_ingestion_otel_calls import CHAT, OI, RETRIEVER, log, otlp, pairs, seen, span
from tests.operations import counted, operations

IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id", "trace", "span", "parent")


def refusal(found: Read) -> tuple[str, str | None]:
    assert found.rows == []
    assert {b.reason for b in found.bad} <= set(REASONS)
    (bad,) = found.bad
    return bad.reason, bad.field


@pytest.mark.parametrize(
    ("attributes", "reason", "field"),
    [
        ({**CHAT, "gen_ai.input.messages": "[{cut"}, "invalid_field", "gen_ai.input.messages"),
        ({**CHAT, "gen_ai.input.messages": ["x"]}, "invalid_field", "gen_ai.input.messages.0"),
        ({**CHAT, "gen_ai.input.messages": [{}]}, "missing_field", "gen_ai.input.messages.0.role"),
        ({**CHAT, "gen_ai.input.messages": [{"role": "user"}]}, "missing_field", "gen_ai.input.messages.0.content"),
        ({**CHAT, "gen_ai.input.messages": [{"role": "king", "parts": []}]}, "invalid_field", "gen_ai.input.messages.0.role"),
        ({**CHAT, "gen_ai.input.messages": [{"role": "user", "parts": "x"}]}, "invalid_field", "gen_ai.input.messages.0.parts"),
        ({**CHAT, "gen_ai.input.messages": [{"role": "user", "parts": [1]}]}, "invalid_field", "gen_ai.input.messages.0.parts.0"),
        ({**CHAT, "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": 1}]}]}, "invalid_field", "gen_ai.input.messages.0.parts.0.content"),
        ({**CHAT, "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "tool_call"}]}]}, "missing_field", "gen_ai.output.messages.0.parts.0.name"),
        ({**CHAT, "gen_ai.request.temperature": "warm"}, "invalid_field", "gen_ai.request.temperature"),
        ({**CHAT, "gen_ai.usage.input_tokens": 1.5}, "invalid_field", "gen_ai.usage.input_tokens"),
        ({**CHAT, "gen_ai.response.id": [1]}, "invalid_field", "gen_ai.response.id"),
        ({**CHAT, "gen_ai.request.model": 7}, "invalid_field", "gen_ai.request.model"),
        ({k: v for k, v in CHAT.items() if k != "gen_ai.request.model"}, "missing_field", "gen_ai.response.model"),
        ({**OI, "llm.input_messages.1000000000.message.role": "user"}, "invalid_field", "llm.input_messages.1000000000"),
        ({**OI, "llm.input_messages.-1.message.role": "user"}, "invalid_field", "llm.input_messages.-1"),
        ({**OI, "llm.input_messages.5.message.role": "user"}, "missing_field", "llm.input_messages.1"),
        ({**OI, f"llm.input_messages.{'9' * 5000}.message.role": "user"}, "invalid_field", f"llm.input_messages.{'9' * 5000}"[:200]),
        ({"gen_ai.request.model": "m", "gen_ai.prompt.-1.role": "user", "gen_ai.completion.0.content": "x"}, "invalid_field", "gen_ai.prompt.-1"),
        ({"gen_ai.request.model": "m", "gen_ai.prompt.0.content": "x", "gen_ai.completion.0.content": "x"}, "missing_field", "gen_ai.prompt.0.role"),
        ({**OI, "llm.output_messages.0.message.tool_calls.x.tool_call.id": "a"}, "invalid_field", "message.tool_calls.x"),
        ({"gen_ai.request.model": "m", "gen_ai.prompt": "[{'role': 'user', 'content': 'Hi'}]", "gen_ai.completion": "x"}, "invalid_field", "gen_ai.prompt"),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_read_says_where(attributes: dict[str, Any], reason: str, field: str) -> None:
    assert refusal(seen(span(attributes))) == (reason, field)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"traceId": None}, "missing_field", "resourceSpans.0.scopeSpans.0.spans.0.traceId"),
        ({"spanId": "0" * 16}, "missing_field", "resourceSpans.0.scopeSpans.0.spans.0.spanId"),
        ({"traceId": 5}, "invalid_field", "resourceSpans.0.scopeSpans.0.spans.0.traceId"),
        ({"attributes": "x"}, "invalid_field", "resourceSpans.0.scopeSpans.0.spans.0.attributes"),
        ({"attributes": 7}, "invalid_field", "resourceSpans.0.scopeSpans.0.spans.0.attributes"),
        ({"attributes": [{"value": {}}]}, "invalid_field", "resourceSpans.0.scopeSpans.0.spans.0.attributes.0"),
        ({"startTimeUnixNano": "soon"}, "invalid_timestamp", "startTimeUnixNano"),
        ({"startTimeUnixNano": "-5"}, "invalid_timestamp", "startTimeUnixNano"),
        ({"events": {}}, None, None),
        ({"events": [{"name": None, "attributes": []}]}, "invalid_field", "events.0.name"),
        ({"attributes": [*pairs(CHAT), {"key": "x", "value": {"intValue": "many"}}]}, "invalid_field", "attributes.x"),
        ({"attributes": [*pairs(CHAT), {"key": "x", "value": [1]}]}, "invalid_field", "attributes.x"),
    ],
)  # fmt: skip
def test_a_span_of_wrong_types_says_where(change: dict[str, Any], reason: str | None, field: str | None) -> None:
    found = seen({**span(CHAT), **change})
    if reason is None:
        assert len(found.rows) == 1
    else:
        assert refusal(found) == (reason, field)


@pytest.mark.parametrize(
    "row", [{"resourceSpans": None}, {"resourceSpans": "x"}, {"resourceLogs": {}}, {"scopeSpans": 1}, {}, {"spans": []}]
)
def test_a_row_that_is_no_otlp_is_refused_before_its_first_item(row: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        list(OTEL.items(row, Counter()))


def test_what_stands_in_the_place_of_a_span_is_one_bad_item() -> None:
    row = {"resourceSpans": [None, {"scopeSpans": "x"}, {"scopeSpans": [1, {"spans": 2}, {"spans": ["x", None, span(CHAT)]}]}]}
    found = read(OTEL, [row])
    assert len(found.rows) == 1
    assert [b.field for b in found.bad] == [
        "resourceSpans.0", "resourceSpans.1.scopeSpans", "resourceSpans.2.scopeSpans.0", "resourceSpans.2.scopeSpans.1",
        "resourceSpans.2.scopeSpans.2.spans.0", "resourceSpans.2.scopeSpans.2.spans.1",
    ]  # fmt: skip


def test_arguments_that_are_no_json_are_kept_as_they_came() -> None:
    (row,) = seen(span({**OI, "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
                        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{cut"})).rows  # fmt: skip
    assert row["responses"][0]["tool_calls"] == [{"name": "f", "arguments": "{cut"}]


def test_one_bad_call_does_not_touch_the_others_of_its_trace() -> None:
    found = seen(span(CHAT, 1), span({**CHAT, "gen_ai.input.messages": "["}, 2), logs=[log("gen_ai.user.message", {"content": "x"}, 2)])
    assert len(found.rows) == 1
    assert len(found.bad) == 2  # its message goes with it


def test_a_message_that_names_no_span_among_several_calls_is_refused() -> None:
    found = seen(span(CHAT, 1), span(CHAT, 2), logs=[{**log("gen_ai.user.message", {"content": "x"}), "spanId": ""}])
    assert [(b.reason, b.field) for b in found.bad] == [("missing_field", "spanId")]


def nested(depth: int) -> Any:
    made: Any = "x"
    for _ in range(depth):
        made = {"kvlistValue": {"values": [{"key": "k", "value": made}]}}
    return made


def test_deep_nesting_is_refused() -> None:
    deep = {"key": "my.tree", "value": nested(90)}
    assert refusal(seen({**span(CHAT), "attributes": [*pairs(CHAT), deep]}))[0] == "invalid_field"
    text = '[{"role": "user", "parts": ' + "[" * 50_000 + "]" * 50_000 + "}]"
    assert refusal(seen(span({**CHAT, "gen_ai.input.messages": text}))) == ("invalid_field", "gen_ai.input.messages")
    arguments: Any = {}
    for _ in range(300):
        arguments = {"a": arguments}
    parts = [{"type": "tool_call", "name": "f", "arguments": arguments}]
    assert refusal(seen(span({**CHAT, "gen_ai.input.messages": json.dumps([{"role": "assistant", "parts": parts}])})))[0] == "invalid_field"
    row = {"context": {"trace_id": "t", "span_id": "s"}, "span_kind": "LLM", "attributes": {"llm": arguments}}
    assert refusal(read(PHOENIX, [row]))[0] == "invalid_field"


@pytest.mark.parametrize(
    "make",
    [
        lambda n: (span({**CHAT, "gen_ai.response.id": f"r-{i}"}, i + 1, parent=i) for i in range(n)),  # calls inside calls
        lambda n: (span(CHAT, i + 1, parent=i) for i in range(n)),  # one call, seen by every layer
        lambda n: (span(CHAT, n - i, parent=n - i + 1) for i in range(n)),  # the same, the innermost first in time
        lambda n: (span({**CHAT, f"x.{i}": "y"}, 1) for i in range(n)),  # one span, exported again and again
        lambda n: (span(OI if i % 2 else RETRIEVER, i + 1, parent=n + 9) for i in range(n)),
    ],
)
def test_a_trace_of_ten_times_the_spans_is_about_ten_times_the_work(make: Callable[[int], Iterable[Any]]) -> None:
    def work(n: int) -> int:
        rows, items, told = otlp(*make(n)), list[Any](), list[Any]()

        def read_and_put_together() -> None:
            items.extend(item for row in rows for item in OTEL.items(row, Counter()))
            told.append(OTEL.assemble(items[0].key, [counted(i.payload, IDS) for i in items], Counter()))

        found = operations(read_and_put_together)
        assert len(items) == n
        assert len({item.key for item in items}) == 1
        assert told[0].rows or told[0].skipped
        return found

    small, large = work(100), work(1_000)
    assert large < 15 * small


# what a mutation puts in the place of a value, anywhere in a sample
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8) | st.sampled_from(
        ["user", "[", "{}", '[{"role":"user","parts":[{"type":"text","content":"x"}]}]', "NaN", "0", "\ud800", "1e999", "9" * 30, "gen_ai.choice"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", "value", "role", "parts", "stringValue", "intValue", "values", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += places(child, (*path, key))
    return found


def expected_items(row: Any) -> int | None:
    """How many items a row of OTLP or Phoenix must give, counted by another way; None where the row is refused as a whole."""
    if "data" in row:
        return len(row["data"]) if isinstance(row["data"], list) else None
    total = 0
    for outer, inner, items in (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")):
        if outer not in row:
            continue
        if not isinstance(row[outer], list):
            return None
        for group in row[outer]:
            scopes = group.get(inner) if isinstance(group, dict) else 0
            if scopes is None:
                continue
            if not isinstance(scopes, list):
                total += 1
                continue
            for scope in scopes:
                held = scope.get(items) if isinstance(scope, dict) else 0
                total += len(held) if isinstance(held, list) else 0 if held is None else 1
    return total


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from([n for n in DIALECTS if n != "phoenix_spans_openinference.jsonl"]), st.data())
def test_no_mutation_of_a_sample_raises_or_loses_an_item(name: str, data: st.DataObject) -> None:
    rows = copy.deepcopy(sample(name))
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from(rows))
        path = data.draw(st.sampled_from(places(row)))
        holder = row
        for step in path[:-1]:
            holder = holder[step]
        what = data.draw(st.sampled_from(["replace", "replace", "replace", "delete", "double", "text"]))
        if what == "delete":
            del holder[path[-1]]
        elif what == "double" and isinstance(holder, list):
            holder.insert(path[-1], copy.deepcopy(holder[path[-1]]))
        elif what == "text" and isinstance(holder[path[-1]], str):
            text = holder[path[-1]]
            holder[path[-1]] = text[: data.draw(st.integers(0, len(text)))]
        else:
            holder[path[-1]] = data.draw(JUNK)
        if not row:
            return
    wanted = [expected_items(row) for row in rows if row]
    format = DIALECTS[name]
    if None in wanted or any(not {"data", "resourceSpans", "resourceLogs"} & set(row) for row in rows):
        for row in rows:
            with suppress(Rejected):
                read(format, [row])
        return
    found = read(format, rows)
    assert found.items == sum(n for n in wanted if n is not None)
    assert found.items == len(found.rows) + len(found.bad) + found.skipped.total() + found.joined
    assert {b.reason for b in found.bad} <= set(REASONS)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["resourceSpans", "resource_logs", "scopeSpans", "data", "context", "attributes", "traceId", "spanId", "startTimeUnixNano",
                                        "annotator_kind", "result", "span_id", "name", "resourceMetrics", "body"]), JUNK, max_size=5))  # fmt: skip
def test_any_row_ends_as_items_or_as_one_refusal(row: dict[str, Any]) -> None:
    for format in (OTEL, PHOENIX):
        assert isinstance(format.claims(row), bool)
        with suppress(Rejected):
            read(format, [row])
