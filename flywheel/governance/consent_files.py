"""Files of consent statements, one a line: CSV with a header (comma, semicolon or tab) or JSON lines, plain, gzip or Zstandard, told by
their content. A line stands alone (no line break inside quotes): a quote that is never closed spoils its own line and no other.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from flywheel.errors import BadInput
from flywheel.ingestion.quarantine import Rejected, readable

FIELDS = (
    "user_id", "subject_id", "purpose", "purposes", "action", "effective_at", "granted_at", "withdrawn_at", "expires_at", "legal_basis",
    "policy_version", "source",
)  # fmt: skip
LEFT_OUT = "-"
LIMIT = 1 << 20
CHUNK = 1 << 9  # of Zstandard a byte may give thirty thousand
GZIP, ZSTANDARD, BOM = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ConsentLine:
    """A line of a file in our words. `problem` says why it could not be read as such; `row` then holds what could be."""

    file: str
    line: int
    raw: str
    row: Mapping[str, Any]
    problem: Rejected | None = None
    left_out: tuple[str, ...] = ()


def consent_lines(path: Path, columns: Mapping[str, str]) -> Iterator[ConsentLine]:
    """Every line of a file. `columns`: theirs to ours; `-` leaves one out. Raises `BadInput` on a file that cannot be read to its end, and
    on a CSV header with columns that are not ours: one of them might say that consent was withdrawn."""
    wrong = sorted({ours for ours in columns.values() if ours not in (*FIELDS, LEFT_OUT)})
    if wrong:
        raise BadInput(f"a column cannot be mapped to {', '.join(wrong)}; there are {', '.join(FIELDS)}, and - to leave one out")
    try:
        with open(path, "rb") as stream:
            numbered = _numbered(_plain(stream))
            first = next(numbered, None)
            if first is None:
                return
            lines = _chain(first, numbered)
            if first[1].lstrip()[:1] == b"{":
                yield from (_json_line(path.name, number, data, columns) for number, data in lines)
            else:
                yield from _csv_lines(path, lines, columns)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: cannot be read to its end ({error}); nothing was imported") from None


def _plain(stream: BinaryIO) -> BinaryIO:
    head = stream.read(4)
    stream.seek(0)
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=stream)  # type: ignore[return-value]
    if head.startswith(ZSTANDARD):
        return io.BufferedReader(_Inflated(stream))
    return stream


class _Inflated(io.RawIOBase):
    """The text of a Zstandard file as a stream: a small file may inflate to more than memory holds."""

    def __init__(self, stream: BinaryIO) -> None:
        self._pieces, self._held = _inflated(stream), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._held = memoryview(piece)
        taken, self._held = self._held[: len(buffer)], self._held[len(buffer) :]
        buffer[: len(taken)] = taken
        return len(taken)


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """Frame by frame: zstandard's own reader takes a file that was cut off for a whole one."""
    import zstandard

    frame, data = None, stream.read(CHUNK)
    try:
        while data:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(data)
            rest, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
            data = rest or stream.read(CHUNK)
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from None
    if frame is not None:
        raise EOFError("the compressed file ends early")


def _numbered(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that hold something, with their numbers. Of a line beyond the limit, as much as the limit and one byte."""
    number = 0
    while data := stream.readline(LIMIT + 1):
        number += 1
        rest = data
        while not rest.endswith(b"\n") and len(rest) > LIMIT:
            rest = stream.readline(LIMIT + 1)
        data = data.removeprefix(BOM) if number == 1 else data
        if data.strip():
            yield number, data.rstrip(b"\r\n")


def _chain(first: tuple[int, bytes], rest: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield first
    yield from rest


def _text(data: bytes) -> str:
    if len(data) > LIMIT:
        raise Rejected("line_too_long", f"the line is longer than {LIMIT:,} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("wrong_encoding", "the line is not UTF-8") from None


def _json_line(file: str, number: int, data: bytes, columns: Mapping[str, str]) -> ConsentLine:
    raw = readable(data[:LIMIT])
    try:
        value = json.loads(_text(data))
    except Rejected as problem:
        return ConsentLine(file, number, raw, {}, problem)
    except (ValueError, RecursionError):
        return ConsentLine(file, number, raw, {}, Rejected("malformed_json", "the line is not JSON"))
    if not isinstance(value, dict):
        return ConsentLine(file, number, raw, {}, Rejected("not_an_object", "the line is no JSON object"))
    row, left_out, unknown = _ours(value.items(), columns)
    if not unknown:
        return ConsentLine(file, number, raw, row, None, left_out)
    way = "map them with --map theirs=ours, or leave them out with --map theirs=-"
    why = Rejected("unknown_field", f"unknown fields: {_named(unknown)}; {way}", unknown[0][:80])
    return ConsentLine(file, number, raw, row, why, left_out)


def _csv_lines(path: Path, lines: Iterable[tuple[int, bytes]], columns: Mapping[str, str]) -> Iterator[ConsentLine]:
    header: list[str] = []
    mark = ","
    for number, data in lines:
        if not header:
            mark, header = _header(path, data)
            _, _, unknown = _ours(((h, "") for h in header), columns)
            twice = sorted({h for h in header if header.count(h) > 1})
            if unknown or twice:
                what = f"unknown columns: {_named(unknown)}" if unknown else f"columns that stand twice: {_named(twice)}"
                raise BadInput(
                    f"{path}: {what}. There are {', '.join(FIELDS)}; map a column with --map theirs=ours, or leave it out with --map "
                    "theirs=-. Nothing was imported: one of them might hold a withdrawal."
                )
            continue
        yield _csv_line(path.name, number, data, header, mark, columns)


def _header(path: Path, data: bytes) -> tuple[str, list[str]]:
    try:
        text = _text(data)
        mark = max(",;\t", key=text.count)
        return mark, [name.strip() for name in next(csv.reader([text], delimiter=mark, strict=True))]
    except (Rejected, csv.Error):
        raise BadInput(f"{path}: its first line is neither a JSON object nor a CSV header in UTF-8; nothing was imported") from None


def _csv_line(file: str, number: int, data: bytes, header: list[str], mark: str, columns: Mapping[str, str]) -> ConsentLine:
    raw = readable(data[:LIMIT])
    problem = None
    try:
        text = _text(data)
    except Rejected as rejected:
        return ConsentLine(file, number, raw, {}, rejected)
    try:
        cells = next(csv.reader([text], delimiter=mark, strict=True))
    except csv.Error:
        cells, problem = text.split(mark), Rejected("invalid_field", "the quotes of the line do not close")
    if len(cells) != len(header):
        problem = problem or Rejected("invalid_field", f"the line has {len(cells)} cells, the header {len(header)}")
    row, left_out, _ = _ours(zip(header, (c.strip(' "\t') if problem else c.strip() for c in cells), strict=False), columns)
    return ConsentLine(file, number, raw, row, problem, left_out)


def _ours(items: Iterable[tuple[str, Any]], columns: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """The fields in our names (empty ones left away), the names of filled columns that were left out on request, and unknown names."""
    row: dict[str, Any] = {}
    left_out, unknown = [], []
    for theirs, value in items:
        ours = columns.get(theirs, theirs)
        if ours == LEFT_OUT:
            left_out += [theirs] if value not in ("", None) else []
        elif ours not in FIELDS:
            unknown.append(theirs)
        elif value not in ("", None, []):
            row[ours] = value
    return row, tuple(left_out), unknown


def _named(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names)
