"""The package's lists of names and words, and the split of names between training and development.

By a hash of the name, so that whatever is measured on the development part was never seen in training: part 0 only develops, parts 1 and 2
train without being in the lexicon's gazetteer, the rest trains and is in it.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import lru_cache
from importlib import resources

from flywheel.governance.ner.grammar import read_sections

PARTS = 6
DATA = resources.files("flywheel.governance.ner") / "data"


@lru_cache(maxsize=8)
def listed(name: str) -> tuple[str, ...]:
    """The lines of a compressed list."""
    return tuple(gzip.decompress((DATA / name).read_bytes()).decode().split("\n")[:-1])


@lru_cache(maxsize=1)
def lists() -> dict[str, tuple[str, ...]]:
    """Comma-separated lists by name."""
    sections = read_sections((DATA / "lists.txt").read_text(encoding="utf-8"))
    return {name: tuple(v.strip() for line in lines for v in line.split(",") if v.strip()) for name, lines in sections.items()}


def part_of(name: str) -> int:
    """Which part of the split a name lies in, by its letters alone."""
    return hashlib.sha256(name.casefold().encode()).digest()[0] % PARTS


def titled(name: str) -> str:
    return " ".join(w if w[0].isupper() else w.capitalize() for w in name.split())
