"""What every import promises, whatever it reads: it ends without a crash, its counts add up, its rows are valid, no line is lost. A promise
that is not kept is a `Finding`."""

from __future__ import annotations

import json
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from bench.fuzz_deliveries import LINES, Piece
from flywheel.errors import BadInput
from flywheel.ingestion.landing import Imported, open_landing
from flywheel.ingestion.quarantine import REASONS, readable
from flywheel.ingestion.rows import TOP
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, from_table

NOW, IDS = datetime(2027, 1, 1, tzinfo=UTC), Ids(b"k" * 32)
MAX_LINE = 300_000
OUTCOMES = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")
# a row with these keys only is one item, whichever reader takes it
ONE_ITEM = TOP | {"request", "session_id", "workload_id", "client_id"}
FILE_REASONS = ("empty_file", "unreadable_file")
FORMATS = ("flywheel", "openai", "nvidia", "batch", "stored_completion", "otel", "phoenix", "langfuse", "tensorzero")
SECONDS = 30.0


class Finding(AssertionError):
    """A promise that ingestion does not keep. `key` names it, so that it is counted once."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(f"{key}: {detail[:2_000]}")
        self.key = key


class Got(NamedTuple):
    """One import."""

    imported: Imported
    lines: list[bytes]


@cache
def taxonomy() -> Taxonomy:
    return Taxonomy.load(IngestionSettings())


def demand(holds: bool, key: str, detail: Any = "") -> None:
    """Raise a `Finding` unless it holds."""
    if not holds:
        raise Finding(key, str(detail))


@contextmanager
def guarded() -> Iterator[None]:
    """A crash is a finding under the name of the place where it happened."""
    try:
        yield
    except (BadInput, Finding):
        raise
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/flywheel/" in f.filename] or traceback.extract_tb(
            error.__traceback__
        )
        place = f"{Path(frames[-1].filename).name}:{frames[-1].name}"
        raise Finding(f"crash {type(error).__name__} in {place}", "".join(traceback.format_exception(error)[-6:])) from error


def read(folder: Path, store: Path | None = None, format: str = "auto", *, weekly: bool = False) -> Got:
    """Every week of a folder."""
    began = time.monotonic()
    settings = IngestionSettings(workers=1, max_line_bytes=MAX_LINE, format=format)
    with guarded(), open_landing(str(folder), ids=IDS, settings=settings, now=NOW, store=store, taxonomy=taxonomy()) as opened:
        whole = opened.take(None)
        weeks = [opened.take(week) for week in whole.weeks] if weekly and len(whole.weeks) <= 3 else []
        if whole.learnt is not None:
            whole.learnt.settle()  # the segments do not stay
        got = Got(whole, list(opened.canonical_rows()))
    demand(time.monotonic() - began < SECONDS, "slow", f"{time.monotonic() - began:.0f} s")
    for found in (whole, *weeks):
        _balanced(found)
    if weeks:
        demand(sum(w.counts["accepted"] for w in weeks) == whole.counts["accepted"], "weeks do not add up", [w.counts for w in weeks])
    return got


def _balanced(found: Imported) -> None:
    counts = found.counts
    demand(counts["rows_read"] == sum(counts[k] for k in OUTCOMES), "counts do not add up", counts)
    demand(all(v >= 0 for v in counts.values()), "a negative count", counts)
    demand(counts["accepted"] == found.records.num_rows, "accepted is not what the table holds", counts)
    demand(counts["quarantined"] == found.quarantine.num_rows, "quarantined is not what the table holds", counts)
    demand(counts["skipped"] == sum(found.skipped.values()), "skipped is not the sum of its kinds", found.skipped)


def valid(found: Imported) -> None:
    for table in (found.records, found.quarantine):
        table.validate(full=True)
        for name in table.column_names:
            _utf8(table[name].to_pylist())
    ids = found.records["record_id"].to_pylist()
    demand(len(set(ids)) == len(ids), "a record twice", ids)
    try:
        from_table(LogRecord, found.records)
    except ValueError as error:
        raise Finding("an accepted row does not validate", str(error)) from error
    unknown = set(found.quarantine["reason"].to_pylist()) - set(REASONS)
    demand(not unknown, "a reason that is none", unknown)
    json.dumps([found.losses, found.counts, found.weeks]).encode()
    _ = found.consent_events, found.identities


def _utf8(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise Finding("text that is not UTF-8", str(error)) from error


class Text(NamedTuple):
    """What a file of lines should be, told without the code under test: its lines by number, and whether each is certainly one item."""

    lines: dict[int, bytes]
    unfinished: bool
    one_item_each: bool


def told(piece: Piece, data: bytes) -> Text | None:
    """Of a file whose first line is a whole JSON object; None where another reading is possible."""
    if piece.form not in LINES:
        return None
    text = piece.data if piece.form in ("gzip", "zstd", "members") else data
    text = text.removeprefix(b"\xef\xbb\xbf")
    lines = {n + 1: line for n, line in enumerate(text.split(b"\n")) if line.strip()}
    if not lines or text.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1")) or (len(text) > 8 and text[0] < 16):
        return None
    first = as_json(lines[min(lines)])
    if not isinstance(first, dict):
        return None
    return Text(lines, bool(text) and not text.endswith(b"\n"), all(_one_item(line) for line in lines.values()))


def as_json(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError):
        return None


def _one_item(line: bytes) -> bool:
    value = as_json(line)
    return not isinstance(value, dict) or ONE_ITEM.issuperset(value)


def accounted(texts: dict[str, Text | None], found: Imported) -> None:
    """No line is lost, none is counted twice, and the quarantine shows what came."""
    refused = Counter(found.quarantine["file"].to_pylist())
    bad_files = {q["file"] for q in found.quarantine.to_pylist() if q["reason"] in FILE_REASONS}
    known = {n: t for n, t in texts.items() if t is not None}
    demand(not bad_files & set(known), "a readable file is refused whole", bad_files)
    if len(known) == len(texts):
        lines = sum(len(t.lines) for t in known.values())
        items = found.counts["rows_read"] + found.counts["incomplete"]
        demand(items >= lines, "a line is lost", (lines, found.counts))
        if all(t.one_item_each for t in known.values()):
            demand(items == lines, "a line is counted twice", (lines, found.counts))
        demand(
            found.counts["incomplete"] <= sum(t.unfinished for t in known.values()),
            "a finished line is taken for an unfinished one",
            found.counts,
        )
    demand(all(n in texts for n in refused), "a file that is not there", refused)
    places = Counter(
        (q["file"], q["line"]) for q in found.quarantine.to_pylist() if (t := known.get(q["file"])) is not None and t.one_item_each
    )
    demand(all(n == 1 for n in places.values()), "a line is refused twice", places)
    for row in found.quarantine.to_pylist():
        text = known.get(row["file"])
        if text is not None and text.one_item_each:
            line = text.lines.get(row["line"])
            if line is None:
                raise Finding("a refused row has the wrong line", str({k: row[k] for k in ("file", "line", "reason")}))
            if len(line) <= MAX_LINE:
                demand(
                    row["raw"].rstrip("\r") == readable(line).rstrip("\r"),
                    "the quarantine does not show what came",
                    (row["raw"][:500], line[:500]),
                )
