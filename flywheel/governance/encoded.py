"""Text that hides in base64 or hex: whatever it says, nobody can read it there, so that it goes whole.

A run counts when all of it decodes to readable text. Hashes, keys and pictures do not; identifiers in code practically never do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from functools import lru_cache

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{12,}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?:0x)?((?:[0-9a-f]{2}){8,}|(?:[0-9A-F]{2}){8,})(?![A-Za-z0-9])")
_WORDY = re.compile(r"[A-Za-z0-9@.,:;'\" /+()_\n{}\[\]?!&=*#%-]")
MOST = 100_000
URL_SAFE = str.maketrans("-_", "+/")


def encoded_spans(text: str) -> Iterator[tuple[int, int]]:
    """[start, end) of every run that decodes to readable text."""
    for match in _BASE64.finditer(text):
        run = match.group()
        if run != run.lower() and run != run.upper() and len(run) <= MOST and _is_base64_text(run):
            yield match.span()
    for match in _HEX.finditer(text):
        if len(match[1]) <= MOST and not match[1].isdigit() and _reads(bytes.fromhex(match[1])):
            yield match.span()


@lru_cache(maxsize=65_536)
def _is_base64_text(run: str) -> bool:
    bare = run.rstrip("=").translate(URL_SAFE)
    if len(bare) % 4 == 1 or (len(bare) < 16 and bare.isalpha() and bare == run):
        return False  # the second: a word (`Undocumented` decodes to nine printable characters)
    try:
        return _reads(base64.b64decode(bare + "=" * (-len(bare) % 4)))
    except (binascii.Error, ValueError):
        return False


def _reads(data: bytes) -> bool:
    """Is this text? Letters of any script, most of it the characters of words, numbers and addresses."""
    try:
        said = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if not all(c.isprintable() or c in "\n\r\t" for c in said):
        return False
    return (
        len(_WORDY.findall(said)) + sum(c.isalpha() and not c.isascii() for c in said) >= 0.95 * len(said)
        and sum(c.isalnum() for c in said) >= 4
    )
