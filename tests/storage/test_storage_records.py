"""Records to tables and back, and the declarations that the privacy gateway relies on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flywheel.records import OTHER_RECORDS, TABLES, AnnotationEvent, LogRecord, Ranking, json_schema
from flywheel.storage import arrow_schema, from_table, to_table

ROOT = Path(__file__).resolve().parents[2]


def log(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "round": "2026-01-05", "record_id": "r", "conversation_id": "c", "subject_id": "s", "timestamp": datetime(2026, 1, 6, tzinfo=UTC),
        "domain": "support", "task_type": "generation", "messages": [{"role": "user", "content": "hi"}],
        "responses": [{"text": "hello", "generation": {"model_id": "m", "temperature": 0.7}}], "source": {"format": "flywheel", "file": "f", "line": 1},
        "content_sha256": "x", "profile": {"name": "Ann"}, "metadata": {"b": 1, "a": [1, 2]},
    }  # fmt: skip
    return {**base, **changes}


def test_a_record_survives_the_table() -> None:
    record = LogRecord.model_validate(log())
    assert from_table(LogRecord, to_table(LogRecord, [record])) == [record]


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(text, st.none() | st.floats(0, 2), st.dictionaries(text, text, max_size=3)), max_size=5))
def test_any_text_and_metadata_survive_the_table(rows: list[tuple[str, float | None, dict[str, str]]]) -> None:
    records = [
        LogRecord.model_validate(
            log(
                messages=[{"role": "user", "content": t}],
                responses=[{"text": t, "generation": {"model_id": "m", "temperature": f}}],
                metadata=m,
            )
        )
        for t, f, m in rows
    ]
    assert from_table(LogRecord, to_table(LogRecord, records)) == records


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValidationError, match="colour"):
        LogRecord.model_validate(log(colour="red"))


@pytest.mark.parametrize("empty", ["messages", "responses"])
def test_a_record_needs_a_question_and_an_answer(empty: str) -> None:
    with pytest.raises(ValidationError, match=f"{empty} is empty"):
        LogRecord.model_validate(log(**{empty: []}))


def event(**changes: object) -> dict[str, object]:
    return {"task_id": "t", "rater": "r", "decision": "a", "guideline_sha256": "g", "source": "file", "origin": "human", **changes}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decision": "both_bad"}, "rationale is required"),
        ({"decision": "both_bad", "rationale": "  "}, "rationale is required"),
        ({"decision": "skip"}, "skip_reason is required"),
        ({"likert_a": 6}, "less than or equal to 5"),
        ({"decision": "left"}, "decision"),
        ({"started_at": datetime(2026, 1, 2, tzinfo=UTC), "ended_at": datetime(2026, 1, 1, tzinfo=UTC)}, "ended_at lies before"),
    ],
)
def test_an_annotation_that_cannot_be_right_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        AnnotationEvent.model_validate(event(**changes))


@pytest.mark.parametrize("order", [[[0]], [[0], [0], [1]], [[0, 1], [2], [3]]])
def test_a_ranking_names_each_response_once(order: list[list[int]]) -> None:
    response = {"text": "x", "generation": {"model_id": "m"}}
    base = {"round": "2026-01-05", "ranking_id": "k", "record_id": "r", "conversation_id": "c", "subject_id": "s", "domain": "support", "task_type": "g",
            "prompt": [{"role": "user", "content": "q"}], "responses": [response] * 3, "rater": "r", "redaction_version": "1", "origin": "human",
            "guideline_version": "v1", "guideline_sha256": "g"}  # fmt: skip
    with pytest.raises(ValidationError, match="exactly once"):
        Ranking.model_validate({**base, "order": order})


def _strings(model: type[BaseModel], path: str = "") -> list[tuple[str, object]]:
    """Every field that holds text, through nested records, with its declaration."""
    import typing

    found: list[tuple[str, object]] = []
    for name, field in model.model_fields.items():
        stack, declared, text = [field.annotation], field.json_schema_extra, False
        while stack:
            annotation = stack.pop()
            if annotation is str:
                text = True
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                found += _strings(annotation, f"{path}{model.__name__}.{name} -> ")
            for argument in typing.get_args(annotation):
                if isinstance(argument, type) or typing.get_origin(argument):
                    stack.append(argument)
                elif hasattr(argument, "json_schema_extra"):
                    declared = declared or argument.json_schema_extra
        if text:
            found.append((f"{path}{model.__name__}.{name}", declared))
    return found


COUNTS = {"columns", "inputs", "thresholds", "facts", "rows_by_domain", "rows_by_origin", "rows_by_outcome", "guideline_versions", "files",
          "n_pairs_by_domain", "recipe", "library_versions", "metrics", "reasons"}  # fmt: skip


@pytest.mark.parametrize("model", sorted({*TABLES.values(), *OTHER_RECORDS}, key=lambda m: m.__name__), ids=lambda m: m.__name__)
def test_every_text_field_says_what_the_privacy_gateway_does_with_it(model: type[BaseModel]) -> None:
    silent = [
        name
        for name, declared in _strings(model)
        if not (isinstance(declared, dict) and "privacy" in declared) and name.rsplit(".", 1)[1] not in COUNTS
    ]
    assert silent == []


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_round_and_schema_version(table: str) -> None:
    assert {"round", "schema_version"} <= set(arrow_schema(TABLES[table]).names)


def test_the_committed_json_schema_is_the_code_s() -> None:
    committed = json.loads((ROOT / "docs" / "schema.json").read_text())
    assert committed == json_schema(), "run `make schema` and commit docs/schema.json"
