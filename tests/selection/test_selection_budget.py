from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.records import SelectionPick
from flywheel.selection import arm_of_cluster, select_batch
from flywheel.settings import SelectionSettings
from flywheel.storage import empty_table, from_table

ROUND = "2026-01-05"


def choose(tables, seed=0, labelled=None, round=ROUND, **settings):
    return select_batch(*tables, round=round, labelled=labelled, settings=SelectionSettings(**settings), seed=seed)


def rows_of(table: pa.Table) -> list[SelectionPick]:
    return from_table(SelectionPick, table)


@pytest.fixture
def world(tables):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 8))
    return tables(
        x / np.linalg.norm(x, axis=1, keepdims=True), rng.random(300), ["code" if i % 5 == 0 else "support" for i in range(300)],
        [f"g{i // 2}" for i in range(300)], [f"k{i % 40}" for i in range(300)],
    )  # fmt: skip


def test_every_pick_has_rank_score_and_reason(world):
    picks = rows_of(choose(world, budget=60)[0])
    assert [p.rank for p in picks] == list(range(1, 61))
    assert all(np.isfinite(p.score) and p.reason for p in picks)
    active = [p for p in picks if p.arm == "active"]
    assert active[-1].reason.startswith("hybrid: uncertainty ")
    assert f"distance {active[-1].distance:.2f}".replace("0.", ".") in active[-1].reason


def test_the_random_arm_comes_first_and_is_split_by_prompt_cluster(world):
    table, facts = choose(world, budget=100, random_share=0.3)
    picks = rows_of(table)
    arm = [p for p in picks if p.arm != "active"]
    assert [p.rank for p in arm] == list(range(1, 31))
    cluster = dict(zip(world[0]["pair_id"].to_pylist(), world[0]["prompt_cluster"].to_pylist(), strict=True))
    assert all(p.arm == arm_of_cluster(cluster[p.pair_id]) for p in arm)
    assert set(facts["by_arm"]) == {"active", "random_control", "random_evaluation"}


def test_a_prompt_cluster_stays_on_its_side_in_every_round(world):
    sides: dict[str, set[str]] = {}
    cluster = dict(zip(world[0]["pair_id"].to_pylist(), world[0]["prompt_cluster"].to_pylist(), strict=True))
    for seed, round in enumerate(["2026-01-05", "2026-01-12", "2026-01-19"]):
        for p in rows_of(choose(world, seed=seed, round=round, budget=100, random_share=0.5)[0]):
            if p.arm != "active":
                sides.setdefault(cluster[p.pair_id], set()).add(p.arm)
    assert {len(s) for s in sides.values()} == {1}


def test_the_random_arm_does_not_depend_on_the_scores(world, tables):
    other = (world[0], world[1], world[2].set_column(world[2].column_names.index("uncertainty"), "uncertainty", pa.array(np.zeros(300))))
    one, two = (rows_of(choose(w, budget=80, random_share=0.25)[0])[:20] for w in (world, other))
    assert [p.pair_id for p in one] == [p.pair_id for p in two]


def test_the_random_arm_is_uniform_over_records_not_over_clusters(tables):
    # nine tenths of the records lie in one prompt cluster; over many seeds the arm shows it nine times in ten
    pool = tables(
        np.random.default_rng(0).standard_normal((100, 4)), np.ones(100), clusters=["head" if i < 90 else f"tail{i}" for i in range(100)]
    )
    drawn = Counter(
        p.pair_id for seed in range(200) for p in rows_of(choose(pool, seed=seed, budget=10, random_share=0.99)[0]) if p.arm != "active"
    )
    head = sum(n for name, n in drawn.items() if int(name[1:]) < 90) / sum(drawn.values())
    assert head == pytest.approx(0.9, abs=0.03)
    assert min(drawn.values()) > 5
    assert max(drawn.values()) < 40


def test_a_near_duplicate_group_costs_one_label(world):
    table, facts = choose(world, budget=1000)
    group = dict(zip(world[1]["pair_id"].to_pylist(), world[1]["duplicate_group"].to_pylist(), strict=True))
    assert table.num_rows == facts["pool_groups"] == 150
    assert len({group[p.pair_id] for p in rows_of(table)}) == 150


def test_the_random_arm_too_takes_one_of_a_group(tables):
    pool = tables(np.random.default_rng(0).standard_normal((60, 3)), np.ones(60), groups=[f"g{i % 6}" for i in range(60)])
    table, facts = choose(pool, budget=60, random_share=0.9)
    assert facts["picked"] == 6
    assert sorted(int(p[1:]) % 6 for p in table["pair_id"].to_pylist()) == list(range(6))


def test_the_most_uncertain_of_a_group_stands_for_it(tables):
    pool = tables(np.eye(4), [0.1, 0.9, 0.5, 0.5], groups=["g", "g", "h", "h"])
    assert [p.pair_id for p in rows_of(choose(pool, budget=2, random_share=0)[0])] == ["p00001", "p00002"]


def test_each_domain_gets_its_floor_as_far_as_it_has_pairs(tables):
    n = 100
    x = np.random.default_rng(0).standard_normal((n, 4))
    certain_code = [0.0 if i < 30 else 1.0 for i in range(n)]
    domains = ["code" if i < 30 else "support" for i in range(n)]
    table, facts = choose(tables(x, certain_code, domains), budget=40, strategy="entropy", domain_floor=0.25, random_share=0.1)
    assert facts["by_domain"]["code"] == 10
    assert "(floor of code)" in next(p.reason for p in rows_of(table) if p.domain == "code" and p.arm == "active")
    few = ["code" if i < 3 else "support" for i in range(n)]
    assert choose(tables(x, certain_code, few), budget=40, strategy="entropy")[1]["by_domain"] == {"code": 3, "support": 37}
    assert choose(tables(x, certain_code, ["support"] * n), budget=40)[1]["by_domain"] == {"support": 40}


def test_floors_that_exceed_the_budget_together_are_lowered(tables):
    domains = [f"d{i % 7}" for i in range(70)]
    table, facts = choose(tables(np.random.default_rng(0).standard_normal((70, 3)), np.ones(70), domains), budget=20, domain_floor=0.5)
    assert table.num_rows == 20
    assert min(facts["by_domain"].values()) >= 2


def test_without_a_model_the_round_is_a_bootstrap(tables):
    pool = tables(np.random.default_rng(0).standard_normal((50, 4)))
    table, facts = choose(pool, budget=20)
    assert facts["strategy"] == "bootstrap"
    assert facts["uncertainty_model"] is None
    assert {(p.strategy, p.uncertainty) for p in rows_of(table) if p.arm == "active"} == {("bootstrap", None)}
    assert choose(pool, budget=20, strategy="kcenter")[1]["strategy"] == "kcenter"


@pytest.mark.parametrize("strategy", ["hybrid", "entropy", "kcenter", "random", "bootstrap"])
def test_the_same_arguments_give_the_same_rows_whatever_the_order_of_the_pool(world, strategy):
    one, facts = choose(world, budget=50, strategy=strategy)
    order = pa.array(np.random.default_rng(9).permutation(300))
    two, again = choose(tuple(t.take(order) for t in world), budget=50, strategy=strategy)
    assert one.equals(two)
    assert facts == again
    assert len(set(one["pair_id"].to_pylist())) == 50


def test_labelled_points_push_picks_away(tables):
    pool = tables([[1, 0], [0.99, 0.1], [0, 1]], [1.0, 0.9, 0.5])
    alone = rows_of(choose(pool, budget=1, random_share=0)[0])[0]
    beside = rows_of(choose(pool, budget=1, random_share=0, w_uncertainty=0.4, labelled=np.array([[1, 0]], np.float32))[0])[0]
    assert (alone.pair_id, beside.pair_id) == ("p00000", "p00002")
    assert choose(pool, budget=1, random_share=0, labelled=np.zeros((0, 2), np.float32))[0].equals(
        choose(pool, budget=1, random_share=0)[0]
    )


def test_an_empty_pool_gives_an_empty_table(tables):
    table, facts = choose(tables(np.zeros((0, 4))), budget=5, labelled=np.ones((2, 4)))
    assert table.schema.equals(empty_table(SelectionPick).schema)
    assert (table.num_rows, facts["picked"]) == (0, 0)


@given(st.integers(1, 30), st.integers(1, 40), st.integers(0, 3), st.sampled_from(["hybrid", "entropy", "kcenter", "bootstrap"]))
@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=list(__import__("hypothesis").HealthCheck))
def test_degenerate_pools_have_a_defined_result(tables, n, budget, kind, strategy):
    x = {0: np.zeros((n, 3)), 1: np.ones((n, 3)), 2: np.eye(n, 3), 3: np.random.default_rng(n).standard_normal((n, 3))}[kind]
    table, _ = choose(tables(x, np.full(n, 0.5), ["code" if i % 3 else "support" for i in range(n)]), budget=budget, strategy=strategy)
    assert table.num_rows == min(n, budget) == len(set(table["pair_id"].to_pylist()))
    assert np.isfinite(table["score"].to_numpy()).all()


def test_tables_that_do_not_fit_or_values_that_are_not_finite_are_errors(tables, world):
    pairs, embeddings, uncertainty = world
    with pytest.raises(BadInput, match=r"embeddings\[2026-01-05\].*p00299"):
        choose((pairs, embeddings.slice(0, 299), uncertainty))
    with pytest.raises(BadInput, match=r"p00001 holds a value that is not finite"):
        choose(tables([[1.0], [np.nan]], [0.1, 0.2]))
    *others, missing = tables(np.eye(2), [0.1, 0.2])
    missing = missing.set_column(missing.column_names.index("uncertainty"), "uncertainty", pa.array([0.1, None]))
    with pytest.raises(BadInput, match=r"1 of 2 pairs have none \(first: p00001\)"):
        choose((*others, missing))
    with pytest.raises(BadInput, match="labelled vectors have 3 columns"):
        choose(world, labelled=np.ones((2, 3)))
    with pytest.raises(BadInput, match=r"labelled: row 1"):
        choose(world, labelled=np.array([[1.0] * 8, [np.inf] * 8]))
    with pytest.raises(BadInput, match="unknown strategy 'best'"):
        choose(world, strategy="best")
