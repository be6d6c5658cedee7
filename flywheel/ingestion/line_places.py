"""Where the lines of a chunk lie."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

AT_ONCE = 1 << 18  # bytes: what is compared stays in the processor's cache


class Line(NamedTuple):
    """One line of a chunk without its end. `length` exceeds len(`data`) where the line was too long to hold."""

    number: int
    offset: int
    data: bytes
    length: int


class Lines(NamedTuple):
    """Where the lines of a chunk lie. Those whose number is below `ended` have their end."""

    data: bytes
    start: Any
    length: Any
    ended: int

    @classmethod
    def of(cls, data: bytes) -> Lines:
        """All lines but an empty last one."""
        bytes_ = np.frombuffer(data, np.uint8)
        found = [np.flatnonzero(bytes_[at : at + AT_ONCE] == ord("\n")) + at for at in range(0, len(data), AT_ONCE)]
        ends = np.concatenate(found) if found else np.zeros(0, np.int64)
        start = np.concatenate([np.zeros(1, np.int64), ends + 1])
        if start[-1] < len(data):
            return cls(data, start, np.append(ends, len(data)) - start, len(ends))
        return cls(data, start[:-1], ends - start[:-1], len(ends))

    def closed(self, first: int, after: int) -> bool:
        """Does each of these lines begin with `{` and end with `}`? Then none of its objects goes on in the next: nowhere inside JSON does
        `{` follow `}` at once. (Of as many lines one could else hold two rows, and one row go over two.)"""
        start, last = self.start[first:after], self.start[first:after] + self.length[first:after] - 1
        if int(self.length[first:after].min()) < 2:
            return False
        text = np.frombuffer(self.data, np.uint8)
        last = last - (text[last] == ord("\r"))
        return bool((text[start] == ord("{")).all() and (text[last] == ord("}")).all())

    def line(self, number: int) -> Line:
        """One of them."""
        start, length = int(self.start[number]), int(self.length[number])
        return Line(number, start, self.data[start : start + length], length)
