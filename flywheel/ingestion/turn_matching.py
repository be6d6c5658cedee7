"""Where one list of turns lies in another, in time linear in both (the prefix function of Knuth, Morris and Pratt)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def overlap(known: Sequence[Hashable], history: Sequence[Hashable]) -> int:
    """Length of the longest beginning of `history` that `known` ends with."""
    if not history:
        return 0
    borders, length = _borders(history), 0
    for item in known[-len(history) :]:
        while length and (length == len(history) or history[length] != item):
            length = borders[length - 1]
        length += history[length] == item
    return length


def last_place(wanted: Sequence[Hashable], within: Sequence[Hashable]) -> int | None:
    """Where `wanted` lies last in `within`; None where it does not (or is empty)."""
    if not wanted or len(wanted) > len(within):
        return None
    borders, length, found = _borders(wanted), 0, None
    for at, item in enumerate(within):
        while length and (length == len(wanted) or wanted[length] != item):
            length = borders[length - 1]
        length += wanted[length] == item
        if length == len(wanted):
            found = at + 1 - length
    return found


def _borders(items: Sequence[Hashable]) -> list[int]:
    """For each beginning of `items` the longest shorter beginning that it also ends with."""
    borders, length = [0] * len(items), 0
    for at in range(1, len(items)):
        while length and items[length] != items[at]:
            length = borders[length - 1]
        length += items[length] == items[at]
        borders[at] = length
    return borders
