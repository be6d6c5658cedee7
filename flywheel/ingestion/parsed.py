"""What reading a chunk gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa


class Refused(NamedTuple):
    """A row that cannot be used. `moment` in microseconds where its time is known."""

    seq: int
    line: int
    offset: int
    length: int
    reason: str
    message: str
    field: str | None
    raw: str
    moment: int | None


class KeptPart(NamedTuple):
    """A part with its place; `payload` is canonical JSON."""

    seq: int
    line: int
    offset: int
    length: int
    format: str
    key: str
    aliases: tuple[str, ...]
    payload: bytes
    losses: str


@dataclass
class Parsed:
    """What a chunk holds."""

    tables: list[pa.Table] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    parts: list[KeptPart] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)  # items by format, but for those of the fast lane, which are of our own
    withdrawn: set[tuple[str, int]] = field(default_factory=set)
    items: int = 0
    incomplete: int = 0
