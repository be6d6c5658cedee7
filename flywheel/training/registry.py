"""The model registry: what serves and scores after each round was closed. It closes the loop (`flywheel.rounds` pins from it)."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from flywheel.errors import RoundRefused
from flywheel.records import RegistryEntry
from flywheel.storage.files import write_json

WHEN = {"effective_at", "recorded_at"}  # a rerun says the same at another time; the first time stands


class Registry:
    """Files `<root>/<round>.json`, one a closed round. A replaced entry stays as `<round>.<n>.json`, n counting from 1."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def enter(self, entry: RegistryEntry, *, supersede: bool = False) -> RegistryEntry:
        """Record a round's outcome; gives what stands. Saying the same again (at whatever time) changes nothing. A different entry
        is refused with `RoundRefused` unless `supersede`: later rounds may already have been pinned to the first."""
        current = self.entry(entry.round)
        if current is not None:
            if current.model_dump(exclude=WHEN) == entry.model_dump(exclude=WHEN):
                return current
            if not supersede:
                raise RoundRefused(
                    f"round {entry.round} is already closed ({current.decision}, model {current.model_id}); "
                    "a different outcome must supersede it explicitly"
                )
            number = len(self.superseded(entry.round)) + 1
            os.link(self._path(entry.round), self.root / f"{entry.round}.{number}.json")
        write_json(self._path(entry.round), entry.model_dump(mode="json"))
        return entry

    def entry(self, round: str) -> RegistryEntry | None:
        """The round's standing entry, or None while it is open."""
        try:
            return RegistryEntry.model_validate_json(self._path(round).read_bytes())
        except FileNotFoundError:
            return None

    def superseded(self, round: str) -> list[RegistryEntry]:
        """Replaced entries of a round, oldest first."""
        paths = sorted(self.root.glob(f"{round}.[0-9]*.json"), key=lambda p: int(p.name.split(".")[1]))
        return [RegistryEntry.model_validate_json(p.read_bytes()) for p in paths]

    def entries(self) -> list[RegistryEntry]:
        """Standing entries, by round."""
        rounds = sorted(p.stem for p in self.root.glob("*.json") if p.name.count(".") == 1 and not p.name.startswith("."))
        return [e for e in (self.entry(r) for r in rounds) if e is not None]

    def as_of(self, cutoff: datetime, before_round: str) -> RegistryEntry | None:
        """What a round that starts now knows: the newest entry of an earlier round that was in effect at `cutoff`."""
        known = [e for e in self.entries() if e.round < before_round and e.effective_at <= cutoff]
        return known[-1] if known else None

    def _path(self, round: str) -> Path:
        return self.root / f"{round}.json"
