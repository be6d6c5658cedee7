"""What still stands of what was handed out: rows and open tasks whose subjects allow their use at this moment.

A published batch is frozen, so that labels bind to what raters saw. What is still open of it is not: tasks of a subject that has taken
consent back leave the file that raters get, and their answers reach no table.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.records import Purpose
from flywheel.storage.arrow import from_table
from flywheel.storage.files import write_atomically
from flywheel.storage.home import Home

Allowed = Callable[[pa.Table], pa.Table]
"""Gives the rows that may be used now: `flywheel.governance.ConsentCheck.ask`."""

PURPOSE_OF_ARM: dict[str, Purpose] = {"active": "training", "random_evaluation": "evaluation", "random_control": "evaluation"}
"""What a pair of each arm is used for once it is in a dataset: the random arms are never trained on, they measure."""


def of_pairs(table: pa.Table, pairs: pa.Table) -> pa.Table:
    """The rows of `table` whose pair is among `pairs`."""
    return table.filter(pc.is_in(table["pair_id"], value_set=pairs["pair_id"].combine_chunks()))


def batch_file(home: Home, round: str) -> Path:
    """What raters get."""
    return home.root / "batches" / f"{round}.jsonl"


def withdrawn_tasks(batch: pa.Table, allowed: Allowed) -> set[str]:
    """Ids of the tasks whose record may not be shown any more. Gold and attention tasks are nobody's."""
    theirs = batch.select(["round", "task_id", "record_id"]).filter(pc.is_valid(batch["record_id"]))
    return {*theirs["task_id"].to_pylist()} - {*allowed(theirs)["task_id"].to_pylist()}


def export_open_tasks(home: Home, round: str, batch: pa.Table, withdrawn: Collection[str]) -> int:
    """Take `withdrawn` tasks out of the round's exported file, and put tasks that are allowed again back; how many tasks are missing from
    it now. The other lines stay byte for byte. A file that is there no more (somebody took it away) is not made again."""
    from flywheel.labeling.export import export_line
    from flywheel.records import LabelingTask

    path = batch_file(home, round)
    if not path.exists():
        return 0
    kept = batch.filter(pc.invert(pc.is_in(batch["task_id"], value_set=pa.array(sorted(withdrawn), pa.string()))))
    data = "".join(export_line(t) + "\n" for t in from_table(LabelingTask, kept)).encode()
    if data != path.read_bytes():
        write_atomically(path, data)
    return int(batch.num_rows - kept.num_rows)


def close_withdrawn_tasks(home: Home, allowed: Allowed) -> dict[str, int]:
    """`export_open_tasks` for every round that people may still be working on: round to tasks that are missing from its file."""
    from flywheel.rounds.state import round_state

    open_rounds = [r for r in home.lake.rounds("labeling_batch") if not round_state(home, r).settled]
    found = {}
    for round in open_rounds:
        batch = home.lake.read("labeling_batch", round)
        found[round] = export_open_tasks(home, round, batch, withdrawn_tasks(batch, allowed))
    return {round: n for round, n in found.items() if n}


def standing_annotations(home: Home, annotations: pa.Table, round: str, allowed: Allowed) -> tuple[pa.Table, list[str]]:
    """The answers whose task may still be used, and the ids of the tasks (of `round`, and of the rounds that late answers are for) that
    may not. The round's file for raters loses them too."""
    gone: set[str] = set()
    for key in sorted({*annotations["task_round"].to_pylist(), round}):
        batch = home.lake.read("labeling_batch", key)
        withdrawn = withdrawn_tasks(batch, allowed)
        gone |= withdrawn
        if key == round:
            export_open_tasks(home, key, batch, withdrawn)
    table = annotations.filter(pc.invert(pc.is_in(annotations["task_id"], value_set=pa.array(sorted(gone), pa.string()))))
    return table, sorted(gone)


def standing_demonstrations(home: Home, demonstrations: pa.Table, round: str, allowed: Allowed) -> pa.Table:
    """The demonstrations whose pair's subject allows it (they name their pair only; the batch knows its record)."""
    batch = home.lake.read("labeling_batch", round, ["round", "pair_id", "record_id"])
    return of_pairs(demonstrations, allowed(of_pairs(batch, demonstrations))) if demonstrations.num_rows else demonstrations


def standing_preferences(preferences: pa.Table, ask: Callable[[Purpose], Allowed]) -> pa.Table:
    """The preferences that may enter a dataset: each arm is asked for the purpose that it serves (`PURPOSE_OF_ARM`)."""
    kept: list[str] = []
    for purpose in ("training", "evaluation"):
        arms = pa.array([arm for arm, wanted in PURPOSE_OF_ARM.items() if wanted == purpose])
        kept += ask(purpose)(preferences.filter(pc.is_in(preferences["arm"], value_set=arms)))["pair_id"].to_pylist()
    return preferences.filter(pc.is_in(preferences["pair_id"], value_set=pa.array(kept, pa.string())))
