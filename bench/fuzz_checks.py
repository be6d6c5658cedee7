"""The oracle of the ingestion fuzzing: a delivery imported in many ways gives the same each time (`bench.fuzz_promises` says what each import
must keep). `check` raises `Finding` where something does not hold."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from bench.fuzz_deliveries import FORMS, Piece, expanded
from bench.fuzz_promises import (
    FORMATS,
    IDS,
    MAX_LINE,
    NOW,
    Finding,
    Got,
    Text,
    accounted,
    as_json,
    demand,
    guarded,
    read,
    taxonomy,
    told,
    valid,
)
from flywheel.ingestion import assembly, cuts, documents, files, parse, partition, segments
from flywheel.ingestion.landing import Imported, import_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Lake


def _refused(found: Imported) -> list[dict[str, Any]]:
    """The quarantine; of a file that is refused whole not how far reading came."""
    rows: list[dict[str, Any]] = found.quarantine.to_pylist()
    return [{**q, "line": 0, "message": ""} if q["reason"] == "unreadable_file" else q for q in rows]


def _same(one: Got, two: Got, what: str, *, counts: bool = True) -> None:
    left, right = one.imported, two.imported
    demand(
        left.records.drop_columns(["source"]).equals(right.records.drop_columns(["source"])),
        f"{what}: other records",
        (left.counts, right.counts),
    )
    demand(one.lines == two.lines, f"{what}: other canonical rows")
    if counts:
        demand(left.counts == right.counts, f"{what}: other counts", (left.counts, right.counts))
        refused, other = _refused(left), _refused(right)
        demand(
            refused == other,
            f"{what}: another quarantine",
            next(((a, b) for a, b in zip(refused, other, strict=False) if a != b), "more rows"),
        )
        demand((left.losses, left.skipped, left.weeks) == (right.losses, right.skipped, right.weeks), f"{what}: other losses or kinds")
    events = [{e.event_id for e in g.imported.consent_events} for g in (one, two)]
    demand(events[0] == events[1] and left.identities == right.identities, f"{what}: other consent or identities")


def written(pieces: Sequence[Piece], folder: Path) -> tuple[dict[str, bytes], dict[str, Text | None]]:
    """Put the files of a delivery into a new folder."""
    folder.mkdir()
    files, texts = {}, {}
    for number, given in enumerate(pieces):
        piece = Piece(given.form, expanded(given.data))
        name = f"f{number}.jsonl"
        files[name] = FORMS[piece.form](piece.data)
        texts[name] = told(piece, files[name])
        (folder / name).write_bytes(files[name])
    return files, texts


@contextmanager
def _in_memory() -> Iterator[None]:
    """Temporary files on a file system that waits for no disk, where there is one: a check makes hundreds."""
    before = tempfile.tempdir
    tempfile.tempdir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else before  # noqa: S108
    try:
        yield
    finally:
        tempfile.tempdir = before


def check(pieces: Sequence[Piece], seed: int, *, thorough: bool = True) -> Imported:
    """Import a delivery in many ways, or once and in one other way that `seed` chooses. Raises `Finding`."""
    with _in_memory(), tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        home = Path(scratch)
        delivered, texts = written(pieces, home / "landing")
        once = read(home / "landing", weekly=thorough or seed % 4 == 0)
        valid(once.imported)
        accounted(texts, once.imported)
        if thorough or seed % 4 == 0:
            _same(once, read(home / "landing", home / "store"), "with a store")
            _same(once, read(home / "landing", home / "store"), "a second time")
        if thorough or seed % 4 == 1:
            _taken_back_in(once, home)
        if thorough or seed % 4 == 2:
            _in_two_deliveries(once, delivered, texts, home, seed)
        if thorough or seed % 4 == 3:
            with _small_pieces():
                pieced = read(home / "landing")
            _same(once, pieced, "in small pieces")
            demand(once.imported.records.equals(pieced.imported.records), "in small pieces: other places")
            _as_a_partition(once, home)
        if seed % 8 == 3:
            valid(read(home / "landing", format=FORMATS[seed // 8 % len(FORMATS)]).imported)
        return once.imported


@contextmanager
def _small_pieces() -> Iterator[None]:
    """Chunks, windows and batches of a few bytes or rows: their borders fall everywhere."""
    small = [
        (cuts, "CHUNK", 700),
        (cuts, "LINES", 40),
        (cuts, "WINDOW", 60),
        (files, "CHUNK", 64),
        (documents, "WINDOW", 50),
        (parse, "BATCH", 3),
        (assembly, "BATCH", 2),
    ]
    small += [(assembly, "PASS_BYTES", 900), (segments, "ROWS_A_BATCH", 4), (partition, "BLOCK", 3)]
    before = [(module, name, getattr(module, name)) for module, name, _ in small]
    for module, name, value in small:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _as_a_partition(once: Got, home: Path) -> None:
    """What is written to the lake is what is given as a table."""
    for week in list(once.imported.weeks)[:1]:
        lake = Lake(home / "lake", home / "restricted")
        writer = lake.writer("inference_logs", week)
        with guarded():
            settings = IngestionSettings(workers=1, max_line_bytes=MAX_LINE)
            found = import_landing(
                str(home / "landing"), round=week, ids=IDS, settings=settings, now=NOW, taxonomy=taxonomy(), partition=writer
            )
            writer.commit(facts={"counts": found.counts})
            table = lake.read("inference_logs", week)
        mine = once.imported.records.filter(pc.equal(once.imported.records["round"], week))
        demand(table.num_rows == found.counts["accepted"] == mine.num_rows, "a partition holds other rows", (found.counts, mine.num_rows))
        demand(table["record_id"].to_pylist() == mine["record_id"].to_pylist(), "a partition holds other ids")
        demand(table.select(mine.column_names).equals(mine), "a partition holds other values")


def _taken_back_in(once: Got, home: Path) -> None:
    """Canonical rows are the same records again."""
    if not once.lines:
        return
    (home / "again").mkdir()
    (home / "again" / "rows.jsonl").write_bytes(b"\n".join(once.lines) + b"\n")
    again = read(home / "again").imported
    demand(again.counts["rows_read"] == len(once.lines), "canonical rows are read as other items", again.counts)
    if again.counts["quarantined"]:
        first = again.quarantine.to_pylist()[0]
        raise Finding(
            f"a canonical row is not taken back: {first['reason']} {re.sub('[0-9]+', 'N', str(first['field']))}",
            f"{first['message']}\n{first['raw']}",
        )
    left, right = (i.records.drop_columns(["source"]) for i in (once.imported, again))
    for name in left.column_names:
        demand(
            left[name].equals(right[name]), f"canonical rows give another {name}", (left[name].to_pylist()[:3], right[name].to_pylist()[:3])
        )


def _in_two_deliveries(once: Got, files: dict[str, bytes], texts: dict[str, Text | None], home: Path, seed: int) -> None:
    """A file that grows, and a file that comes in two parts, give what the whole file gives."""
    for name, text in texts.items():
        data = files[name]
        if text is None or len(data) < 2 or data[:1] == b"\x1f" or not data.startswith((b"{", b"\xef")):
            continue
        first = data.index(b"\n") + 1 if b"\n" in data else 0
        growing, parts = home / "growing", home / "parts"
        for folder in (growing, parts):
            folder.mkdir()
            for other, content in files.items():
                (folder / other).write_bytes(content)
        cut = first + seed % max(len(data) - first, 1)
        if first and cut:
            (growing / name).write_bytes(data[:cut])
            read(growing, home / "growing-store")
            (growing / name).write_bytes(data)
            _same(once, read(growing, home / "growing-store"), "a file that grew")
        bounds = [m for m in _line_starts(data) if isinstance(as_json(data[m:].split(b"\n", 1)[0]), dict)]
        if bounds and not (len(data) > 8 and data[0] < 16):
            at = bounds[seed % len(bounds)]
            (parts / name).unlink()
            (parts / name.replace(".jsonl", "-1.jsonl")).write_bytes(data[:at])
            (parts / name.replace(".jsonl", "-2.jsonl")).write_bytes(data[at:])
            split = read(parts)
            _same(once, split, "a file in two parts", counts=False)
            left, right = ({k: v for k, v in g.imported.counts.items() if k not in ("files", "incomplete")} for g in (once, split))
            demand(left == right, "a file in two parts: other counts", (left, right))
        return


def _line_starts(data: bytes) -> list[int]:
    found, at = [], data.find(b"\n") + 1
    while 0 < at < len(data):
        found.append(at)
        at = data.find(b"\n", at) + 1
    return found
