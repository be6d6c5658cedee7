"""TensorZero rows: inferences with their model inferences and feedback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flywheel.ingestion.formats.tensorzero import time_of
from tests.ingestion.format_driver import read, sample

(INFERENCE,) = sample("tensorzero_inferences")
(MODEL,) = sample("tensorzero_model_inferences")
THUMB, RATING, COMMENT, DEMONSTRATION, METRIC = sample("tensorzero_feedback")
TEXT = [{"type": "text", "text": "Here."}]


def inference(**changes: Any) -> dict[str, Any]:
    return {**INFERENCE, **{k: json.dumps(v) if k in ("input", "output", "inference_params") else v for k, v in changes.items()}}


def only(*rows: dict[str, Any]) -> dict[str, Any]:
    (row,) = read(rows).rows
    return row


def test_the_time_of_an_inference_lies_in_its_id() -> None:
    assert time_of(INFERENCE["id"], "id") == "2026-11-20T10:00:00.123000+00:00"
    version4 = INFERENCE["id"][:14] + "4" + INFERENCE["id"][15:]
    assert read([inference(id=version4)]).refusals == [("invalid_timestamp", "id")]


def test_without_a_model_inference_the_variant_stands_for_the_model_and_is_counted() -> None:
    found = read([INFERENCE])
    assert found.rows[0]["responses"][0]["model"] == "baseline"
    assert found.rows[0]["id"] == INFERENCE["id"]
    assert found.losses["tensorzero: model not known (variant_name stands for it: no ModelInference row)"] == 1
    named = read([inference(variant_name="openai::gpt-4o-mini")])
    assert named.rows[0]["responses"][0]["model"] == "gpt-4o-mini"
    assert not any("model not known" in name for name in named.losses)


def test_the_model_inference_names_model_and_tokens_also_without_the_raw_response() -> None:
    answer = only(INFERENCE, {**MODEL, "raw_response": ""})["responses"][0]
    assert (answer["model"], answer["prompt_tokens"], answer["completion_tokens"], answer["finish_reason"]) == (
        "gpt-4o-mini",
        15,
        9,
        "stop",
    )


def test_several_model_inferences_do_not_add_up() -> None:
    found = read([INFERENCE, MODEL, {**MODEL, "id": MODEL["id"][:-1] + "9", "model_name": "judge"}])
    assert "prompt_tokens" not in found.rows[0]["responses"][0]
    assert found.losses["tensorzero: model_inference.output_tokens (of several model inferences)"] == 1
    assert found.losses["tensorzero: model_inference.model_name (several models behind one inference)"] == 1


def test_feedback_of_every_kind_arrives() -> None:
    made = only(INFERENCE, THUMB, RATING, COMMENT, DEMONSTRATION, METRIC)
    assert made["feedback"] == {"thumbs": "up", "score": 4.5, "comment": "quick", "edited_text": "It arrives on Monday, 23 November."}
    assert made["metadata"]["scores"] == {"task_success": True}


def test_feedback_on_an_episode_goes_to_its_last_inference() -> None:
    later = inference(id=INFERENCE["id"][:8] + "-0fff" + INFERENCE["id"][13:])
    rows = read([later, INFERENCE, RATING]).rows
    assert [("feedback" in r, r["id"]) for r in rows] == [(False, INFERENCE["id"]), (True, later["id"])]
    assert {r["conversation_id"] for r in rows} == {"conv-1"}


def test_an_episode_is_a_conversation_unless_a_tag_names_one() -> None:
    assert only(inference(tags={}))["conversation_id"] == INFERENCE["episode_id"]
    made = only(inference(tags={"user_id": "u1", "plan": "gold", "consent": "yes"}))
    assert (made["user_id"], made["metadata"]["plan"], made["metadata"]["consent"]) == ("u1", "gold", "yes")
    assert "consent" not in made


def test_feedback_without_an_inference_is_skipped() -> None:
    assert read([THUMB, MODEL]).skipped == {"feedback": 1, "model inference": 1}


def test_a_json_function_answers_with_the_text_that_the_model_wrote() -> None:
    made = only(inference(output={"raw": '{"label":"refund"}', "parsed": {"label": "refund"}}, output_schema="{}"))
    assert made["responses"][0]["text"] == '{"label":"refund"}'
    assert only(inference(output={"raw": None, "parsed": {"label": "refund"}}))["responses"][0]["text"] == '{"label": "refund"}'


def test_blocks_of_every_age_are_read() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "value": "Where?"}]},
        {"role": "assistant", "content": "Here."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, "now?", {"type": "image", "image": {"url": "x"}}]},
    ]
    found = read([inference(input={"messages": messages}, output=[{"type": "thought", "text": "hm"}, *TEXT])])
    assert [t["content"] for t in found.rows[0]["messages"]] == ["Where?", "Here.", "And\nnow?"]
    assert found.rows[0]["responses"][0]["text"] == "Here."
    assert found.losses["tensorzero: input content of type image"] == 1
    assert found.losses["tensorzero: output content of type thought"] == 1


def test_a_call_whose_arguments_did_not_fit_is_kept_as_it_was_written() -> None:
    block = {"type": "tool_call", "id": "call_1", "name": None, "arguments": None, "raw_name": "track", "raw_arguments": "{not JSON"}
    assert only(inference(output=[block]))["responses"][0]["tool_calls"] == [{"id": "call_1", "name": "track", "arguments": "{not JSON"}]


def test_the_arguments_of_a_template_are_replaced_by_what_was_sent_where_that_is_known() -> None:
    templated = inference(
        input={"system": {"tone": "kind"}, "messages": [{"role": "user", "content": [{"type": "text", "arguments": {"order": "A102"}}]}]}
    )
    alone = read([templated])
    assert [t["content"] for t in alone.rows[0]["messages"]] == ['{"tone": "kind"}', '{"order": "A102"}']
    assert sum("template" in name for name in alone.losses) == 2
    sent = json.dumps([{"role": "user", "content": [{"type": "text", "text": "Where is A102?"}]}])
    joined = read([templated, {**MODEL, "system": "Be kind.", "input_messages": sent}])
    assert [t["content"] for t in joined.rows[0]["messages"]] == ["Be kind.", "Where is A102?"]
    assert not any("template" in name for name in joined.losses)


def test_parameters_stand_under_the_kind_of_variant() -> None:
    found = read(
        [inference(inference_params={"chat_completion": {"temperature": 0.5, "max_tokens": 100, "seed": 3, "presence_penalty": 1}})]
    )
    answer = found.rows[0]["responses"][0]
    assert (answer["temperature"], answer["max_tokens"], answer["seed"]) == (0.5, 100, 3)
    assert found.losses["tensorzero: inference_params.presence_penalty"] == 1


def test_a_copy_in_a_dataset_is_no_call() -> None:
    assert read([{**INFERENCE, "dataset_name": "d"}]).skipped == {"datapoint": 1}


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"id": "x"}, "invalid_field", "id"),
        ({"episode_id": "x"}, "invalid_field", "episode_id"),
        ({"input": {"messages": [{}]}}, "missing_field", "input.messages.0.role"),
        ({"input": {"messages": ["x"]}}, "invalid_field", "input.messages.0"),
        ({"input": {"messages": [{"role": "tool", "content": "x"}]}}, "invalid_field", "input.messages.0.role"),
        ({"input": 7}, "invalid_field", "input"),
        ({"output": None}, "missing_field", "output"),
        ({"output": [7]}, "invalid_field", "output.0"),
        ({"output": [{"type": "tool_call", "id": "c"}]}, "missing_field", "output.0.name"),
        ({"variant_name": ""}, "missing_field", "variant_name"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(changes: dict[str, Any], reason: str, field: str) -> None:
    assert read([inference(**changes)]).refusals == [(reason, field)]


def test_a_metric_without_a_name_is_refused() -> None:
    assert read([INFERENCE, {**METRIC, "metric_name": ""}]).refusals == [("invalid_field", "metric_name")]


def test_the_api_calls_the_id_another_name() -> None:
    stored = {k: v for k, v in INFERENCE.items() if k != "id"} | {"inference_id": INFERENCE["id"], "type": "chat"}
    found, expected = read([stored, THUMB, MODEL]), read([INFERENCE, THUMB, MODEL])
    assert (found.rows, found.losses) == (expected.rows, expected.losses)


def test_log_probabilities_come_from_the_providers_own_response() -> None:
    raw = json.loads(MODEL["raw_response"])
    raw["choices"][0]["logprobs"] = {"content": [{"token": "It", "logprob": -0.25}, {"token": ".", "logprob": -1.5}]}
    assert only(INFERENCE, {**MODEL, "raw_response": json.dumps(raw)})["responses"][0]["token_logprobs"] == [-0.25, -1.5]


def test_feedback_on_an_inference_that_was_refused_is_given_to_no_other() -> None:
    refused = inference(id=INFERENCE["id"][:8] + "-0fff" + INFERENCE["id"][13:], output=None)
    found = read([INFERENCE, refused, {**THUMB, "target_id": refused["id"]}])
    assert [("feedback" in r) for r in found.rows] == [False]
    assert found.skipped == {"feedback": 1}


def test_an_inference_that_was_delivered_twice_is_one_and_a_changed_one_is_a_conflict() -> None:
    found = read([INFERENCE, INFERENCE])
    assert (len(found.rows), found.joined) == (1, 1)
    assert read([INFERENCE, inference(variant_name="other")]).refusals == [("id_conflict", "id")]
