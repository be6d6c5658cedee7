"""A file as chunks of lines: JSON lines, JSON documents, Parquet, and the OpenTelemetry collector's compressed files, plain or in gzip or
Zstandard. What a file is, its first bytes tell, never its name.

Chunks are cut at line ends near multiples of `CHUNK` bytes: where a cut lies depends on what stands before it only, so that a file that
grew has its old chunks but the last.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from flywheel.ingestion.depth import too_deep
from flywheel.ingestion.documents import Damaged, document_lines
from flywheel.ingestion.files import BOM, GZIP, KEPT_OF_A_LONG_LINE, ZSTANDARD, LandingFile, Unreadable, decompressed

CHUNK = 16 << 20
HEAD = 1 << 20
ELEMENT = 4  # of a document: how many times as long as a line before the document is given up
PARQUET = b"PAR1"
JSON_TEXT = ("messages", "responses", "feedback", "template", "profile", "metadata", "consent", "request")
Kind = Literal["lines", "document", "parquet", "frames", "empty"]


@dataclass(frozen=True)
class Chunk:
    """Lines as bytes, or where they lie. `offset` counts (decompressed) bytes from the file's start; None where lines are no part of the
    file as it is. `length` exceeds len(`data`) for one line that was too long to hold."""

    offset: int | None
    length: int
    data: bytes | None = None


@dataclass
class Source:
    """One file. `incomplete` counts what is still being written, once the chunks were read."""

    file: LandingFile
    kind: Kind
    max_line_bytes: int
    incomplete: int = 0

    def chunks(self) -> Iterator[Chunk]:
        """Its chunks in order. Raises `Unreadable` (also after some chunks) when its bytes cannot be had or are no such document."""
        if self.kind == "empty":
            return
        if self.kind == "lines" and self.file.path is not None and (spans := _spans(self.file.path, self.max_line_bytes)) is not None:
            yield from spans
            return
        if self.kind == "parquet":
            yield from _gathered(parquet_lines(self.file))
            return
        try:
            with self.file.open() as stream:
                if self.kind == "lines":
                    yield from _cut(decompressed(stream), self.max_line_bytes)
                elif self.kind == "document":
                    yield from _gathered(document_lines(_bare(decompressed(stream)), ELEMENT * self.max_line_bytes))
                else:
                    yield from _gathered(self._frames(stream))
        except Damaged as error:
            raise Unreadable(f"no whole JSON document: {error}") from None
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise Unreadable(f"{type(error).__name__}: {error}") from None

    def _frames(self, stream: Any) -> Iterator[bytes]:
        """The collector's compressed form: a length of four bytes and a compressed request, again and again."""
        import io

        while size := stream.read(4):
            data = stream.read(int.from_bytes(size, "big"))
            if len(size) < 4 or len(data) < int.from_bytes(size, "big"):
                self.incomplete += 1
                return
            text = bytearray()
            for piece in decompressed(io.BytesIO(data)):
                if len(text) <= self.max_line_bytes:  # a longer one is refused unread, whatever its end
                    text += piece
            yield bytes(text).replace(b"\n", b" ").replace(b"\r", b" ")


def open_source(file: LandingFile, max_line_bytes: int) -> Source:
    """What the file is. Raises `Unreadable`."""
    try:
        with file.open() as stream:
            head = stream.read(HEAD)
            if head.startswith(PARQUET):
                return Source(file, "parquet", max_line_bytes)
            if len(head) > 8 and head[0] < 16 and (head[4:8] == ZSTANDARD or head[4:6] == GZIP):
                return Source(file, "frames", max_line_bytes)
            stream.seek(0)
            text, whole = _start(decompressed(stream), max_line_bytes)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    return Source(file, _kind(text, whole), max_line_bytes)


def _start(stream: Iterator[bytes], limit: int) -> tuple[bytes, bool]:
    """The text up to a line end, at least `HEAD` of it if there is as much; and whether that is all."""
    held = bytearray()
    for piece in stream:
        held += piece
        if len(held) >= HEAD and (b"\n" in held or len(held) > limit):
            return bytes(held), False
    return bytes(held), True


def _kind(head: bytes, whole: bool) -> Kind:
    text = head.removeprefix(BOM).lstrip()
    if not text:
        return "empty" if whole else "lines"
    if text[:1] == b"[":
        return "document" if text[1:].lstrip()[:1] == b"{" else "lines"
    if text[:1] != b"{":
        return "lines"
    line, ended, _ = text.partition(b"\n")
    if not ended:
        return "lines" if whole else "document"  # one line that is longer than a line may be
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return "lines"
    except (ValueError, RecursionError):
        pass
    # the first line is no object: does one end in a later line, or run on through all that was read?
    plain = text.decode("utf-8", "ignore")
    try:
        _, end = json.JSONDecoder().raw_decode(plain)
        return "document" if "\n" in plain[:end] else "lines"
    except json.JSONDecodeError as error:
        return "document" if not whole and (error.pos >= len(plain) - 64 or error.msg.startswith("Unterminated")) else "lines"
    except (ValueError, RecursionError):
        return "lines"


def _bare(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Without a byte order mark."""
    first = next(stream, b"")
    while len(first) < len(BOM) and (more := next(stream, b"")):
        first += more
    yield first.removeprefix(BOM)
    yield from stream


def _spans(path: Path, limit: int) -> list[Chunk] | None:
    """Where the chunks of a plain local file lie, found without reading it all; None where it is compressed or holds an endless line."""
    found = []
    try:
        with open(path, "rb") as file:
            head = file.read(4)
            if head.startswith((GZIP, ZSTANDARD)):
                return None
            size = file.seek(0, 2)
            start = len(BOM) if head.startswith(BOM) else 0
            while start < size:
                end = _line_end(file, (start // CHUNK + 1) * CHUNK - 1, size)
                if end - start > 2 * CHUNK + limit:
                    return None
                found.append(Chunk(start, end - start))
                start = end
    except OSError as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None
    return found


def _line_end(file: Any, target: int, size: int) -> int:
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


def _cut(stream: Iterator[bytes], limit: int) -> Iterator[Chunk]:
    """The same cuts in a stream. Memory: one chunk; of a line over the limit its beginning."""
    held, start, first = bytearray(), 0, True
    for piece in stream:
        held += piece
        if first and len(held) >= len(BOM):
            first = False
            if held.startswith(BOM):
                del held[: len(BOM)]
                start = len(BOM)
        while True:
            target = (start // CHUNK + 1) * CHUNK - 1 - start
            at = held.find(b"\n", target)
            if at < 0:
                break
            yield Chunk(start, at + 1, bytes(held[: at + 1]))
            del held[: at + 1]
            start += at + 1
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
    if held:
        yield Chunk(start, len(held), bytes(held))


def _gathered(lines: Iterator[bytes]) -> Iterator[Chunk]:
    """Lines that are no part of the file as it is, as chunks."""
    held, size = [], 0
    for line in lines:
        held.append(line)
        size += len(line) + 1
        if size >= CHUNK:
            yield Chunk(None, size, b"\n".join([*held, b""]))
            held, size = [], 0
    if held:
        yield Chunk(None, size, b"\n".join([*held, b""]))


def parquet_lines(file: LandingFile) -> Iterator[bytes]:
    """Rows of a Parquet file as JSON. Columns may be structs or JSON text; nulls are left out. Raises `Unreadable`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    encode = msgspec.json.Encoder().encode
    try:
        with file.open() as stream, pa.PythonFile(stream) if file.path is None else pa.OSFile(str(file.path)) as source:
            table = pq.ParquetFile(source)
            maps = [f.name for f in table.schema_arrow if pa.types.is_map(f.type)]
            for batch in table.iter_batches(batch_size=2_000, use_threads=False):
                for row in batch.to_pylist():
                    for name in maps:
                        row[name] = None if row[name] is None else dict(row[name])
                    yield encode(_plain(row))
    except (OSError, ValueError, NotImplementedError, TypeError, pa.ArrowException) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    for name in JSON_TEXT:
        value = row.get(name)
        if isinstance(value, str) and value[:1] in ("{", "["):
            row[name] = _value(value)
    if "request" in row and isinstance(row.get("response"), str) and row["response"][:1] == "{":
        row["response"] = _value(row["response"])
    return {k: _bare_value(v) for k, v in row.items() if v is not None}


def _value(text: str) -> Any:
    """What JSON text holds; other text as it is."""
    try:
        value = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
    return text if too_deep(value) else value


def _bare_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _bare_value(v) for k, v in value.items() if v is not None}
    return [_bare_value(v) for v in value] if isinstance(value, list) else value
