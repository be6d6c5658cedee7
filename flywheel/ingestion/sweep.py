"""Segments that nothing refers to any more are removed: they hold raw rows of content that was replaced, grew on, or was read anew.

A segment may be read long after the landing folder was: everyone who reads the store holds it in use, and only who is alone in it sweeps.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flywheel.storage.files import read_json


class Use:
    """That somebody reads the store."""

    def __init__(self, folder: Path, descriptor: int) -> None:
        self._folder, self._descriptor = folder, descriptor

    def sweep(self, assembled: Collection[str]) -> int:
        """Remove what no index names, and what was assembled but for the folders `assembled`; how many files went. Nothing where somebody else
        reads the store: the next import does it then."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return 0
        kept = {f"{key}.seg" for place in self._folder.glob("index-*.json") for key in _named(place)}
        gone = [p for p in (self._folder / "segments").glob("*/*") if p.name not in kept]
        for path in gone:
            with suppress(OSError):
                path.unlink()
        for path in (self._folder / "assembled").glob("*"):
            if path.name not in assembled:
                shutil.rmtree(path, ignore_errors=True)
        return len(gone)


def _named(index: Path) -> Iterator[str]:
    for file in (read_json(index) or {}).get("files", {}).values():
        for chunk in (*file["chunks"], *file["retired"]):
            yield chunk[1]


@contextmanager
def in_use(folder: Path) -> Iterator[Use]:
    """Hold the store in use."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield Use(folder, descriptor)
    finally:
        os.close(descriptor)
