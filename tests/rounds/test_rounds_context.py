"""The pin of a round: written once, replayed ever after."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flywheel.errors import BadInput, RoundRefused
from flywheel.records import RegistryEntry
from flywheel.rounds import abandon, demand_context, open_context, pool_rounds
from flywheel.rounds.context import pin_pool
from flywheel.settings import Settings
from flywheel.storage import Home
from flywheel.training import Registry

R1, R2, R3 = "2026-01-05", "2026-01-12", "2026-01-19"
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def opened(home: Home, round: str = R1, **options: object) -> object:
    return open_context(home, round, now=NOW, code_version="test", **options)


def enter(home: Home, round: str, effective_at: datetime) -> None:
    Registry(home.registry).enter(
        RegistryEntry(
            round=round, decision="promoted", model_id=f"dpo-{round}", candidate_id="c", effective_at=effective_at, recorded_at=NOW
        )
    )


def test_a_rerun_replays_the_first_pin(home: Home) -> None:
    first = opened(home)
    assert open_context(home, R1, now=NOW + timedelta(days=9), code_version="other") == first
    assert demand_context(home, R1) == first


def test_what_took_effect_after_the_cutoff_is_not_pinned(home: Home) -> None:
    """A live round is one behind: the model promoted on Tuesday serves the week that ended on Sunday not."""
    enter(home, R1, effective_at=datetime(2026, 1, 19, 9, tzinfo=UTC))
    assert opened(home, R2).model_id is None
    assert opened(home, R3).model_id == f"dpo-{R1}"
    assert demand_context(home, R3).registry_lag_rounds == 2


def test_a_rerun_after_a_promotion_still_has_the_old_model(home: Home) -> None:
    assert opened(home, R2).model_id is None
    enter(home, R1, effective_at=datetime(2026, 1, 12, tzinfo=UTC))
    assert opened(home, R2).model_id is None


def test_a_key_that_is_no_monday_is_refused_where_dagster_would_take_it(home: Home) -> None:
    with pytest.raises(BadInput, match="Tuesday"):
        opened(home, "2026-01-06")


def test_a_backfill_needs_the_round_before_settled(home: Home) -> None:
    opened(home, R1, backfill_from=R1)
    with pytest.raises(RoundRefused, match=f"{R1}, is unsettled"):
        opened(home, R2, backfill_from=R1)
    abandon(home, R1, "no labels", NOW)
    assert opened(home, R2, backfill_from=R1).round == R2


def test_an_abandoned_round_is_not_opened_again(home: Home) -> None:
    opened(home)
    abandon(home, R1, "no labels", NOW)
    with pytest.raises(RoundRefused, match=r"abandoned \(no labels\)"):
        opened(home)
    with pytest.raises(RoundRefused, match="abandoned"):
        demand_context(home, R1)


def test_a_round_that_was_never_opened_says_how(home: Home) -> None:
    with pytest.raises(RoundRefused, match=f"flywheel round run {R1}"):
        demand_context(home, R1)


def test_the_pool_is_pinned_at_the_first_call(home: Home) -> None:
    opened(home)
    assert pin_pool(home, R1, ["b", "a"]) == {"a", "b"}
    assert pin_pool(home, R1, ["a", "b", "late"]) == {"a", "b"}


def test_the_pool_reaches_back_and_not_before_the_first_round(home: Home) -> None:
    assert pool_rounds(home, R1) == [R1]
    assert pool_rounds(home, "2026-02-16") == ["2026-01-19", "2026-01-26", "2026-02-02", "2026-02-09", "2026-02-16"]


def _open(arguments: tuple[str, int]) -> str:
    home = Home(Settings.load(home=arguments[0]))
    moment = NOW + timedelta(seconds=arguments[1])
    return open_context(home, R1, now=moment, code_version="test").pinned_at.isoformat()


def test_of_processes_that_open_a_round_at_once_all_get_the_same_pin(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        moments = set(pool.map(_open, [(str(tmp_path / "home"), n) for n in range(8)]))
    assert len(moments) == 1
    assert demand_context(Home(Settings.load(home=tmp_path / "home")), R1).pinned_at.isoformat() in moments
