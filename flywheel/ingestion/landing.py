"""A round's records out of the landing folder: every row read once, accepted once, or kept in quarantine with the reason.

The order is that of file names, then lines. Of two rows with one id the first wins: the same content again is a duplicate, other
content an `id_conflict`. A row of another week is left to that week's import, which also decides whether it is good.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from flywheel.governance.identity import Identity
from flywheel.ingestion.assembly import Joined, assemble
from flywheel.ingestion.chunks import Pool, Workshop, pool
from flywheel.ingestion.digests import week_digests
from flywheel.ingestion.learnt import Learnt
from flywheel.ingestion.merge import Decided, Merge, Picked, losses_of
from flywheel.ingestion.originals import Originals
from flywheel.ingestion.parse import ParseSettings
from flywheel.ingestion.partition import (
    ROWS_A_PART,
    PartTask,
    Place,
    WrittenPart,
    blocks,
    coverage_of,
    in_table_form,
    write_part,
)  # fmt: skip
from flywheel.ingestion.quarantine import RowKey
from flywheel.ingestion.quarantine_table import Conflicting, QuarantineRows
from flywheel.ingestion.reading import Reading, read_landing
from flywheel.ingestion.same_call import LOSS, same_calls
from flywheel.ingestion.segments import MONDAY, WEEK_US, weeks_of
from flywheel.ingestion.sweep import in_use
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.ingestion.timestamps import EPOCH, FLOOR, MICROSECOND
from flywheel.ingestion.written import Written
from flywheel.records import ConsentEvent, LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage.arrow import empty_table
from flywheel.storage.ids import Ids
from flywheel.storage.partition import PartitionWriter
from flywheel.weeks import round_of, window

if TYPE_CHECKING:
    from flywheel.governance import ConsentLedger, Vault

COUNTS = (
    "rows_read", "accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped", "files", "files_ignored",
    "incomplete",
)  # fmt: skip
CONFLICT = (
    "a row with this id came before, with other content: two calls need ids of their own; of one call that was logged twice, in two ways, "
    "the first row counts"
)


@dataclass(frozen=True)
class Imported:
    """A round's import. `counts`: rows_read == accepted + other_rounds + duplicates + quarantined + quarantined_elsewhere + joined (pieces
    that went into another row's record) + skipped; beside it files, files_ignored (no log by their suffix) and incomplete (last lines
    that are still being written, not read yet). `records` is empty where the rows went into a partition.
    `losses`: source field -> accepted rows in which it was not carried over. `weeks`: round -> rows whose time lies in it.
    `digests`: of each watched round what its rows are, in one text (`flywheel.ingestion.digests`), as of the `revision` of the landing folder.
    `skipped`: items that are no model call, by kind. `coverage`: (domain, task type) -> accepted rows. `reasons`: quarantined rows by code; `quarantine` is empty where these went into a partition of theirs.
    `consent_events` also has withdrawals from rows that are not taken (of another week, or bad): taking back needs no good row."""

    records: pa.Table
    quarantine: pa.Table
    losses: dict[str, int]
    counts: dict[str, int]
    weeks: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    coverage: dict[tuple[str, str], int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    learnt: Learnt | None = None
    digests: dict[str, str] = field(default_factory=dict)
    revision: int = 0

    @property
    def joined(self) -> int:
        """Pieces that went into another row's record."""
        return self.counts["joined"]

    @property
    def consent_events(self) -> list[ConsentEvent]:
        """What the rows say about consent, by time."""
        return [] if self.learnt is None else self.learnt.consent_events()

    def tell(self, ledger: ConsentLedger, vault: Vault) -> None:
        """What the rows say about consent to the ledger, and who the subjects are to the vault. Told twice, it changes nothing."""
        if self.learnt is not None:
            self.learnt.tell(ledger, vault)

    @property
    def identities(self) -> list[Identity]:
        """Raw values that tell who a subject is, sorted."""
        return [] if self.learnt is None else sorted(set(self.learnt.identities()))


@dataclass
class Opened:
    """A landing folder that has been read: any round, or all, can be taken from it."""

    reading: Reading
    joined: Joined
    merge: Merge
    pool: Pool
    ids: Ids
    settings: IngestionSettings
    now: datetime

    def take(
        self, round: str | None, *, quarantined_elsewhere: frozenset[RowKey] = frozenset(), partition: PartitionWriter | None = None,
        quarantine: PartitionWriter | None = None, records: bool = True, watch: Sequence[str] = (),
    ) -> Imported:  # fmt: skip
        """What belongs to `round` (None: every week); rows into `partition` and refused ones into `quarantine` where these are given. Without
        `records` only what is counted and refused. `watch` names the rounds whose digest is wanted."""
        start, end = _span(round)
        decided, same = self._without_same_calls(self._decided(start, end))
        counts: Counter[str] = Counter({n: getattr(self.reading, n) for n in ("files", "files_ignored", "incomplete")})
        rows = self._refused(round or round_of(self.now), start, end, decided, quarantined_elsewhere)
        refused = rows.into(quarantine)
        counts.update(
            accepted=len(decided.accepted), duplicates=len(decided.duplicates) + len(same) + self.joined.duplicates,
            other_rounds=decided.others + rows.counts["others"], quarantined=rows.counts["quarantined"],
            quarantined_elsewhere=rows.counts["quarantined_elsewhere"], joined=self.joined.joined, rows_read=self._rows_read() + decided.retired_accepted,
        )  # fmt: skip
        skipped = self.joined.skipped + Counter()
        for o in self.reading.occurrences:
            if not o.retired:
                skipped.update(o.segment.meta["skipped"])
        counts["skipped"] = skipped.total()
        taken, coverage = self._records(round, decided.accepted, partition) if records else (empty_table(LogRecord), Counter())
        heard = (decided.accepted, decided.duplicates, same, decided.conflicts)
        losses = losses_of(self.merge, decided.accepted) + Counter({LOSS: len(same)})
        return Imported(
            records=taken, quarantine=refused, reasons=dict(sorted(rows.reasons.items())), losses=dict(sorted((+losses).items())),
            counts={name: counts[name] for name in COUNTS}, weeks=self._weeks(), skipped=dict(sorted(skipped.items())),
            coverage=dict(sorted(coverage.items())), learnt=Learnt(self.merge, self.joined, self.reading, heard, decided.accepted, self.ids, self.now),
            digests=week_digests(self.merge, self.reading, self.joined, watch, self._latest()), revision=self.reading.revision,
        )  # fmt: skip

    def _without_same_calls(self, decided: Decided) -> tuple[Decided, Picked]:
        """Rows that only seem to contradict the first one of their id: they tell the same call, in another form."""
        same = same_calls(self._places(), decided.conflicts, decided.firsts)
        other = replace(decided, conflicts=decided.conflicts.take(~same), firsts=decided.firsts.take(~same))
        return other, decided.conflicts.take(same)

    def canonical_rows(self, round: str | None = None) -> Iterator[bytes]:
        """Every accepted row of `round` (None: every week) as a canonical JSON line with raw ids."""
        from flywheel.ingestion.canonical_lines import LINE_COLUMNS, canonical_lines

        accepted = self._decided(*_span(round)).accepted
        start = 0
        for block in blocks(self._places(), accepted.run, accepted.row, LINE_COLUMNS):
            statements = []
            for run, number in zip(*(a[start : start + block.num_rows].tolist() for a in (accepted.run, accepted.consent)), strict=True):
                statements.append(None if number < 0 else self.merge.runs[run].segment.meta["statements"][number])
            start += block.num_rows
            yield from canonical_lines(block, statements)

    def accepted(self, columns: Sequence[str], round: str | None = None) -> Iterator[pa.Table]:
        """Some columns of the accepted rows of `round` (None: every week) and their `source`, a block at a time."""
        rows = self._decided(*_span(round)).accepted
        return blocks(self._places(), rows.run, rows.row, columns)

    def _decided(self, start: int, end: int) -> Decided:
        return self.merge.decide(start, end, self._latest())

    def _latest(self) -> int:
        return _micros(self.now + timedelta(seconds=self.settings.max_future_s))

    def _rows_read(self) -> int:
        own = 0
        for o in self.reading.occurrences:
            if not o.retired:
                own += o.segment.meta["items"] - o.segment.meta.get("parts", 0)
        return own + len(self.reading.refused) + self.joined.parts + self.joined.extra

    def _weeks(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for segment in [*(o.segment for o in self.reading.occurrences if not o.retired), *self.joined.segments]:
            for week, count in segment.meta["weeks"].items():
                found[_round_of_week(int(week))] += count
        return dict(sorted(found.items()))

    def _refused(self, round: str, start: int, end: int, decided: Decided, elsewhere: frozenset[RowKey]) -> QuarantineRows:
        """What goes to this round's quarantine."""
        latest = self.now + timedelta(seconds=self.settings.max_future_s)
        future = f"timestamp lies after {latest:%Y-%m-%d %H:%M:%S} UTC, the clock of this import"
        return QuarantineRows(
            self.reading, self.joined, self.merge, Originals(self.reading, self._places(), self.settings.max_line_bytes),
            [Conflicting(decided.conflicts, "id_conflict", CONFLICT, "id"), Conflicting(decided.future, "future_timestamp", future, "timestamp")],
            round, start, end, _micros(latest), elsewhere,
        )  # fmt: skip

    def _places(self) -> tuple[Place, ...]:
        names = tuple(o.name for o in self.reading.occurrences)
        lines = tuple(o.line for o in self.reading.occurrences)
        return tuple(
            Place(_light(r.segment), names, lines, True)
            if r.occurrence is None
            else Place(_light(r.segment), (names[r.occurrence],), (lines[r.occurrence],))
            for r in self.merge.runs
        )

    def _records(self, round: str | None, rows: Picked, partition: PartitionWriter | None) -> tuple[pa.Table, Counter[tuple[str, str]]]:
        coverage: Counter[tuple[str, str]] = Counter()
        places = self._places()
        if partition is None:
            made = []
            for block in blocks(places, rows.run, rows.row):
                coverage.update(coverage_of(block))
                made.append(in_table_form(block, round or _rounds_of(block)))
            return (pa.concat_tables(made) if made else empty_table(LogRecord)), coverage
        known = Written(self.pool.workshop.folder, partition, places, rows)
        if (covered := known.again()) is not None:
            return empty_table(LogRecord), covered
        tasks = []
        for number, first in enumerate(range(0, max(len(rows), 1), ROWS_A_PART)):
            part = slice(first, first + ROWS_A_PART)
            used, run = np.unique(rows.run[part], return_inverse=True)
            own = tuple(places[n] for n in used.tolist())
            tasks.append(PartTask(partition.scratch(number), partition.round, own, run.astype(np.int32), rows.row[part]))
        for written in self._written(tasks):
            partition.add(written.path, written.rows, written.sha256)
            coverage.update(written.coverage)
        known.note(coverage)
        return empty_table(LogRecord), coverage

    def _written(self, tasks: Sequence[PartTask]) -> Iterator[WrittenPart]:
        if len(tasks) == 1 or self.pool.workers == 1:
            yield from map(write_part, tasks)
            return
        running: list[Future[WrittenPart]] = [self.pool.executor.submit(write_part, t) for t in tasks]
        for done in running:
            yield done.result()


@contextmanager
def open_landing(
    landing: str, *, ids: Ids, settings: IngestionSettings, now: datetime, store: Path | None = None, taxonomy: Taxonomy | None = None
) -> Iterator[Opened]:
    """Read every log below `landing` (path or fsspec URL) as far as it is not known yet. `store` is the folder in the restricted zone that
    keeps what was read, and is swept in the end; without one everything is read anew and forgotten. Raises `BadInput` where there is no such folder."""
    with tempfile.TemporaryDirectory(prefix="flywheel-") as scratch, in_use(store or Path(scratch)) as use:
        parse = ParseSettings(settings.format, settings.source, settings.max_line_bytes, ids, taxonomy or Taxonomy.load(settings))
        with pool(Workshop(store or Path(scratch), parse), settings.workers) as processes:
            reading = read_landing(landing, processes, durable=store is not None)
            joined = assemble(reading.occurrences, processes.workshop)
            merge = Merge.of(reading.occurrences, joined.segments)
            yield Opened(reading, joined, merge, processes, ids, settings, now)
        if store is not None:
            use.sweep({s.path.parent.name for s in joined.segments})


def import_landing(
    landing: str, *, round: str | None, ids: Ids, settings: IngestionSettings, now: datetime, quarantined_elsewhere: frozenset[RowKey] = frozenset(),
    store: Path | None = None, partition: PartitionWriter | None = None, quarantine: PartitionWriter | None = None, taxonomy: Taxonomy | None = None,
    watch: Sequence[str] = (),
) -> Imported:  # fmt: skip
    """What of `landing` (path or fsspec URL) belongs to `round` (None: every week at once).

    `now` is the clock that tells a future timestamp. Rows whose time cannot be used belong to no week: they come back in this import's
    quarantine unless they are among `quarantined_elsewhere` (file, line, hash of the raw row). With `store` (a folder in the restricted
    zone) nothing is read twice; with `partition` the rows go there, with `quarantine` those that are refused. Raises `BadInput` where there is no such folder.
    """
    with open_landing(landing, ids=ids, settings=settings, now=now, store=store, taxonomy=taxonomy) as opened:
        found = opened.take(round, quarantined_elsewhere=quarantined_elsewhere, partition=partition, quarantine=quarantine, watch=watch)
        if store is None and found.learnt is not None:
            found.learnt.settle()  # the segments are about to go
        return found


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def _span(round: str | None) -> tuple[int, int]:
    return (FLOOR, 2**62) if round is None else (_micros(window(round)[0]), _micros(window(round)[1]))


def _round_of_week(week: int) -> str:
    return (EPOCH + timedelta(microseconds=week * WEEK_US + MONDAY)).date().isoformat()


def _rounds_of(block: pa.Table) -> pa.Array:
    weeks = weeks_of(block["timestamp"].cast(pa.int64()).to_numpy()).tolist()
    return pa.array([_round_of_week(w) for w in weeks], pa.string())


def _light(segment: Any) -> Any:
    return replace(segment, meta={k: segment.meta[k] for k in ("sections", "rows", "batch")})
