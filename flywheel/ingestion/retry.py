"""Quarantined log rows looked at again: what would become of each today, with the present reader, settings, clock and landing folder.

The landing folder is read as the next run would read it, so that parts which came since are found. A row whose file is no longer there is
judged by the text that the quarantine kept. Nothing comes in here: runs do that.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.files import local_file
from flywheel.ingestion.inputs import Inputs
from flywheel.ingestion.landing import Opened, open_landing
from flywheel.ingestion.look import looking
from flywheel.ingestion.progress import Progress
from flywheel.storage import Home
from flywheel.weeks import round_of

Row = Mapping[str, Any]
Place = tuple[str, int]
Outcome = Literal["accepted", "settled", "deliver_again", "refused", "no_text"]
TEXT = "rows.jsonl"
ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Again:
    """What would become of a row. `accepted`: it comes in with a run of `round`. `settled`: its file is there and it is no longer refused (it
    belongs to another row's record, came before, is no model call, or was mended). `deliver_again`: good by itself, but its file is gone.
    `refused`: for this reason. `no_text`: its file is gone and the quarantine does not hold all of it."""

    row: Row
    outcome: Outcome
    round: str | None = None
    reason: str | None = None
    field: str | None = None
    message: str | None = None


def retried(home: Home, rows: Sequence[Row], progress: Progress) -> list[Again]:
    """Each of `rows`, in order."""
    places = {(r["file"], r["line"]) for r in rows}
    progress.now("reading the landing folder as the next run would")
    with open_landing(
        home.landing, ids=home.ids, settings=home.settings.ingestion, now=home.now(), store=home.restricted / "ingestion"
    ) as opened:
        refused: dict[Place, list[Row]] = defaultdict(list)
        for batch in opened.take(None, records=False).quarantine.to_batches(max_chunksize=ROWS_AT_ONCE):
            for row in batch.to_pylist():
                if (row["file"], row["line"]) in places:
                    refused[row["file"], row["line"]].append(row)
        rounds = _rounds(opened, places)
        present = opened.reading.present.keys()
    before = {(q["file"], q["line"], q["raw"]) for q in _stored_at(home, places)}
    made: list[Again | None] = []
    for row in rows:
        place = row["file"], row["line"]
        # the same text, or what its line gives today
        now = [r for r in refused[place] if r["raw"] == row["raw"]] or [r for r in refused[place] if (*place, r["raw"]) not in before]
        if not now and place in rounds:
            made.append(Again(row, "accepted", rounds[place]))
        elif row["file"] not in present:  # what was read of it is kept as it was read then
            made.append(None)
        else:
            made.append(Again(row, "refused", None, now[0]["reason"], now[0]["field"], now[0]["message"]) if now else Again(row, "settled"))
    told = iter(_by_text(home, [row for row, again in zip(rows, made, strict=True) if again is None], progress))
    return [again or next(told) for again in made]


def _stored_at(home: Home, places: set[Place]) -> Iterator[Row]:
    """All that the quarantine holds of these places."""
    for round in home.lake.rounds("quarantine"):
        for batch in home.lake.batches("quarantine", round, ["file", "line", "raw"]):
            yield from (q for q in batch.to_pylist() if (q["file"], q["line"]) in places)


def _rounds(opened: Opened, places: set[Place]) -> dict[Place, str]:
    """The round of each place that an accepted row stands at."""
    found, files = {}, pa.array(sorted({file for file, _ in places}), pa.string())
    for block in opened.accepted(("timestamp",)):
        kept = block.filter(pc.is_in(pc.struct_field(block["source"], "file"), files))
        for row in kept.to_pylist():
            place = row["source"]["file"], row["source"]["line"]
            if place in places:
                found[place] = round_of(row["timestamp"])
    return found


def whole(row: Row) -> bool:
    """Does the quarantine hold all of the row's text?"""
    return bool(row["raw"]) and row["reason"] != "line_too_long"


def _by_text(home: Home, rows: Sequence[Row], progress: Progress) -> list[Again]:
    kept = [r for r in rows if whole(r)]
    if not kept:
        return [Again(r, "no_text", None, r["reason"], r["field"], r["message"]) for r in rows]
    with tempfile.TemporaryDirectory(prefix="flywheel-") as scratch:
        path = Path(scratch) / TEXT
        path.write_bytes(b"".join(text_of(r) + b"\n" for r in kept))
        path.chmod(0o600)
        with looking(Inputs([local_file(path, TEXT)]), home.settings.ingestion, home.now(), progress) as opened:
            refused = {r["line"]: r for r in opened.take(None, records=False).quarantine.to_pylist()}
            rounds = _rounds(opened, {(TEXT, n) for n in range(1, len(kept) + 1)})
    made, line = [], 0
    for row in rows:
        if not whole(row):
            made.append(Again(row, "no_text", None, row["reason"], row["field"], row["message"]))
            continue
        line += 1
        if (now := refused.get(line)) is not None:
            made.append(Again(row, "refused", None, now["reason"], now["field"], now["message"]))
        else:
            made.append(Again(row, "deliver_again", rounds.get((TEXT, line))))
    return made


def text_of(row: Row) -> bytes:
    """A row's text as one line of a file."""
    return str(row["raw"]).replace("\n", " ").replace("\r", " ").encode("utf-8", "surrogatepass")
