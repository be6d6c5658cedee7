"""Sentences from templates: `(a|b|)` chooses, `{name}` is a value or another list. Parsed once, drawn many times."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Piece = tuple[str, str]  # text, type ("" where it is none)
Slot = Callable[[random.Random], Sequence[Piece]]
_SLOT = re.compile(r"\{([A-Za-z_]\w*)\}")


@dataclass(frozen=True)
class _Choice:
    options: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class _Reference:
    name: str


Node = str | _Choice | _Reference


def parse(line: str) -> tuple[object, ...]:
    """One template. Parentheses without a bar inside are text, braces that hold no name too (code has both)."""
    nodes, end = _sequence(line.replace("\\n", "\n").replace("\\t", "\t"), 0, inside=False)
    assert end == len(line.replace("\\n", "\n").replace("\\t", "\t"))  # noqa: S101
    return nodes


def _sequence(line: str, at: int, *, inside: bool) -> tuple[tuple[object, ...], int]:
    nodes: list[object] = []
    text: list[str] = []

    def flush() -> None:
        if text:
            nodes.append("".join(text))
            text.clear()

    while at < len(line):
        character = line[at]
        if inside and character in "|)":
            break
        if character == "(" and _has_bar(line, at):
            flush()
            options = []
            at += 1
            while True:
                option, at = _sequence(line, at, inside=True)
                options.append(option)
                at += 1
                if line[at - 1] == ")":
                    break
            nodes.append(_Choice(tuple(options)))
        elif character == "{" and (slot := _SLOT.match(line, at)) is not None:
            flush()
            nodes.append(_Reference(slot[1]))
            at = slot.end()
        else:
            text.append(character)
            at += 1
    flush()
    return tuple(nodes), at


def _has_bar(line: str, at: int) -> bool:
    depth = 0
    for character in line[at:]:
        depth += (character == "(") - (character == ")")
        if character == "|" and depth == 1:
            return True
        if depth == 0:
            return False
    return False


class Grammar:
    """Sections of templates and the slots that they may name."""

    def __init__(self, sections: Mapping[str, Sequence[str]], slots: Mapping[str, Slot]) -> None:
        self.sections = {name: [parse(line) for line in lines] for name, lines in sections.items()}
        self.slots = dict(slots)

    def draw(self, rng: random.Random, section: str) -> list[Piece]:
        """One text of `section`, as pieces."""
        return self._expand(rng, rng.choice(self.sections[section]))

    def _expand(self, rng: random.Random, nodes: Sequence[object]) -> list[Piece]:
        made: list[Piece] = []
        for node in nodes:
            if isinstance(node, str):
                made.append((node, ""))
            elif isinstance(node, _Choice):
                made.extend(self._expand(rng, rng.choice(node.options)))
            elif isinstance(node, _Reference):
                made.extend(self.slots[node.name](rng) if node.name in self.slots else self.draw(rng, node.name))
        return made


def read_sections(text: str) -> dict[str, list[str]]:
    """`[name]` lines and what follows each. Lines before the first section and empty ones are skipped."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if re.fullmatch(r"\[[A-Za-z_]\w*\]", line):
            current = sections.setdefault(line[1:-1], [])
        elif line.strip():
            current.append(line)
    return sections
