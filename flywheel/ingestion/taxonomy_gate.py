"""How a regular expression begins: words that are quick to look for, and that every text which the expression finds must hold.

The union of many whole expressions (`A[^\\n]*B`) makes an automaton of too many states: it was measured ten times slower than their
beginnings together. A beginning is never wrong, only sometimes missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

PLAIN_ESCAPES = frozenset("b.()[]{}?*+|-/n^$\\")  # stand for one character or a word's edge
LETTER_CLASS = re.compile(r"\[[A-Za-z]{1,4}\]")  # [sz]
WILD = re.compile(r"[*+{.]|\[|\\[^b.()-]")
NO_LETTER = re.compile(r"\\.|\(\?:|\([^()]*\)\?|[^A-Za-z`=#>]")
LETTERS = 2


def any_of(expressions: Sequence[str]) -> str:
    """One expression for several."""
    return expressions[0] if len(expressions) == 1 else "|".join(f"(?:{e})" for e in expressions)


def mistake(expression: str) -> str | None:
    """What RE2 says against an expression; None where it can be used."""
    try:
        pc.match_substring_regex(pa.array([""]), expression, ignore_case=True)
    except pa.ArrowInvalid as error:
        return str(error).removeprefix("Invalid regular expression: ")
    return None


def beginning(expression: str) -> str:
    """The first elements of an expression up to one that repeats or may be many things (`[^\\n]*`, `\\w+`), for each of its alternatives.
    Empty where one of them begins with too few letters to be worth looking for."""
    found, branch, end = [], 0, None  # type: list[str], int, int | None
    element, depth, at = 0, 0, 0
    while at < len(expression):
        char, width = expression[at], 1
        wild = False
        if char == "\\":
            width, wild = 2, expression[at + 1 : at + 2] not in PLAIN_ESCAPES
        elif char == "[":
            width = _class_width(expression, at)
            wild = LETTER_CLASS.fullmatch(expression, at, at + width) is None
        if char == "|" and depth == 0:
            found.append(expression[branch : at if end is None else end])
            branch, end = at + 1, None
        elif char == ")":
            depth -= 1
            wild = depth == 0 and WILD.search(LETTER_CLASS.sub("", expression[element : at + 1])) is not None
        elif char in "*+{?.":
            # an optional group of plain words stays; anything else that repeats ends the beginning where it starts
            wild = not (char == "?" and expression[at - 1 : at] in (")", "("))
            if char == ".":
                element = at if depth == 0 else element
        elif depth == 0:
            element = at
        if char == "(":
            depth += 1
        if wild and depth == 0 and end is None:
            end = element
        at += width
    found.append(expression[branch : len(expression) if end is None else end])
    return any_of(found) if all(len(NO_LETTER.sub("", f)) >= LETTERS for f in found) else ""


def _class_width(expression: str, at: int) -> int:
    """Characters of the class that starts here; a bracket that comes first in it belongs to it."""
    close = at + (2 if expression[at + 1 : at + 2] == "^" else 1)
    close += expression[close : close + 1] == "]"
    while close < len(expression) and expression[close] != "]":
        if expression[close : close + 2] == "[:":
            close = max(expression.find(":]", close), close) + 1
        close += 2 if expression[close] == "\\" else 1
    return close + 1 - at
