"""Segments to what a round takes in: which rows are the first of their id, which came before, which contradict, and in which order they
stand. Works on keys alone (time, id, content hash); texts are read when the partition is written (`flywheel.ingestion.partition`).

The order of rows that share an id is that of file names, then lines; rows of retired chunks come last and only where no other has their id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.ingestion.reading import Occurrence
from flywheel.ingestion.segments import KEYS, Segment

SEQ_BITS = 32
LATE = np.int64(1) << 62  # added to the order of retired rows


@dataclass(frozen=True)
class Run:
    """Sorted rows of one segment at one place. `occurrence` is None for an assembled segment, whose rows each name their own."""

    segment: Segment
    occurrence: int | None
    retired: bool = False


@dataclass
class Keys:
    """Keys of rows, and where these are: run and number in it."""

    time: Any
    high: Any
    low: Any
    content: Any
    content_low: Any
    order: Any
    run: Any
    row: Any
    losses: Any
    consent: Any

    def take(self, chosen: Any) -> Keys:
        """Some of them."""
        return Keys(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.time)


@dataclass
class Picked:
    """Rows that have been judged: where they are, and the numbers of their losses and their statement there."""

    order: Any
    run: Any
    row: Any
    losses: Any
    consent: Any

    @classmethod
    def of(cls, keys: Keys, chosen: Any) -> Picked:
        """Some rows, in this order."""
        return cls(*(getattr(keys, name)[chosen] for name in cls.__dataclass_fields__))

    def take(self, chosen: Any) -> Picked:
        """Some of them."""
        return Picked(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.order)


@dataclass
class Decided:
    """What becomes of the rows of a window. `accepted` is in the table's order. Others are in the order of the files."""

    accepted: Picked
    duplicates: Picked
    conflicts: Picked
    firsts: Picked  # of each conflict the first row of its id; `run` is -1 where that one lies in another window
    future: Picked
    others: int = 0  # rows of other windows
    retired_accepted: int = 0


@dataclass
class Merge:
    """All runs of one reading."""

    runs: list[Run] = field(default_factory=list)

    @classmethod
    def of(cls, occurrences: Sequence[Occurrence], assembled: Sequence[Segment]) -> Merge:
        """Every segment that holds rows."""
        runs = [Run(o.segment, n, o.retired) for n, o in enumerate(occurrences) if o.segment.rows]
        return cls(runs + [Run(s, None) for s in assembled if s.rows])

    def _keys(self, number: int) -> Keys:
        run = self.runs[number]
        columns = KEYS if run.occurrence is not None else (*KEYS, "origin")
        table = run.segment.keys(columns)
        held = {name: _numpy(table[name]) for name in columns}
        origin = held["origin"] if run.occurrence is None else np.int64(run.occurrence)
        order = (np.int64(1) * origin << SEQ_BITS) + held["seq"].astype(np.int64) + (LATE if run.retired else np.int64(0))
        count = table.num_rows
        return Keys(
            held["timestamp"], held["id_high"], held["id_low"], held["content_high"], held["content_low"], order,
            np.full(count, number, np.int32), np.arange(count, dtype=np.int32), held["losses"], held["consent"],
        )  # fmt: skip

    def decide(self, start: int, end: int, latest: int) -> Decided:
        """Judge the rows whose time (microseconds since 1970) lies in [start, end); those after `latest` are of the future."""
        mine: list[Keys] = []
        future: list[Keys] = []
        outside: list[int] = []
        others = 0
        for number in range(len(self.runs)):
            keys = self._keys(number)
            known = int(np.searchsorted(keys.time, latest, "right"))
            future.append(keys.take(slice(known, None)))
            low, high = np.searchsorted(keys.time[:known], [start, end])
            mine.append(keys.take(slice(low, high)))
            if known - (high - low):
                outside.append(number)
                others += 0 if self.runs[number].retired else known - int(high - low)
        rows = _joined(mine)
        mine.clear()
        accepted, duplicates, conflicts, leaders = _judged(rows, self._claims(rows, outside, start, end, latest))
        accepted = accepted[np.lexsort((rows.high[accepted], rows.time[accepted]))]
        accepted = _exactly(rows, accepted)
        later = _joined(future)
        picked, by_file = Picked.of(rows, accepted), _order_by_file(rows, conflicts)
        conflicts, leaders = conflicts[by_file], leaders[by_file]
        firsts = Picked.of(rows, np.where(leaders < len(rows), leaders, conflicts))
        firsts.run = np.where(leaders < len(rows), firsts.run, -1)
        return Decided(
            picked, _by_file(rows, duplicates), Picked.of(rows, conflicts), firsts, _by_file(later, np.arange(len(later))), others,
            int((picked.order >= LATE).sum()),
        )  # fmt: skip

    def _claims(self, rows: Keys, outside: Sequence[int], start: int, end: int, latest: int) -> Keys:
        """Rows of other windows that have an id of this one."""
        if not outside:
            return _joined([])
        wanted = np.sort(rows.high)
        found = []
        for number in outside:
            keys = self._keys(number)
            away = ((keys.time < start) | (keys.time >= end)) & (keys.time <= latest)
            found.append(keys.take(np.flatnonzero(away)[_among(keys.high[away], wanted)]))
        return _joined(found)


def _among(values: Any, ascending: Any) -> Any:
    """Which of the values stand among the others."""
    at = np.searchsorted(ascending, values)
    return ascending[np.minimum(at, len(ascending) - 1)] == values if len(ascending) else np.zeros(len(values), bool)


def _numpy(column: pa.ChunkedArray) -> Any:
    return column.cast(pa.int64()).to_numpy() if pa.types.is_timestamp(column.type) else column.to_numpy()


def _joined(parts: Sequence[Keys]) -> Keys:
    if not parts:
        empty = {"high": np.uint64, "low": np.uint64, "content": np.uint64, "content_low": np.uint64, "run": np.int32, "row": np.int32}
        return Keys(**{name: np.zeros(0, empty.get(name, np.int64)) for name in Keys.__dataclass_fields__})
    return Keys(*(np.concatenate([getattr(p, name) for p in parts]) for name in Keys.__dataclass_fields__))


def _exactly(rows: Keys, order: Any) -> Any:
    """The order by time and id, where two ids of one moment share their first half too."""
    same = (rows.time[order[1:]] == rows.time[order[:-1]]) & (rows.high[order[1:]] == rows.high[order[:-1]])
    return order[np.lexsort((rows.low[order], rows.high[order], rows.time[order]))] if same.any() else order


def _by_file(rows: Keys, chosen: Any) -> Picked:
    """Rows in the order of the files, without retired ones."""
    return Picked.of(rows, chosen[_order_by_file(rows, chosen)])


def _order_by_file(rows: Keys, chosen: Any) -> Any:
    kept = np.flatnonzero(rows.order[chosen] < LATE)
    return kept[np.argsort(rows.order[chosen[kept]])]


def _judged(rows: Keys, claims: Keys) -> tuple[Any, Any, Any, Any]:
    """Numbers of the first row of each id, of its repetitions, of the rows that contradict it, and of these rows' first rows (from `len(rows)`
    on among `claims`)."""
    count = len(rows)
    every = _joined([rows, claims]) if len(claims) else rows
    order = np.argsort(every.high, kind="stable")
    sorted_high = every.high[order]
    shared = np.zeros(len(order), bool)
    same = sorted_high[1:] == sorted_high[:-1]
    shared[1:] |= same
    shared[:-1] |= same
    alone, group = order[~shared], order[shared]
    alone = alone[alone < count]
    if not len(group):
        return alone, group, group, group
    group = group[np.lexsort((every.order[group], every.low[group], every.high[group]))]
    first = np.ones(len(group), bool)
    first[1:] = (every.high[group][1:] != every.high[group][:-1]) | (every.low[group][1:] != every.low[group][:-1])
    leader = group[np.maximum.accumulate(np.where(first, np.arange(len(group)), 0))]
    equal = (every.content[group] == every.content[leader]) & (every.content_low[group] == every.content_low[leader])
    here = group < count
    repeated = here & ~first & equal & (leader < count)
    contrary = here & ~first & ~repeated
    return np.concatenate([alone, group[first & here]]), group[repeated], group[contrary], leader[contrary]


def losses_of(merge: Merge, rows: Picked) -> Counter[str]:
    """Source fields that were not carried over, counted over `rows`."""
    found: Counter[str] = Counter()
    for run, number, times in _counted(rows.run, rows.losses):
        if number:
            for name, count in merge.runs[run].segment.meta["losses"][number].items():
                found[name] += count * times
    return found


def _counted(run: Any, number: Any) -> Iterator[tuple[int, int, int]]:
    """(run, number, how often), of the non-zero numbers."""
    marked = number > 0
    pairs, counts = np.unique(np.stack([run[marked], number[marked].astype(np.int64)]), axis=1, return_counts=True)
    yield from zip(pairs[0].tolist(), pairs[1].tolist(), counts.tolist(), strict=True)
