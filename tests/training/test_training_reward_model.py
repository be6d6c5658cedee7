from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flywheel.errors import BadInput, NotFound
from flywheel.records import Preference
from flywheel.storage.arrow import to_table
from flywheel.training import RewardModel, train_reward_model
from flywheel.training.reward_features import clauses, features, pieces
from flywheel.training.reward_model import expected_calibration_error


@pytest.fixture(scope="module")
def model(preferences: pa.Table) -> RewardModel:
    return train_reward_model(preferences, seed=3)


def test_it_learns_the_preferences_and_says_how_well_out_of_fold(model: RewardModel, preferences: pa.Table) -> None:
    p = model.predict(preferences)
    assert p.shape == (7, preferences.num_rows)
    assert p.dtype == np.float64
    wanted = np.array([o == "a" for o in preferences["outcome"].to_pylist()])
    assert np.mean((p.mean(0) > 0.5) == wanted) > 0.9
    assert set(model.metrics) == {"all", "support", "code"}
    assert 0.65 < model.metrics["all"]["accuracy"] < 0.98
    assert model.metrics["all"]["nll"] < np.log(2)
    assert model.metrics["all"]["n"] == preferences.num_rows


def test_swapping_the_sides_swaps_the_probability(model: RewardModel, preferences: pa.Table) -> None:
    swapped = preferences.rename_columns(
        [{"response_a": "response_b", "response_b": "response_a"}.get(c, c) for c in preferences.column_names]
    )
    np.testing.assert_allclose(model.predict(preferences), 1 - model.predict(swapped), atol=1e-12)


def test_members_differ_and_the_same_seed_gives_the_same_bytes(model: RewardModel, preferences: pa.Table, tmp_path: Path) -> None:
    assert model.predict(preferences).std(axis=0).max() > 0.01
    shuffled = preferences.take(pa.array(np.random.default_rng(0).permutation(preferences.num_rows)))
    model.save(tmp_path / "one")
    train_reward_model(shuffled, seed=3).save(tmp_path / "two")
    for name in ("reward.npz", "reward.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    loaded = RewardModel.load(tmp_path / "one")
    np.testing.assert_array_equal(loaded.predict(preferences), model.predict(preferences))
    assert loaded.model_id == "one"


def test_ties_and_too_few_rows(preferences: pa.Table, make_preference: Callable[..., Preference]) -> None:
    ties = to_table(Preference, [make_preference(10_000 + i, "q", "a", "b", "tie") for i in range(40)])
    with_ties = train_reward_model(pa.concat_tables([preferences, ties]), seed=3)
    np.testing.assert_array_equal(with_ties.weights, train_reward_model(preferences, seed=3).weights)
    with pytest.raises(BadInput, match="directed preferences"):
        train_reward_model(ties, seed=0)


def test_any_text_in_any_language_and_an_unseen_domain(model: RewardModel, make_preference: Callable[..., Preference]) -> None:
    odd = [("", ""), ("Où est ma commande ?", "Désolé。\n大変申し訳ございません。"), ("x " * 5_000, "y. " * 5_000)]
    rows = [make_preference(i, q, r, "no", "a", domain="law") for i, (q, r) in enumerate(odd)]
    p = model.predict(to_table(Preference, rows))
    assert np.isfinite(p).all()
    assert ((p > 0) & (p < 1)).all()


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no reward model"):
        RewardModel.load(tmp_path)


def test_a_clause_is_seen_with_each_circumstance_of_the_question() -> None:
    assert clauses("I am sorry . Refund issued .\nBye") == ["i am sorry", "refund issued", "bye"]
    assert pieces("Ticket: late [ORDER_1] !! ( 14 days , gold member )\nReply:\n") == ["ticket", "late order_1", "14 days", "gold member"]
    same, other = features(["( 14 days )", "( 60 days )"], ["Refund .", "Refund ."]).toarray()
    assert (same != other).any()


@pytest.mark.parametrize(
    ("p", "y", "expected"),
    [([1.0, 1.0], [1, 1], 0.0), ([1.0, 0.0], [0, 1], 1.0), ([0.75] * 4, [1, 1, 1, 0], 0.0)],
)
def test_calibration_error(p: list[float], y: list[int], expected: float) -> None:
    assert expected_calibration_error(np.array(p), np.array(y)) == pytest.approx(expected)
