"""The landing folder as a stream of lines: plain, gzip or Zstandard (told by their first bytes), local path or fsspec URL.

Constant memory: a chunk, and one line of at most `max_line_bytes`. Files come sorted by name, so that "the first one wins" means the
same thing in every process. Hidden and temporary files (a leading dot or underscore, `.tmp`, `.part`, ...) are still being written and ignored.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from flywheel.errors import BadInput
from flywheel.ingestion.quarantine import readable

CHUNK = 1 << 20
KEPT_OF_A_LONG_LINE = 1 << 16
COMPRESSED = (".gz", ".zst")
READ = frozenset({"", ".jsonl", ".ndjson", ".json", ".log", ".txt", ".parquet"})
TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".swp", ".lock", "~")
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
BOM = b"\xef\xbb\xbf"


class Unreadable(Exception):
    """A file whose bytes cannot be had: damaged compression, no permission, a connection that broke."""


@dataclass(frozen=True)
class LandingFile:
    """`name` is relative to the landing folder, with forward slashes. `path` where it lies on this machine; `stamp` is its size and what
    tells one version of it from another, None where nothing does."""

    name: str
    open: Callable[[], BinaryIO]
    path: Path | None = None
    stamp: Callable[[], tuple[int, str] | None] = lambda: None


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
    found = told_apart(_remote(landing) if "://" in landing else _local(Path(landing)))
    visible = [f for f in found if not _unfinished(f.name)]
    return [f for f in visible if _suffix(f.name) in READ], [f.name for f in visible if _suffix(f.name) not in READ]


def told_apart(files: list[LandingFile]) -> list[LandingFile]:
    """Sorted by name, each name once: a byte that is not UTF-8 and its escape written out look alike, yet are two files."""
    found: dict[str, LandingFile] = {}
    for file in sorted(files, key=lambda f: (f.name, b"" if f.path is None else os.fsencode(f.path))):
        name = file.name
        while name in found:
            folder, stroke, last = name.rpartition("/")
            stem, dot, ending = last.partition(".")
            name = f"{folder}{stroke}{stem}#{hashlib.sha256(os.fsencode(file.path or name)).hexdigest()[:8]}{dot}{ending}"
        found[name] = file if name == file.name else replace(file, name=name)
    return [found[name] for name in sorted(found)]


def _local(root: Path) -> list[LandingFile]:
    if root.is_file():
        return [local_file(root, root.name)]
    if not root.is_dir():
        raise BadInput(f"landing folder {root} does not exist; put the logs there, or name their folder with the setting `landing`")

    def unreadable(error: OSError) -> None:  # os.walk would leave such a folder out without a word
        raise BadInput(f"landing folder {error.filename} cannot be listed: {error.strerror}; give read and search permission")

    found, seen = [], set()
    for folder, inner, names in os.walk(root, onerror=unreadable, followlinks=True):
        at = os.stat(folder)
        if (at.st_dev, at.st_ino) in seen:  # a link back into a folder that was walked already
            inner.clear()
            continue
        seen.add((at.st_dev, at.st_ino))
        inner.sort()
        found += [local_file(p, p.relative_to(root)) for p in (Path(folder) / name for name in names) if p.is_file()]
    return found


def local_file(path: Path, name: Path | str) -> LandingFile:
    """A file of this machine, whatever its name says."""

    def stamp() -> tuple[int, str]:
        now = path.stat()
        return now.st_size, f"{now.st_mtime_ns}:{now.st_ino}"

    return LandingFile(_name(Path(name)), lambda: open(path, "rb"), path, stamp)


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

    def file(name: str) -> LandingFile:
        def stamp() -> tuple[int, str] | None:
            told = system.info(name)
            version = next((str(told[k]) for k in ("ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created")
                            if told.get(k)), None)  # fmt: skip
            return None if version is None or told.get("size") is None else (int(told["size"]), version)

        return LandingFile(
            name[len(base) :].lstrip("/") or name.rsplit("/", 1)[-1], lambda: cast(BinaryIO, system.open(name, "rb")), None, stamp
        )

    base = root.rstrip("/")
    return [file(n) for n in names]


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
            yield from _split(decompressed(stream), max_line_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def decompressed(stream: BinaryIO) -> Iterator[bytes]:
    """The stream's text. Raises `OSError`, `EOFError` or `zlib.error` where it is damaged."""
    head = stream.read(CHUNK)
    if head.startswith(GZIP):
        yield from _inflate(head, stream, lambda: zlib.decompressobj(wbits=31), 1 << 14)
    elif head.startswith(ZSTANDARD):
        import zstandard

        try:
            yield from _inflate(head, stream, lambda: zstandard.ZstdDecompressor().decompressobj(), 1 << 9)
        except zstandard.ZstdError as error:
            raise EOFError(str(error)) from None
    else:
        while head:
            yield head
            head = stream.read(CHUNK)


def _inflate(head: bytes, stream: BinaryIO, make: Callable[[], Any], step: int) -> Iterator[bytes]:
    """Members or frames, one after the other. A small input may inflate a lot: `step` bytes are fed at a time, which give 16 MB at most (of
    gzip a byte gives a thousand, of Zstandard thirty thousand)."""
    member, fresh, data = make(), True, head
    while data:
        for start in range(0, len(data), step):
            part = data[start : start + step]
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
