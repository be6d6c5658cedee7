"""What a format reader is, and what it gives back.

A *row* is one item of a source: a JSON line, an element of a JSON document, a Parquet row. A format may find several *items* in a row (an
OTLP line holds many spans). Every item ends as exactly one of: a canonical row, a part that waits for its other parts, a skipped item (no
model call), or a rejection. The engine counts them, so nothing gets lost unsaid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from flywheel.ingestion.rows import CanonicalRow

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Whole:
    """An item that is a record by itself. `row` is a canonical row (`docs/formats.md`, Canonical) as plain JSON values."""

    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """An item that is, or may be, one of several pieces of a record: a span and its log events, an answer and its score.

    Parts with one `key` (a trace, a batch id) are assembled together once everything has been read; a part that is keyed by one of another
    part's `aliases` (feedback that knows only the response id) joins that part's group. `payload` holds the item as it came, JSON values
    only: the quarantine shows it where assembly fails.
    """

    key: str
    payload: dict[str, Any]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that is no model call (an HTTP span, an embedding): counted by `kind`, not kept."""

    kind: str


@dataclass(frozen=True, slots=True)
class Bad:
    """An item that cannot be used; `raw` is the item as it came."""

    reason: str
    message: str
    field: str | None
    raw: Any


Item = Whole | Part | Skipped | Bad


@dataclass
class Assembled:
    """What a group of parts gave: canonical rows, each with the index of the part that stands for it (its place in the files), the parts
    that belong to no record (index -> why, as for `Skipped`), and those that are bad (index -> refusal). A part in none of the three
    was used for a record (counted `joined`)."""

    rows: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)
    bad: dict[int, Bad] = field(default_factory=dict)


@runtime_checkable
class QuickFormat(Protocol):
    """A format that has a short way for its commonest rows."""

    def quick(self, row: Json) -> tuple[CanonicalRow, Counter[str]] | None:
        """What `items` would give of a row that is a record by itself, as typed record and losses; None: it has to go the long way."""


@runtime_checkable
class QuickParts(Protocol):
    """A format that has a short way for a group of one part."""

    def quick_part(self, payload: Json) -> tuple[CanonicalRow, Counter[str]] | None:
        """What `assemble` would give of this part alone, as typed record and losses; None: it has to go the long way."""


class Format(Protocol):
    """A family of logs. Pure: no clock, no files; the same rows give the same items in every process."""

    @property
    def name(self) -> str:
        """As in the setting `ingestion.format` and in `source.format`."""

    def claims(self, row: Json) -> bool:
        """Is this row of the format, by its content? Formats are asked in the order of `FORMATS`; the first one takes it."""

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """The row's items. `losses` gains `"<format>: <source field>"` for each field that has no place in a canonical row (a field that
        was empty is no loss). May raise `Rejected` before the first item: then the whole row is one bad item."""

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The records of one group; `parts` are payloads, in a fixed order that does not depend on how files were cut."""
