"""Demonstrations: the ideal answers that experts wrote, for supervised fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import pyarrow as pa

from flywheel.records import Annotation, Demonstration, LabelingTask, RaterQualityRow
from flywheel.storage import from_table, to_table

TRUSTED_ORIGINS = ("expert", "simulated")  # simulated raters write rewrites only in the expert's part


def demonstrations(
    annotations: pa.Table, batch: pa.Table, *, round: str, redact: Callable[[str, str], str], conversations: Mapping[str, str] | None = None,
    experts: Collection[str] = frozenset(), rater_quality: pa.Table | None = None, exclude_pairs: Collection[str] = frozenset(),
) -> pa.Table:  # fmt: skip
    """`Demonstration` rows by pair and author: rewrites by experts of the round's natural tasks.

    Every text passes `redact(text, conversation id)` (again: aliases pass through unchanged). Rewrites by paused raters, of gold,
    attention and repeat tasks, of the evaluation arm (its prompts judge models and may train none) and of `exclude_pairs` are left out."""
    tasks = {t.task_id: t for t in from_table(LabelingTask, batch)}
    paused = {r.rater for r in from_table(RaterQualityRow, rater_quality) if r.state == "paused"} if rater_quality is not None else set()
    rows = []
    for a in from_table(Annotation, annotations):
        task = tasks.get(a.task_id)
        text = (a.rewrite or "").strip()
        if task is None or not text or a.status != "accepted" or a.rater in paused or a.pair_id in exclude_pairs:
            continue
        if task.kind not in ("natural", "overlap") or task.arm == "random_evaluation":
            continue
        if a.origin not in TRUSTED_ORIGINS and a.rater not in experts:
            continue
        rows.append(
            Demonstration(
                round=round, pair_id=a.pair_id, domain=task.domain, task_type=task.task_type, prompt=task.prompt,
                response=redact(text, (conversations or {}).get(a.pair_id, a.pair_id)), author=a.rater, origin=a.origin,
                prompt_cluster=task.prompt_cluster,
            )
        )  # fmt: skip
    rows.sort(key=lambda d: (d.pair_id, d.author))
    return to_table(Demonstration, rows)
