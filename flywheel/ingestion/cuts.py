"""Where a file of lines is cut into chunks: at the first line end at or after a multiple of `CHUNK` bytes, or after `LINES` lines,
whichever comes first. A cut depends on what stands before it only, so that a file that grew has its old chunks but the last.

Bytes alone would not bound a chunk: 16 MB hold eight million lines of one character, and each of them is a refused row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flywheel.ingestion.files import BOM, GZIP, KEPT_OF_A_LONG_LINE, ZSTANDARD, Unreadable

CHUNK = 16 << 20
LINES = 1 << 16
WINDOW = 1 << 18  # bytes in which line ends are counted at once


@dataclass(frozen=True)
class Chunk:
    """Lines as bytes, or where they lie. `offset` counts (decompressed) bytes from the file's start; None where lines are no part of the
    file as it is. `length` exceeds len(`data`) for one line that was too long to hold."""

    offset: int | None
    length: int
    data: bytes | None = None


def spans(path: Path, limit: int) -> list[Chunk] | None:
    """Where the chunks of a plain local file lie, without holding any of it; None where it is compressed or holds an endless line (`limit`:
    bytes that a line may have). Raises `Unreadable`."""
    found = []
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            if head.startswith((GZIP, ZSTANDARD)):
                return None
            size = file.seek(0, 2)
            start = len(BOM) if head.startswith(BOM) else 0
            while start < size:
                end = _line_end(file, _target(start), size)
                if end - start > LINES:  # else there are not as many lines in it
                    end = _full(file, start, end)
                if end - start > 2 * CHUNK + limit:
                    return None
                found.append(Chunk(start, end - start))
                start = end
    except OSError as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    return found


def cut(stream: Iterator[bytes], limit: int) -> Iterator[Chunk]:
    """The same cuts in a stream. Memory: one chunk; of a line over the limit its beginning."""
    held, start, first = bytearray(), 0, True
    counted, ends = 0, 0  # how many line ends there are in as much of `held`
    for piece in stream:
        held += piece
        if first and len(held) >= len(BOM):
            first = False
            if held.startswith(BOM):
                del held[: len(BOM)]
                start = len(BOM)
        while True:
            full, counted, ends = _nth_end(held, counted, ends)
            by_size = held.find(b"\n", _target(start) - start)
            at = min((e for e in (full, by_size) if e >= 0), default=-1)
            if at < 0:
                break
            yield Chunk(start, at + 1, bytes(held[: at + 1]))
            del held[: at + 1]
            start += at + 1
            counted = ends = 0
        if len(held) > 2 * CHUNK + limit:
            at = held.rfind(b"\n") + 1
            if at:
                yield Chunk(start, at, bytes(held[:at]))
                del held[:at]
                start += at
            elif len(held) > 2 * CHUNK + limit:
                kept, length = bytes(held[:KEPT_OF_A_LONG_LINE]), len(held)
                held.clear()
                for more in stream:
                    end = more.find(b"\n")
                    length += len(more) if end < 0 else end
                    if end >= 0:
                        held += more[end + 1 :]
                        break
                yield Chunk(start, length, kept)
                start += length + 1
            counted = ends = 0
    if held:
        yield Chunk(start, len(held), bytes(held))


def gathered(lines: Iterable[bytes]) -> Iterator[Chunk]:
    """Lines that are no part of the file as it is, as chunks."""
    held, size = [], 0
    for line in lines:
        held.append(line)
        size += len(line) + 1
        if size >= CHUNK or len(held) >= LINES:
            yield Chunk(None, size, b"\n".join([*held, b""]))
            held, size = [], 0
    if held:
        yield Chunk(None, size, b"\n".join([*held, b""]))


def _target(start: int) -> int:
    return (start // CHUNK + 1) * CHUNK - 1


def _nth_end(data: bytes | bytearray, counted: int, ends: int) -> tuple[int, int, int]:
    """Where the line end number `LINES` is (-1: not in `data`), given that there are `ends` of them in its first `counted` bytes; and both
    numbers as they are then."""
    while counted < len(data):
        window = bytes(data[counted : counted + WINDOW])
        here = window.count(b"\n")
        if ends + here >= LINES:
            place = np.flatnonzero(np.frombuffer(window, np.uint8) == ord("\n"))[LINES - ends - 1]
            return counted + int(place), counted, ends
        counted, ends = counted + len(window), ends + here
    return -1, counted, ends


def _full(file: BinaryIO, start: int, end: int) -> int:
    """The position after `LINES` lines from `start`, or `end` where that comes first."""
    file.seek(start)
    at, ends = start, 0
    while at < end and (window := file.read(min(WINDOW, end - at))):
        found, _, more = _nth_end(window, 0, ends)
        if found >= 0:
            return at + found + 1
        at, ends = at + len(window), more
    return end


def _line_end(file: BinaryIO, target: int, size: int) -> int:
    """The position after the first line end at or after `target`, the file's end where there is none."""
    while target < size:
        file.seek(target)
        data = file.read(1 << 16)
        if not data:
            break
        at = data.find(b"\n")
        if at >= 0:
            return int(target + at + 1)
        target += len(data)
    return size
