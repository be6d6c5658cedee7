"""Selection in batches makes the picks of one at a time: to the bit, whatever the batches, candidates and threads."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from bench.campaign_selection import case, from_scratch, judge
from bench.plain_selection import plain
from bench.selection_pools import clusters, gaussians
from flywheel.selection import hybrid_active_select, select
from flywheel.selection.strategies import lazy
from flywheel.selection.strategies.nearest import NearestCentre

Array = np.ndarray[Any, Any]


def smallest_batches() -> Any:
    """Paths that need thousands of rows otherwise: few candidates, growing batches."""
    return mock.patch.multiple(lazy, WIDTHS={"good": (8, 64), "far": (2, 64)}, LARGEST_BATCH=16)


@pytest.mark.parametrize("block", range(10))
def test_generated_pools_get_the_picks_scores_and_distances_of_the_plain_scan(block):
    # thousands of cases: python -m bench.campaign_selection
    for seed in range(40 * block, 40 * block + 40):
        assert judge(case(np.random.default_rng(seed))) == {}, f"seed {seed}"


@pytest.mark.parametrize("make", [gaussians, clusters])
@pytest.mark.parametrize("w", [0.0, 0.6])
def test_a_pool_of_many_batches_gets_the_picks_of_the_plain_scan(make, w):
    x, u = make(3000, 24, 1), np.random.default_rng(2).beta(2, 2, 3000)
    with smallest_batches():
        picks = select("hybrid", x, u, k=500, w_uncertainty=w)
    indices, scores, distances = plain(x, u, 500, w)
    assert picks.indices.tolist() == indices.tolist()
    assert np.array_equal(picks.score, scores)
    assert np.array_equal(picks.distance, distances, equal_nan=True)


def test_the_judge_notices_a_wrong_pick():
    x, u = gaussians(60, 8, 0).astype(np.float64), np.random.default_rng(0).random(60)
    picks = hybrid_active_select(x, u, 20)
    assert from_scratch(x, u, picks, 0.6, None) == {}
    picks[[7, 11]] = picks[[11, 7]]
    assert from_scratch(x, u, picks, 0.6, None)["below_best"] == 7


def test_the_number_of_threads_changes_nothing():
    x, u = clusters(4000, 64, 3), np.random.default_rng(4).random(4000)
    picks = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads):
            picks.append(select("hybrid", x, u, k=300))
    for other in picks[1:]:
        assert picks[0].indices.tolist() == other.indices.tolist()
        assert np.array_equal(picks[0].score, other.score)


def test_a_least_distance_that_was_guessed_too_high_is_noticed():
    """Low falls within a batch: the guess is verified, the batch cut or its scores put right."""
    settled: list[tuple[int, int]] = []
    settle = lazy.LazyGreedy.settle

    def watched(self: Any, candidates: Any, steps: Any) -> Any:
        good = settle(self, candidates, steps)
        settled.append((len(steps), len(good)))
        return good

    x, u = gaussians(2000, 64, 5), np.random.default_rng(6).random(2000)
    with mock.patch.object(lazy.LazyGreedy, "settle", watched):
        picks = select("hybrid", x, u, k=400, w_uncertainty=0.3)
    assert any(good < made for made, good in settled)
    indices, scores, _ = plain(x, u, 400, 0.3)
    assert picks.indices.tolist() == indices.tolist()
    assert np.array_equal(picks.score, scores)


def test_all_rows_are_looked_at_once_a_batch_not_once_a_pick():
    x, u = gaussians(20_000, 16, 7), np.random.default_rng(8).random(20_000)
    pairs, passes = 0, 0
    near = NearestCentre._near

    def counted(self: Any, centres: Array, rows: Any) -> Any:
        nonlocal pairs, passes
        pairs += len(centres) * (len(x) if rows is None else len(rows))
        passes += rows is None
        return near(self, centres, rows)

    with mock.patch.object(NearestCentre, "_near", counted):
        hybrid_active_select(x, u, k=600)
    assert passes < 600 / 10
    assert pairs < 1.5 * len(x) * 600


def test_where_copies_keep_the_least_distance_at_zero_many_pairs_are_never_looked_at():
    x = np.repeat(gaussians(10_000, 64, 7), 2, axis=0)
    u = np.random.default_rng(8).random(20_000)
    pairs = 0
    near = NearestCentre._near

    def counted(self: Any, centres: Array, rows: Any) -> Any:
        nonlocal pairs
        pairs += len(centres) * (len(x) if rows is None else len(rows))
        return near(self, centres, rows)

    with mock.patch.object(NearestCentre, "_near", counted):
        hybrid_active_select(x, u, k=600, w_uncertainty=0.9)
    assert pairs < 0.7 * len(x) * 600


def test_a_read_only_memory_map_is_read_in_place(tmp_path):
    x, u = gaussians(500, 32, 9), np.random.default_rng(10).random(500)
    np.save(tmp_path / "pool.npy", x)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    assert hybrid_active_select(mapped, u, k=50).tolist() == hybrid_active_select(x, u, k=50).tolist()


@given(st.integers(0, 2**32), st.sampled_from([np.float32, np.float64]), st.sampled_from([1e-6, 1.0, 1e6]), st.sampled_from([0.0, 100.0]))
@settings(max_examples=60, deadline=None)
def test_bounds_hold_and_no_nearer_pair_is_ruled_out(seed, dtype, scale, offset):
    rng = np.random.default_rng(seed)
    n, c, d = int(rng.integers(1, 40)), int(rng.integers(1, 9)), int(rng.choice([1, 3, 17, 200]))
    x = (scale * (rng.standard_normal((n, d)) + offset)).astype(dtype)
    x[rng.random(n) < 0.3] = x[0]
    centres = x[rng.integers(0, n, c)]
    nearest = NearestCentre(x)
    nearest.add(x[rng.integers(0, n)])
    truth = ((x.astype(np.float64)[:, None] - centres.astype(np.float64)[None]) ** 2).sum(-1)
    nearer = {(i, j) for i, j in np.argwhere(truth < nearest.squared[:, None] * (1 - 1e-12))}
    exact = nearest.nearer(centres)
    assert nearer <= set(zip(exact.rows.tolist(), exact.columns.tolist(), strict=True))
    np.testing.assert_allclose(exact.squared, truth[exact.rows, exact.columns], rtol=1e-12)
    bounds, close = nearest.bounds(centres, np.arange(n), below=float(np.median(truth)))
    assert nearer <= set(zip(bounds.rows.tolist(), bounds.columns.tolist(), strict=True))
    assert (bounds.squared >= truth[bounds.rows, bounds.columns] * (1 - 1e-12)).all()
    assert (bounds.squared - truth[bounds.rows, bounds.columns] <= nearest.error()[bounds.rows]).all()
    low = {(i, j) for i, j in nearer if truth[i, j] <= np.median(truth) * (1 - 1e-12)}
    assert low <= set(zip(close.rows.tolist(), close.columns.tolist(), strict=True))


def test_kcenter_makes_the_picks_of_the_plain_scan():
    for seed in range(60):
        made = case(np.random.default_rng(seed))
        x, k, labelled = made["x"], made["k"], made["labelled"]
        with smallest_batches():
            picks = select("kcenter", x, k=k, labelled=labelled, seed=seed)
        nearest, left = NearestCentre(x), np.ones(len(x), bool)
        for known in () if labelled is None else labelled:
            nearest.add(known)
        for step, at in enumerate(picks.indices.tolist()):
            if step or labelled is not None:
                distance = np.where(left, nearest.distances(), -np.inf)
                assert at == int(distance.argmax())
                assert picks.score[step] == distance[at]
            left[at] = False
            nearest.add(x[at])
