"""A chunk of input to its segment: worked out here or in one of several processes, unless it is there already."""

from __future__ import annotations

import gc
import hashlib
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from flywheel.ingestion.cuts import Chunk
from flywheel.ingestion.files import Unreadable
from flywheel.ingestion.parse import Parser, ParseSettings
from flywheel.ingestion.segments import Segment, write_segment


class Made(NamedTuple):
    """A chunk that has been read. `sha256` and `size` are those of its bytes; `grown`: it begins with the bytes that were asked about."""

    key: str
    sha256: str
    size: int
    lines: int
    blank: bool
    grown: bool


@dataclass(frozen=True)
class Workshop:
    """Makes segments below `folder`. Plain data: it travels to worker processes."""

    folder: Path
    settings: ParseSettings

    def path(self, key: str) -> Path:
        return self.folder / "segments" / key[:2] / f"{key}.seg"

    def make(self, path: Path | None, chunk: Chunk, tail: tuple[int, str] | None = None) -> Made:
        """The chunk's segment, which is at `path` or brings its bytes along. `tail` is size and hash of bytes that it may begin with.
        Raises `Unreadable`."""
        data = chunk.data if chunk.data is not None else _read(path, chunk)
        sha256 = hashlib.sha256(data)
        if chunk.length > len(data):
            sha256.update(b"\0too long\0" + str(chunk.length).encode())
        content = sha256.hexdigest()
        grown = tail is not None and len(data) > tail[0] and hashlib.sha256(memoryview(data)[: tail[0]]).hexdigest() == tail[1]
        key = hashlib.sha256(f"{self.settings.fingerprint}\0{content}".encode()).hexdigest()[:40]
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        place = self.path(key)
        if Segment.open(place) is None:
            collecting = gc.isenabled()
            gc.disable()  # a chunk makes a million objects, none of them in a cycle
            try:
                parser = Parser(self.settings)
                parsed = parser.read(data, too_long=chunk.length if chunk.length > len(data) else None)
                write_segment(place, parsed, parser.finisher, {"lines": lines})
            finally:
                pa.default_memory_pool().release_unused()
                if collecting:
                    gc.enable()
        return Made(key, content, len(data), lines, data[:1] != b"{" and not data.strip(), grown)


def _read(path: Path | None, chunk: Chunk) -> bytes:
    try:
        with open(path or "", "rb") as file:
            file.seek(chunk.offset or 0)
            data = file.read(chunk.length)
    except OSError as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    if len(data) < chunk.length:  # what is left of a line must not be taken for a bad one
        raise Unreadable("the file became shorter while it was read")
    return data


_here: dict[str, Any] = {}


class _NoPandas(MetaPathFinder):
    """Arrow asks of the first list that it is given whether it is a Pandas column, and imports Pandas for that: a quarter of a second for
    nothing in a process that never has one."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name, name=name)


def _start(workshop: Workshop) -> None:
    sys.meta_path.insert(0, _NoPandas())
    _here["workshop"] = workshop
    gc.freeze()


def _make(path: Path | None, chunk: Chunk, tail: tuple[int, str] | None) -> Made:
    made: Made = _here["workshop"].make(path, chunk, tail)
    return made


class Pool:
    """Processes that make segments, started at the first need: a small input never pays for them."""

    def __init__(self, workshop: Workshop, workers: int) -> None:
        self.workshop, self.workers = workshop, workers or os.cpu_count() or 1
        self._executor: Executor | None = None

    @property
    def executor(self) -> Executor:
        """The processes."""
        if self._executor is None:
            self._executor = ProcessPoolExecutor(self.workers, get_context("spawn"), _start, (self.workshop,))
        return self._executor

    def make(self, path: Path | None, chunk: Chunk, tail: tuple[int, str] | None) -> Future[Made]:
        """`Workshop.make` elsewhere."""
        return self.executor.submit(_make, path, chunk, tail)

    def close(self) -> None:
        """End the processes."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)


@contextmanager
def pool(workshop: Workshop, workers: int) -> Iterator[Pool]:
    """Processes for the time of one import."""
    made = Pool(workshop, workers)
    try:
        yield made
    finally:
        made.close()
