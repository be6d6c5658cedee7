"""The reference hybrid, against a float64 brute-force oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.selection import hybrid_active_select, select


def oracle_scores(x: np.ndarray, u: np.ndarray, picked: list[int], w: float) -> np.ndarray:
    """The formula of SOURCE.md, all distances from scratch in float64; picked rows get -inf."""
    x, u = x.astype(np.float64), u.astype(np.float64)
    un = (u - u.min()) / (np.ptp(u) + 1e-9)
    if not picked:
        return un
    rest = np.setdiff1d(np.arange(len(x)), picked)
    d = np.sqrt(((x[rest][:, None, :] - x[picked][None, :, :]) ** 2).sum(-1)).min(1)
    d = np.zeros(len(d)) if np.ptp(d) < 1e-6 else (d - d.min()) / (np.ptp(d) + 1e-9)
    score = np.full(len(x), -np.inf)
    score[rest] = w * un[rest] + (1 - w) * d
    return score


def assert_follows_the_formula(x: np.ndarray, u: np.ndarray, k: int, w: float) -> None:
    picks = hybrid_active_select(x, u, k, w).tolist()
    assert len(picks) == min(k, len(x)) == len(set(picks))
    for step, at in enumerate(picks):
        score = oracle_scores(x, u, picks[:step], w)
        best = score.max()
        assert score[at] >= best - 1e-9
        ahead = np.flatnonzero(score >= best - 1e-9)
        if len(ahead) == 1:
            assert at == ahead[0]
        elif (score[ahead] == best).all() and (x[ahead] == x[ahead[0]]).all():
            assert at == ahead[0], "exact ties go to the lower row"


@st.composite
def pools(draw) -> tuple[np.ndarray, np.ndarray]:
    n, d = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 3, 8, 17]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["random", "clustered", "duplicated", "grid", "constant", "near", "large", "tiny"]))
    x = rng.standard_normal((n, d))
    if kind == "clustered":
        x = rng.standard_normal((4, d))[rng.integers(0, 4, n)] + 0.01 * x
    elif kind == "duplicated":
        x = x[rng.integers(0, max(n // 3, 1), n)]
    elif kind == "grid":
        x = rng.integers(0, 3, (n, d)).astype(float)
    elif kind == "constant":
        x = np.ones((n, d))
    elif kind == "near":
        x = 1 + 1e-4 * x
    elif kind == "large":
        x = 1e4 * x
    elif kind == "tiny":
        x = 1e-3 * x
    u = {
        "free": rng.random(n),
        "tied": rng.integers(0, 3, n) / 2,
        "constant": np.full(n, 0.5),
        "skewed": rng.random(n) ** 8,
    }[draw(st.sampled_from(["free", "tied", "constant", "skewed"]))]
    kinds = draw(st.tuples(st.sampled_from([np.float32, np.float64]), st.sampled_from([np.float32, np.float64])))
    return x.astype(kinds[0]), u.astype(kinds[1])


@given(pools(), st.integers(0, 45), st.sampled_from([0.0, 0.3, 0.6, 1.0]))
@settings(max_examples=150, deadline=None)
def test_every_pick_is_the_formulas_best_recomputed_in_float64(pool, k, w):
    assert_follows_the_formula(*pool, k, w)


def test_unit_vectors_of_text_size_follow_the_formula():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((20, 384))[rng.integers(0, 20, 300)] + 0.05 * rng.standard_normal((300, 384))
    x[50:80] = x[:30]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert_follows_the_formula(x.astype(np.float32), rng.random(300), 60, 0.6)


def test_a_worked_case():
    # first the most uncertain (0); then of 1 (near 0) and 2 (far): .6*.9 + 0 < .6*.5 + .4
    x = np.array([[0.0], [0.1], [3.0], [0.2]])
    assert hybrid_active_select(x, np.array([1.0, 0.9, 0.5, 0.0]), k=2).tolist() == [0, 2]


def test_ties_go_to_the_lower_row():
    x = np.array([[1.0, 0], [0, 1.0], [0, 1.0], [1.0, 0]])
    assert hybrid_active_select(x, np.ones(4), k=4).tolist() == [0, 1, 2, 3]


def test_where_all_points_are_one_uncertainty_decides():
    picks = hybrid_active_select(np.ones((5, 3), np.float32), np.array([0.1, 0.9, 0.5, 0.9, 0.2]), k=5)
    assert picks.tolist() == [1, 3, 2, 4, 0]


def test_once_all_distinct_points_are_picked_rounding_noise_is_not_normalised():
    rng = np.random.default_rng(0)
    distinct = rng.standard_normal((3, 64)).astype(np.float32)
    x, u = np.repeat(distinct, 4, axis=0), rng.random(12)
    picks = hybrid_active_select(x, u, k=12)
    assert {i // 4 for i in picks[:3]} == {0, 1, 2}
    assert picks[3:].tolist() == sorted(picks[3:], key=lambda i: (-u[i], i))


def test_distances_that_differ_by_less_than_a_millionth_count_as_none():
    x = np.array([[0.0], [2e-8], [0.0], [1e-8]])
    assert hybrid_active_select(x, np.array([1.0, 0.2, 0.5, 0.4]), k=4).tolist() == [0, 2, 3, 1]
    assert hybrid_active_select(100 * x + np.array([[0], [1], [0], [1e-3]]), np.array([1.0, 0.2, 0.5, 0.4]), k=4).tolist() == [0, 1, 3, 2]


def test_zero_rows_are_points_like_any_other():
    x = np.vstack([np.zeros((2, 4)), np.eye(4)])
    assert_follows_the_formula(x, np.arange(6) / 6, 6, 0.6)


def test_an_empty_pool_gives_no_picks_and_a_large_k_gives_all():
    assert hybrid_active_select(np.zeros((0, 8)), np.zeros(0), k=5).tolist() == []
    assert hybrid_active_select([], [], k=5).tolist() == []
    assert sorted(hybrid_active_select(np.eye(3), np.ones(3)).tolist()) == [0, 1, 2]
    assert hybrid_active_select(np.eye(3), np.ones(3), k=0).tolist() == []


@pytest.mark.parametrize(
    ("x", "u", "options", "message"),
    [
        ([[1.0], [np.nan]], [0.1, 0.2], {}, "embeddings: row 1 holds a value that is not finite"),
        ([[1.0], [np.inf]], [0.1, 0.2], {}, "embeddings: row 1"),
        ([[1.0], [2.0]], [np.nan, 0.2], {}, "uncertainty: row 0 is not a finite number"),
        ([[1.0], [2.0]], [0.1], {}, "one number for each of the 2 rows"),
        ([1.0, 2.0], [0.1, 0.2], {}, "matrix"),
        ([["a"], ["b"]], [0.1, 0.2], {}, "numeric matrix"),
        ([[1.0], [2.0]], [0.1, 0.2], {"k": -1}, "k must be a whole number"),
        ([[1.0], [2.0]], [0.1, 0.2], {"k": 1.5}, "k must be a whole number"),
        ([[1.0], [2.0]], [0.1, 0.2], {"w_uncertainty": 1.5}, "w_uncertainty must lie in"),
        ([[1.0], [1e200]], [0.1, 0.2], {}, "row 1 holds a value beyond"),
    ],
)
def test_bad_input_is_an_error_that_names_the_row(x, u, options, message):
    with pytest.raises(BadInput, match=message):
        hybrid_active_select(np.array(x), np.array(u), **options)


def test_labelled_points_are_centres_from_the_start():
    x = np.array([[0.0], [1.0], [10.0]])
    first = select("hybrid", x, np.array([1.0, 0.5, 0.45]), k=1, labelled=np.array([[0.0]]), w_uncertainty=0.3)
    assert first.indices.tolist() == [2]
    assert first.distance.tolist() == [10.0]
    assert first.score[0] == pytest.approx(0.7, abs=1e-6)
