"""The one protocol between layers: a span of text, its type, who found it and how much that is worth; and how overlaps end.

Presidio does not resolve partial overlaps of different types, so we do it ourselves: the span of higher priority stays whole, the rest of the
other one is still replaced. Every character that any layer called personal is covered.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, replace

# higher wins: a configured format is what it says; a phone-like number may be anything
PRIORITY = {
    "alias": 110, "secret": 100, "identifier": 90, "pattern_strong": 85, "profile": 80, "named_field": 76, "slot": 72, "pattern": 60, "number": 58, "phrase": 50,
    "ner": 48, "conversation": 45, "fuzzy": 40,
}  # fmt: skip
LAYERS = tuple(name for name in PRIORITY if name != "alias")
# what these layers found is what it looks like, in any text; the others judge from the dialogue (`number`: bare digits that some country's
# phone numbers have, and that are a literal elsewhere)
CERTAIN = frozenset({"secret", "identifier", "pattern_strong", "pattern", "profile"})


@dataclass(frozen=True)
class Span:
    """Characters [start, end) hold `type`, says `layer`."""

    start: int
    end: int
    type: str
    layer: str
    score: float = 1.0

    @property
    def priority(self) -> int:
        return PRIORITY[self.layer]


def resolve(spans: Iterable[Span], text: str) -> list[Span]:
    """Spans without overlap, in order, that cover every character of the input's (blanks at their ends aside).

    Overlapping spans of one type join. Of different types the higher priority wins, then the longer, then the earlier; what is left of
    the loser stays a span of its own where it holds a letter or digit.
    """
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.type, s.start, -s.end)):
        last = joined[-1] if joined else None
        if last and last.type == span.type and span.start < last.end:
            best = max(last, span, key=lambda s: s.priority)
            joined[-1] = replace(best, start=last.start, end=max(last.end, span.end))
        else:
            joined.append(span)
    taken: list[Span] = []  # disjoint, by start: what overlaps a span lies together, whatever the text's length
    for span in sorted(joined, key=lambda s: (-s.priority, s.start - s.end, s.start, s.type)):
        first = bisect_left(taken, span.start, key=lambda s: s.end)
        after = bisect_left(taken, span.end, key=lambda s: s.start)
        pieces, at = [], span.start
        for other in taken[first:after]:
            pieces.append((at, min(span.end, other.start)))
            at = max(at, other.end)
        pieces.append((at, span.end))
        for start, end in pieces:
            trimmed = _trim(text, start, end)
            if trimmed and (trimmed == _trim(text, span.start, span.end) or any(c.isalnum() for c in text[trimmed[0] : trimmed[1]])):
                insort(taken, replace(span, start=trimmed[0], end=trimmed[1]), key=lambda s: s.start)
    return taken


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whole words only, unless the value is long enough to mean nothing else: inside a hash, any number stands somewhere."""
    if end - start >= 16 or "@" in text[start:end]:
        return True
    left = start > 0 and text[start].isalnum() and text[start - 1].isalnum()
    right = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not (left or right)


def _trim(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None
