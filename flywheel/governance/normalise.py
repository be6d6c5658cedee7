"""Text as detectors should see it, with the way back to the original's characters.

Unicode compatibility forms become plain (NFKC, one character at a time, so that every character knows where it came from), and characters
without width (zero-width space, byte order mark, soft hyphen, directional marks) go: `J\\u200bane` reads `Jane`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
SPACES = re.compile(r"\s+")


@dataclass(frozen=True)
class Normalised:
    """`text` is what detectors read; `origin[i]` is where its character i begins in the original (None: they are the same)."""

    text: str
    origin: tuple[int, ...] | None
    length: int

    def back(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of the original that [start, end) of `text` came from, invisible characters inside it included."""
        if self.origin is None:
            return start, end
        return self.origin[start], (self.origin[end - 1] + 1 if end > start else self.origin[start])


def normalise(text: str) -> Normalised:
    """The text as detectors should see it. Plain ASCII costs nothing."""
    if text.isascii():
        return Normalised(text, None, len(text))
    parts: list[str] = []
    origin: list[int] = []
    for index, character in enumerate(text):
        if INVISIBLE.match(character):
            continue
        plain = character if character.isascii() else _plain(character)
        parts.append(plain)
        origin.extend([index] * len(plain))
    return Normalised("".join(parts), tuple(origin), len(text))


@lru_cache(maxsize=4_096)
def _plain(character: str) -> str:
    if character.isspace():
        return " "
    if character in "‘’‛ʼ´`":
        return "'"
    if character in "‐‑‒–—−":
        return "-"
    return unicodedata.normalize("NFKC", character)


def folded(text: str) -> str:
    """The form in which two spellings count as one value: normalised, case-folded, spaces collapsed, ends trimmed."""
    return SPACES.sub(" ", normalise(text).text.casefold()).strip()
