"""Label files as lines: which files are read, where a line lies, and the one JSON object that it must be."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_LINE_BYTES = 4_000_000
BOM = b"\xef\xbb\xbf"


class Refused(Exception):
    """A line that cannot be used: reason code, field, message."""

    def __init__(self, reason: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.field = reason, field


@dataclass(frozen=True)
class Line:
    """One line without its end; `offset` counts bytes from the file's start."""

    file: str
    number: int
    offset: int
    raw: bytes


def label_files(inbox: Path) -> tuple[list[Path], int]:
    """The files to read, by name, and how many others lie there. Names with a leading dot are still being written and ignored."""
    seen = sorted(p for p in inbox.iterdir() if not p.name.startswith(".")) if inbox.is_dir() else []
    found = [p for p in seen if p.suffix == ".jsonl" and p.is_file()]
    return found, len(seen) - len(found)


def lines_of(path: Path) -> tuple[list[Line], int]:
    """The file's lines without blank ones. A last line without newline counts only when it is a whole JSON object: otherwise the file
    is still being written, and the next read gets it."""
    found, offset, unfinished = [], 0, 0
    name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
    payload = path.read_bytes()
    if payload.startswith(BOM):
        payload, offset = payload[len(BOM) :], len(BOM)
    parts = payload.split(b"\n")
    for number, part in enumerate(parts, start=1):
        last = number == len(parts)
        if part.strip():
            if last and not _whole(part):
                unfinished += 1
            else:
                found.append(Line(name, number, offset, part.rstrip(b"\r")))
        offset += len(part) + 1
    return found, unfinished


def _whole(part: bytes) -> bool:
    try:
        return isinstance(json.loads(part), dict)
    except (ValueError, RecursionError):
        return False


def object_of(raw: bytes) -> dict[str, Any]:
    if len(raw) > MAX_LINE_BYTES:
        raise Refused("line_too_long", f"the line has {len(raw)} bytes; at most {MAX_LINE_BYTES} are read")
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise Refused("wrong_encoding", f"not UTF-8 at byte {error.start} of the line; save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Refused("malformed_json", f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused("not_an_object", f"a line is one JSON object, this is a {type(value).__name__}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys occur once: of two answers in one line, neither is the rater's."""
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return made
