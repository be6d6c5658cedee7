"""What a page is made of: sections with figures and tables whose cells are ready to print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from markupsafe import Markup

ColumnKind = Literal["text", "number", "picture", "code", "badge"]


@dataclass(frozen=True)
class Column:
    """`number` is right-aligned with even digits; `picture` takes what width is left; `code` is an id (cell: `Code`)."""

    label: str
    kind: ColumnKind = "text"


@dataclass(frozen=True)
class Badge:
    """A word with a colour and a sign: `tone` good, bad, warn, quiet."""

    text: str
    tone: str


@dataclass(frozen=True)
class Code:
    """An id: short for the eye, whole in the title."""

    text: str
    whole: str


Cell: TypeAlias = "str | Markup | Badge | Code"


@dataclass(frozen=True)
class Table:
    """`caption` says what it shows; `foot` is a last row (axis or sum); `empty` is printed instead when there are no rows."""

    caption: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    foot: list[Cell] | None = None
    empty: str = "No rows."


@dataclass(frozen=True)
class Figure:
    """A picture with a caption, a legend ((class, text), ...) and numbers below its axis."""

    caption: str
    picture: Markup
    legend: tuple[tuple[str, str], ...] = ()
    axis: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """`lead` is one or two sentences; `notes` follow the tables."""

    anchor: str
    title: str
    lead: str
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class GateCard:
    """One gate of the verdict strip."""

    title: str
    meaning: str
    badge: Badge
    reasons: list[str]
    when: str


@dataclass(frozen=True)
class KeyFigure:
    """One large number at the top."""

    label: str
    value: str
    detail: str
