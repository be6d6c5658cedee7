"""Text as detectors should see it, with the way back to the original's characters.

Unicode compatibility forms become plain (NFKC, one character at a time, so that every character knows where it came from), and characters
without width (zero-width space, byte order mark, soft hyphen, directional marks) go: `J\\u200bane` reads `Jane`. Escapes of JSON, addresses
and HTML read as what they stand for (`jane%40shop.example`), and letters of other scripts that look Latin as Latin ones, in words that mix both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
SPACES = re.compile(r"\s+")
_PAIR = r"\\+u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}"
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " "}
ESCAPED = re.compile(
    rf"{_PAIR}|\\+u[0-9a-fA-F]{{4}}|(?:%[0-9a-fA-F]{{2}})+|&(?:#[0-9]{{1,7}}|#[xX][0-9a-fA-F]{{1,6}}|amp|lt|gt|quot|apos|nbsp);"
)
_WORD = re.compile(r"[^\W\d_]+")
# letters of other scripts that look like Latin ones (Unicode's confusables, the letters of names)
LOOKALIKES = str.maketrans({
    "а": "a", "в": "b", "е": "e", "ё": "e", "і": "i", "ї": "i", "ј": "j", "к": "k", "ӏ": "l", "м": "m", "н": "h", "о": "o", "р": "p", "с": "c", "т": "t",
    "у": "y", "х": "x", "ѕ": "s", "ԁ": "d", "ԛ": "q", "ԝ": "w", "һ": "h", "ɡ": "g", "ɑ": "a", "ո": "n", "ս": "u", "օ": "o",
    "А": "A", "В": "B", "Е": "E", "Ё": "E", "І": "I", "Ї": "I", "Ј": "J", "К": "K", "М": "M", "Н": "H", "О": "O", "Р": "P", "С": "C", "Т": "T",
    "У": "Y", "Х": "X", "Ѕ": "S", "Ԛ": "Q", "Ԝ": "W",
    "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "τ": "t", "υ": "u", "χ": "x", "γ": "y", "ω": "w",
    "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X",
    "ı": "i", "ſ": "s",
})  # fmt: skip
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


@dataclass(frozen=True)
class Normalised:
    """`text` is what detectors read; its character i stands for [origin[i], ends[i]) of the original (None: they are the same)."""

    text: str
    origin: tuple[int, ...] | None
    length: int
    ends: tuple[int, ...] | None = None

    def back(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) of the original that [start, end) of `text` came from, invisible characters inside it included."""
        if self.origin is None:
            return start, end
        first = self.origin[start]
        if end <= start:
            return first, first
        return first, self.ends[end - 1] if self.ends is not None else self.origin[end - 1] + 1


def normalise(text: str) -> Normalised:
    """The text as detectors should see it. Plain ASCII costs nothing."""
    escapes = ("%" in text or "\\u" in text or "&" in text) and ESCAPED.search(text) is not None
    if text.isascii() and not escapes:
        return Normalised(text, None, len(text))
    parts: list[str] = []
    origin: list[int] = []
    ends: list[int] = []
    for start, end, character in _characters(text) if escapes else zip(range(len(text)), range(1, len(text) + 1), text, strict=True):
        if INVISIBLE.match(character):
            continue
        plain = character if character.isascii() else _plain(character)
        parts.append(plain)
        origin.extend([start] * len(plain))
        ends.extend([end] * len(plain))
    return Normalised(_without_lookalikes("".join(parts)), tuple(origin), len(text), tuple(ends))


def _characters(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, character) of a text, an escape being one character."""
    at = 0
    for match in ESCAPED.finditer(text):
        for index in range(at, match.start()):
            yield index, index + 1, text[index]
        meant = _meaning(match.group())
        if meant is None:
            for index in range(match.start(), match.end()):
                yield index, index + 1, text[index]
        else:
            for character, start, end in meant:
                yield match.start() + start, match.start() + end, character
        at = match.end()
    for index in range(at, len(text)):
        yield index, index + 1, text[index]


@lru_cache(maxsize=16_384)
def _meaning(escape: str) -> tuple[tuple[str, int, int], ...] | None:
    """(character, start, end) of what an escape stands for; None where it stands for nothing readable."""
    whole = len(escape)
    if escape[0] == "%":
        try:
            said = bytes.fromhex(escape.replace("%", "")).decode("utf-8")
        except UnicodeDecodeError:
            return None
        if not said.isprintable() and not said.isspace():
            return None
        placed, at = [], 0
        for character in said:
            end = at + 3 * len(character.encode("utf-8"))
            placed.append((character, at, end))
            at = end
        return tuple(placed)
    if escape[0] == "&":
        name = escape[1:-1]
        code = int(name[2:], 16) if name[:2] in ("#x", "#X") else int(name[1:]) if name[0] == "#" else -1
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            return None
        return ((_NAMED[name] if code < 0 else chr(code), 0, whole),)
    codes = [int(part, 16) for part in re.findall(r"u([0-9a-fA-F]{4})", escape)]
    if len(codes) == 2:
        return ((chr(0x10000 + ((codes[0] - 0xD800) << 10) + codes[1] - 0xDC00), 0, whole),)
    return ((chr(codes[0]), 0, whole),) if not 0xD800 <= codes[0] <= 0xDFFF else None


def _without_lookalikes(text: str) -> str:
    """Words that mix Latin with letters of other scripts that look Latin, all in Latin; other words stay what they are."""
    if text.isascii():
        return text

    def latin(match: re.Match[str]) -> str:
        word = match.group()
        return word if word.isascii() or not _LATIN.search(word) else word.translate(LOOKALIKES)

    return _WORD.sub(latin, text)


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
