"""The annotations table: a pure fold of the journal, gold results by join, late answers banked, free text only redacted."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from flywheel.errors import BadInput
from flywheel.labeling import fold_annotations
from flywheel.records import Annotation, Rater
from flywheel.storage import from_table

ROUND, LATER = "2026-01-05", "2026-01-12"


def fold(desk: Any, **changes: Any) -> list[Annotation]:
    given = {
        "round": ROUND,
        "batches": {ROUND: desk.batch},
        "closed_rounds": set(),
        "gold": desk.world.gold,
        "raters": desk.raters,
    } | changes
    return from_table(Annotation, fold_annotations(desk.journal, **given))


def test_a_gold_answer_passes_or_fails_and_a_skip_does_neither(desk: Any) -> None:
    gold = next(t for t in desk.tasks.values() if t.kind == "gold" and not t.policy_reference_required)
    accepted = next(g.accepted for g in desk.world.gold if g.gold_id == gold.gold_id)
    right, wrong = accepted[0], "tie"
    desk.put(
        desk.line(task=gold, rater="r1", decision=right), desk.line(task=gold, rater="r2", decision=wrong),
        desk.line(task=gold, rater="r3", decision="skip", skip_reason="unclear"), desk.line(rater="r4"),
    )  # fmt: skip
    desk.read()
    by_decision = {(a.kind, a.decision): a.gold_result for a in fold(desk)}
    assert by_decision == {("gold", right): "pass", ("gold", wrong): "fail", ("gold", "skip"): None, ("natural", "a"): None}


def test_a_gold_item_that_is_gone_is_an_error(desk: Any) -> None:
    desk.put(desk.line(task=desk.task("gold")))
    desk.read()
    with pytest.raises(BadInput, match="not in the gold set"):
        fold(desk, gold=[])


def test_facts_of_the_task_come_from_the_batch_and_those_of_the_rater_from_the_registry(desk: Any) -> None:
    desk.raters["r1"] = Rater(rater="r1", origin="human", cohort="eu-degree")
    task = desk.task()
    desk.put(desk.line(task=task, rater="r1", likert_a=4, active_s=31.5, timing_source="client_reported"))
    desk.read()
    (row,) = fold(desk)
    assert (row.pair_id, row.presented_left, row.domain, row.guideline_version) == (task.pair_id, task.presented_left, task.domain, "v1")
    assert (row.cohort, row.likert_a, row.active_s, row.timing_source) == ("eu-degree", 4, 31.5, "client_reported")
    assert (row.round, row.task_round, row.status) == (ROUND, ROUND, "accepted")


def test_late_answers_to_a_closed_round_are_banked_once(desk: Any) -> None:
    desk.put(desk.line(rater="early"))
    desk.read()
    held = {a.event_id for a in fold(desk)}
    desk.put(desk.line(rater="late"), file="late.jsonl")
    desk.read()
    none = desk.batch.slice(0, 0)
    later = {"round": LATER, "batches": {ROUND: desk.batch, LATER: none}}
    assert fold(desk, **later) == []  # the earlier round is still open: it will take the answer itself
    (row,) = fold(desk, **later, closed_rounds={ROUND}, held_elsewhere=held)
    assert (row.status, row.round, row.task_round) == ("banked", LATER, ROUND)
    assert [a.rater for a in fold(desk, held_elsewhere={row.event_id})] == [a.rater for a in fold(desk) if a.event_id in held]


def test_free_text_enters_only_through_redaction_once_a_text_and_conversation(desk: Any) -> None:
    asked: list[tuple[str, str]] = []

    def redact(text: str, conversation: str) -> str:
        asked.append((text, conversation))
        return text.replace("Jane Roe", "[PERSON_1]")

    task = desk.task()
    line = desk.line(
        task=task, decision="both_bad", rationale="Jane Roe is named", critique="x", rewrite="Dear Jane Roe", policy_reference="P4, C1"
    )
    desk.put(line, line | {"rater": "r2", "policy_reference": "see Jane Roe"})
    desk.read()
    rows = fold(desk, redact=redact, conversations={task.pair_id: "conv"})
    assert {a.rationale for a in rows} == {"[PERSON_1] is named"}
    assert {a.rewrite for a in rows} == {"Dear [PERSON_1]"}
    assert {a.policy_reference for a in rows} == {"P4, C1", "see [PERSON_1]"}
    assert len(asked) == len(set(asked)) == 4
    assert {conversation for _, conversation in asked} == {"conv"}
    assert desk.journal.events()[0].event.rationale == "Jane Roe is named"  # the restricted zone keeps the original


def test_without_redaction_free_text_is_left_out(desk: Any) -> None:
    desk.put(desk.line(decision="both_bad", rationale="Jane Roe is named", rewrite="Dear Jane", policy_reference="P4"))
    desk.read()
    (row,) = fold(desk)
    assert (row.rationale, row.rewrite, row.policy_reference) == (None, None, "P4")


def test_the_fold_does_not_depend_on_the_order_of_delivery(desk: Any) -> None:
    lines = [desk.line(task=t, rater=f"r{i % 3}", policy_reference="P1") for i, t in enumerate(desk.tasks.values())]
    desk.put(*lines)
    desk.read()
    other = type(desk)(desk.inbox.parent / "other", desk.world) if (desk.inbox.parent / "other").mkdir() is None else None
    assert other is not None
    other.put(*lines[::-1])
    other.read()
    assert isinstance(desk.batch, pa.Table)
    assert fold(desk) == fold(other)
