"""The landing folder as a stream of lines: plain, gzip or Zstandard (told by their first bytes), local path or fsspec URL.

Constant memory: a chunk, and one line of at most `max_line_bytes`. Files come sorted by name, so that "the first one wins" means the
same thing in every process. Hidden and temporary files (a leading dot or underscore, `.tmp`, `.part`, ...) are still being written and ignored.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from flywheel.errors import BadInput
from flywheel.ingestion.quarantine import readable

CHUNK = 1 << 20
KEPT_OF_A_LONG_LINE = 1 << 16
COMPRESSED = (".gz", ".zst")
READ = frozenset({"", ".jsonl", ".ndjson", ".json", ".log", ".txt"})
TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", ".lock", "~")
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):
    """A file whose bytes cannot be had: damaged compression, no permission, a connection that broke."""


@dataclass(frozen=True)
class LandingFile:
    """`name` is relative to the landing folder, with forward slashes."""

    name: str
    open: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Line:
    """One line without its end. `offset` counts (decompressed) bytes from the file's start; `ended` is false for a last line without
    newline; `length` exceeds len(`data`) where the line was too long to hold."""

    number: int
    offset: int
    data: bytes
    ended: bool
    length: int


def landing_files(landing: str) -> tuple[list[LandingFile], list[str]]:
    """The files to read, sorted by name, and the names of those that are no log (by their suffix). Raises `BadInput` where there is no
    such folder."""
    found = sorted(_remote(landing) if "://" in landing else _local(Path(landing)), key=lambda f: f.name)
    visible = [f for f in found if not _unfinished(f.name)]
    return [f for f in visible if _suffix(f.name) in READ], [f.name for f in visible if _suffix(f.name) not in READ]


def _local(root: Path) -> list[LandingFile]:
    if root.is_file():
        return [LandingFile(_name(Path(root.name)), lambda: open(root, "rb"))]
    if not root.is_dir():
        raise BadInput(f"landing folder {root} does not exist; put the logs there, or name their folder with the setting `landing`")

    def opener(path: Path) -> Callable[[], BinaryIO]:
        return lambda: open(path, "rb")

    def unreadable(error: OSError) -> None:  # os.walk would leave such a folder out without a word
        raise BadInput(f"landing folder {error.filename} cannot be listed: {error.strerror}; give read and search permission")

    files = [Path(folder) / name for folder, _, names in os.walk(root, onerror=unreadable) for name in names]
    return [LandingFile(_name(p.relative_to(root)), opener(p)) for p in files if p.is_file()]


def _name(path: Path) -> str:
    """A path as text: bytes of a name that are not UTF-8 as backslash escapes."""
    return readable(os.fsencode(path.as_posix()))


def _remote(url: str) -> list[LandingFile]:
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise BadInput(f"landing folder {url} cannot be opened: {error}") from None
    try:
        names = system.find(root)
    except FileNotFoundError:
        names = []
    if not names and not system.exists(root):
        raise BadInput(f"landing folder {url} does not exist; put the logs there, or name their folder with the setting `landing`")

    def opener(name: str) -> Callable[[], BinaryIO]:
        return lambda: cast(BinaryIO, system.open(name, "rb"))

    base = root.rstrip("/")
    return [LandingFile(n[len(base) :].lstrip("/") or n.rsplit("/", 1)[-1], opener(n)) for n in names]


def _unfinished(name: str) -> bool:
    return any(part.startswith((".", "_")) for part in name.split("/")) or name.endswith(TEMPORARY)


def _suffix(name: str) -> str:
    bare = name.rsplit("/", 1)[-1].lower()
    for ending in COMPRESSED:
        bare = bare.removesuffix(ending)
    return os.path.splitext(bare)[1]


def lines(file: LandingFile, max_line_bytes: int) -> Iterator[Line]:
    """The file's lines, blank ones left out. Raises `Unreadable` (also after some lines) when its bytes cannot be had."""
    try:
        with file.open() as stream:
            yield from _split(_decompressed(stream), max_line_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def _decompressed(stream: BinaryIO) -> Iterator[bytes]:
    head = stream.read(CHUNK)
    if head.startswith(GZIP):
        yield from _inflate(head, stream, lambda: zlib.decompressobj(wbits=31))
    elif head.startswith(ZSTANDARD):
        import zstandard

        try:
            yield from _inflate(head, stream, lambda: zstandard.ZstdDecompressor().decompressobj())
        except zstandard.ZstdError as error:
            raise EOFError(str(error)) from None
    else:
        while head:
            yield head
            head = stream.read(CHUNK)


def _inflate(head: bytes, stream: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    """Members or frames, one after the other. A small input may inflate a lot, but never more than a chunk's worth at a time is fed."""
    member, fresh, data = make(), True, head
    while data:
        for start in range(0, len(data), 1 << 14):
            part = data[start : start + (1 << 14)]
            while part:
                fresh = False
                yield member.decompress(part)
                part = member.unused_data if member.eof else b""
                if member.eof:
                    member, fresh = make(), True
                    part = part.lstrip(b"\0")  # padding after the last member is allowed
        data = stream.read(CHUNK)
    if not fresh:
        raise EOFError("the compressed stream ends early; the file is damaged or still being written")


def _split(chunks: Iterator[bytes], limit: int) -> Iterator[Line]:
    number, offset, held, length = 0, 0, bytearray(), 0

    def line(ended: bool) -> Line | None:
        data = bytes(held)
        if number == 1 and data.startswith(BOM):
            data = data[3:]
        data = data.removesuffix(b"\r")
        return Line(number, offset, data, ended, length) if data.strip() else None

    for chunk in chunks:
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            piece = chunk[start : end if end >= 0 else len(chunk)]
            length += len(piece)
            if length <= limit:
                held += piece
            elif len(held) < KEPT_OF_A_LONG_LINE:
                held += piece[: KEPT_OF_A_LONG_LINE - len(held)]
            else:
                del held[KEPT_OF_A_LONG_LINE:]
            if end < 0:
                break
            number += 1
            if found := line(True):
                yield found
            offset += length + 1
            held, length, start = bytearray(), 0, end + 1
    if length:
        number += 1
        if found := line(False):
            yield found
