"""A look at logs without a round: everything is read once into a scratch folder, told, and forgotten. The run state is not touched."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flywheel.errors import BadInput
from flywheel.ingestion.assembly import assemble
from flywheel.ingestion.chunks import Workshop, pool
from flywheel.ingestion.formats.flywheel import NAME as OWN
from flywheel.ingestion.inputs import Inputs
from flywheel.ingestion.landing import Imported, Opened
from flywheel.ingestion.merge import Merge
from flywheel.ingestion.parse import UNREADABLE, ParseSettings
from flywheel.ingestion.partition import coverage_of
from flywheel.ingestion.progress import Progress
from flywheel.ingestion.reading import read_landing
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.output import CONTROL
from flywheel.settings import IngestionSettings
from flywheel.storage.ids import Ids

NAMED = 3
# what belongs to a call that is not in the files
STRAYS = frozenset({"feedback", "feedback without its call", "score", "score of no trace", "model inference", "session annotation"})


@dataclass(frozen=True)
class Look:
    """What was found. `formats`: items by the format that read them. `foreign`: files of which no row fits any format."""

    imported: Imported
    coverage: Counter[tuple[str, str]]
    formats: Counter[str]
    refused_files: Sequence[str]
    foreign: Sequence[str]

    @property
    def nothing_read(self) -> bool:
        """Not one row of any file."""
        return self.imported.counts["rows_read"] == len(self.refused_files)


@contextmanager
def looking(found: Inputs, settings: IngestionSettings, now: datetime, progress: Progress) -> Iterator[Opened]:
    """Read the files. Ids are made with a key that everybody knows: they order rows and leave with nothing."""
    ids = Ids(hashlib.sha256(b"flywheel ingest").digest())
    with tempfile.TemporaryDirectory(prefix="flywheel-") as scratch:
        place = Path(scratch)
        parse = ParseSettings(settings.format, settings.source, settings.max_line_bytes, ids, Taxonomy.load(settings))
        with pool(Workshop(place, parse), settings.workers) as processes:
            progress.now(
                f"reading {len(found.files):,} files, {found.size / 1e6:,.0f} MB:",
                lambda: f"{sum(1 for _ in place.glob('segments/*/*.seg')):,} pieces of up to 16 MB done",
            )
            reading = read_landing("", processes, durable=False, files=found.files)
            progress.now("putting parts together")
            joined = assemble(reading.occurrences, processes.workshop)
            progress.now("comparing ids")
            yield Opened(reading, joined, Merge.of(reading.occurrences, joined.segments), processes, ids, settings, now)


def told(opened: Opened, round: str | None, ignored: int) -> Look:
    """Counts, refusals, losses, and what kinds of records there are."""
    imported = opened.take(round, records=False)
    imported.counts["files_ignored"] = ignored
    coverage: Counter[tuple[str, str]] = Counter()
    for block in opened.accepted(("domain", "task_type"), round):
        coverage.update(coverage_of(block))
    formats: Counter[str] = Counter()
    known: dict[str, bool] = {}
    for name, meta in ((o.name, o.segment.meta) for o in opened.reading.occurrences):
        formats.update(meta["formats"])
        formats[OWN] += meta["items"] - sum(meta["formats"].values())
        fits = bool(meta["rows"] or not meta["items"] or meta["formats"].keys() - {OWN, UNREADABLE})
        known[name] = known.get(name, False) or fits
    return Look(imported, coverage, +formats, [r.name for r in opened.reading.refused], [name for name, fits in known.items() if not fits])


def warnings_of(found: Inputs, look: Look) -> list[str]:
    """What a user should know beside the counts, in sentences."""
    counts, skipped = look.imported.counts, look.imported.skipped
    made = []
    for names, text in (
        (found.ignored, "not read, for their suffix is none of a log's"),
        (found.unfinished, "not read, for their names say that they are hidden or still being written"),
        (found.odd, "not read: links that lead nowhere, pipes or the like"),
        (found.linked, "links to folders; what lies behind them was read once"),
    ):
        if names:
            made.append(f"{_named(names)}: {text}")
    if counts["incomplete"]:
        made.append(f"{counts['incomplete']} last lines are not finished and were left: their writers may still be at it")
    for kind in sorted(STRAYS & skipped.keys()):
        made.append(f"{skipped[kind]:,} x {kind}: the call that it belongs to is not in these files, or could not be used")
    if look.foreign:
        made.append(
            f"{_named(look.foreign)}: no row of it is of a known format (docs/formats.md); of CSV and the like, export JSON lines or Parquet"
        )
    return made


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(CONTROL.sub("?", n).replace("\n", "?") for n in names[:NAMED])
    return f"{len(names):,} files ({shown}, ...)" if len(names) > NAMED else shown


def checked_output(out: str, found: Inputs) -> str:
    """Where records may go. Raises `BadInput`: no log is ever written over."""
    if out == "-":
        return out
    path = Path(os.path.realpath(out))
    if found.holds(path):
        raise BadInput(f"--out {out} is one of the files that are read; name another one")
    if path.is_dir():
        raise BadInput(f"--out {out} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise BadInput(f"--out {out}: there is no folder {path.parent}")
    return str(path)


def write_lines(out: str, lines: Iterator[bytes]) -> int:
    """Lines to a file, whole or not at all (readable by its owner only: they hold raw logs), or to standard output. Gives their number."""
    if out == "-":
        return _write(sys.stdout.buffer, lines)
    path = Path(out)
    if path.exists() and not path.is_file():  # /dev/null: nothing to be replaced
        with open(path, "wb") as file:
            return _write(file, lines)
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", 1 << 20) as file:
            count = _write(file, lines)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def _write(file: Any, lines: Iterator[bytes]) -> int:
    count = 0
    for line in lines:
        file.write(line + b"\n")
        count += 1
    file.flush()
    return count
