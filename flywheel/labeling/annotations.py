"""The `annotations` table: a pure fold of the journal, joined to the tasks by id.

Free text (critique, rationale, rewrite) was written by people about people's messages. The journal lies in the restricted zone and
keeps it as it came; the table lies in the open lake, so text enters it only through `redact`, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.labeling.journal import Journal, JournalEntry
from flywheel.records import Annotation, GoldItem, LabelingTask, Rater
from flywheel.storage import from_table, to_table

Redact = Callable[[str, str], str]
CLAUSES = re.compile(r"[A-Z]{1,4}-?\d{1,3}(\s*[,;]?\s*[A-Z]{1,4}-?\d{1,3})*")  # P1, C2, SUP-3: no text of anyone's


def fold_annotations(
    journal: Journal, *, round: str, batches: Mapping[str, pa.Table], closed_rounds: Collection[str], gold: Sequence[GoldItem],
    raters: Mapping[str, Rater], held_elsewhere: Collection[str] = frozenset(), redact: Redact | None = None,
    conversations: Mapping[str, str] | None = None,
) -> pa.Table:  # fmt: skip
    """Answers to the round's own batch (`accepted`), and late answers to closed earlier rounds (`banked`), by task round, task, rater.

    `batches`: the published tasks of each round. `held_elsewhere`: event ids that other rounds' `annotations` hold already (a closed
    round's own answers, or late ones that another round banked): an answer counts in one round. `redact(text, conversation id)` aliases personal data; without it free
    text is left out. `conversations`: conversation id by pair id; a pair without one (gold) counts as a conversation of its own.
    Raises `BadInput` when a gold task's item is not in `gold`."""
    accepted_by_gold = {g.gold_id: g.accepted for g in gold}
    tasks: dict[str, LabelingTask] = {}
    for key in sorted(batches):
        if key == round or (key in closed_rounds and key < round):
            tasks.update({t.task_id: t for t in from_table(LabelingTask, batches[key])})
    rows = []
    seen: dict[tuple[str, str], str] = {}
    for entry in journal.events():
        task = tasks.get(entry.event.task_id)
        if task is None or entry.event.event_id in held_elsewhere:
            continue
        rows.append(
            _annotation(
                entry, task, round, accepted_by_gold, raters, _Free(redact, (conversations or {}).get(task.pair_id, task.pair_id), seen)
            )
        )
    rows.sort(key=lambda a: (a.task_round, a.task_id, a.rater, a.event_id))
    return to_table(Annotation, rows)


class _Free:
    """Free text on its way into the lake; the same text of one conversation is redacted once."""

    def __init__(self, redact: Redact | None, conversation_id: str, seen: dict[tuple[str, str], str]) -> None:
        self._redact, self._conversation_id, self._seen = redact, conversation_id, seen

    def __call__(self, text: str | None) -> str | None:
        if text is None or self._redact is None:
            return None
        key = (text, self._conversation_id)
        if key not in self._seen:
            self._seen[key] = self._redact(text, self._conversation_id)
        return self._seen[key]


def _annotation(
    entry: JournalEntry,
    task: LabelingTask,
    round: str,
    accepted_by_gold: Mapping[str, Sequence[str]],
    raters: Mapping[str, Rater],
    free: _Free,
) -> Annotation:
    event = entry.event
    registered = raters.get(event.rater)
    return Annotation(
        round=round, event_id=str(event.event_id), task_id=task.task_id, batch_id=task.batch_id, pair_id=task.pair_id, task_round=task.round,
        kind=task.kind, domain=task.domain, rater=event.rater, cohort=registered.cohort if registered else None, decision=event.decision,
        likert_a=event.likert_a, likert_b=event.likert_b, critique=free(event.critique), rationale=free(event.rationale),
        rewrite=free(event.rewrite), policy_reference=_clauses(event.policy_reference, free), skip_reason=event.skip_reason,
        presented_left=task.presented_left, started_at=event.started_at, ended_at=event.ended_at, active_s=event.active_s,
        timing_source=event.timing_source, guideline_version=task.guideline_version, guideline_sha256=event.guideline_sha256,
        gold_id=task.gold_id, gold_result=_gold_result(task, event.decision, accepted_by_gold), source=event.source, origin=event.origin,
        status="accepted" if task.round == round else "banked",
    )  # fmt: skip


def _clauses(reference: str | None, free: _Free) -> str | None:
    """Clause numbers as they are; anything else a rater wrote there is free text."""
    return reference if reference is None or CLAUSES.fullmatch(reference.strip()) else free(reference)


def _gold_result(task: LabelingTask, decision: str, accepted_by_gold: Mapping[str, Sequence[str]]) -> Literal["pass", "fail"] | None:
    """None for tasks without known answer, and for a skip: skipping never counts against a rater."""
    if task.gold_id is None or decision == "skip":
        return None
    if task.gold_id not in accepted_by_gold:
        raise BadInput(
            f"task {task.task_id} shows gold item {task.gold_id!r}, which is not in the gold set given; restore it (labeling.gold)"
        )
    return "pass" if decision in accepted_by_gold[task.gold_id] else "fail"
