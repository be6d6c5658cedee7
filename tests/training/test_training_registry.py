from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import RoundRefused
from flywheel.records import RegistryEntry
from flywheel.training import Registry

MONDAY = datetime(2026, 1, 12, tzinfo=UTC)


def entry(round: str = "2026-01-05", at: datetime = MONDAY, **fields: Any) -> RegistryEntry:
    return RegistryEntry(**{"round": round, "decision": "promoted", "model_id": "dpo-1", "effective_at": at, "recorded_at": at, **fields})


def test_saying_the_same_again_later_changes_nothing(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first = registry.enter(entry())
    again = registry.enter(entry(at=MONDAY + timedelta(days=1)))
    assert again == first
    assert registry.entries() == [first]


def test_a_different_outcome_is_refused_unless_it_supersedes(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first = registry.enter(entry())
    other = entry(decision="kept", model_id="base-1")
    with pytest.raises(RoundRefused, match="already closed"):
        registry.enter(other)
    third = entry(model_id="dpo-3")
    registry.enter(other, supersede=True)
    registry.enter(third, supersede=True)
    assert registry.entry("2026-01-05") == third
    assert registry.superseded("2026-01-05") == [first, other]
    assert registry.entries() == [third]


def test_a_round_sees_only_earlier_rounds_in_effect_at_its_cutoff(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    first = registry.enter(entry("2026-01-05", MONDAY))
    late = registry.enter(entry("2026-01-12", MONDAY + timedelta(days=30), model_id="dpo-2"))
    cutoff = MONDAY + timedelta(days=14)
    assert registry.as_of(cutoff, "2026-01-05") is None
    assert registry.as_of(cutoff, "2026-01-19") == first
    assert registry.as_of(MONDAY + timedelta(days=31), "2026-01-19") == late
    assert registry.as_of(MONDAY - timedelta(seconds=1), "2026-01-12") is None
