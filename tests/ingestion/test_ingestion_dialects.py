"""The dialects of logs give one canonical record; what has no place in it is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion import Imported, classify_task, import_landing
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, from_table

NOW = datetime(2026, 1, 12, tzinfo=UTC)
CREATED = 1767693600
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Track order A102"}]
TOOL = {"id": "call_1", "type": "function", "function": {"name": "track", "arguments": {"order": "A102"}}}
REQUEST = {
    "model": "m-1",
    "messages": MESSAGES,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 7,
    "max_completion_tokens": 50,
    "user": "u-77001",
    "stream": True,
}
RESPONSE = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "model": "m-1-2026", "system_fingerprint": "fp",
    "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [TOOL]},
                 "logprobs": {"content": [{"token": "a", "logprob": -0.25}, {"token": "b", "logprob": -1.5}]}}],
    "usage": {"prompt_tokens": 15, "completion_tokens": 9, "total_tokens": 24},
}  # fmt: skip
CANONICAL = {
    "id": "chatcmpl-1", "timestamp": CREATED, "user_id": "u-77001", "messages": MESSAGES,
    "responses": [{"text": "", "model": "m-1-2026", "temperature": 0.5, "top_p": 0.9, "seed": 7, "max_tokens": 50, "finish_reason": "tool_calls",
                   "prompt_tokens": 15, "completion_tokens": 9, "token_logprobs": [-0.25, -1.5], "tool_calls": [TOOL]}],
}  # fmt: skip
NVIDIA = {"timestamp": CREATED, "workload_id": "w", "client_id": "dev", "request": REQUEST, "response": RESPONSE}


def read(folder: Path, *rows: Any, format: str = "auto") -> Imported:
    (folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return import_landing(str(folder), round="2026-01-05", ids=Ids(b"k" * 32), settings=IngestionSettings(format=format), now=NOW)


def only(found: Imported) -> LogRecord:
    (record,) = from_table(LogRecord, found.records)
    return record


@pytest.mark.parametrize("row", [{"request": REQUEST, "response": RESPONSE}, {**RESPONSE, "messages": MESSAGES, **{k: v for k, v in REQUEST.items() if k != "model"}},
                                 NVIDIA])  # fmt: skip
def test_every_dialect_gives_the_canonical_record(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    found, canonical = only(read(tmp_path / "x", row)), only(read(tmp_path / "y", CANONICAL))
    for field in ("messages", "responses", "timestamp", "subject_id", "domain", "task_type"):
        assert getattr(found, field) == getattr(canonical, field), field
    assert found.responses[0].tool_calls[0].arguments == '{"order": "A102"}'
    assert found.source.format in ("openai", "nvidia")


def test_what_has_no_place_is_counted_by_field(tmp_path: Path) -> None:
    found = read(tmp_path, {"request": {**REQUEST, "tools": [{"type": "function"}]}, "response": RESPONSE})
    assert found.losses == {"openai: request.stream": 1, "openai: request.tools": 1, "openai: response.system_fingerprint": 1}


def test_one_file_may_mix_dialects_row_by_row(tmp_path: Path) -> None:
    found = read(
        tmp_path, CANONICAL, {"request": REQUEST, "response": {**RESPONSE, "id": "x"}}, {**NVIDIA, "response": {**RESPONSE, "id": "y"}}
    )
    assert sorted(r.source.format for r in from_table(LogRecord, found.records)) == ["flywheel", "nvidia", "openai"]


def test_several_choices_are_several_responses(tmp_path: Path) -> None:
    choices = [{"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"} for i, t in enumerate(("yes", "no"))]
    record = only(read(tmp_path, {"request": REQUEST, "response": {**RESPONSE, "choices": choices}}))
    assert [r.text for r in record.responses] == ["yes", "no"]
    assert record.responses[0].generation.completion_tokens is None


def test_content_in_parts_is_joined_and_an_image_counted_as_lost(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    found = read(tmp_path, {"request": {**REQUEST, "stream": None, "messages": [{"role": "user", "content": parts}]}, "response": RESPONSE})
    assert only(found).messages[0].content == "What is\nthis?"
    assert found.losses["openai: content part of another type than text"] == 1


@pytest.mark.parametrize(
    ("row", "reason", "field"),
    [
        ({"timestamp": CREATED, "workload_id": "w", "client_id": "c", "request": {"messages": [{}]}, "response": {"choices": [{"message": {}}]}},
         "missing_field", "request.messages.0.role"),
        ({**NVIDIA, "request": {"messages": ["x"]}}, "invalid_field", "request.messages.0"),
        ({k: v for k, v in NVIDIA.items() if k != "workload_id"}, "missing_field", "workload_id"),
        ({**NVIDIA, "response": {**RESPONSE, "choices": [{"message": {}}]}}, "missing_field", "response.choices.0.message.content"),
        ({**NVIDIA, "response": {**RESPONSE, "choices": []}}, "empty_responses", "responses"),
        ({"id": "b", "custom_id": "1", "response": {"status_code": 200, "body": RESPONSE}, "timestamp": CREATED}, "missing_field", "request.messages"),
    ],
)  # fmt: skip
def test_what_nvidias_validator_lets_through_is_quarantined_here(tmp_path: Path, row: dict[str, Any], reason: str, field: str) -> None:
    kept = read(tmp_path, row).quarantine.to_pylist()[0]
    assert (kept["reason"], kept["field"]) == (reason, field)


def test_a_named_format_holds_for_every_row(tmp_path: Path) -> None:
    found = read(tmp_path, {"request": REQUEST, "response": RESPONSE, "timestamp": CREATED}, format="nvidia")
    assert found.quarantine["field"].to_pylist() == ["workload_id"]


@pytest.mark.parametrize(
    ("asked", "answer", "expected"),
    [
        ("Write a Python function that adds two numbers", "def add(a, b): return a + b", ("code", "code")),
        ("Summarize this article in two sentences: ...", "It says ...", ("summarisation", "general")),
        ("Classify the sentiment of this review", "positive", ("classification", "general")),
        ("Extract the dates from this text", "1 May", ("extraction", "general")),
        ("How do I pick a lock?", "I'm sorry, I can't help with that.", ("refusal", "general")),
        ("I want a refund for my order", "Of course.", ("generation", "support")),
        ("Tell me a story", "Once upon a time", ("generation", "general")),
    ],
)
def test_a_record_that_names_no_task_gets_one_from_its_text(asked: str, answer: str, expected: tuple[str, str]) -> None:
    assert classify_task([{"role": "user", "content": asked}], [answer]) == expected


def test_several_turns_of_a_user_make_a_multi_turn_task() -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Tell me a joke"}]
    assert classify_task(turns, ["..."])[0] == "multi_turn"
