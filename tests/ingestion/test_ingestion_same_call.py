"""One call, written by ten loggers, is one canonical row."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from flywheel.ingestion.timestamps import parse_timestamp
from tests.ingestion.format_driver import SAMPLES, read, sample

EXPECTED: dict[str, Any] = json.loads((SAMPLES / "same_call.json").read_text())
WHOLE_SECONDS = ("nvidia", "batch", "stored_completion")  # what these log of the time
OWN_ID = {"legacy export": "obs-1", "REST API": "obs-1"}  # Langfuse keeps the provider's id only inside a whole response
PARAMETERS = ("text", "model", "temperature", "prompt_tokens", "completion_tokens")

CALLS = {
    "side by side": ("openai", ["openai_side_by_side"]),
    "merged": ("openai", ["openai_merged"]),
    "bodies as JSON text": ("openai", ["openai_json_text"]),
    "Responses API": ("openai", ["openai_responses_api"]),
    "NVIDIA": ("nvidia", ["nvidia"]),
    "batch": ("batch", ["batch_output", "batch_input"]),
    "stored completion": ("stored_completion", ["stored_completion_messages", "stored_completions"]),
    "enriched export": ("langfuse", ["langfuse_scores", "langfuse_observations_v2"]),
    "legacy export": ("langfuse", ["langfuse_legacy_observations", "langfuse_legacy_traces", "langfuse_scores"]),
    "REST API": ("langfuse", ["langfuse_rest_observations"]),
    "TensorZero": ("tensorzero", ["tensorzero_feedback", "tensorzero_inferences", "tensorzero_model_inferences"]),
}


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """What every dialect can say of a call; arguments by their value."""
    messages = json.loads(json.dumps(row["messages"]))
    for turn in messages:
        for call in turn.get("tool_calls", []):
            call["arguments"] = json.loads(call["arguments"])
    answers = [{k: a.get(k) for k in PARAMETERS} for a in row["responses"]]
    return {"messages": messages, "responses": answers, "user_id": row["user_id"], "conversation_id": row["conversation_id"]}


def when(row: dict[str, Any]) -> datetime:
    return parse_timestamp(row["timestamp"])[0]


@pytest.mark.parametrize("name", CALLS)
def test_the_same_call_gives_the_same_canonical_row_in_every_dialect(name: str) -> None:
    format, files = CALLS[name]
    found = read(sample(*files))
    assert set(found.formats) == {format}
    (row,) = found.rows
    assert comparable(row) == comparable(EXPECTED)
    assert row["id"] == OWN_ID.get(name, EXPECTED["id"])
    expected = when(EXPECTED)
    assert when(row) == (expected.replace(microsecond=0) if format in WHOLE_SECONDS else expected)
    assert row["responses"][0].get("finish_reason", "stop") == "stop"


@pytest.mark.parametrize("name", CALLS)
def test_the_order_of_the_files_changes_nothing(name: str) -> None:
    rows = sample(*CALLS[name][1])
    forward, backward = read(rows), read(rows[::-1])
    assert forward.rows == backward.rows
    assert forward.losses == backward.losses
    assert forward.skipped == backward.skipped


def test_every_reader_takes_its_own_rows_and_no_others() -> None:
    for format, files in CALLS.values():
        assert set(read(sample(*files)).formats) == {format}


def test_no_reader_claims_a_canonical_row() -> None:
    assert read([EXPECTED, {**EXPECTED, "responses": None, "response": "x", "model": "m"}]).unclaimed == 2


STRANGE = "content that no field is known for"
# counted as a whole where they stand, of an item that is counted otherwise, or not of the call at all
COVERED = {"tools", "cost_details", "raw_request", "raw_response", "input_messages", "meta", "error"}
PARTS_OF_NO_ROW = {"batch": {"log-2", "log-3"}, "enriched export": {"span-1"}}


def objects(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where objects lie in a row, also inside JSON text."""
    if isinstance(value, dict):
        return [path, *(p for key, inner in value.items() if key not in COVERED for p in objects(inner, (*path, key)))]
    if isinstance(value, list):
        return [p for index, inner in enumerate(value) for p in objects(inner, (*path, index))]
    return objects(json.loads(value), (*path, str)) if isinstance(value, str) and value[:1] in ("{", "[") else []


def with_strange_key(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return {**value, "unheard_of": STRANGE}
    step, *rest = path
    if step is str:
        return json.dumps(with_strange_key(json.loads(value), tuple(rest)))
    changed = list(value) if isinstance(value, list) else dict(value)
    changed[step] = with_strange_key(value[step], tuple(rest))
    return changed


@pytest.mark.parametrize("name", CALLS)
def test_a_field_that_nobody_knows_is_carried_counted_or_refused_wherever_it_stands(name: str) -> None:
    rows = sample(*CALLS[name][1])
    before = read(rows)
    for number, row in enumerate(rows):
        if {row.get("id"), row.get("custom_id")} & PARTS_OF_NO_ROW.get(name, set()):
            continue
        inside_retriever = row.get("type") == "RETRIEVER"  # of its documents only the ids are carried: counted as a whole
        for path in objects(row):
            if (inside_retriever and "output" in path) or ("model_name" in row and "output" in path) or (path == () and "meta" in row):
                continue
            found = read([*rows[:number], with_strange_key(row, path), *rows[number + 1 :]])
            said = STRANGE in json.dumps(found.rows) or found.losses != before.losses or len(found.bad) > len(before.bad)
            assert said, (number, path)
