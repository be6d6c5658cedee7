"""Two rows with one id: the same call in two forms is one record, two different calls are a conflict that somebody must look at."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion import Imported, import_landing
from flywheel.ingestion.same_call import LOSS
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
IDS = Ids(b"k" * 32)
CALL = {"id": "call-1", "name": "track", "arguments": '{"order": 7, "fast": true}'}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1", "timestamp": "2026-01-06T10:00:00Z", "messages": [{"role": "user", "content": "Where is my order?"}],
        "responses": [{"text": "On its way.", "model": "m-1", "tool_calls": [CALL]}], **changes,
    }  # fmt: skip


def answer(**changes: Any) -> dict[str, Any]:
    return row(responses=[{"text": "On its way.", "model": "m-1", "tool_calls": [CALL], **changes}])


def read(folder: Path, *rows: dict[str, Any]) -> Imported:
    (folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return import_landing(str(folder), round="2026-01-05", ids=IDS, settings=IngestionSettings(), now=NOW)


SAME = {
    "metadata": row(metadata={"service": "shop"}), "feedback": row(feedback={"score": 1}), "template": row(template={"id": "t", "version": "2"}),
    "time": row(timestamp="2026-01-06T10:00:01Z", metadata={"a": "b"}), "parameters": answer(temperature=0.5), "user known in one": row(user_id="u"),
    "ids of tool calls": answer(tool_calls=[{**CALL, "id": "other"}]), "order of arguments": answer(tool_calls=[{**CALL, "arguments": '{"fast":true,"order":7}'}]),
}  # fmt: skip
OTHER = {
    "question": row(messages=[{"role": "user", "content": "Where is it?"}]), "answer": answer(text="Lost."), "model": answer(model="m-2"),
    "arguments": answer(tool_calls=[{**CALL, "arguments": "{}"}]), "another answer": row(responses=[*row()["responses"], {"text": "Hm.", "model": "m-1"}]),
    "role": row(messages=[{"role": "system", "content": "Where is my order?"}]),
}  # fmt: skip


@pytest.mark.parametrize("second", SAME.values(), ids=SAME.keys())
def test_the_same_call_with_other_facts_around_it_is_a_duplicate_that_is_counted(tmp_path: Path, second: dict[str, Any]) -> None:
    found = read(tmp_path, row(), second)
    assert (found.counts["accepted"], found.counts["duplicates"], found.counts["quarantined"]) == (1, 1, 0)
    assert found.losses == {LOSS: 1}
    assert found.records.equals(read(tmp_path, row()).records), "the first one stays"


@pytest.mark.parametrize("second", OTHER.values(), ids=OTHER.keys())
def test_other_questions_or_answers_under_one_id_are_a_conflict(tmp_path: Path, second: dict[str, Any]) -> None:
    found = read(tmp_path, row(), second)
    assert (found.counts["accepted"], found.counts["duplicates"], found.losses) == (1, 0, {})
    assert found.quarantine["reason"].to_pylist() == ["id_conflict"]


def test_two_users_are_two_calls(tmp_path: Path) -> None:
    found = read(tmp_path, row(user_id="ann"), row(user_id="bob"), row(user_id="ann", metadata={"a": "b"}))
    assert (found.counts["duplicates"], found.quarantine["line"].to_pylist()) == (1, [2])


def test_the_same_row_again_is_a_duplicate_without_a_loss(tmp_path: Path) -> None:
    found = read(tmp_path, row(), row())
    assert (found.counts["duplicates"], found.losses) == (1, {})


def test_many_rows_in_any_order_are_each_compared_with_their_own(tmp_path: Path) -> None:
    """The rows of a segment lie by time, the collisions come by line."""
    times = [f"2026-01-06T10:{(n * 37) % 60:02d}:00Z" for n in range(60)]
    first = [row(id=f"r{n}", timestamp=t, messages=[{"role": "user", "content": f"question {n}"}]) for n, t in enumerate(times)]
    again = [
        {**r, "metadata": {"n": n}} if n % 2 else {**r, "messages": [{"role": "user", "content": f"other {n}"}]}
        for n, r in enumerate(first)
    ]
    found = read(tmp_path, *first, *again)
    assert (found.counts["accepted"], found.counts["duplicates"], found.losses) == (60, 30, {LOSS: 30})
    assert [json.loads(raw)["messages"][0]["content"] for raw in found.quarantine["raw"].to_pylist()] == [
        f"other {n}" for n in range(0, 60, 2)
    ]


def test_consent_is_heard_from_a_duplicate_too(tmp_path: Path) -> None:
    said = {"purposes": ["training"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}
    found = read(tmp_path, row(user_id="u"), row(user_id="u", metadata={"a": "b"}, consent=said))
    assert [(e.purpose, e.action) for e in found.consent_events] == [("training", "granted")]
