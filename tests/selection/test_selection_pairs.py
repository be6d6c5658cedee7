from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.records import Message, Pair, RedactedRecord
from flywheel.selection import build_pairs, prompt_cluster
from flywheel.settings import SelectionSettings
from flywheel.storage import empty_table, from_table

ROUND = "2026-01-05"


def sampler(*candidates: str):
    return lambda prompts, n, seed: [list(candidates[:n]) for _ in prompts]


def as_it_is(texts, conversation_ids, rounds):
    return texts


@pytest.fixture
def build(ids, pool):
    def run(records, sample=None, redact=as_it_is, settings=None, seed=0, **options):
        table = pool(records) if records else empty_table(RedactedRecord)
        return build_pairs(
            table, round=ROUND, ids=ids, sample=sample, model_id="m-1" if sample else None, redact=redact, settings=settings or SelectionSettings(),
            seed=seed, **options,
        )  # fmt: skip

    return run


def test_two_different_logged_answers_make_a_pair_without_a_sample(build, record, ids):
    table, counts = build([record("r1", "Where is my order?", "On its way.", "Lost.")])
    (pair,) = from_table(Pair, table)
    assert (pair.response_a.text, pair.response_b.text, pair.second_response) == ("On its way.", "Lost.", "log")
    assert (counts["from_log"], counts["pairs"]) == (1, 1)
    assert build([record("r1", "Where is my order?", "On its way.", "Lost.")])[0].equals(table)


def test_logged_answers_that_differ_in_case_and_space_only_are_one(build, record):
    table, counts = build([record("r1", "Where?", "On its way.", "on its  way.", "Lost.")])
    assert from_table(Pair, table)[0].response_b.text == "Lost."
    _, counts = build([record("r1", "Where?", "On its way.", "on its  way.")])
    assert (counts["pairs"], counts["no_second_response"]) == (0, 1)


def test_the_first_candidate_that_says_something_else_becomes_response_b(build, record):
    table, counts = build([record("r1", "Where?", "On its way.")], sampler("ON ITS  WAY.", "  ", "Lost."))
    (pair,) = from_table(Pair, table)
    assert (pair.response_a.text, pair.response_b.text) == ("On its way.", "Lost.")
    assert (pair.response_b.generation.model_id, pair.second_response) == ("m-1", "sampled")
    assert counts["sampled"] == 1


def test_candidates_that_all_repeat_the_log_are_counted_not_kept(build, record):
    table, counts = build([record("r1", "Where?", "Same.")], sampler("Same.", "same.", "SAME."))
    assert table.num_rows == 0
    assert counts["no_contrast"] == 1


def test_generated_text_is_redacted_before_it_is_compared_and_kept(build, record):
    def redact(texts, conversation_ids, rounds):
        assert conversation_ids == ["c-r1"] * len(texts)
        assert rounds == ["2025-12-29"] * len(texts)
        return [t.replace("Ann", "[PERSON_1]") for t in texts]

    asked = record("r1", "Who?", "[PERSON_1] did.", round="2025-12-29")  # a record of an earlier week than the pair's
    table, _ = build([asked], sampler("Ann did.", "Ask Ann.", "x"), redact)
    assert from_table(Pair, table)[0].response_b.text == "Ask [PERSON_1]."


def test_near_duplicate_prompts_are_sampled_once_but_other_numbers_are_other_tickets(build, record):
    asked = "Can I still send the shoes back after {} days when the box is open and the receipt is lost ?"
    records = [record("r1", asked.format(5), "No."), record("r2", asked.format(5).upper(), "No."), record("r3", asked.format(35), "No.")]
    table, counts = build(records, sampler("Yes."))
    assert (table.num_rows, counts["near_duplicate_prompt"]) == (2, 1)
    assert "r3" in table["record_id"].to_pylist()


def test_the_prefilter_is_a_uniform_draw_that_keeps_each_domains_floor(build, record):
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    records = [record(f"s{i:03d}", f"{words[i % 10]} {words[i // 10]} ticket", "No.") for i in range(90)]
    records += [record(f"c{i}", f"write {words[i]}", "pass", domain="code") for i in range(4)]
    settings = SelectionSettings(prefilter=20, budget=12, domain_floor=0.25)
    table, counts = build(records, sampler("Yes."), settings=settings)
    domains = table["domain"].to_pylist()
    assert (len(domains), counts["beyond_prefilter"]) == (20, 74)
    assert domains.count("code") >= 3
    assert build(records[::-1], sampler("Yes."), settings=settings)[0].equals(table), "the order of the pool does not matter"
    assert not build(records, sampler("Yes."), settings=settings, seed=1)[0].equals(table)


def test_a_record_that_two_rounds_deliver_gives_one_pair(build, record):
    records = [record("r1", "Where?", "a", "b"), record("r1", "Where?", "a", "b", round="2026-01-12")]
    table, counts = build(records)
    assert (table.num_rows, counts["repeated_record"]) == (1, 1)


def test_an_empty_pool_gives_an_empty_table(build):
    table, counts = build([], sampler("x"))
    assert table.num_rows == 0
    assert counts["records"] == 0
    assert table.schema.equals(empty_table(Pair).schema)


@pytest.mark.parametrize("wrong", [lambda p, n, s: [], lambda p, n, s: [["x"]] * (len(p) + 1)])
def test_a_sampler_that_loses_prompts_is_an_error(build, record, wrong):
    with pytest.raises(BadInput, match="sampler returned candidates for"):
        build([record("r1", "Where?", "a")], wrong)


def test_a_sample_without_a_model_id_is_an_error(ids, pool, record):
    with pytest.raises(BadInput, match="model_id"):
        build_pairs(
            pool([record("r1", "Where?", "a")]), round=ROUND, ids=ids, sample=sampler("b"), model_id=None, redact=as_it_is,
            settings=SelectionSettings(), seed=0,
        )  # fmt: skip


def test_clusters_mask_aliases_and_numbers_and_nothing_else():
    def of(text: str) -> str:
        return prompt_cluster([Message(role="user", content=text)])

    assert of("[PERSON_1] wants $30.50 back") == of("[PERSON_7]  wants $1,200 back")
    assert of("[PERSON_1] wants 3") != of("[EMAIL_1] wants 3")
    assert of("refund 3") != of("replace 3")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.lists(st.sampled_from(["x", "X ", "y", ""]), min_size=1, max_size=3)), max_size=12))
@hypothesis_settings(max_examples=40, deadline=None)
def test_every_record_is_a_pair_or_counted_with_its_reason(rows):
    from datetime import UTC, datetime

    from flywheel.records import Generation, Response, Source
    from flywheel.storage import Ids, to_table

    records = [
        RedactedRecord(
            round=ROUND, record_id=f"{i % 9}", conversation_id="c", subject_id="s", timestamp=datetime(2026, 1, 6, tzinfo=UTC), domain="support",
            task_type="t", messages=[Message(role="user", content=prompt)], content_sha256="", purposes=[], redaction_version="1",
            responses=[Response(text=t, generation=Generation(model_id="m")) for t in texts], source=Source(format="f", file="f"),
        )
        for i, (prompt, texts) in enumerate(rows)
    ]  # fmt: skip
    for sample in (None, sampler("x", "", "y")):
        table, c = build_pairs(
            to_table(RedactedRecord, records), round=ROUND, ids=Ids(bytes(32)), sample=sample, model_id="m", redact=as_it_is,
            settings=SelectionSettings(prefilter=2, budget=2), seed=0,
        )  # fmt: skip
        assert table.num_rows == c["pairs"] == c["from_log"] + c["sampled"]
        assert c["records"] == len(records) == sum(n for name, n in c.items() if name not in ("records", "pairs"))


def test_the_prompt_of_a_pair_is_the_conversation_up_to_the_compared_turn(record, pool, ids):
    call = {"id": "c1", "name": "find_order", "arguments": '{"id": 7}'}
    turns = [
        Message(role="system", content="Be kind."), Message(role="user", content="Where is [ORDER_1]?"),
        Message(role="assistant", tool_calls=[call]), Message(role="tool", content="in the depot", tool_call_id="c1"),
        Message(role="assistant", content="In the depot."), Message(role="user", content="And when does it come?"),
    ]  # fmt: skip
    logged = record("talk", "x", "Tomorrow.", "On Friday.").model_copy(update={"messages": turns})
    pair = only_pair(pool([logged]), ids)
    assert pair.prompt == turns
    assert (pair.response_a.text, pair.response_b.text) == ("Tomorrow.", "On Friday.")
    # the same call from a log that repeats the answer at the end of the request
    repeated = logged.model_copy(update={"messages": [*turns, Message(role="assistant", content="Tomorrow. ")]})
    assert only_pair(pool([repeated]), ids).prompt == turns
    begun = [*turns, Message(role="assistant", content="It comes")]
    assert only_pair(pool([logged.model_copy(update={"messages": begun})]), ids).prompt == begun


def test_a_second_answer_is_sampled_for_the_whole_conversation(record, pool, ids):
    turns = [Message(role="user", content="a"), Message(role="assistant", content="b"), Message(role="user", content="c")]
    asked = []

    def sample(prompts, n, seed):
        asked.extend(prompts)
        return [["other"] for _ in prompts]

    only_pair(
        pool([record("talk", "x", "d").model_copy(update={"messages": [*turns, Message(role="assistant", content="d")]})]),
        ids,
        sample=sample,
    )
    assert asked == [turns]


def only_pair(table, ids, sample=None):
    made, counts = build_pairs(
        table, round=ROUND, ids=ids, sample=sample, model_id="m", redact=as_it_is, settings=SelectionSettings(), seed=0
    )
    assert counts["pairs"] == 1
    return from_table(Pair, made)[0]
