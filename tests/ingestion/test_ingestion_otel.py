"""OpenTelemetry's dialects and Phoenix's exports: the same two calls in each give the same two canonical rows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion.formats.contract import Bad, Format, Part, Skipped, Whole
from flywheel.ingestion.formats.otel import OTEL
from flywheel.ingestion.formats.phoenix import PHOENIX

SAMPLES = Path(__file__).parent / "samples"
TRACE = "5b8efff798038103d269b633813fc60c"
CALLS = ("eee19b7ec3c1b173", "eee19b7ec3c1b174")
SHARED = {"model": "gpt-4o-mini-2024-07-18", "temperature": 0.2, "top_p": 0.9, "seed": 7, "max_tokens": 64}
CALL = {"name": "track", "arguments": '{"order": "A102"}', "id": "call_1"}
ASKED = [{"role": "system", "content": "You are ShopForge support."}, {"role": "user", "content": "Where is order A102?"}]
BOTH = {"conversation_id": "conv-1", "user_id": "u-9"}
EXPECTED = [
    {
        "id": "chatcmpl-a1", "timestamp": "2026-01-06T10:00:00.123456+00:00", **BOTH, "messages": ASKED,
        "responses": [{"text": "", "tool_calls": [CALL], "finish_reason": "tool_calls", "prompt_tokens": 23, "completion_tokens": 9, **SHARED}],
    },
    {
        "id": "chatcmpl-a2", "timestamp": "2026-01-06T10:00:02.500000+00:00", **BOTH,
        "messages": [*ASKED, {"role": "assistant", "content": "", "tool_calls": [CALL]},
                     {"role": "tool", "content": '{"status": "in transit"}', "tool_call_id": "call_1"}],
        "responses": [{"text": "It is in transit and arrives on Friday.", "finish_reason": "stop", "prompt_tokens": 41, "completion_tokens": 11, **SHARED}],
    },
]  # fmt: skip
DIALECTS = {
    "otel_137_span_json.jsonl": OTEL, "otel_137_span_structured.jsonl": OTEL, "otel_137_event.jsonl": OTEL, "otel_136_log_events.jsonl": OTEL,
    "otel_136_span_events.jsonl": OTEL, "otel_127_span_events.jsonl": OTEL, "otel_openllmetry.jsonl": OTEL, "otel_openinference.jsonl": OTEL,
    "otel_message_to_json.jsonl": OTEL, "otel_phoenix_otlpv1.json": OTEL, "phoenix_spans.json": PHOENIX, "phoenix_spans_openinference.jsonl": PHOENIX,
}  # fmt: skip


@dataclass
class Read:
    """What a format made of rows, as the engine puts it together: items, groups by key and alias, records."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    items: int = 0
    parts: int = 0
    joined: int = 0


def read(format: Format, rows: Iterable[Any]) -> Read:
    made = Read()
    parts: list[Part] = []
    for row in rows:
        for item in format.items(row, made.losses):
            made.items += 1
            if isinstance(item, Whole):
                made.rows.append(item.row)
            elif isinstance(item, Bad):
                made.bad.append(item)
            elif isinstance(item, Skipped):
                made.skipped[item.kind] += 1
            else:
                parts.append(item)
    alias = {a: p.key for p in parts for a in p.aliases}
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[alias.get(part.key, part.key)].append(part)
    made.parts = len(parts)
    for key, group in groups.items():
        found = format.assemble(key, [json.loads(json.dumps(p.payload)) for p in group], made.losses)
        made.rows += [row for _, row in found.rows]
        made.bad += found.bad.values()
        made.skipped.update(found.skipped.values())
        indices = [i for i, _ in found.rows]
        assert len({*indices, *found.skipped, *found.bad}) == len(indices) + len(found.skipped) + len(found.bad)
        made.joined += len(group) - len(indices) - len(found.skipped) - len(found.bad)
    made.rows.sort(key=lambda r: str(r.get("timestamp")))
    return made


REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "formats" / "phoenix"


def sample(name: str) -> list[Any]:
    text = (SAMPLES / name).read_text()
    return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else [json.loads(text)]


def without_metadata(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "metadata"} for row in rows]


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_of_the_same_calls_gives_the_same_rows(name: str) -> None:
    assert all(DIALECTS[name].claims(row) for row in sample(name))
    found = read(DIALECTS[name], sample(name))
    assert found.bad == []
    assert without_metadata(found.rows) == EXPECTED
    for row, span in zip(found.rows, CALLS, strict=True):
        assert {**row["metadata"], "service.name": "shop"} == {
            "trace_id": TRACE,
            "span_id": span,
            "provider": "openai",
            "service.name": "shop",
        }


@pytest.mark.parametrize("name", DIALECTS)
def test_the_order_of_parts_does_not_matter(name: str) -> None:
    rows = sample(name)
    if "data" in rows[0]:
        rows = [{**rows[0], "data": rows[0]["data"][::-1]}]
    assert without_metadata(read(DIALECTS[name], rows[::-1]).rows) == EXPECTED


@pytest.mark.parametrize("name", DIALECTS)
def test_a_file_that_was_exported_twice_gives_each_call_once(name: str) -> None:
    found = read(DIALECTS[name], [*sample(name), *sample(name)])
    assert without_metadata(found.rows) == EXPECTED
    assert found.items == len(found.rows) + len(found.bad) + found.skipped.total() + found.joined


@pytest.mark.parametrize(
    ("name", "losses"),
    [
        ("otel_137_span_json.jsonl", {"gen_ai.tool.definitions"}),
        ("otel_137_event.jsonl", {"gen_ai.tool.definitions"}),
        ("otel_136_log_events.jsonl", set()),
        ("otel_openllmetry.jsonl", {"llm.request.functions.N.name", "llm.request.functions.N.parameters", "llm.is_streaming"}),
        ("otel_openinference.jsonl", {"llm.tools.N.tool.json_schema"}),
        ("phoenix_spans.json", {"gen_ai.tool.definitions"}),
    ],
)
def test_what_has_no_place_is_counted_once_a_call(name: str, losses: set[str]) -> None:
    found = read(DIALECTS[name], sample(name)).losses
    format = DIALECTS[name].name
    assert found == dict.fromkeys({f"{format}: {loss}" for loss in {*losses, "end time (how long it took)"}}, 2)


def test_no_format_claims_the_others_rows() -> None:
    for name, format in DIALECTS.items():
        other = PHOENIX if format is OTEL else OTEL
        assert not any(other.claims(row) for row in sample(name)), name
    for row in (
        {"messages": []},
        {"request": {}, "response": {}},
        {"data": []},
        {"trace_id": "t", "span_id": "s"},
        {"id": "x", "context": "y"},
    ):
        assert not OTEL.claims(row)
        assert not PHOENIX.claims(row)


def test_an_empty_page_holds_nothing_and_is_no_error() -> None:
    assert PHOENIX.claims({"data": [], "next_cursor": None})
    assert read(PHOENIX, [{"data": [], "next_cursor": None}]).items == 0


def test_spans_that_are_no_model_calls_are_skipped_by_kind() -> None:
    assert read(OTEL, sample("otel_137_span_json.jsonl")).skipped == {"http": 1}


def test_evaluations_join_their_call_by_span_or_by_response() -> None:
    rows = read(OTEL, [*sample("otel_evaluation_events.jsonl"), *sample("otel_137_span_json.jsonl")]).rows
    assert [row["feedback"] for row in rows] == [{"thumbs": "down", "comment": "It did not answer"}, {"thumbs": "up", "score": 0.75}]
    assert rows[0]["metadata"]["feedback.name"] == "user_feedback"


def test_evaluations_without_their_call_wait_for_it() -> None:
    found = read(OTEL, sample("otel_evaluation_events.jsonl"))
    assert found.rows == []
    assert found.skipped == {"feedback without its call": 2}


def test_phoenix_annotations_are_feedback_and_a_persons_comes_first() -> None:
    found = read(PHOENIX, [*sample("phoenix_annotations.json"), *sample("phoenix_spans.json")])
    assert found.rows[1]["feedback"] == {"thumbs": "up", "score": 1.0, "comment": "kind"}
    assert found.rows[1]["metadata"]["feedback.annotator_kind"] == "HUMAN"
    assert "feedback" not in found.rows[0]
    assert found.losses["phoenix: evaluation score (there are several)"] == 1


@pytest.mark.skipif(not (REAL / "spans_rest.json").exists(), reason="../shared/data/formats is not here (real exports, never committed)")
def test_phoenixs_real_export_is_three_calls() -> None:
    found = read(PHOENIX, [json.loads((REAL / name).read_text()) for name in ("spans_rest.json", "span_annotations.json")])
    assert [r["id"] for r in found.rows] == [
        "d155a18e5e32d8fef3e6ae567e6269fc:d0af311bbd94376c", "9f60518fff061101e16514ad699b46d7:ad9a6ff3411c5410", "chatcmpl-1",
    ]  # fmt: skip
    assert found.rows[0]["feedback"] == {"thumbs": "up", "score": 1.0, "comment": "kind"}
    assert found.rows[0]["metadata"]["consent"] == "train"
    assert "consent" not in found.rows[0]
    assert found.losses["phoenix: metadata.consent (not a consent statement)"] == 1
    assert found.rows[2]["responses"][0]["model"] == "gpt-4o-2024-08-06"
    assert [m["role"] for m in found.rows[2]["messages"]] == ["system", "user"]


def test_the_call_that_other_loggers_wrote_is_the_same_row_here() -> None:
    """`same_call.json` is what every family of formats must give for one call."""
    wanted = sample("same_call.json")[0]
    wanted["timestamp"] = "2026-11-20T10:00:00.123000+00:00"
    answer = wanted["responses"][0]
    shared = {
        "gen_ai.operation.name": "chat", "gen_ai.response.id": wanted["id"], "gen_ai.response.model": answer["model"], "gen_ai.request.temperature": 0.2,
        "gen_ai.usage.input_tokens": 15, "gen_ai.usage.output_tokens": 9, "session.id": "conv-1", "user.id": "u9",
    }  # fmt: skip
    system, user, called, result = wanted["messages"]
    messages = [
        {"role": "user", "parts": [{"type": "text", "content": user["content"]}]},
        {"role": "assistant", "parts": [{"type": "tool_call", **called["tool_calls"][0]}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": result["content"]}]},
    ]
    output = [{"role": "assistant", "parts": [{"type": "text", "content": answer["text"]}], "finish_reason": "stop"}]
    new = {**shared, "gen_ai.system_instructions": json.dumps([{"type": "text", "content": system["content"]}]), "gen_ai.input.messages": json.dumps(messages),
           "gen_ai.output.messages": json.dumps(output)}  # fmt: skip
    old = {**shared, "gen_ai.completion.0.content": answer["text"], "gen_ai.completion.0.finish_reason": "stop", "gen_ai.prompt.2.tool_calls.0.id": "call_1",
           "gen_ai.prompt.2.tool_calls.0.name": "track", "gen_ai.prompt.2.tool_calls.0.arguments": called["tool_calls"][0]["arguments"],
           "gen_ai.prompt.3.tool_call_id": "call_1"}  # fmt: skip
    for n, turn in enumerate(wanted["messages"]):
        old |= {f"gen_ai.prompt.{n}.role": turn["role"], f"gen_ai.prompt.{n}.content": turn["content"]}
    for attributes in (new, old):
        span = {
            "context": {"trace_id": TRACE, "span_id": CALLS[0]},
            "span_kind": "LLM",
            "start_time": "2026-11-20T10:00:00.123Z",
            "attributes": attributes,
        }
        assert without_metadata(read(PHOENIX, [span]).rows) == [wanted]
