"""A finding of the fuzzing as small as it will go.

python -m bench.fuzz_minimise FILE.delivery SEED
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.fuzz_checks import check
from bench.fuzz_deliveries import Piece, unpack
from bench.fuzz_promises import Finding


def finding(pieces: Sequence[Piece], seed: int) -> str:
    """The name of what is wrong with this delivery, empty where nothing is."""
    try:
        check(pieces, seed)
    except Finding as found:
        return found.key
    return ""


def minimised(pieces: Sequence[Piece], holds: Callable[[Sequence[Piece]], bool], seconds: float = 20.0) -> list[Piece]:
    """A smaller delivery for which `holds` still says yes: files, then lines, then pieces of lines left out."""
    made, end = list(pieces), time.monotonic() + seconds

    def shrunk(size: int, without: Callable[[int, int], list[Piece] | None]) -> None:
        nonlocal made
        step = max(size // 2, 1)
        while step and time.monotonic() < end:
            at = 0
            while time.monotonic() < end:
                tried = without(at, step)
                if tried is None:
                    break
                if holds(tried):
                    made = tried
                else:
                    at += step
            step //= 2

    shrunk(len(made), lambda at, step: made[:at] + made[at + step :] if at < len(made) and len(made) > 1 else None)
    for separator in (b"\n", b", ", b""):
        for number in range(len(made)):

            def units(number: int = number, separator: bytes = separator) -> list[bytes]:
                data = made[number].data
                return data.split(separator) if separator else [data[i : i + 1] for i in range(len(data))]

            def without(at: int, step: int, number: int = number, separator: bytes = separator) -> list[Piece] | None:
                parts = units(number, separator)
                if at >= len(parts) or len(parts) < 2:
                    return None
                kept = separator.join(parts[:at] + parts[at + step :])
                return [*made[:number], Piece(made[number].form, kept), *made[number + 1 :]]

            shrunk(len(units()), without)
    return made


if __name__ == "__main__":
    given, number = unpack(Path(sys.argv[1]).read_bytes()), int(sys.argv[2])
    name = finding(given, number)
    print(name or "nothing is wrong with it")
    for piece in minimised(given, lambda tried: finding(tried, number) == name) if name else []:
        print(piece)
