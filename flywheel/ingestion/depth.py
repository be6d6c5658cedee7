"""How deeply a row may be nested. The bound lies far below what the interpreter can follow, so that a row fares the same wherever on the
stack it is read, and every later stage can read it again."""

from __future__ import annotations

import re
from typing import Any

DEEPEST = 100
TOO_DEEP = f"nested deeper than {DEEPEST} levels"
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.S)
_ESCAPED = re.compile(rb"\\u00[57]")
_BRACKET = re.compile(rb"[\[\]{}]")


def many_brackets(data: bytes) -> bool:
    """May this JSON be too deep? Nearly always no, and cheap to see."""
    return data.count(b"{") + data.count(b"[") > DEEPEST


def perhaps_deep(data: bytes) -> bool:
    """The same of JSON whose texts will be taken apart: they may hide brackets as escapes."""
    return many_brackets(data) or _ESCAPED.search(data) is not None


def too_deep(value: Any) -> bool:
    """Is this JSON value nested too deeply?"""
    level = [value]
    for _ in range(DEEPEST):
        level = [v for held in level for v in (held.values() if type(held) is dict else held) if type(v) is dict or type(v) is list]
        if not level:
            return False
    return True


def too_deep_text(data: bytes) -> bool:
    """The same of text that is no JSON, or too deep to be read as such."""
    if not many_brackets(data):
        return False
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False
