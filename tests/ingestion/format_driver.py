"""Runs format readers as the engine does, in memory: who claims a row, parts by key and alias, assembly, every item accounted for."""

from __future__ import annotations

import copy
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flywheel.ingestion.formats.batch import BATCH
from flywheel.ingestion.formats.chat_completions import NVIDIA, OPENAI
from flywheel.ingestion.formats.contract import Bad, Format, Part, Skipped, Whole
from flywheel.ingestion.formats.langfuse import LANGFUSE
from flywheel.ingestion.formats.stored_completions import STORED
from flywheel.ingestion.formats.tensorzero import TENSORZERO
from flywheel.ingestion.quarantine import REASONS, Rejected

SAMPLES = Path(__file__).parent / "samples"
READERS: tuple[Format, ...] = (LANGFUSE, BATCH, STORED, TENSORZERO, NVIDIA, OPENAI)


@dataclass
class Read:
    """What became of some rows. Every item is in exactly one of `rows`, `bad`, `skipped` or `joined`."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    joined: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    unclaimed: int = 0

    @property
    def items(self) -> int:
        return len(self.rows) + len(self.bad) + sum(self.skipped.values()) + self.joined

    @property
    def refusals(self) -> list[tuple[str, str | None]]:
        return [(b.reason, b.field) for b in self.bad]


def sample(*names: str) -> list[dict[str, Any]]:
    """The rows of files below `samples`."""
    return [json.loads(line) for name in names for line in (SAMPLES / f"{name}.jsonl").read_text().splitlines()]


def read(rows: Iterable[Any], readers: Sequence[Format] = READERS, *, forced: Format | None = None) -> Read:
    """Read rows. The readers may change nothing that they are given."""
    made, items = Read(), 0
    groups: dict[str, dict[str, list[Part]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        before = copy.deepcopy(row)
        reader = forced or next((r for r in readers if r.claims(row)), None)
        if reader is None:
            made.unclaimed += 1
            continue
        made.formats[reader.name] += 1
        try:
            for item in reader.items(row, made.losses):
                items += 1
                if isinstance(item, Whole):
                    made.rows.append(item.row)
                elif isinstance(item, Part):
                    groups[reader.name][item.key].append(item)
                elif isinstance(item, Skipped):
                    made.skipped[item.kind] += 1
                else:
                    made.bad.append(item)
        except Rejected as error:
            items += 1
            made.bad.append(Bad(error.reason, error.message, error.field, row))
        assert repr(row) == repr(before)
    by_name = {r.name: r for r in (*readers, *((forced,) if forced else ()))}
    for name, keyed in groups.items():
        for key, parts in _with_aliases(keyed).items():
            payloads = [p.payload for p in parts]
            before = copy.deepcopy(payloads)
            done = by_name[name].assemble(key, payloads, made.losses)
            assert repr(payloads) == repr(before)
            stands = [index for index, _ in done.rows]
            assert len({*stands, *done.skipped, *done.bad}) == len(stands) + len(done.skipped) + len(done.bad) <= len(parts)
            made.rows += [row for _, row in done.rows]
            made.skipped.update(done.skipped.values())
            made.bad += done.bad.values()
            made.joined += len(parts) - len(stands) - len(done.skipped) - len(done.bad)
    assert made.items == items
    assert all(b.reason in REASONS and b.message for b in made.bad)
    assert all(n > 0 for n in made.losses.values())
    return made


def _with_aliases(keyed: dict[str, list[Part]]) -> dict[str, list[Part]]:
    home = {alias: key for key, parts in keyed.items() for part in parts for alias in part.aliases}
    made: dict[str, list[Part]] = defaultdict(list)
    for key, parts in keyed.items():
        made[home.get(key, key)] += parts
    return {key: sorted(parts, key=lambda p: json.dumps(p.payload, sort_keys=True, default=str)) for key, parts in made.items()}
