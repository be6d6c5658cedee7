"""What a rater gets: both texts by side, nothing about kind, arm or model; answers by side find their way back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.labeling import export_batch, write_label_file
from flywheel.labeling.export import export_line
from flywheel.records import AnnotationEvent, LabelingTask
from flywheel.storage import from_table


def test_toggling_the_gold_flag_leaves_the_line_byte_identical(world: Any) -> None:
    for task in from_table(LabelingTask, world.build()[0]):
        toggled = task.model_copy(
            update={
                "kind": "gold" if task.kind != "gold" else "natural", "gold_id": None if task.gold_id else "x", "arm": None if task.arm else "active",
                "redundancy": 9, "prompt_cluster": "other", "record_id": None, "redaction_version": "gold", "pair_id": "0" * 32,
            }
        )  # fmt: skip
        assert export_line(toggled).encode() == export_line(task).encode()


def test_an_export_holds_sides_as_presented_in_the_order_of_the_batch(world: Any, tmp_path: Path) -> None:
    batch, _ = world.build()
    assert export_batch(batch, tmp_path / "out" / "batch.jsonl") == batch.num_rows
    lines = [json.loads(line) for line in (tmp_path / "out" / "batch.jsonl").read_text().splitlines()]
    tasks = from_table(LabelingTask, batch)
    assert [line["task_id"] for line in lines] == [t.task_id for t in tasks]
    for line, task in zip(lines, tasks, strict=True):
        assert line["left"] == (task.response_a if task.presented_left == "a" else task.response_b).text
        assert not {"kind", "gold_id", "arm", "presented_left", "redundancy", "response_a", "pair_id"} & line.keys()


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_choice_of_a_side_is_unswapped_at_import(desk: Any, side: str) -> None:
    tasks = [t for t in desk.tasks.values() if not t.policy_reference_required][:20]
    assert {t.presented_left for t in tasks} == {"a", "b"}
    desk.put(*(desk.line(task=t, decision=None, choice=side, likert_left=4, likert_right=2) for t in tasks))
    assert desk.read().counts["accepted"] == 20
    for entry in desk.journal.events():
        left = desk.tasks[entry.event.task_id].presented_left
        assert (entry.event.decision == left) == (side == "left")
        assert (entry.event.likert_a, entry.event.likert_b) == ((4, 2) if left == "a" else (2, 4))


def test_a_tool_can_write_its_answers_as_a_label_file(desk: Any) -> None:
    event = AnnotationEvent.model_validate(desk.line() | {"source": "tool"})
    assert write_label_file([event], desk.inbox / "tool.jsonl") == 1
    assert desk.read().counts["accepted"] == 1
