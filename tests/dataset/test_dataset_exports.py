"""Exports: explicit prompts, one assistant message a side, nothing of the held-out arms, consent asked again."""

import hashlib
import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from flywheel.dataset import (
    control_rows,
    evaluation_rows,
    export_openai,
    export_trl,
    exportable,
    training_losses,
    training_rows,
    write_exports,
)
from flywheel.errors import BadInput

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "formats" / "samples"
ROUND = "2026-01-05"
CALL = {"name": "track", "arguments": '{"order": "[ORDER_1]"}'}


def everyone(table):
    return table


def test_trl_conversational_rows_have_an_explicit_prompt_and_one_assistant_message_each(preferences):
    row = export_trl(preferences(ROUND, [{"outcome": "b"}]))[0]
    assert row["prompt"][1] == {"role": "user", "content": "Refund for [ORDER_1]? 0"}
    assert row["chosen"] == [{"role": "assistant", "content": "no"}]
    assert row["rejected"] == [{"role": "assistant", "content": "5 days (0)"}]


def test_trl_standard_rows_join_to_prompt_and_answer_without_losing_the_boundary(preferences):
    table = preferences(ROUND, 1)
    bare = export_trl(table, form="standard", render=lambda messages: messages[-1].content)[0]
    assert bare == {"prompt": "Refund for [ORDER_1]? 0", "chosen": " 5 days (0)", "rejected": " no"}
    marked = export_trl(table, form="standard", render=lambda messages: "Q\nReply:\n")[0]
    assert marked["chosen"] == "5 days (0)", "the prompt already ends in white space"


def test_openai_rows_have_exactly_one_assistant_message_each(preferences):
    row = export_openai(preferences(ROUND, 1))[0]
    assert set(row) == {"input", "preferred_output", "non_preferred_output"}
    assert row["preferred_output"] == [{"role": "assistant", "content": "5 days (0)"}]
    assert row["non_preferred_output"] == [{"role": "assistant", "content": "no"}]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/data/formats/samples is not there")
def test_rows_have_the_keys_of_the_published_samples(preferences):
    def sample(name):
        return json.loads((SAMPLES / name).read_text().splitlines()[0])

    table = preferences(ROUND, 1)
    assert export_trl(table)[0].keys() == sample("trl_preference_conversational.jsonl").keys()
    assert export_trl(table, form="standard", render=str)[0].keys() == sample("trl_preference_standard.jsonl").keys()
    mine, theirs = export_openai(table)[0], sample("openai_preference.jsonl")
    assert mine.keys() == theirs.keys()
    assert mine["input"].keys() == theirs["input"].keys()


def test_ties_both_bad_and_the_random_arms_are_left_out_and_counted(preferences):
    rows = [{}, {"outcome": "tie"}, {"outcome": "both_bad"}, {"arm": "random_evaluation"}, {"arm": "random_control", "outcome": "tie"}]
    table = preferences(ROUND, rows)
    kept, losses = exportable(table)
    assert kept.num_rows == len(export_trl(table)) == len(export_openai(table)) == 1
    assert losses == {"both_bad": 1, "random_control": 1, "random_evaluation": 1, "tie": 1} == training_losses(table)


def test_identical_answers_are_refused_by_pair(preferences):
    same = {"text": "no", "generation": {"model_id": "m"}}
    table = preferences(ROUND, [{"pair_id": "twin", "response_a": same}])
    for export in (export_trl, export_openai):
        with pytest.raises(BadInput, match="pair twin: chosen and rejected are identical"):
            export(table)


def test_answers_that_differ_only_in_their_tool_calls_are_a_pair_except_in_plain_text(preferences):
    calling = {"text": "no", "tool_calls": [CALL], "generation": {"model_id": "m"}}
    table = preferences(ROUND, [{"response_a": calling}])
    call = export_trl(table)[0]["chosen"][0]["tool_calls"][0]
    assert call == {"id": "call_0", "type": "function", "function": CALL}
    assert isinstance(call["function"]["arguments"], str)
    assert export_openai(table)[0]["preferred_output"][0]["tool_calls"] == [call]
    assert exportable(table, "trl_standard")[1] == {"tool_calls": 1}


def test_an_empty_answer_is_left_out_and_counted(preferences):
    empty = {"text": "", "generation": {"model_id": "m"}}
    assert exportable(preferences(ROUND, [{"response_b": empty}]))[1] == {"empty_response": 1}


def test_training_rows_are_decided_active_and_consented(preferences):
    rows = [{}, {"outcome": "b"}, {"outcome": "tie"}, {"arm": "random_evaluation"}, {"arm": "random_control"}]
    table = preferences(ROUND, rows)
    assert training_rows(table, everyone).num_rows == 2
    withdrawn = training_rows(table, lambda t: t.filter(pc.not_equal(t["subject_id"], "sub0")))
    assert withdrawn["subject_id"].to_pylist() == ["sub1"]
    assert evaluation_rows(table)["pair_id"].to_pylist() == [f"{ROUND}-0003"]
    assert control_rows(table)["pair_id"].to_pylist() == [f"{ROUND}-0004"]


def test_exports_of_a_version_are_files_with_hashes_and_every_row_accounted_for(store, publish, preferences, tmp_path):
    rows = [{}, {}, {"outcome": "tie"}, {"arm": "random_evaluation"}, {"origin": "simulated"}]
    publish(preferences(ROUND, rows), ROUND)
    consented = lambda t: t.filter(pc.not_equal(t["subject_id"], "sub1"))  # noqa: E731
    report = write_exports(store, "v1", tmp_path / "out", ledger_filter=consented, render=lambda messages: "Q:")
    assert report.contains_simulated
    assert report.manifest_sha256 == store.manifest_sha256("v1")
    assert set(report.files) == {"trl_conversational", "trl_standard", "openai_preference"}
    for file in report.files.values():
        body = (tmp_path / "out" / file["file"]).read_bytes()
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
        assert len(body.splitlines()) == file["rows"] == 2
        assert file["rows"] + sum(file["left_out"].values()) == report.rows_in_version == 5
        assert file["left_out"] == {"no_consent": 1, "random_evaluation": 1, "tie": 1}
    assert b"sub0" not in b"".join(p.read_bytes() for p in (tmp_path / "out").iterdir()), "no subject leaves with the data"
    again = write_exports(store, "v1", tmp_path / "out2", ledger_filter=consented, render=lambda messages: "Q:")
    assert again == report


def test_consent_must_be_asked(store, publish, preferences, tmp_path):
    publish(preferences(ROUND), ROUND)
    with pytest.raises(TypeError, match="ledger_filter"):
        write_exports(store, "v1", tmp_path)


def test_standard_exports_use_the_rendering_that_training_uses(preferences):
    training = pytest.importorskip("flywheel.training")
    table = preferences(ROUND, 1)
    row = export_trl(table, form="standard")[0]
    assert row["prompt"] == training.render_prompt(table["prompt"][0].as_py())
