"""The short way of a call that is alone in its trace gives what assembling gives, or leaves the part to it."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.ingestion.formats.contract import Part
from flywheel.ingestion.formats.otel import OTEL
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.row_check import canonical_json, checked_row, from_canonical_json
from flywheel.ingestion.rows import CanonicalRow
from tests.ingestion.dialects import otel_writers as otel
from tests.ingestion.dialects.interactions import INTERACTIONS, Json
from tests.ingestion.dialects.otlp_wire import any_value

USUAL = ("plain", "system", "calls", "tools", "talking_and_calling", "multi_turn", "two_answers", "unicode")
OTHERS = (
    "spans_137_structured",
    "span_event_137",
    "span_events_136",
    "span_events_127",
    "openllmetry",
    "openllmetry_first",
    "openinference",
    "two_families",
)


def part_of(name: str, writer: str = "spans_137_text") -> Json:
    """The payload of the span that is the call."""
    rows = json.loads(json.dumps(getattr(otel, writer)(INTERACTIONS[name])))
    parts = [item for row in rows for item in OTEL.items(row, Counter()) if isinstance(item, Part)]
    return from_canonical_json(canonical_json(next(p.payload for p in parts if p.aliases)))


def long_way(payload: Json) -> tuple[CanonicalRow, Counter[str]] | None:
    """What the engine makes of the part; None where it is refused or no call."""
    losses: Counter[str] = Counter()
    made = OTEL.assemble("key", [payload], losses)
    try:
        return (checked_row(made.rows[0][1], OTEL.name, losses)[0], losses) if made.rows else None
    except Rejected:
        return None


@pytest.mark.parametrize("name", USUAL)
def test_usual_calls_take_the_short_way_and_come_out_the_same(name: str) -> None:
    payload = part_of(name)
    found = OTEL.quick_part(payload)
    assert found is not None
    assert found == long_way(payload)


@pytest.mark.parametrize("writer", OTHERS)
def test_other_dialects_go_the_long_way(writer: str) -> None:
    assert OTEL.quick_part(part_of("tools", writer)) is None


@pytest.mark.parametrize("name", ["images", "template", "failed"])
def test_calls_with_more_in_them_go_the_long_way(name: str) -> None:
    assert OTEL.quick_part(part_of(name)) is None


def span_in(payload: Json) -> Json:
    return payload["resourceSpans"][0]["scopeSpans"][0]["spans"][0]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gen_ai.request.top_k", 40), ("gen_ai.tool.definitions", "[]"), ("gen_ai.request.stop_sequences", ["a"]), ("gen_ai.usage.reasoning.output_tokens", 0),
        ("gen_ai.request.choice.count", 2), ("tag.tags", ["a", "b"]), ("enduser.id", "u"), ("session.id", ""), ("gen_ai.response.model", None),
        ("gen_ai.response.id", None), ("gen_ai.usage.input_tokens", "12"), ("gen_ai.request.temperature", 1), ("metadata.shop", "de"),
        ("gen_ai.response.finish_reasons", ["length", "unknown"]), ("gen_ai.request.seed", 2**63), ("flywheel.consent", "train"), ("my.own", "x"),
        ("gen_ai.output.messages", '[{"role": "assistant", "parts": [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]}]'),
        ("gen_ai.input.messages", '[{"role": "user", "parts": []}, {"role": "assistant", "parts": [{"type": "tool_call", "name": "f", "arguments": "x"}]}]'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["tools", "two_answers"])
def test_attributes_that_are_there_or_not_come_out_the_same(name: str, key: str, value: Any) -> None:
    payload = part_of(name)
    span = span_in(payload)
    span["attributes"] = [a for a in span["attributes"] if a["key"] != key]
    if value is not None:
        span["attributes"].append({"key": key, "value": any_value(value)})
    found = OTEL.quick_part(payload)
    assert found is None or found == long_way(payload)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, held in inner for p in places(held, (*path, key)))]


MESSAGES = st.recursive(
    st.sampled_from([None, "", "a", 1, True, "user", "assistant", "tool", "text", "tool_call", "stop", {}, []]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "parts", "type", "content", "name", "arguments", "id", "response", "finish_reason"]), inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
ODD = st.sampled_from(
    [None, "", " ", "x", "0", 0, 2, True, 1.5, float("inf"), 2**70, [], {}, [{}], {"stringValue": "y"}, "1999", "9" * 19, "\ud800"]
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(USUAL), st.data())
def test_whatever_stands_in_a_span_the_short_way_gives_nothing_or_the_same(name: str, data: st.DataObject) -> None:
    payload = part_of(name)
    for path in data.draw(st.lists(st.sampled_from(places(span_in(payload))[1:]), min_size=1, max_size=2, unique=True)):
        holder = span_in(payload)
        try:
            for step in path[:-1]:
                holder = holder[step]
            if path[-1] == "stringValue" and data.draw(st.booleans()):
                holder["stringValue"] = json.dumps(data.draw(MESSAGES))
            else:
                holder[path[-1]] = data.draw(ODD)
        except (TypeError, KeyError, IndexError):
            continue  # the first change took the place away
    before = copy.deepcopy(payload)
    found = OTEL.quick_part(payload)
    assert repr(payload) == repr(before)
    if found is not None:
        assert found == long_way(payload)
