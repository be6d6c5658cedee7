"""What a landing folder holds of each week, as one short text: it changes when a record of the week comes, changes or goes, whatever brought
that about (a row, a score, a log event, an answer of a batch), and not when the same rows are delivered once more or cut in other pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from flywheel.ingestion.assembly import Joined
from flywheel.ingestion.merge import Merge
from flywheel.ingestion.reading import Reading
from flywheel.ingestion.segments import MONDAY, WEEK_US, Segment
from flywheel.ingestion.timestamps import EPOCH

FIRST_MONDAY = date.fromordinal(EPOCH.date().toordinal() + MONDAY // 86_400_000_000)


def week_digests(merge: Merge, reading: Reading, joined: Joined, rounds: Iterable[str], latest: int) -> dict[str, str]:
    """The digest of each round: over ids, contents and times of the rows up to `latest` (microseconds), and over refused rows by their place.
    Eight bytes a row are held at once."""
    return {r: _digest(list(_week(merge, reading, joined, (date.fromisoformat(r) - FIRST_MONDAY).days // 7, latest))) for r in rounds}


def _week(merge: Merge, reading: Reading, joined: Joined, week: int, latest: int) -> Iterator[Any]:
    start = week * WEEK_US + MONDAY
    for run in merge.runs:
        if str(week) not in run.segment.meta["weeks"]:
            continue
        table = run.segment.keys(["timestamp", "id_high", "content_high"])
        time = table["timestamp"].cast("int64").to_numpy()
        first, last = np.searchsorted(time, [start, min(start + WEEK_US, latest + 1)])
        if first < last:
            part = slice(first, last)
            yield _mixed(time[part].astype(np.uint64), table["id_high"].to_numpy()[part], table["content_high"].to_numpy()[part])
    places = [(o.name, o.line, o.segment) for o in reading.occurrences if not o.retired]
    for name, line, segment in [*places, *(("", 0, s) for s in joined.segments)]:
        if str(week) in segment.meta["weeks"] and "refused" in segment.meta["sections"]:
            yield _refused(segment, name, line, start)


def _refused(segment: Segment, name: str, line: int, start: int) -> Any:
    table = segment.demand("refused", ["line", "reason", "raw", "moment"]).read_all()
    mine = table.filter(pc.and_(pc.greater_equal(table["moment"], start), pc.less(table["moment"], start + WEEK_US)))
    texts = (f"{name}\0{line + r['line']}\0{r['reason']}\0{r['raw']}" for r in mine.to_pylist())
    return np.array([int.from_bytes(hashlib.sha256(t.encode("utf-8", "surrogatepass")).digest()[:8], "big") for t in texts], np.uint64)


def _mixed(time: Any, id_: Any, content: Any) -> Any:
    """One number a row, of all its bits."""
    mixed = time * np.uint64(0x9E3779B97F4A7C15) ^ id_
    mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9) + content
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _digest(parts: list[Any]) -> str:
    every = np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    every = every[np.append(True, every[1:] != every[:-1])] if len(every) else every  # each once
    return f"{len(every)}:{int(every.sum(dtype=np.uint64)):016x}"
