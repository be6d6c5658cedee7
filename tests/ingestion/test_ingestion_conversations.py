"""Multi-turn conversations are kept whole: requests that were logged with their current turn only get the earlier turns back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flywheel.ingestion.conversations import assemble_conversations
from flywheel.ingestion.turn_matching import last_place, overlap
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import arrow_schema, to_table
from tests.operations import operations

START = datetime(2026, 1, 6, 9, tzinfo=UTC)
SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, *calls: tuple[str, str]) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [{"id": f"c{i}", "name": n, "arguments": a} for i, (n, a) in enumerate(calls)],
    }


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": "c0"}


def record(
    minute: int, messages: Sequence[dict[str, Any]], *answers: str | dict[str, Any], conversation: str = "talk", subject: str = "ann", name: str = ""
) -> dict[str, Any]:  # fmt: skip
    said = [{"text": a} if isinstance(a, str) else {"text": a["content"], "tool_calls": a["tool_calls"]} for a in answers]
    return {
        "round": "2026-01-05", "record_id": name or f"{conversation}-{subject}-{minute:04d}", "conversation_id": conversation, "subject_id": subject,
        "timestamp": START + timedelta(minutes=minute), "domain": "support", "task_type": "generation", "messages": list(messages),
        "responses": [{**r, "generation": {"model_id": "m"}} for r in said], "source": {"format": "flywheel", "file": "x"}, "content_sha256": "x",
    }  # fmt: skip


def table(*records: dict[str, Any]) -> pa.Table:
    return to_table(LogRecord, records)


def prompts(found: pa.Table) -> list[list[str]]:
    """Each row's messages, shortly: `u:hello`."""
    return [[f"{m['role'][0]}:{m['content']}" for m in messages] for messages in found["messages"].to_pylist()]


def assembled(*records: dict[str, Any], earlier: Sequence[dict[str, Any]] = (), **limits: int) -> tuple[list[list[str]], dict[str, int]]:
    found, facts = assemble_conversations(table(*records), table(*earlier) if earlier else None, IngestionSettings(**limits))
    counted = ("already_whole", "assembled", "first_turns", "ambiguous_answer", "unaligned", "at_limit", "too_many_records")
    assert facts["records_of_conversations"] == sum(facts[c] for c in counted)
    return prompts(found), facts


def test_turns_that_the_log_left_out_come_back_with_the_answers_that_were_shown() -> None:
    found, facts = assembled(
        record(0, [user("hi")], "hello"), record(1, [user("my lamp broke")], "sorry"), record(2, [user("refund?")], "yes")
    )
    assert found == [["u:hi"], ["u:hi", "a:hello", "u:my lamp broke"], ["u:hi", "a:hello", "u:my lamp broke", "a:sorry", "u:refund?"]]
    assert (facts["first_turns"], facts["assembled"], facts["turns_added"]) == (1, 2, 6)


def test_a_log_that_holds_the_history_is_left_as_it_is() -> None:
    first, second = [user("a")], [user("a"), assistant("b"), user("c")]
    records = table(
        record(0, [SYSTEM, *first], "b"), record(1, [SYSTEM, *second], "d"), record(2, [SYSTEM, *second, assistant("d"), user("e")], "f")
    )
    found, facts = assemble_conversations(records)
    assert found.equals(records)
    assert (facts["already_whole"], facts["first_turns"], facts["assembled"]) == (2, 1, 0)


def test_tool_calls_and_their_results_are_turns_like_others() -> None:
    call = assistant("", ("find_order", '{"id": 7}'))
    found, _ = assemble_conversations(
        table(
            record(0, [user("where is it?")], call), record(1, [tool("in the depot")], "In the depot."), record(2, [user("thanks")], "Bye.")
        )
    )
    last = found["messages"].to_pylist()[2]
    assert [m["role"] for m in last] == ["user", "assistant", "tool", "assistant", "user"]
    assert last[1]["tool_calls"] == [{"id": "c0", "name": "find_order", "arguments": '{"id": 7}'}]
    assert (last[2]["content"], last[2]["tool_call_id"]) == ("in the depot", "c0")


def test_a_step_of_an_agent_that_carries_its_call_is_not_doubled() -> None:
    call = assistant("", ("find_order", '{"id": 7}'))
    spelt = assistant("", ("find_order", '{"id":7}'))  # the same arguments, spelt in another way
    found, _ = assembled(
        record(0, [user("old")], "done"), record(1, [user("where?")], call), record(2, [user("where?"), spelt, tool("depot")], "There.")
    )
    assert found[2] == ["u:old", "a:done", "u:where?", "a:", "t:depot"]


def test_a_system_message_stays_first_and_there_is_one() -> None:
    found, _ = assembled(record(0, [SYSTEM, user("a")], "b"), record(1, [SYSTEM, user("c")], "d"), record(2, [user("e")], "f"))
    assert found[1] == ["s:Be brief.", "u:a", "a:b", "u:c"]
    assert found[2] == ["s:Be brief.", "u:a", "a:b", "u:c", "a:d", "u:e"]


def test_a_sliding_window_is_aligned_with_what_is_known() -> None:
    found, facts = assembled(
        record(0, [user("1")], "one"), record(1, [user("1"), assistant("one"), user("2")], "two"),
        record(2, [assistant("two"), user("3")], "three"), record(3, [user("3"), assistant("three"), user("4")], "four"),
    )  # fmt: skip
    assert found[2] == ["u:1", "a:one", "u:2", "a:two", "u:3"]
    assert found[3] == ["u:1", "a:one", "u:2", "a:two", "u:3", "a:three", "u:4"]
    assert facts["assembled"] == 2


def test_a_request_whose_turns_were_never_logged_before_keeps_them() -> None:
    """A record between was lost: its turns stand in the next request's history."""
    found, _ = assembled(
        record(0, [user("1")], "one"),
        record(2, [user("1"), assistant("one"), user("2"), assistant("two"), user("3")], "x"),
        record(3, [user("4")], "y"),
    )
    assert found[2] == ["u:1", "a:one", "u:2", "a:two", "u:3", "a:x", "u:4"]


def test_a_history_that_does_not_continue_what_is_known_is_left_alone() -> None:
    found, facts = assembled(
        record(0, [user("1")], "one"), record(1, [user("8"), assistant("eight"), user("9")], "nine"), record(2, [user("10")], "ten")
    )
    assert found[1] == ["u:8", "a:eight", "u:9"]
    assert found[2] == ["u:8", "a:eight", "u:9", "a:nine", "u:10"]
    assert facts["unaligned"] == 1


def test_which_of_two_answers_was_shown_is_told_by_a_later_history() -> None:
    asked, later = (
        record(0, [user("1")], "one", "uno"),
        record(2, [user("1"), assistant("uno"), user("2"), assistant("two"), user("3")], "three"),
    )
    found, facts = assembled(asked, record(1, [user("2")], "two"), later)
    assert found[1] == ["u:1", "a:uno", "u:2"]
    assert facts["ambiguous_answer"] == 0


def test_without_that_nothing_is_guessed() -> None:
    found, facts = assembled(record(0, [user("1")], "one", "uno"), record(1, [user("2")], "two"), record(2, [user("3")], "three"))
    assert found == [["u:1"], ["u:2"], ["u:3"]]
    assert facts["ambiguous_answer"] == 2


def test_two_equal_answers_are_one() -> None:
    found, _ = assembled(record(0, [user("1")], "one", " one\n", ""), record(1, [user("2")], "two"))
    assert found[1] == ["u:1", "a:one", "u:2"]


def test_turns_of_another_subject_or_conversation_never_come_in() -> None:
    found, facts = assembled(
        record(0, [user("secret of ann")], "ok"), record(1, [user("bob here")], "ok", subject="bob"), record(2, [user("elsewhere")], "ok", conversation="b"),
        record(3, [user("bob again")], "ok", subject="bob"),
    )  # fmt: skip
    assert found == [["u:secret of ann"], ["u:bob here"], ["u:elsewhere"], ["u:bob here", "a:ok", "u:bob again"]]
    assert facts["records_of_conversations"] == 2


def test_turns_of_earlier_weeks_come_in_and_their_records_do_not() -> None:
    earlier = [record(-10_000, [user("last week")], "yes")]
    found, facts = assembled(record(0, [user("this week")], "no"), earlier=earlier)
    assert found == [["u:last week", "a:yes", "u:this week"]]
    assert (facts["records_of_conversations"], facts["assembled"]) == (1, 1)


def test_a_record_that_is_also_among_the_earlier_ones_counts_once() -> None:
    same = record(0, [user("1")], "one")
    assert assembled(same, record(1, [user("2")], "two"), earlier=[same])[0][1] == ["u:1", "a:one", "u:2"]


def test_the_same_question_asked_again_is_no_new_turn_where_the_log_holds_histories() -> None:
    found, _ = assembled(
        record(0, [user("1")], "one"), record(1, [user("1")], "uno"), record(2, [user("1"), assistant("uno"), user("2")], "two")
    )
    assert found == [["u:1"], ["u:1"], ["u:1", "a:uno", "u:2"]]


def test_a_user_who_repeats_himself_is_heard_twice_where_it_does_not() -> None:
    assert assembled(record(0, [user("any news?")], "no"), record(1, [user("any news?")], "no"))[0][1] == [
        "u:any news?",
        "a:no",
        "u:any news?",
    ]


def test_the_oldest_turns_are_left_out_beyond_the_limits_and_counted() -> None:
    talk = [record(i, [user(f"question {i}")], f"answer {i}") for i in range(6)]
    found, facts = assembled(*talk, conversation_turns=4)
    assert found[5] == ["u:question 4", "a:answer 4", "u:question 5"], "no answer stands without its question"
    assert facts["shortened"] == 4
    found, facts = assembled(*talk, conversation_characters=45)
    assert found[5] == ["u:question 4", "a:answer 4", "u:question 5"]
    own = [user("x" * 80), assistant("y"), user("z")]
    found, facts = assembled(
        talk[0], record(1, [user("b"), assistant("answer 0"), user("c")], "d"), record(2, own, "e"), conversation_characters=50
    )
    assert found[2] == ["u:" + "x" * 80, "a:y", "u:z"], "a record's own messages are never cut"


def test_an_id_that_half_the_log_shares_names_no_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.ingestion.conversations.LARGEST", 3)
    found, facts = assembled(*(record(i, [user(f"{i}")], "ok") for i in range(4)))
    assert found[3] == ["u:3"]
    assert facts["too_many_records"] == 4


# --- properties ---------------------------------------------------------------------------------------------------------------------------

WORDS = st.text(st.sampled_from("abc \n"), max_size=3)
EXCHANGE = st.tuples(WORDS, st.lists(st.tuples(WORDS, WORDS), max_size=2), WORDS.map(lambda t: t + "!"))
TALKS = st.lists(st.tuples(st.sampled_from(["t1", "t2"]), st.sampled_from(["ann", "bob"]), st.lists(EXCHANGE, min_size=1, max_size=5)), max_size=4,
                 unique_by=lambda t: t[:2])  # fmt: skip


def turns_of(exchanges: Sequence[Any]) -> list[list[dict[str, Any]]]:
    """Of each exchange the turns before the answer; tool steps lie within an exchange."""
    found = []
    for asked, steps, _ in exchanges:
        turns = [user(asked)]
        for arguments, outcome in steps:
            turns += [assistant("", ("look", f'"{arguments.strip()}"')), tool(outcome)]
        found.append(turns)
    return found


def split(talks: Sequence[Any], step: int = 1) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Single-turn logs of whole conversations, and what each request's messages were."""
    records, whole = [], {}
    for conversation, subject, exchanges in talks:
        history: list[dict[str, Any]] = []
        for number, (turns, exchange) in enumerate(zip(turns_of(exchanges), exchanges, strict=True)):
            # the steps within an exchange are logged as calls of their own, each with what is new since the call before
            logged = record(number * step, [turns[0]], exchange[2], conversation=conversation, subject=subject)
            if len(turns) == 1:
                records.append(logged)
                whole[logged["record_id"]] = [*history, *turns]
            else:
                for at in range(0, len(turns), 2):
                    new = turns[at : at + 1]
                    answer = turns[at + 1] if at + 1 < len(turns) else exchange[2]
                    part = record(
                        number * step, new, answer, conversation=conversation, subject=subject, name=f"{logged['record_id']}-{at}"
                    )
                    part["timestamp"] += timedelta(seconds=at)
                    records.append(part)
                    whole[part["record_id"]] = [*history, *turns[: at + 1]]
            history += [*turns, assistant(exchange[2])]
    return records, whole


def plain(messages: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(m["role"], m["content"], tuple((c["name"], c["arguments"]) for c in m.get("tool_calls") or ())) for m in messages]


@given(TALKS, st.randoms(use_true_random=False), st.integers(0, 8))
@hypothesis_settings(max_examples=150, deadline=None)
def test_a_conversation_that_was_split_comes_back_whole_whatever_the_order_and_the_weeks(talks: Any, rng: random.Random, old: int) -> None:
    records, whole = split(talks)
    records.sort(key=lambda r: r["timestamp"])
    earlier, now = records[:old], records[old:]
    rng.shuffle(earlier)
    rng.shuffle(now)
    found, facts = assemble_conversations(table(*now), table(*earlier))
    assert {r: plain(m) for r, m in zip(found["record_id"].to_pylist(), found["messages"].to_pylist(), strict=True)} == {
        r["record_id"]: plain(whole[r["record_id"]]) for r in now
    }
    assert found["record_id"].to_pylist() == [r["record_id"] for r in now]
    again, _ = assemble_conversations(found, table(*earlier))
    assert again.equals(found), "assembling again changes nothing"
    assert facts["unaligned"] == facts["ambiguous_answer"] == 0


@given(TALKS, st.integers(1, 6), st.integers(5, 60))
@hypothesis_settings(max_examples=60, deadline=None)
def test_within_limits_assembling_again_changes_nothing_and_nothing_new_is_said(talks: Any, turns: int, characters: int) -> None:
    # each turn is told from the others: once turns are cut away, equal ones could be anywhere
    numbers = iter(range(1_000))
    talks = [(c, s, [(f"{next(numbers)}{a}", [(f"{next(numbers)}{x}", f"{next(numbers)}{y}") for x, y in t], f"{next(numbers)}{z}") for a, t, z in e])
             for c, s, e in talks]  # fmt: skip
    records, whole = split(talks)
    limits = IngestionSettings(conversation_turns=turns, conversation_characters=characters)
    found, _ = assemble_conversations(table(*records), None, limits)
    assert assemble_conversations(found, None, limits)[0].equals(found)
    for record_id, messages in zip(found["record_id"].to_pylist(), found["messages"].to_pylist(), strict=True):
        kept = plain(messages)
        assert kept == plain(whole[record_id])[-len(kept) :], "the newest turns, none lost between, none doubled"


@given(st.lists(st.tuples(st.text("abcdefgh", min_size=4, max_size=8), st.text("abcdefgh", min_size=4, max_size=8)), min_size=1, max_size=6, unique=True),
       st.lists(st.integers(1, 12), min_size=6, max_size=6))  # fmt: skip
@hypothesis_settings(max_examples=100, deadline=None)
def test_windows_of_any_length_come_back_whole(exchanges: list[tuple[str, str]], windows: list[int]) -> None:
    history: list[dict[str, Any]] = []
    records, whole = [], []
    for number, (asked, answer) in enumerate(exchanges):
        history.append(user(f"{number} {asked}"))
        records.append(record(number, history[-windows[number] :], f"{number} {answer}"))
        whole.append(plain(history))
        history.append(assistant(f"{number} {answer}"))
    found, _ = assemble_conversations(table(*records))
    assert [plain(m) for m in found["messages"].to_pylist()] == whole


@given(st.lists(st.sampled_from("ab"), max_size=9), st.lists(st.sampled_from("ab"), max_size=6))
def test_places_are_those_that_trying_all_would_find(known: list[str], history: list[str]) -> None:
    lengths = [n for n in range(len(history) + 1) if n <= len(known) and known[len(known) - n :] == history[:n]]
    assert overlap(known, history) == max(lengths)
    places = [i for i in range(len(known) - len(history) + 1) if history and known[i : i + len(history)] == history]
    assert last_place(history, known) == (places[-1] if places else None)


def without_conversations(rows: int) -> pa.Table:
    one = table(record(0, [user("x" * 300)], "ok"))
    whole = pa.concat_tables([one] * 1_000).combine_chunks()
    whole = pa.concat_tables([whole] * (rows // 1_000))
    for name in ("record_id", "conversation_id"):
        at = whole.schema.get_field_index(name)
        whole = whole.set_column(at, whole.schema.field(name), pa.array([f"{i:032x}" for i in range(rows)]))
    assert whole.schema.equals(arrow_schema(LogRecord))
    return whole


def test_a_table_without_such_rows_costs_nothing_that_grows_with_them() -> None:
    """It is judged by its columns: of a hundred times the rows no more is done in Python."""
    small, large = without_conversations(1_000), without_conversations(100_000)
    assert operations(lambda: assemble_conversations(large)) < 2 * operations(lambda: assemble_conversations(small))
    found, facts = assemble_conversations(large)
    assert found.equals(large)
    assert facts["records_of_conversations"] == 0
