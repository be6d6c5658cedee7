"""Invented values through a whole round, in every type, place and disguise: none may come out. (1,000 and more: bench.campaign_canaries.)"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from flywheel.errors import BadInput
from flywheel.governance.canaries import DISGUISES, PLACES, TYPES, check_canaries, label_canaries, make_canaries, plant, planted
from flywheel.storage import Home
from tests.small_rounds import R1


def test_every_pair_of_type_place_and_disguise_comes_up() -> None:
    made = make_canaries(3_000, 0)
    free = [p for p in PLACES if p not in ("record_id", "conversation_id", "user_id", "file_name", "split_over_turns", "unknown_field")]
    assert {(c.type, c.place) for c in made} == set(product(TYPES, PLACES))
    assert {(c.place, c.disguise) for c in made} >= set(product(free, DISGUISES))
    assert {(c.type, c.disguise) for c in made} == set(product(TYPES, DISGUISES))
    assert len({c.value for c in made}) == len(made)
    assert make_canaries(100, 0) == make_canaries(100, 0) != make_canaries(100, 1)


def test_a_canary_that_got_out_is_found_in_the_form_it_was_planted_in(home: Home) -> None:
    canaries = plant(home, R1, 400)
    assert planted(home) == canaries
    assert not check_canaries(home, canaries).found
    home.reports.mkdir()
    for canary in canaries[:120]:
        (home.reports / "out.txt").write_text(f"so it is: {DISGUISES[canary.disguise](canary.value)} indeed")
        assert list(check_canaries(home, [canary]).found) == [canary.number], canary
    with pytest.raises(BadInput):
        plant(home, R1, 0)


@pytest.mark.slow
def test_a_round_with_canaries_lets_none_out(tmp_path: Path) -> None:
    from bench.campaign_canaries import canary_round

    flown = canary_round(tmp_path / "home", 630, 60, logs=60)
    found = flown.canaries
    assert {c.number: found.found[c.number] for c in found.canaries if c.number in found.found} == {}
    assert found.scan.problems == []
    assert (found.scan.files > 60, len(found.canaries)) == (True, 690)
    assert dict(flown.vault.leaks) == {}
    assert len(label_canaries(60, 630, 0)) == 60
