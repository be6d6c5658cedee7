"""The landing folder to segments: what is new is read, what is known is not, and an index remembers which file is made of which chunks.

What was taken stays: a file that is rotated away keeps its chunks, and of a file that was replaced by other content the rows that had been
accepted remain ("retired" chunks; the present files come first). A file that only grew has its old chunks but the last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.ingestion.chunks import Made, Pool
from flywheel.ingestion.cuts import CHUNK, Chunk
from flywheel.ingestion.files import LandingFile, Unreadable, landing_files
from flywheel.ingestion.segments import Segment
from flywheel.ingestion.sources import open_source
from flywheel.storage.files import read_json, write_json

SETTLED_NS = 2_000_000_000  # a file whose time is nearer to its last reading than this may have changed within it
INDEX_VERSION = 1


@dataclass(frozen=True)
class Occurrence:
    """A segment where it stands in the landing folder: the file, which of its chunks, and the line and the byte that it begins with.
    `retired`: the file says something else by now, what had been accepted stays."""

    name: str
    number: int
    sha256: str
    segment: Segment
    line: int
    offset: int | None
    retired: bool = False


@dataclass(frozen=True)
class FileRefusal:
    """A file of which nothing could be taken."""

    name: str
    line: int
    reason: str
    message: str


@dataclass
class Reading:
    """What the landing folder holds: every chunk in the order of file names, refused files, and counts."""

    occurrences: list[Occurrence] = field(default_factory=list)
    refused: list[FileRefusal] = field(default_factory=list)
    present: dict[str, LandingFile] = field(default_factory=dict)
    files: int = 0
    files_ignored: int = 0
    files_read: int = 0
    incomplete: int = 0
    bytes_read: int = 0
    revision: int = 0  # grows whenever the folder held something else than at the reading before; 0 where nothing is remembered


@dataclass
class _File:
    """One file as the index keeps it. A chunk is [sha256, key, bytes, lines, offset]."""

    stamp: list[Any] | None = None
    read_at: int = 0
    fingerprint: str = ""
    chunks: list[list[Any]] = field(default_factory=list)
    retired: list[list[Any]] = field(default_factory=list)
    refusal: list[Any] | None = None
    incomplete: int = 0


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One import at a time."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_landing(landing: str, pool: Pool, *, durable: bool, files: list[LandingFile] | None = None) -> Reading:
    """Bring every segment of `landing` up to date, or those of `files` of any place. `durable`: segments and index are on disk when this
    returns."""
    folder = pool.workshop.folder
    place = folder / f"index-{hashlib.sha256(landing.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"
    files, ignored = landing_files(landing) if files is None else (files, [])
    with locked(folder), ThreadPoolExecutor(1) as syncing:
        stored = read_json(place) if durable else None
        known = {name: _File(**f) for name, f in (stored or {}).get("files", {}).items()}
        found = Reading(present={f.name: f for f in files}, files=len(files), files_ignored=len(ignored))
        reader = _Reader(pool, known, found, syncing if durable else None)
        now = reader.read(files)
        gone = {name: _rotated(file) for name, file in known.items() if name not in now and (file.chunks or file.retired)}
        every = {**gone, **now}
        reader.finish()
        if durable:
            # an index that was lost starts with a higher number than any before
            found.revision = (stored or {}).get("revision", int(time.time()))
            body = {
                "version": INDEX_VERSION, "landing": landing, "revision": found.revision, "files": {n: vars(f) for n, f in sorted(every.items())},
            }  # fmt: skip
            if body != stored:
                found.revision += stored is not None
                write_json(place, {**body, "revision": found.revision}, mode=0o600)
    for name in sorted(every):
        _occurrences(name, every[name], pool, found)
    return found


def _rotated(file: _File) -> _File:
    """A file that is no longer there: nothing is wrong with it, nothing more will come."""
    file.refusal, file.incomplete = None, 0
    return file


class _Reader:
    def __init__(self, pool: Pool, known: dict[str, _File], found: Reading, syncing: ThreadPoolExecutor | None) -> None:
        self._pool, self._known, self._found, self._syncing = pool, known, found, syncing
        self._synced: list[Future[None]] = []
        self._fingerprint = hashlib.sha256(pool.workshop.settings.fingerprint.encode()).hexdigest()[:16]
        self._many = False
        self._running: deque[tuple[Future[Made], list[Any]]] = deque()

    def read(self, files: list[LandingFile]) -> dict[str, _File]:
        """Every file by name."""
        now: dict[str, _File] = {}
        pending: list[tuple[str, _File, list[tuple[Chunk, Any]]]] = []
        stamps = {f.name: self._stamp(f) for f in files}
        fresh = [s[0] for n, s in stamps.items() if s is not None and not ((b := self._known.get(n)) is not None and self._unchanged(b, s))]
        self._many = sum(fresh) > 2 * CHUNK
        for file in files:
            before, stamp = self._known.get(file.name), stamps[file.name]
            if before is not None and self._unchanged(before, stamp):
                now[file.name] = before
                continue
            now[file.name] = made = _File(stamp, time.time_ns(), self._fingerprint)
            pending.append((file.name, made, self._begin(file, made, before)))
            self._found.files_read += 1
        for name, made, results in pending:
            self._settle(name, made, results)
        return now

    def _stamp(self, file: LandingFile) -> list[Any] | None:
        try:
            stamp = file.stamp()
        except OSError:
            return None
        return None if stamp is None else list(stamp)

    def _unchanged(self, before: _File, stamp: list[Any] | None) -> bool:
        if stamp is None or before.stamp != stamp or before.fingerprint != self._fingerprint:
            return False
        written = str(stamp[1]).split(":")[0]
        if written.isdigit() and before.read_at - int(written) < SETTLED_NS:
            return False
        return all(Segment.open(self._pool.workshop.path(c[1])) is not None for c in before.chunks)

    def _begin(self, file: LandingFile, made: _File, before: _File | None) -> list[tuple[Chunk, Any]]:
        """Start on every chunk of a file; what comes of it is a result, or a future one."""
        results: list[tuple[Chunk, Any]] = []
        old = before.chunks if before is not None else []
        try:
            source = open_source(file, self._pool.workshop.settings.max_line_bytes)
            chunks = source.chunks()
            first = next(chunks, None)
            second = next(chunks, None)
            several = second is not None
            for number, chunk in enumerate(_chain(first, second, chunks)):
                tail = (old[number][2], old[number][0]) if number == len(old) - 1 else None
                results.append((chunk if chunk.data is None else Chunk(chunk.offset, chunk.length), self._one(file, chunk, tail, several)))
            made.incomplete = source.incomplete
        except Unreadable as error:
            made.refusal = [sum(1 for _ in results), "unreadable_file", f"{error}; deliver the file again"]
        return results

    def _one(self, file: LandingFile, chunk: Chunk, tail: tuple[int, str] | None, several: bool) -> Any:
        if not (several or self._many) or self._pool.workers == 1:
            return self._done(self._pool.workshop.make(file.path, chunk, tail))
        future = self._pool.make(file.path, chunk, tail)
        self._running.append((future, []))
        if chunk.data is not None:  # bytes on their way to a process: no more of them than it can take
            while sum(not f.done() for f, _ in self._running) > self._pool.workers + 1:
                next(f for f, _ in self._running if not f.done()).exception()
        future.add_done_callback(lambda f: None if f.cancelled() or f.exception() else self._done(f.result()))
        return future

    def _done(self, made: Made) -> Made:
        if self._syncing is not None:
            self._synced.append(self._syncing.submit(_sync, self._pool.workshop.path(made.key)))
        return made

    def _settle(self, name: str, file: _File, results: list[tuple[Chunk, Any]]) -> None:
        """Note what the chunks of a file became; of a damaged file nothing is taken."""
        chunks: list[list[Any]] = []
        blank, grown = True, False
        try:
            for chunk, result in results:
                made: Made = result.result() if isinstance(result, Future) else result
                chunks.append([made.sha256, made.key, made.size, made.lines, chunk.offset])
                blank, grown = blank and made.blank, grown or made.grown
                self._found.bytes_read += made.size
        except Unreadable as error:
            file.refusal = [0, "unreadable_file", f"{error}; deliver the file again"]
        if file.refusal is None and blank:
            file.refusal = [0, "empty_file", "the file holds no line"] if not file.incomplete else None
            chunks = []
        if file.refusal is None:
            file.chunks = chunks
        elif file.refusal[1] == "unreadable_file":
            file.refusal[0] = sum(c[3] for c in chunks)
        before = self._known.get(name)
        if before is not None:
            here = {c[0] for c in file.chunks}
            old = [*before.retired, *(before.chunks[:-1] if grown else before.chunks)]
            distinct = list({c[0]: c for c in old}.values())
            file.retired = [c for c in distinct if c[0] not in here and self._holds_rows(c)]

    def _holds_rows(self, chunk: list[Any]) -> bool:
        segment = Segment.open(self._pool.workshop.path(chunk[1]))
        return segment is not None and bool(segment.rows or segment.meta["parts"])

    def finish(self) -> None:
        """Wait until every new segment is on disk."""
        for done in self._synced:
            done.result()


def _sync(path: Path) -> None:
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _chain(*parts: Any) -> Iterator[Chunk]:
    for part in parts:
        if isinstance(part, Chunk):
            yield part
        elif part is not None:
            yield from part


def _occurrences(name: str, file: _File, pool: Pool, found: Reading) -> None:
    line = 0
    for number, (sha256, key, _, lines, offset) in enumerate(file.chunks):
        segment = Segment.open(pool.workshop.path(key))
        if segment is None:
            raise Unreadable(f"the segment {key} of {name} is gone")
        found.occurrences.append(Occurrence(name, number, sha256, segment, line, offset))
        found.incomplete += segment.meta["incomplete"]
        line += lines
    for sha256, key, *_ in file.retired:
        segment = Segment.open(pool.workshop.path(key))
        if segment is not None:
            found.occurrences.append(Occurrence(name, -1, sha256, segment, 0, None, retired=True))
    if file.refusal is not None:
        found.refused.append(FileRefusal(name, *file.refusal))
    found.incomplete += file.incomplete
