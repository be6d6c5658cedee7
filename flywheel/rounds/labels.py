"""A round's labels: from the inbox through the journal to its annotations."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pyarrow as pa

from flywheel.records import LabelingTask, Rater
from flywheel.rounds.context import refuse_abandoned
from flywheel.rounds.state import closed_rounds
from flywheel.storage.arrow import from_table
from flywheel.storage.home import Home


def import_labels(home: Home, round: str, *, redact: Callable[..., str], now: datetime) -> tuple[pa.Table, dict[str, Any]]:
    """Take in what lies in the inbox, then fold the journal into the round's annotations. Returns them and the import's counts; bad
    lines are written to `label_quarantine`. Free text of raters passes `redact` before it enters the table. Raises `RoundRefused` for
    an abandoned round."""
    from flywheel.labeling import Journal, fold_annotations, import_label_files, load_gold

    refuse_abandoned(home, round)
    batches = {r: home.lake.read("labeling_batch", r) for r in home.lake.rounds("labeling_batch")}
    tasks = {t.task_id: t for table in batches.values() for t in from_table(LabelingTask, table)}
    journal = Journal(home.restricted / "journal.sqlite")
    raters = load_raters(home)
    imported = import_label_files(home.label_inbox, journal, ids=home.ids, tasks=tasks, raters=raters, now=now, round=round)
    home.lake.write("label_quarantine", round, imported.quarantine)
    held = [home.lake.read("annotations", r, ["event_id"])["event_id"].to_pylist() for r in home.lake.rounds("annotations") if r != round]
    pairs = [
        home.lake.read("response_pairs", r, ["pair_id", "conversation_id"]) for r in batches if home.lake.manifest("response_pairs", r)
    ]
    table = fold_annotations(
        journal, round=round, batches=batches, closed_rounds=closed_rounds(home) - {round}, gold=load_gold(home.gold), raters=raters,
        held_elsewhere={e for events in held for e in events}, redact=lambda text, conversation: redact(text, conversation_id=conversation),
        conversations={k: v for p in pairs for k, v in conversations(p).items()},
    )  # fmt: skip
    return table, {"import": imported.counts, "quarantine": imported.reasons}


def conversations(pairs: pa.Table) -> dict[str, str]:
    """Conversation id by pair id."""
    return dict(zip(pairs["pair_id"].to_pylist(), pairs["conversation_id"].to_pylist(), strict=True))


def expert_raters(home: Home) -> set[str]:
    """Raters whose word decides what the crowd cannot."""
    return {r.rater for r in load_raters(home).values() if "expert" in r.expertise}


def load_raters(home: Home) -> dict[str, Rater]:
    """Registered raters by pseudonym (`restricted/raters.jsonl`), and the demo world's simulated ones."""
    from flywheel.labeling import read_raters
    from flywheel.shopforge import SIMULATED_RATERS

    registered = read_raters(home.restricted / "raters.jsonl")
    return {**{r.rater: r for r in SIMULATED_RATERS}, **registered}


def published_pairs(home: Home, round: str) -> tuple[pa.Table, pa.Table, set[str]]:
    """What aggregation joins: the Pair rows and batches of every round that the round's annotations refer to, and the pair ids that
    earlier rounds have accepted already (a late label does not make a pair count twice). Raises `RoundRefused` for an abandoned round."""
    from flywheel.records import Pair
    from flywheel.storage.arrow import empty_table

    refuse_abandoned(home, round)
    annotations = home.lake.read("annotations", round, ["task_round"])
    rounds = sorted({*annotations["task_round"].to_pylist(), round})
    pairs = [home.lake.read("response_pairs", r) for r in rounds if home.lake.manifest("response_pairs", r)]
    batches = [home.lake.read("labeling_batch", r) for r in rounds if home.lake.manifest("labeling_batch", r)]
    known: set[str] = set()
    for earlier in home.lake.rounds("preferences"):
        if earlier < round:
            known |= set(home.lake.read("preferences", earlier, ["pair_id"])["pair_id"].to_pylist())
    table = pa.concat_tables(pairs) if pairs else empty_table(Pair)
    first = {p: i for i, p in reversed(list(enumerate(table["pair_id"].to_pylist())))}
    table = table.take(pa.array(sorted(first.values()), pa.int64())) if table.num_rows else table
    return table, pa.concat_tables(batches) if batches else empty_table(LabelingTask), known
