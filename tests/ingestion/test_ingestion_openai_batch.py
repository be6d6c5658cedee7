"""Batch output finds its prompt, or says why it does not; stored completions find their messages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingestion.format_driver import read, sample

INPUT, _, _ = sample("batch_input")
OUTPUT, _ = sample("batch_output")
(STORED,) = sample("stored_completions")
PAGES = sample("stored_completion_messages")


def asked(question: str, custom_id: str = "log-1", model: str = "m-1") -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": question}]}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def answered(text: str, custom_id: str = "log-1", model: str = "m-1", tokens: int = 5) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = {"id": f"chatcmpl-{text}", "object": "chat.completion", "created": 1767693600, "model": model, "choices": [choice]}
    response = {
        "status_code": 200,
        "request_id": f"req-{text}",
        "body": {**body, "usage": {"prompt_tokens": tokens, "completion_tokens": 1}},
    }
    return {"id": f"batch_req_{text}", "custom_id": custom_id, "response": response, "error": None}


def pairs(*rows: dict[str, Any]) -> set[tuple[str, str]]:
    return {(r["messages"][-1]["content"], r["responses"][0]["text"]) for r in read(rows).rows}


def test_an_answer_without_its_prompt_says_what_to_deliver() -> None:
    found = read([OUTPUT])
    assert found.refusals == [("missing_field", "request.messages")]
    assert "'log-1' was not delivered: put it beside" in found.bad[0].message


def test_a_prompt_without_an_answer_is_counted_as_unanswered() -> None:
    found = read([INPUT])
    assert (found.skipped, found.bad) == ({"unanswered": 1}, [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"response": None, "error": {"code": "batch_expired", "message": "x"}}, "batch_expired"),
        (
            {"response": {"status_code": 429, "request_id": "r", "body": {"error": {"code": "rate_limited"}}}, "error": None},
            "status 429, rate_limited",
        ),
        ({"response": {"status_code": 500, "body": "oops"}}, "status 500"),
        ({"response": None, "error": None}, "no answer"),
    ],
)
def test_a_failed_line_is_no_response_and_names_its_error(line: dict[str, Any], message: str) -> None:
    found = read([INPUT, {"id": "b", "custom_id": "log-1", **line}])
    assert [b.reason for b in found.bad] == ["no_response"]
    assert message in found.bad[0].message
    assert found.skipped == {"unanswered": 1}


def test_an_answer_that_came_after_a_failure_is_taken() -> None:
    found = read([INPUT, {**OUTPUT, "id": "first", "response": None, "error": {"code": "batch_expired"}}, OUTPUT])
    assert (len(found.rows), len(found.bad)) == (1, 1)


def test_two_batches_that_share_an_id_but_not_the_prompt_are_ambiguous() -> None:
    found = read([asked("one"), asked("two"), answered("A"), answered("B")])
    assert found.refusals == [("invalid_field", "custom_id")] * 2
    assert "ambiguous" in found.bad[0].message
    assert found.skipped == {"unanswered": 2}


def test_the_model_tells_two_batches_apart() -> None:
    rows = [asked("for a?", model="gpt-4o"), asked("for b?", model="gpt-4o-mini")]
    rows += [answered("a", model="gpt-4o-2024-08-06"), answered("b", model="gpt-4o-mini-2024-07-18")]
    assert pairs(*rows) == pairs(*rows[::-1]) == {("for a?", "a"), ("for b?", "b")}


def test_two_answers_to_one_delivered_prompt_may_be_of_another_batch() -> None:
    assert read([asked("one"), answered("A"), answered("B")]).refusals == [("invalid_field", "custom_id")] * 2
    assert pairs(asked("one"), asked("one"), answered("A"), answered("B")) == {("one", "A"), ("one", "B")}
    of_other_length = answered("B", tokens=99)
    assert read([asked("one"), asked("one"), answered("A"), of_other_length]).refusals == [("invalid_field", "custom_id")] * 2


def test_a_file_that_was_delivered_twice_gives_the_same_rows() -> None:
    found = read([INPUT, OUTPUT, INPUT, OUTPUT])
    assert found.rows[0] == found.rows[1]
    assert found.joined == 2


def test_embeddings_and_moderations_are_no_model_calls() -> None:
    body = {"object": "list", "data": [{"object": "embedding", "embedding": [0.1]}], "model": "e"}
    rows = [
        {**INPUT, "url": "/v1/embeddings"},
        {**OUTPUT, "response": {"status_code": 200, "body": body}},
        {**INPUT, "url": "/v1/moderations"},
    ]
    assert read(rows).skipped == {"embedding": 2, "moderation": 1}


def test_the_prompt_may_be_of_any_endpoint() -> None:
    responses = {
        "object": "response",
        "id": "resp_1",
        "created_at": 1767693600,
        "model": "m",
        "output": [{"type": "message", "content": "Here."}],
    }
    rows = [
        {**INPUT, "url": "/v1/responses", "body": {"model": "m", "input": "Where?"}},
        {**OUTPUT, "response": {"status_code": 200, "body": responses}},
    ]
    assert pairs(*rows) == {("Where?", "Here.")}


@pytest.mark.parametrize("custom_id", [None, "", 7, []])
def test_a_line_without_a_usable_id_is_refused(custom_id: Any) -> None:
    assert read([{**OUTPUT, "custom_id": custom_id}]).refusals == [("invalid_field", "custom_id")]


def test_log_probabilities_and_tool_calls_come_along() -> None:
    choice = OUTPUT["response"]["body"]["choices"][0]
    call = {"id": "call_1", "type": "function", "function": {"name": "track", "arguments": '{"order":"A102"}'}}
    logprobs = {"content": [{"token": "5", "logprob": -0.11, "bytes": [53], "top_logprobs": [{"token": "7", "logprob": -2.4}]}]}
    body = {**OUTPUT["response"]["body"], "choices": [{**choice, "logprobs": logprobs, "message": {"content": None, "tool_calls": [call]}}]}
    found = read([INPUT, {**OUTPUT, "response": {**OUTPUT["response"], "body": body}}])
    assert found.rows[0]["responses"][0]["token_logprobs"] == [-0.11]
    assert found.rows[0]["responses"][0]["tool_calls"][0]["name"] == "track"
    assert found.losses["batch: response.body.choices[].logprobs.content[].top_logprobs"] == 1


def test_a_stored_completion_keeps_the_parameters_it_was_made_with() -> None:
    (row,) = read([STORED, *PAGES]).rows
    answer = row["responses"][0]
    assert (answer["temperature"], answer["top_p"], answer["seed"]) == (0.2, 1.0, 4944116822809979520)


@pytest.mark.parametrize("pages", [PAGES[:1], PAGES[1:]])
def test_half_a_prompt_is_refused(pages: list[dict[str, Any]]) -> None:
    found = read([STORED, *pages])
    assert found.refusals == [("missing_field", "messages")]
    assert "incomplete" in found.bad[0].message


def test_a_stored_completion_without_messages_says_what_to_deliver() -> None:
    found = read([STORED])
    assert found.refusals == [("missing_field", "messages")]
    assert "/messages beside" in found.bad[0].message


def test_messages_may_come_as_single_rows_or_inline_and_completions_in_lists() -> None:
    expected = read([STORED, *PAGES]).rows
    messages = [message for page in PAGES for message in page["data"]]
    assert read([*messages, {"object": "list", "data": [STORED], "has_more": False}]).rows == expected
    inline = [{k: v for k, v in m.items() if k not in ("id", "content_parts")} for m in sorted(messages, key=lambda m: m["id"])]
    assert read([{**STORED, "messages": inline}]).rows == expected


def test_a_list_that_ends_with_the_answer_itself_asks_nothing_more() -> None:
    (first, second) = PAGES
    answer = {"id": "chatcmpl-abc-4", "role": "assistant", "content": "It arrives on Monday.", "name": None}
    assert read([STORED, {**first, "data": [*first["data"], answer]}, second]).rows == read([STORED, *PAGES]).rows


def test_pages_without_their_completion_are_skipped() -> None:
    assert read(PAGES).skipped == {"messages without a completion": 2}


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([{"id": "chatcmpl-a-0", "role": "user", "content": "x"}, {"id": "chatcmpl-b-0", "role": "user", "content": "y"}], "data"),
        ([{"id": "chatcmpl-a-0", "role": "user", "content": "x"}, {"role": "user", "content": "y"}], "data.1.id"),
        ([{"id": "chatcmpl-a-0", "role": "user", "content": "x"}, 7], "data.1"),
    ],
)
def test_a_page_that_belongs_to_no_one_completion_is_refused(data: list[Any], field: str) -> None:
    assert [b.field for b in read([{"object": "list", "data": data}]).bad] == [field]
