"""Batches out and answers in as files: JSONL for vendors and crowds.

A line holds what a rater may see and nothing else: texts as left and right, not as a and b; neither kind nor gold id, arm, redundancy,
cluster, model or origin of a response. Toggling a task's gold flag leaves its line byte for byte the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from flywheel.records import AnnotationEvent, LabelingTask, Response
from flywheel.storage import from_table, write_atomically


def export_batch(batch: pa.Table, path: Path) -> int:
    """Write the tasks of a batch in their order, one JSON object a line. Returns the number of tasks."""
    tasks = from_table(LabelingTask, batch)
    write_atomically(path, "".join(export_line(t) + "\n" for t in tasks).encode())
    return len(tasks)


def export_line(task: LabelingTask) -> str:
    """One task as a rater gets it."""
    left, right = (task.response_a, task.response_b) if task.presented_left == "a" else (task.response_b, task.response_a)
    shown = {
        "task_id": task.task_id,
        "batch_id": task.batch_id,
        "domain": task.domain,
        "task_type": task.task_type,
        "prompt": [{"role": m.role, "content": m.content} for m in task.prompt],
        "left": left.text,
        "right": right.text,
        "left_sandbox": _sandbox(left),
        "right_sandbox": _sandbox(right),
        "required_expertise": task.required_expertise,
        "policy_reference_required": task.policy_reference_required,
        "guideline_version": task.guideline_version,
        "guideline_sha256": task.guideline_sha256,
    }
    return json.dumps(shown, ensure_ascii=False)


def _sandbox(response: Response) -> dict[str, Any] | None:
    """Tests and security findings of a code answer, as shown beside it."""
    result = response.generation.sandbox
    if result is None:
        return None
    findings = [f.model_dump(mode="json") for f in result.findings]
    return {"verdict": result.verdict, "tests_passed": result.tests_passed, "tests_total": result.tests_total, "findings": findings}


def write_label_file(events: Sequence[AnnotationEvent], path: Path) -> int:
    """Answers as a label file for the inbox (what a rater tool of one's own writes; the demo's simulated raters do). Atomic."""
    lines = [json.dumps(e.model_dump(mode="json", exclude={"event_id"}, exclude_none=True), ensure_ascii=False) for e in events]
    write_atomically(path, "".join(line + "\n" for line in lines).encode(), mode=0o600)
    return len(lines)
