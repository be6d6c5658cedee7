"""OpenAI and NVIDIA logs: every form of one call, what is refused and why, what has no place and is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.ingestion.formats.chat_completions import NVIDIA
from tests.ingestion.format_driver import read, sample

CREATED = 1767693600
USER = [{"role": "user", "content": "Where is order A102?"}]
REQUEST = {"model": "m-1", "messages": USER}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "In transit."}, "finish_reason": "stop"}
RESPONSE = {"id": "chatcmpl-1", "object": "chat.completion", "created": CREATED, "model": "m-1", "choices": [CHOICE]}
CONSENT = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}


def call(**beside: Any) -> dict[str, Any]:
    return {"request": REQUEST, "response": RESPONSE, **beside}


def only(*rows: dict[str, Any]) -> dict[str, Any]:
    (row,) = read(rows).rows
    return row


def test_several_choices_are_several_answers_and_their_shared_token_count_is_counted() -> None:
    choices = [{**CHOICE, "index": i, "message": {"content": t}} for i, t in enumerate(("yes", "no"))]
    found = read(
        [call(response={**RESPONSE, "choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}})]
    )
    assert [a["text"] for a in found.rows[0]["responses"]] == ["yes", "no"]
    assert [a["prompt_tokens"] for a in found.rows[0]["responses"]] == [5, 5]
    assert found.losses == {"openai: response.usage.completion_tokens (a total over several choices)": 1}


def test_a_request_may_lie_flat_beside_its_response() -> None:
    flat = read([{**REQUEST, "temperature": 0.5, "stream": True, "response": RESPONSE}])
    assert flat.rows == read([{"request": {**REQUEST, "temperature": 0.5}, "response": RESPONSE}]).rows
    assert flat.losses == {"openai: stream": 1}


def test_the_old_prompt_completion_is_one_turn_of_the_user() -> None:
    (row,) = read(sample("openai_prompt_completion")).rows
    assert row["messages"] == [{"role": "user", "content": "Where is order A102?"}]
    assert row["responses"][0]["text"] == " It arrives on Monday."
    assert row["responses"][0]["token_logprobs"] == [-0.1, -0.2]


def test_an_echoed_prompt_is_no_part_of_the_answer() -> None:
    request = {"model": "m", "prompt": "Say hi.", "echo": True}
    choice = {"text": "Say hi. Hi.", "index": 0, "logprobs": {"token_logprobs": [None, -0.1]}}
    found = read([{"request": request, "response": {**RESPONSE, "choices": [choice]}}])
    assert found.rows[0]["responses"][0]["text"] == " Hi."
    assert list(found.losses) == ["openai: response.choices[].logprobs.token_logprobs (not of the answer alone)"]


def test_several_prompts_in_one_request_are_refused_by_name() -> None:
    found = read([{"request": {"model": "m", "prompt": ["a", "b"]}, "response": RESPONSE}])
    assert found.refusals == [("invalid_field", "request.prompt")]


def test_function_calls_of_the_responses_api_are_tool_calls() -> None:
    output = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "..."}]},
        {"type": "function_call", "call_id": "call_9", "name": "track", "arguments": '{"order":"A102"}'},
        {"type": "web_search_call", "id": "ws", "status": "completed"},
    ]
    row = {
        "object": "response",
        "id": "resp_1",
        "created_at": CREATED,
        "status": "completed",
        "model": "m-1",
        "input": "Where is it?",
        "output": output,
    }
    found = read([{**row, "previous_response_id": "resp_0", "conversation": {"id": "conv-9"}, "temperature": 1.0}])
    (made,) = found.rows
    assert made["messages"] == [{"role": "user", "content": "Where is it?"}]
    assert made["conversation_id"] == "conv-9"
    assert made["responses"] == [{
        "text": "", "tool_calls": [{"id": "call_9", "name": "track", "arguments": '{"order":"A102"}'}], "model": "m-1", "temperature": 1.0,
        "finish_reason": "tool_calls",
    }]  # fmt: skip
    assert found.losses == {
        "openai: output[] of type reasoning": 1,
        "openai: output[] of type web_search_call": 1,
        "openai: previous_response_id (the turns before it are not in the row)": 1,
    }


def test_an_answer_that_was_cut_says_so() -> None:
    response = {"object": "response", "id": "r", "created_at": CREATED, "model": "m", "status": "incomplete", "output": [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is"}]}]}  # fmt: skip
    made = only({"request": {"input": "Where?"}, "response": {**response, "incomplete_details": {"reason": "max_output_tokens"}}})
    assert made["responses"][0]["finish_reason"] == "length"


def test_the_template_of_the_responses_api_is_kept() -> None:
    request = {"model": "m", "input": "Where?", "prompt": {"id": "pmpt_1", "version": "7", "variables": {"city": "Oslo"}}}
    response = {"object": "response", "id": "r", "created_at": CREATED, "output": [{"type": "message", "content": "Here."}]}
    found = read([{"request": request, "response": response}])
    assert found.rows[0]["template"] == {"id": "pmpt_1", "version": "7"}
    assert found.losses == {"openai: request.prompt.variables": 1}


@pytest.mark.parametrize(
    ("feedback", "expected"),
    [
        ({"thumbs": "up", "score": 4, "escalated": True, "edited_text": "x", "comment": "y"},
         {"thumbs": "up", "score": 4, "escalated": True, "edited_text": "x", "comment": "y"}),
        ({"rating": 4.5, "user_comment": "fine", "human_handoff": 1}, {"score": 4.5, "comment": "fine", "escalated": True}),
        ({"thumbs_down": True, "corrected_response": "Tomorrow."}, {"thumbs": "down", "edited_text": "Tomorrow."}),
        ("thumbs_down", {"thumbs": "down"}),
        (1, {"thumbs": "up"}),
        (4.5, {"score": 4.5}),
    ],
)  # fmt: skip
def test_feedback_beside_a_call_is_read_under_its_many_names(feedback: Any, expected: dict[str, Any]) -> None:
    assert only(call(feedback=feedback))["feedback"] == expected


def test_feedback_of_an_unknown_kind_is_counted() -> None:
    found = read([call(feedback={"thumbs": "up", "mood": "blue"})])
    assert found.rows[0]["feedback"] == {"thumbs": "up"}
    assert found.losses == {"openai: feedback.mood": 1}


def test_azures_content_filter_is_a_guardrail() -> None:
    verdicts = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True, "severity": "high"}}
    made = only(call(response={**RESPONSE, "choices": [{**CHOICE, "content_filter_results": verdicts}]}))
    assert made["responses"][0]["guardrails"] == [
        {"name": "hate", "decision": "allow", "detail": "safe"},
        {"name": "violence", "decision": "block", "detail": "high"},
    ]


def test_consent_in_metadata_counts_only_as_a_whole_statement() -> None:
    stated = only(call(request={**REQUEST, "metadata": {"consent": json.dumps(CONSENT), "team": "x"}}))
    assert stated["consent"] == CONSENT
    assert stated["metadata"] == {"team": "x"}
    found = read([call(metadata={"consent": "train"})])
    assert "consent" not in found.rows[0]
    assert found.rows[0]["metadata"] == {"consent": "train"}
    assert found.losses == {"openai: metadata.consent (not a consent statement)": 1}


def test_ids_stand_where_the_logger_put_them() -> None:
    made = only(call(id="log-7", user_id="u-1", metadata={"conversation_id": "c-1"}, request={**REQUEST, "user": "hashed-u-1"}))
    assert (made["id"], made["user_id"], made["conversation_id"]) == ("log-7", "u-1", "c-1")
    assert made["metadata"] == {"response_id": "chatcmpl-1", "request_user": "hashed-u-1"}  # the provider's own are kept
    assert only(call())["id"] == "chatcmpl-1"


def test_losses_are_counted_by_field_and_only_for_rows_that_are_taken() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}, "prompt_tokens_details": {"cached_tokens": 0}}
    row = call(request={**REQUEST, "tools": [{"type": "function"}], "stop": None}, response={**RESPONSE, "usage": usage}, latency_ms=3)
    assert read([row]).losses == {
        "openai: latency_ms": 1,
        "openai: request.tools": 1,
        "openai: response.usage.completion_tokens_details": 1,
    }
    assert read([{**row, "request": {**row["request"], "messages": [{}]}}]).losses == {}


@pytest.mark.parametrize(
    ("row", "reason", "field"),
    [
        (call(request={"messages": [{}]}), "missing_field", "request.messages.0.role"),
        (call(request={"messages": ["x"]}), "invalid_field", "request.messages.0"),
        (call(request={}), "missing_field", "request.messages"),
        (call(request=[1]), "invalid_field", "request"),
        (call(request="{"), "invalid_field", "request"),
        (call(response={**RESPONSE, "choices": {}}), "invalid_field", "response.choices"),
        (call(response={**RESPONSE, "choices": []}), "empty_responses", "responses"),
        (call(response={**RESPONSE, "choices": [{"message": {}}]}), "missing_field", "response.choices.0.message.content"),
        (call(response={**RESPONSE, "choices": [{}]}), "missing_field", "response.choices.0.message"),
        (call(response={"choices": [CHOICE], "created": CREATED}, request={"messages": USER}), "missing_field", "response.model"),
        (call(response={"choices": [CHOICE]}), "missing_field", "timestamp"),
        (call(response={"error": {"code": "rate_limit_exceeded", "message": "x"}}), "no_response", "response.error"),
        (call(response=None, error={"type": "timeout"}), "no_response", "error"),
        ({"request": {"input": "x"}, "response": {"object": "response", "status": "failed", "error": {"code": "server_error"}}},
         "no_response", "response.error"),
        ({"choices": [CHOICE], "created": CREATED, "model": "m"}, "missing_field", "messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_field(row: dict[str, Any], reason: str, field: str) -> None:
    found = read([row])
    assert found.refusals == [(reason, field)]
    if reason == "no_response":
        assert any(word in found.bad[0].message for word in ("rate_limit_exceeded", "timeout", "server_error"))


@pytest.mark.parametrize("key", ["workload_id", "client_id"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_nvidias_ids_are_required(key: str, value: Any) -> None:
    (row,) = sample("nvidia")
    assert read([{**row, key: value}]).refusals == [("missing_field", key)]
    assert read([call()], forced=NVIDIA).refusals == [("missing_field", "workload_id")]


@pytest.mark.parametrize("messages", [[{}], ["x"], [{"role": "user"}], [None], {}])
def test_what_nvidias_validator_lets_through_is_refused(messages: Any) -> None:
    (row,) = sample("nvidia")
    found = read([{**row, "request": {**row["request"], "messages": messages}}])
    assert len(found.bad) == 1
    assert str(found.bad[0].field).startswith("request.messages")


def test_embeddings_and_moderations_are_no_model_calls_here_either() -> None:
    embedded = {
        "request": {"model": "e", "input": "x"},
        "response": {"object": "list", "data": [{"object": "embedding", "embedding": [0.1]}]},
    }
    judged = {"request": {"input": "x"}, "response": {"id": "modr-1", "model": "m", "results": [{"flagged": False}]}}
    of_nvidia = {**embedded, "workload_id": "w", "client_id": "c", "timestamp": 1767600000}
    found = read([embedded, judged, of_nvidia, {**embedded, "response": json.dumps(embedded["response"])}])
    assert found.skipped == {"embedding": 3, "moderation": 1}
    assert not found.bad
