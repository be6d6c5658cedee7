"""The gate of the demo base."""

from __future__ import annotations

import pytest

from flywheel.errors import TrainingFailed
from flywheel.training.base_trainer import check

GOOD = {"greedy_ok_support": 0.55, "greedy_ok_code": 0.2, "any_ok_support": 0.8, "any_ok_code": 0.5, "reading": 0.28}


def test_an_able_but_badly_habituated_base_passes() -> None:
    check(GOOD)


@pytest.mark.parametrize(
    ("figure", "value", "reason"),
    [("greedy_ok_support", 0.7, "nothing to gain"), ("any_ok_code", 0.2, "nothing to learn from"), ("reading", 0.1, "hardly depend")],
)
def test_a_base_without_room_or_ability_is_refused_with_figures(figure: str, value: float, reason: str) -> None:
    with pytest.raises(TrainingFailed, match=reason) as caught:
        check({**GOOD, figure: value})
    assert f"{figure} {value:.3f}" in str(caught.value)
