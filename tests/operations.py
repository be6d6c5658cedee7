"""How much work something is, counted: the same on every machine and under any load, where a clock is not.

Counted are the lines of Python that run (each turn of a loop again) and the calls, of C too. A loop inside C over plain texts is not seen;
texts made `Counted` show it, for they are compared in Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any


class Counted(str):
    """Text whose comparisons and hashes are operations."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)  # type: ignore[arg-type]

    def __lt__(self, other: str) -> bool:
        return str.__lt__(self, other)

    def __hash__(self) -> int:
        return str.__hash__(self)


def counted(value: Any, fields: Collection[str]) -> Any:
    """The same JSON with every text of these fields `Counted`."""
    if isinstance(value, dict):
        return {k: Counted(v) if k in fields and type(v) is str else counted(v, fields) for k, v in value.items()}
    return [counted(v, fields) for v in value] if isinstance(value, list) else value


def operations(work: Callable[[], object]) -> int:
    """How many operations `work` is."""
    count = 0

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return line

    def call(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call"

    traced, profiled = sys.gettrace(), sys.getprofile()
    sys.settrace(line)
    sys.setprofile(call)
    try:
        work()
    finally:
        sys.setprofile(profiled)
        sys.settrace(traced)
    return count
