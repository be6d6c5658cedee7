"""Label files in: every answer once, every bad line in quarantine with its reason, a growing file read as far as it is written."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pytest

from flywheel.errors import BadInput
from flywheel.labeling import label_set_sha256, read_raters
from flywheel.records import QuarantinedRow, Rater
from flywheel.storage import from_table


def quarantined(result: Any) -> list[QuarantinedRow]:
    return from_table(QuarantinedRow, result.quarantine)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"task_id": "unheard"}, "unknown_task", "task_id"),
        ({"task_id": "unheard", "decision": None, "choice": "left"}, "unknown_task", "task_id"),
        ({"rater": None}, "missing_field", "rater"),
        ({"decision": None}, "missing_field", "decision"),
        ({"colour": "red"}, "unknown_field", "colour"),
        ({"decision": "left"}, "invalid_field", "decision"),
        ({"decision": None, "choice": "middle"}, "invalid_field", "choice"),
        ({"choice": "tie"}, "invalid_field", "decision"),
        ({"likert_a": 6}, "invalid_field", "likert_a"),
        ({"active_s": -1}, "invalid_field", "active_s"),
        ({"ended_at": "2026-01-14T10:00:00"}, "invalid_field", "ended_at"),
        ({"started_at": "2026-01-14T10:00:00Z", "ended_at": "2026-01-14T09:00:00Z"}, "invalid_field", None),
        ({"started_at": "2026-01-14T10:00:00", "ended_at": "2026-01-14T10:01:00Z"}, "invalid_field", "started_at"),
        ({"ended_at": "0001-01-01T00:00:00+14:00"}, "invalid_field", "ended_at"),
        ({"ended_at": "9999-12-31T23:59:59-14:00"}, "future_timestamp", "ended_at"),
        ({"active_s": True}, "invalid_field", "active_s"),
        ({"likert_a": True}, "invalid_field", "likert_a"),
        ({"source": "ada@example.com"}, "invalid_field", "source"),
        ({"rater": "sim-ada@example.com", "origin": "simulated"}, "invalid_field", "rater"),
        ({"rater": "SIM-1"}, "invalid_field", "rater"),
        ({"origin": "expert"}, "origin_mismatch", "origin"),
        ({"ended_at": "2026-03-01T00:00:00Z"}, "future_timestamp", "ended_at"),
        ({"guideline_sha256": "cd" * 32}, "stale_guideline", "guideline_sha256"),
        ({"decision": "both_bad"}, "missing_rationale", "rationale"),
        ({"decision": "both_bad", "rationale": " "}, "missing_rationale", "rationale"),
        ({"decision": "skip"}, "missing_skip_reason", "skip_reason"),
        ({"origin": "simulated"}, "origin_mismatch", "origin"),
        ({"rater": "sim-1"}, "origin_mismatch", "origin"),
        ({"origin": "judge"}, "origin_mismatch", "origin"),
        ({"event_id": "0" * 32}, "invalid_field", "event_id"),
    ],
)
def test_a_line_that_cannot_be_used_is_quarantined_with_its_reason(
    desk: Any, change: dict[str, Any], reason: str, field: str | None
) -> None:
    desk.put(desk.line(rater="before"), desk.line(**change))
    result = desk.read()
    (row,) = quarantined(result)
    assert (row.reason, row.field, row.file, row.line, row.stage) == (reason, field, "a.jsonl", 2, "labeling")
    assert json.loads(row.raw) == desk.line(**change)
    assert result.counts == {"files": 1, "files_ignored": 0, "lines": 2, "accepted": 1, "repeated": 0, "quarantined": 1, "unfinished": 0}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"task_id": ', "malformed_json"),
        ("[1]", "not_an_object"),
        (b'{"rater": "\xff"}', "wrong_encoding"),
        ("[" * 100_000, "malformed_json"),
    ],
)
def test_a_line_that_is_no_object_is_quarantined_as_it_came(desk: Any, line: str | bytes, reason: str) -> None:
    desk.put(line, desk.line())
    result = desk.read()
    assert result.reasons == {reason: 1}
    assert result.counts["accepted"] == 1
    raw = line if isinstance(line, str) else line.decode("utf-8", "backslashreplace")
    assert quarantined(result)[0].raw == raw


def test_a_policy_reference_is_demanded_where_the_task_says_so_but_not_for_a_skip(desk: Any) -> None:
    task = desk.task(policy=True)
    desk.put(
        desk.line(task=task),
        desk.line(task=task, rater="w2", policy_reference="P1"),
        desk.line(task=task, rater="w3", decision="skip", skip_reason="unclear"),
    )
    result = desk.read()
    assert result.reasons == {"missing_policy_reference": 1}
    assert result.counts["accepted"] == 2


def test_an_unchanged_redelivery_is_no_duplicate(desk: Any) -> None:
    desk.put(desk.line())
    assert desk.read().counts["accepted"] == 1
    desk.put(desk.line(), desk.line(), file="again.jsonl")
    result = desk.read()
    assert (result.counts["accepted"], result.counts["repeated"], result.counts["quarantined"]) == (0, 3, 0)
    assert len(desk.journal.events()) == 1


def test_a_second_different_answer_is_quarantined_and_the_first_accepted_stays(desk: Any) -> None:
    desk.put(desk.line(decision="a"), file="m.jsonl")
    desk.read()
    desk.put(desk.line(decision="b"), file="a.jsonl")  # sorts before, came after
    for _ in range(2):
        result = desk.read()
        assert result.reasons == {"duplicate_annotation": 1}
        assert quarantined(result)[0].file == "a.jsonl"
    assert [e.event.decision for e in desk.journal.events()] == ["a"]


def test_a_line_still_being_written_is_left_for_the_next_read(desk: Any) -> None:
    whole = json.dumps(desk.line()).encode()
    path = desk.inbox / "a.jsonl"
    for cut in (1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        result = desk.read()
        assert (result.counts["unfinished"], result.counts["lines"], result.quarantine.num_rows) == (1, 0, 0)
    path.write_bytes(whole)  # whole, though the newline is not there yet
    assert desk.read().counts["accepted"] == 1


def test_an_unknown_task_is_taken_once_its_batch_is_known(desk: Any) -> None:
    desk.put(desk.line())
    assert desk.read(tasks={}).reasons == {"unknown_task": 1}
    assert desk.read(tasks=desk.tasks.get).counts["accepted"] == 1


def test_an_id_that_may_name_a_person_is_replaced_before_it_is_stored(desk: Any) -> None:
    desk.raters["alice"] = Rater(rater="alice", origin="expert", expertise=["expert"])
    desk.put(desk.line(rater="jane@vendor.example"), desk.line(rater="alice", origin="expert"))
    desk.read()
    stored = {e.event.rater for e in desk.journal.events()}
    assert stored == {"alice", desk.world.ids.make("rater", "jane@vendor.example")}


def test_a_registered_rater_may_not_deliver_under_another_origin(desk: Any) -> None:
    desk.raters["alice"] = Rater(rater="alice", origin="human")
    desk.put(desk.line(rater="alice", origin="expert"))
    assert desk.read().reasons == {"origin_mismatch": 1}


def test_quarantine_rows_belong_to_the_round_of_their_task(desk: Any) -> None:
    desk.put(desk.line(decision="skip"), "garbage")
    assert [r.round for r in quarantined(desk.read())] == ["2026-01-05", "2026-01-19"]  # known task: its round; else the present one
    assert [(r.round, r.reason) for r in quarantined(desk.read(round="2026-01-12"))] == [("2026-01-12", "malformed_json")]
    assert {r.round for r in quarantined(desk.read(round="2026-01-05"))} == {"2026-01-05"}
    assert desk.read(round="2026-01-12").counts["quarantined"] == 2


def test_the_label_set_changes_with_a_delivery_but_not_with_its_import(desk: Any) -> None:
    assert label_set_sha256(desk.inbox, desk.journal) is None
    desk.put(desk.line())
    before = label_set_sha256(desk.inbox, desk.journal)
    desk.read()
    assert label_set_sha256(desk.inbox, desk.journal) == before
    desk.put(desk.line(rater="other"), file="b.jsonl")
    assert label_set_sha256(desk.inbox, desk.journal) != before


def test_an_empty_inbox_is_no_error(desk: Any, tmp_path: Any) -> None:
    desk.inbox = tmp_path / "absent"
    assert desk.read().counts["lines"] == 0


def test_a_small_clock_difference_is_no_future(desk: Any) -> None:
    desk.put(desk.line(ended_at=(desk.now + timedelta(minutes=2)).isoformat()))
    assert desk.read().counts["accepted"] == 1


def test_the_rater_registry_is_read_whole_or_refused_with_its_place(tmp_path: Any) -> None:
    path = tmp_path / "raters.jsonl"
    assert read_raters(path) == {}
    good = {"rater": "r1", "origin": "expert", "expertise": ["expert", "code"]}
    path.write_text(json.dumps(good) + "\n")
    assert read_raters(path)["r1"].expertise == ["expert", "code"]
    for bad in (
        {"rater": "r1", "origin": "human"},
        {"rater": "a@b.example", "origin": "human"},
        {"rater": "sim-1", "origin": "human"},
        {"rater": "r2"},
    ):
        path.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
        with pytest.raises(BadInput, match=r"raters\.jsonl, line 2"):
            read_raters(path)


def test_a_line_that_answers_twice_is_nobodys_answer(desk: Any) -> None:
    desk.put(json.dumps(desk.line(decision="a"))[:-1] + ', "decision": "b"}')
    assert desk.read().reasons == {"malformed_json": 1}


def test_blanks_around_a_name_make_no_second_rater(desk: Any) -> None:
    desk.put(desk.line(rater="w1"), desk.line(rater=" w1 "))
    result = desk.read()
    assert (result.counts["accepted"], result.counts["repeated"]) == (1, 1)


def test_what_is_no_label_file_is_counted_and_a_strange_file_name_is_no_obstacle(desk: Any) -> None:
    desk.put("\ufeff" + json.dumps(desk.line()))
    (desk.inbox / "folder.jsonl").mkdir()
    (desk.inbox / "gone.jsonl").symlink_to(desk.inbox / "nowhere")
    (desk.inbox / "answers.csv").write_text("task_id,choice\n")
    with open(os.fsencode(desk.inbox) + b"/\xff.jsonl", "wb") as file:
        file.write(b"{\n")
    result = desk.read()
    assert (result.counts["files"], result.counts["files_ignored"], result.counts["accepted"]) == (2, 3, 1)
    assert [q.file for q in quarantined(result)] == ["\\xff.jsonl"]
    assert label_set_sha256(desk.inbox, desk.journal)
