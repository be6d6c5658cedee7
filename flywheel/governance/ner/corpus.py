"""Labelled text that nobody wrote: what the shipped recogniser learns from, and a development part of other sentences and other names.

Deterministic by seed. A text is drawn from the templates, then spoilt the way people type: lower case, missing stops, slips, no space.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flywheel.governance.ner.grammar import Grammar, Piece, read_sections
from flywheel.governance.ner.lists import DATA
from flywheel.governance.ner.shapes import mistyped
from flywheel.governance.ner.values import Values

DEVELOPMENT_SHARE = 8
JOINED_SHARE = 0.25
TOP = "top_"
Labelled = tuple[int, int, str]


@dataclass(frozen=True)
class Example:
    """A text and its labels, as (start, end, type). PLACE and ORG help to tell names from what looks like them; nobody redacts them."""

    text: str
    labels: tuple[Labelled, ...]


@lru_cache(maxsize=2)
def _grammar(develop: bool) -> tuple[Grammar, tuple[str, ...], tuple[int, ...]]:
    """Sentences whose hash says so are kept for development; parts of sentences serve both."""
    sections = read_sections((DATA / "templates.txt").read_text(encoding="utf-8"))
    kept = {
        name: [line for line in lines if not name.startswith(TOP) or _is_development(line) == develop] for name, lines in sections.items()
    }
    weights = [line.split() for line in (DATA / "weights.txt").read_text().splitlines()]
    return Grammar(kept, Values(develop=develop).slots()), tuple(w[0] for w in weights), tuple(int(w[1]) for w in weights)


def _is_development(line: str) -> bool:
    return hashlib.sha256(line.encode()).digest()[0] % DEVELOPMENT_SHARE == 0


def generate(count: int, seed: int, *, develop: bool = False) -> Iterator[Example]:
    """`count` texts. `develop`: from the sentences and names that training never sees."""
    grammar, tops, weights = _grammar(develop)
    rng = random.Random(f"ner|{seed}|{develop}")
    for _ in range(count):
        top = rng.choices(tops, weights)[0]
        pieces = spoil(rng, grammar.draw(rng, top), top)
        while rng.random() < JOINED_SHARE:
            top = rng.choices(tops, weights)[0]
            pieces += [(rng.choice((" ", " ", ". ", "\n", ", ")), ""), *spoil(rng, grammar.draw(rng, top), top)]
        yield join(pieces)


def spoil(rng: random.Random, pieces: list[Piece], top: str) -> list[Piece]:
    """Typed in a hurry, in some of the texts."""
    pieces = [p for p in pieces if p[0]]
    if top == "top_code" or not pieces:
        return pieces
    draw = rng.random()
    if draw < 0.20:
        pieces = [(text.lower(), kind) for text, kind in pieces]
    elif draw < 0.225:
        pieces = [(text.upper(), kind) for text, kind in pieces]
    elif draw < 0.28:
        pieces = [(text[:1].upper() + text[1:] if i == 0 else text, kind) for i, (text, kind) in enumerate(pieces)]
    if rng.random() < 0.18:
        pieces = [(text if kind else _slips(rng, text), kind) for text, kind in pieces]
    if rng.random() < 0.15:
        pieces = [(text if kind else text.replace(",", ""), kind) for text, kind in pieces]
    if rng.random() < 0.08:
        pieces = [(text if kind else text.replace("'", ""), kind) for text, kind in pieces]
    if rng.random() < 0.04:
        pieces = [(text if kind else re.sub(r"([.!?]) ", r"\1", text), kind) for text, kind in pieces]
    if rng.random() < 0.05:
        pieces = [(text if kind else re.sub(r"[.!?]", rng.choice(("...", "!!", " .", "?")), text), kind) for text, kind in pieces]
    if rng.random() < 0.25 and not pieces[-1][1]:
        pieces[-1] = (pieces[-1][0].rstrip(".! "), "")
    if rng.random() < 0.06:
        pieces.append((rng.choice((" :)", " lol", "!!!", " 😊", " thanks", " please", " ...", " xx")), ""))
    return pieces


def _slips(rng: random.Random, text: str) -> str:
    return re.sub(r"[a-z]{4,}", lambda m: mistyped(rng, m[0]) if rng.random() < 0.12 else m[0], text)


def join(pieces: list[Piece]) -> Example:
    """Pieces as one text with labels."""
    parts, labels, at = [], [], 0
    for text, kind in pieces:
        if kind:
            labels.append((at, at + len(text), kind))
        parts.append(text)
        at += len(text)
    return Example("".join(parts), tuple(labels))
