from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.records import EvaluationRow
from flywheel.settings import EvaluationSettings
from flywheel.storage.arrow import to_table
from flywheel.training import promotion_decision
from flywheel.training.evaluation import cluster_bootstrap, compare

GOOD = {
    ("all", "temperature_0.7"): (0.56, 0.54), ("all", "greedy"): (0.6, 0.55), ("support", "temperature_0.7"): (0.57, 0.55),
    ("support", "greedy"): (0.6, 0.55), ("code", "temperature_0.7"): (0.55, 0.52), ("code", "greedy"): (0.52, 0.48),
}  # fmt: skip


def table(wins: dict[tuple[str, str], tuple[float, float]], ratio: float = 1.0) -> object:
    shared = {"round": "2026-01-05", "candidate_id": "c", "incumbent_id": "i", "n_prompts": 9, "n_clusters": 3, "judge": "test"}
    rows = []
    for (domain, decoding), (value, low) in wins.items():
        place = {"domain": domain, "decoding": decoding, **shared}
        rows.append(EvaluationRow(metric="win_rate", value=value, low=low, high=value + 0.02, **place))
        rows.append(EvaluationRow(metric="length_ratio", value=ratio, low=ratio, high=ratio, **place))
    return to_table(EvaluationRow, rows)


def test_better_overall_and_worse_nowhere_promotes() -> None:
    promote, reasons = promotion_decision(table(GOOD), EvaluationSettings())
    assert promote
    assert all(r.startswith("met: ") for r in reasons)


@pytest.mark.parametrize(
    ("place", "figures", "reason"),
    [
        (("all", "temperature_0.7"), (0.52, 0.499), "overall win rate"),
        (("code", "greedy"), (0.46, 0.42), "code win rate at greedy"),
        (("support", "temperature_0.7"), (0.48, 0.449), "support win rate at temperature_0.7"),
    ],
)
def test_one_missed_bound_keeps_the_model(place: tuple[str, str], figures: tuple[float, float], reason: str) -> None:
    promote, reasons = promotion_decision(table({**GOOD, place: figures}), EvaluationSettings())
    assert not promote
    assert [r for r in reasons if r.startswith("not met")] == [next(r for r in reasons if reason in r and r.startswith("not met"))]


@pytest.mark.parametrize("ratio", [1.3, 0.7])
def test_length_drift_keeps_the_model(ratio: float) -> None:
    promote, reasons = promotion_decision(table(GOOD, ratio), EvaluationSettings())
    assert not promote
    assert any("length ratio" in r for r in reasons)


def test_what_was_not_measured_is_not_met() -> None:
    assert not promotion_decision(no_rows(), EvaluationSettings())[0]
    without = {k: v for k, v in GOOD.items() if k != ("code", "greedy")}
    promote, reasons = promotion_decision(table(without), EvaluationSettings())
    assert not promote
    assert "not met: code: no win rate at greedy" in reasons


def no_rows() -> object:
    return to_table(EvaluationRow, [])


def test_the_interval_widens_when_prompts_of_a_cluster_repeat_each_other() -> None:
    rng = np.random.default_rng(0)
    wins = np.repeat(rng.integers(0, 2, 40).astype(float), 25)
    ones = np.ones(len(wins))
    value, low, high = cluster_bootstrap(wins, ones, np.repeat(np.arange(40), 25), replicates=2_000, seed=1)
    _, row_low, row_high = cluster_bootstrap(wins, ones, np.arange(len(wins)), replicates=2_000, seed=1)
    assert low < value < high
    assert high - low > 3 * (row_high - row_low)


def test_the_interval_covers_about_as_often_as_it_says() -> None:
    covered, trials = 0, 300
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        rate = np.clip(rng.normal(0.55, 0.1, 60), 0, 1)
        wins = (rng.random((60, 8)) < rate[:, None]).astype(float).ravel()
        _, low, high = cluster_bootstrap(wins, np.ones(480), np.repeat(np.arange(60), 8), replicates=400, seed=trial)
        covered += low <= 0.55 <= high
    assert 0.90 <= covered / trials <= 0.98


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4)), min_size=2, max_size=40), st.integers(0, 2**63))
def test_the_value_lies_in_its_interval_and_repeats(rows: list[tuple[float, int]], seed: int) -> None:
    top, clusters = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    first = cluster_bootstrap(top, np.ones(len(rows)), clusters, replicates=200, seed=seed)
    assert first == cluster_bootstrap(top, np.ones(len(rows)), clusters, replicates=200, seed=seed)
    assert -1e-9 <= first[1] <= first[2] <= 1 + 1e-9


def test_equal_utilities_count_half() -> None:
    wins, ones = compare(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 4.0]), ["a b"] * 3, ["a"] * 3)["win_rate"]
    assert wins.tolist() == [0.5, 1.0, 0.0]
    assert ones.tolist() == [1.0, 1.0, 1.0]
