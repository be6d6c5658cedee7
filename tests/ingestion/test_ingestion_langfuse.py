"""Langfuse exports: every form of input and output, and what lies beside a generation in its trace."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ingestion.format_driver import read, sample

OBSERVATION = sample("langfuse_observations_v2")[0]
SCORES = sample("langfuse_scores")
SCORE = SCORES[0]
USER = {"role": "user", "content": "Where is order A102?"}


def generation(**changes: Any) -> dict[str, Any]:
    plain = {"input": json.dumps([USER]), "output": "It arrives on Monday.", "metadata": {}, "usage_details": {}}
    return {**OBSERVATION, **plain, **changes}


def only(*rows: dict[str, Any]) -> dict[str, Any]:
    (row,) = read(rows).rows
    return row


def score(**changes: Any) -> dict[str, Any]:
    return {**SCORE, "comment": "", **changes}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([USER], [USER]),
        ({"messages": [USER], "model": "m"}, [USER]),
        ({"messages": [USER], "system": "Be kind."}, [{"role": "system", "content": "Be kind."}, USER]),
        (USER, [USER]),
        ({"prompt": "Where?"}, [{"role": "user", "content": "Where?"}]),
        ("Where is order A102?", [USER]),
        ("[not JSON", [{"role": "user", "content": "[not JSON"}]),
        ({"question": "Where?", "k": 3}, [{"role": "user", "content": '{"question": "Where?", "k": 3}'}]),
        ([{"type": "human", "content": "Where is order A102?"}], [USER]),
        ([[USER]], [USER]),
        ({"instructions": "Be kind.", "input": "Where is order A102?"}, [{"role": "system", "content": "Be kind."}, USER]),
        ([USER, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
          {"type": "function_call_output", "call_id": "c", "output": "x"}],
         [USER, {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}]},
          {"role": "tool", "content": "x", "tool_call_id": "c"}]),
    ],
)  # fmt: skip
def test_an_input_is_read_in_every_form(asked: Any, expected: list[dict[str, Any]]) -> None:
    assert only(generation(input=asked if isinstance(asked, str) else json.dumps(asked)))["messages"] == expected
    if not isinstance(asked, str) and "question" not in asked:  # the REST API gives values where the export gives text
        assert only(generation(input=asked))["messages"] == expected


@pytest.mark.parametrize(
    ("called", "returned"),
    [
        ({"type": "tool_use", "id": "c", "name": "track", "input": {"order": "A102"}},
         {"type": "tool_result", "tool_use_id": "c", "content": "in transit"}),
        ({"type": "tool-call", "toolCallId": "c", "toolName": "track", "args": {"order": "A102"}},
         {"type": "tool-result", "toolCallId": "c", "toolName": "track", "output": {"type": "text", "value": "in transit"}}),
        ({"type": "tool_call", "id": "c", "name": "track", "arguments": {"order": "A102"}},
         {"type": "tool_call_response", "id": "c", "response": "in transit"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["content", "parts"])
def test_tool_calls_that_are_parts_of_the_content_are_tool_calls(key: str, called: dict[str, Any], returned: dict[str, Any]) -> None:
    made = only(
        generation(
            input=[USER, {"role": "assistant", key: [{"type": "text", "text": "Let me see."}, called]}, {"role": "user", key: [returned]}]
        )
    )
    assert made["messages"][1:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [{"id": "c", "name": "track", "arguments": '{"order": "A102"}'}]},
        {"role": "tool", "content": "in transit", "tool_call_id": "c"},
    ]
    answer = only(generation(output=json.dumps({"role": "assistant", key: [called], "finish_reason": "tool_use"})))["responses"][0]
    assert (answer["text"], answer["tool_calls"][0]["name"], answer["finish_reason"]) == ("", "track", "tool_calls")


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        ("It arrives.", ["It arrives."]),
        ({"role": "assistant", "content": "It arrives."}, ["It arrives."]),
        ({"content": "It arrives."}, ["It arrives."]),
        ({"completion": "It arrives."}, ["It arrives."]),
        ([{"role": "assistant", "content": "It arrives."}], ["It arrives."]),
        ([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}], ["a", "b"]),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], ["a\nb"]),
        (["a", "b"], ["a", "b"]),
        ({"choices": [{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}]}, ["a", "b"]),
        ({"label": "refund", "sure": True}, ['{"label": "refund", "sure": true}']),
        ({"type": "ai", "content": "It arrives."}, ["It arrives."]),
        ({"id": "resp_1", "output": [{"type": "message", "content": [{"type": "output_text", "text": "It arrives."}]}]}, ["It arrives."]),
    ],
)  # fmt: skip
def test_an_output_is_read_in_every_form(answered: Any, expected: list[str]) -> None:
    made = only(generation(output=answered if isinstance(answered, str) else json.dumps(answered)))
    assert [a["text"] for a in made["responses"]] == expected


def test_a_run_of_turns_gives_its_last_as_the_answer() -> None:
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    made = only(
        generation(
            output=json.dumps([call, {"role": "tool", "tool_call_id": "c", "content": "x"}, {"role": "assistant", "content": "Done."}])
        )
    )
    assert [t["role"] for t in made["messages"]] == ["user", "assistant", "tool"]
    assert [a["text"] for a in made["responses"]] == ["Done."]


def test_tool_calls_come_from_the_output_or_from_their_column() -> None:
    call = {"id": "call_1", "name": "track", "arguments": '{"order":"A102"}'}
    asked = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_1", "function": {"name": "track", "arguments": {"order": "A102"}}}],
    }
    inside, column = (
        only(generation(output=json.dumps(asked))),
        only(generation(output="Wait.", tool_calls=[json.dumps(call)], tool_call_names=["track"])),
    )
    assert inside["responses"][0]["tool_calls"] == [{**call, "arguments": '{"order": "A102"}'}]
    assert column["responses"][0]["tool_calls"] == [call]


def test_cached_tokens_are_tokens_too() -> None:
    made = only(
        generation(usage_details={"input": "5", "input_cached_tokens": "10", "output": 4, "output_reasoning_tokens": 5, "total": 24})
    )
    assert (made["responses"][0]["prompt_tokens"], made["responses"][0]["completion_tokens"]) == (15, 9)


def test_parameters_are_numbers_also_where_they_came_as_text() -> None:
    given = {"temperature": "0.2", "topP": 1, "maxTokens": "Infinity", "seed": 7, "presence_penalty": 0.5}
    found = read([generation(model_parameters=json.dumps(given))])
    answer = found.rows[0]["responses"][0]
    assert {k: answer.get(k) for k in ("temperature", "top_p", "max_tokens", "seed")} == {
        "temperature": 0.2,
        "top_p": 1,
        "max_tokens": None,
        "seed": 7,
    }
    assert found.losses["langfuse: model_parameters.presence_penalty"] == 1


def test_its_times_are_utc_and_say_so() -> None:
    assert only(generation())["timestamp"] == "2026-11-20T10:00:00.123000Z"
    assert only(generation(start_time="2026-11-20T10:00:00+02:00"))["timestamp"] == "2026-11-20T10:00:00+02:00"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"name": "user-feedback", "value": 1, "data_type": "BOOLEAN"}, {"thumbs": "up"}),
        ({"name": "thumbs", "value": -1, "data_type": "NUMERIC"}, {"thumbs": "down"}),
        ({"name": "User Feedback", "value": 0, "data_type": "NUMERIC"}, {"thumbs": "down"}),
        ({"name": "thumbs", "value": None, "string_value": "thumbs_up", "data_type": "CATEGORICAL"}, {"thumbs": "up"}),
        ({"name": "rating", "value": 4.5, "data_type": "NUMERIC"}, {"score": 4.5}),
        ({"name": "escalated", "value": 1, "data_type": "BOOLEAN"}, {"escalated": True}),
        ({"name": "correction", "value": None, "string_value": "On Tuesday.", "data_type": "TEXT"}, {"edited_text": "On Tuesday."}),
        ({"name": "user-feedback", "value": 1, "comment": "quick"}, {"thumbs": "up", "comment": "quick"}),
    ],
)  # fmt: skip
def test_a_score_under_a_name_that_feedback_goes_by_is_feedback(said: dict[str, Any], expected: dict[str, Any]) -> None:
    assert only(generation(), score(**said))["feedback"] == expected


def test_any_other_score_is_kept_by_its_name() -> None:
    said = [
        score(name="preference", data_type="CATEGORICAL", string_value="A better"),
        score(id="s2", name="rating", source="EVAL", value=0.3, comment="dull"),
    ]
    made = only(generation(), *said)
    assert made["metadata"]["scores"] == {"preference": "A better", "rating": {"value": 0.3, "comment": "dull"}}
    assert "feedback" not in made  # a judge is no user


def test_a_score_of_a_trace_goes_to_its_last_generation() -> None:
    early, late = generation(), generation(id="obs-2", start_time="2026-11-20 10:00:05.000000")
    rows = read([late, early, score(observation_id=None)]).rows
    assert [("feedback" in r, r["id"]) for r in rows] == [(False, "obs-1"), (True, "obs-2")]
    found = read([late, early, score(observation_id="span-1")])
    assert "feedback" in found.rows[1]
    assert found.losses["langfuse: scores.observation_id (of an observation that is no record)"] == 1


def test_the_latest_word_counts_and_the_earlier_one_is_counted() -> None:
    later = score(id="s9", value=0, timestamp="2026-11-21 00:00:00.000000")
    found = read([generation(), score(), later])
    assert found.rows[0]["feedback"] == {"thumbs": "down"}
    assert found.rows[0]["metadata"]["scores"] == {"user-feedback": True}


def test_a_score_without_its_generation_is_skipped() -> None:
    assert read([SCORE]).skipped == {"score": 1}
    assert read([{**SCORE, "trace_id": None, "observation_id": None, "session_id": "s"}]).skipped == {"score of no trace": 1}


def test_retrievers_and_guardrails_join_the_one_generation_beside_them() -> None:
    retriever, guardrail = sample("langfuse_observations_v2")[2:]
    answer = only(generation(), retriever, guardrail)["responses"][0]
    assert answer["retrieval"] == {"ids": ["doc-7", "doc-2"]}
    assert answer["guardrails"] == [{"name": "toxicity", "decision": "allow"}]
    elsewhere = generation(id="obs-2", parent_observation_id="span-9")
    assert [r["responses"][0].get("retrieval") for r in read([generation(), elsewhere, retriever]).rows] == [
        {"ids": ["doc-7", "doc-2"]},
        None,
    ]
    found = read([generation(), generation(id="obs-2"), retriever])
    assert found.skipped == {"retriever": 1}
    assert found.losses["langfuse: retriever (several generations in the trace, none beside it)"] == 1


@pytest.mark.parametrize("kind", ["SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "EVALUATOR", "EMBEDDING"])
def test_what_is_no_model_call_is_skipped_by_its_kind(kind: str) -> None:
    assert read([{**OBSERVATION, "type": kind}]).skipped == {kind.lower(): 1}


def test_both_exports_of_one_observation_are_one_record() -> None:
    (legacy,), traces = sample("langfuse_legacy_observations"), sample("langfuse_legacy_traces")
    found = read([legacy, OBSERVATION, *traces])
    assert (len(found.rows), found.joined) == (1, 2)
    assert found.rows[0]["user_id"] == "u9"


def test_the_later_state_of_an_observation_counts() -> None:
    finished = generation(output="Done.", updated_at="2026-11-20 10:05:00.000000")
    assert only(finished, generation(output="", level="ERROR"))["responses"][0]["text"] == "Done."


def test_a_page_of_the_rest_api_is_read_like_its_rows() -> None:
    page = {"data": [OBSERVATION, SCORE], "meta": {"page": 1}}
    assert read([page]).rows == read([OBSERVATION, SCORE]).rows


def test_a_trace_with_its_observations_inside_is_read_like_its_rows() -> None:
    (trace,) = sample("langfuse_legacy_traces")
    assert read([{**trace, "observations": [OBSERVATION], "scores": [SCORE]}]).rows == read([trace, OBSERVATION, SCORE]).rows


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"input": ""}, "missing_field", "input"),
        ({"output": None}, "missing_field", "output"),
        ({"level": "ERROR", "output": "", "status_message": "context_length_exceeded"}, "no_response", "level"),
        ({"provided_model_name": ""}, "missing_field", "provided_model_name"),
        ({"start_time": None}, "missing_field", "start_time"),
        ({"input": json.dumps([USER, {"content": "x"}])}, "missing_field", "input.1.role"),
        ({"input": json.dumps({"messages": [{"role": "user"}]})}, "missing_field", "input.messages.0.content"),
        ({"output": json.dumps({"choices": []})}, "empty_responses", "responses"),
        ({"output": json.dumps({"role": "assistant", "tool_calls": [{"function": {}}]})}, "missing_field", "output.tool_calls.0.name"),
        ({"id": None}, "invalid_field", "id"),
        ({"trace_id": None}, "missing_field", "trace_id"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(changes: dict[str, Any], reason: str, field: str) -> None:
    found = read([generation(**changes)])
    assert found.refusals == [(reason, field)]
    assert found.losses == {}


def test_the_field_reference_is_read_without_an_unnamed_loss() -> None:
    losses = read([OBSERVATION]).losses
    assert set(losses) == {
        *(f"langfuse: {k}" for k in ("cost_details", "created_at", "end_time", "latency", "project_id", "total_cost", "updated_at")),
        "langfuse: metadata.consent (not a consent statement)", "langfuse: output.system_fingerprint",
    }  # fmt: skip


def test_a_score_of_a_generation_that_was_refused_is_given_to_no_other() -> None:
    found = read([generation(), generation(id="obs-2", output=None), score(observation_id="obs-2")])
    assert [("feedback" in r) for r in found.rows] == [False]
    assert found.skipped == {"score": 1}
