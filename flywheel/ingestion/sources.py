"""A file as chunks of lines: JSON lines, JSON documents, Parquet, and the OpenTelemetry collector's compressed files, plain or in gzip or
Zstandard. What a file is, its first bytes tell, never its name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from flywheel.ingestion.cuts import Chunk, cut, gathered, spans
from flywheel.ingestion.depth import too_deep
from flywheel.ingestion.documents import Damaged, document_lines
from flywheel.ingestion.files import BOM, GZIP, ZSTANDARD, LandingFile, Unreadable, decompressed

HEAD = 1 << 20
ELEMENT = 4  # of a document: how many times as long as a line before the document is given up
PARQUET = b"PAR1"
JSON_TEXT = ("messages", "responses", "feedback", "template", "profile", "metadata", "consent", "request")
Kind = Literal["lines", "document", "parquet", "frames", "empty"]


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
        if self.kind == "lines" and self.file.path is not None and (found := spans(self.file.path, self.max_line_bytes)) is not None:
            yield from found
            return
        if self.kind == "parquet":
            yield from gathered(parquet_lines(self.file))
            return
        try:
            with self.file.open() as stream:
                if self.kind == "lines":
                    yield from cut(decompressed(stream), self.max_line_bytes)
                elif self.kind == "document":
                    yield from gathered(document_lines(_bare(decompressed(stream)), ELEMENT * self.max_line_bytes))
                else:
                    yield from gathered(self._frames(stream))
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
    """What the text is, by its beginning (`whole`: by all of it). A line that stands for itself makes it a file of lines: a bad line must not
    cost the others, as it would in a document."""
    text = head.removeprefix(BOM).lstrip()
    if not text:
        return "empty" if whole else "lines"
    if text[:1] not in (b"[", b"{"):
        return "lines"
    line, ended, rest = text.partition(b"\n")
    if not ended:
        return "document" if _opens(text) and not (whole and text[:1] == b"{") else "lines"  # one line, perhaps longer than a line may be
    if _object(line):
        return "lines"
    if text[:1] == b"[" and not _opens(text):
        return "lines"
    if rest.strip() and _list(line):
        return "lines"  # an array that ends here, and more
    # the first line is no value: does one end in a later line, or run on through all that was read?
    plain = text.decode("utf-8", "ignore")
    try:
        _, end = json.JSONDecoder().raw_decode(plain)
        return "document" if "\n" in plain[:end] else "lines"
    except json.JSONDecodeError as error:
        cut_off = not whole and (error.pos >= len(plain) - 64 or error.msg.startswith("Unterminated"))
        return "document" if cut_off or (text[:1] == b"[" and not _rows_by_line(rest, whole)) else "lines"
    except (ValueError, RecursionError):
        return "lines"


def _opens(text: bytes) -> bool:
    """An object, or a list that begins with one."""
    return text[:1] == b"{" or text[1:].lstrip()[:1] == b"{"


def _object(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return True
    except (ValueError, RecursionError):
        return False


def _list(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=list[msgspec.Raw])
        return True
    except (ValueError, RecursionError):
        return False


def _rows_by_line(rest: bytes, whole: bool) -> bool:
    """Of a text that is no document: is each line an object more often than not? Then a document's damage is one line's."""
    lines = [line for line in rest.split(b"\n")[: None if whole else -1] if line.strip()]
    return 2 * sum(map(_object, lines)) > len(lines)


def _bare(stream: Iterator[bytes]) -> Iterator[bytes]:
    """Without a byte order mark."""
    first = next(stream, b"")
    while len(first) < len(BOM) and (more := next(stream, b"")):
        first += more
    yield first.removeprefix(BOM)
    yield from stream


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
