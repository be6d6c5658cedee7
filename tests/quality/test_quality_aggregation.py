"""Aggregation: the method that predicts known items best, with a posterior that means what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.quality import aggregate, dawid_skene_posterior, majority_posterior
from flywheel.quality.aggregation import Ratings, make_ratings
from flywheel.quality.aggregation.choose import softened

LABELS = ("a", "b", "tie")
GAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "quality"


def simulate(
    seed: int, accuracies: list[float], *, n: int = 400, redundancy: int = 3, biased: int = 0
) -> tuple[list[tuple[str, str, str]], dict[str, str]]:
    """Ratings and truth; the first `biased` raters say "a" for every "b"."""
    rng = np.random.default_rng(seed)
    truth = {f"i{i:04d}": LABELS[k] for i, k in enumerate(rng.choice(3, n, p=(0.45, 0.45, 0.1)))}
    rows = []
    for item, right in truth.items():
        for r in rng.choice(len(accuracies), redundancy, replace=False):
            wrong = [x for x in LABELS if x != right][rng.integers(2)]
            label = right if rng.random() < accuracies[r] else wrong
            rows.append((item, f"r{r}", "a" if r < biased and right == "b" else label))
    return rows, truth


def accuracy(ratings: Ratings, posterior: np.ndarray, truth: dict[str, str]) -> float:
    return float(np.mean([LABELS[k] == truth[i] for k, i in zip(posterior.argmax(axis=1), ratings.items, strict=True)]))


def test_the_majority_wins_and_unanimity_is_surer_than_a_split() -> None:
    ratings = make_ratings(
        [("x", r, "a") for r in "123"] + [("y", "1", "a"), ("y", "2", "a"), ("y", "3", "b"), ("z", "1", "a"), ("z", "2", "b")], LABELS
    )
    x, y, z = majority_posterior(ratings)
    assert x[0] > y[0] > 0.5
    assert z[0] == pytest.approx(z[1])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from("1234"), st.sampled_from(LABELS)),
        min_size=1,
        max_size=12,
        unique_by=lambda r: r[:2],
    )
)
def test_posteriors_are_distributions_and_the_plurality_is_most_probable(rows: list[tuple[str, str, str]]) -> None:
    ratings = make_ratings(rows, LABELS)
    for posterior in (majority_posterior(ratings), dawid_skene_posterior(ratings)):
        assert np.allclose(posterior.sum(axis=1), 1)
        assert np.isfinite(posterior).all()
    votes, chosen = ratings.votes(), majority_posterior(ratings)
    for i in range(len(ratings.items)):
        assert votes[i][chosen[i].argmax()] == votes[i].max()


def test_dawid_skene_learns_what_a_biased_rater_means() -> None:
    rows, truth = simulate(1, [0.9, 0.9, 0.75, 0.75, 0.75, 0.75], redundancy=4, biased=2)
    ratings = make_ratings(rows, LABELS)
    assert accuracy(ratings, dawid_skene_posterior(ratings), truth) > accuracy(ratings, majority_posterior(ratings), truth) + 0.03


def test_known_items_are_known_and_teach_about_raters() -> None:
    rows, truth = simulate(2, [0.9] * 6)
    known = {i: {truth[i]} for i in sorted(truth)[:60]}
    ratings = make_ratings(rows, LABELS, known)
    for posterior in (majority_posterior(ratings), dawid_skene_posterior(ratings)):
        for i, item in enumerate(ratings.items):
            if item in known:
                assert posterior[i][LABELS.index(truth[item])] == pytest.approx(1)


@pytest.mark.parametrize(("accuracies", "biased", "expected"), [([0.9, 0.9, 0.75, 0.75, 0.75, 0.75], 2, "dawid_skene")])
def test_the_method_is_chosen_by_log_loss_on_known_items(accuracies: list[float], biased: int, expected: str) -> None:
    rows, truth = simulate(3, accuracies, redundancy=4, biased=biased)
    chosen = aggregate(make_ratings(rows, LABELS, {i: {truth[i]} for i in sorted(truth)[:80]}))
    assert chosen.method == expected == min(chosen.log_loss, key=lambda m: chosen.log_loss[m])
    assert "cross-fitted" in chosen.reason


def test_with_few_known_items_the_majority_is_taken_and_said_so() -> None:
    rows, truth = simulate(4, [0.9] * 6)
    chosen = aggregate(make_ratings(rows, LABELS, {i: {truth[i]} for i in sorted(truth)[:19]}))
    assert (chosen.method, chosen.temperature, chosen.log_loss) == ("majority", 1.0, {})
    assert "fewer than 20" in chosen.reason


def test_the_choice_never_costs_much_against_the_majority() -> None:
    gaps = []
    for seed in range(8):
        for redundancy in (3, 5):
            rows, truth = simulate(seed, [0.95, 0.9, 0.85, 0.8, 0.75, 0.5, 0.34], n=300, redundancy=redundancy)
            ratings = make_ratings(rows, LABELS, {i: {truth[i]} for i in sorted(truth)[:40]})
            gaps.append(accuracy(ratings, aggregate(ratings).posterior, truth) - accuracy(ratings, majority_posterior(ratings), truth))
    assert min(gaps) >= -0.02
    assert np.mean(gaps) > 0


def test_the_posterior_is_calibrated_when_known_items_are_like_the_others() -> None:
    errors = []
    for seed in range(6):
        rows, truth = simulate(seed, [0.95, 0.9, 0.85, 0.8, 0.75, 0.6], n=500)
        known = set(sorted(truth)[:100])
        ratings = make_ratings(rows, LABELS, {i: {truth[i]} for i in known})
        posterior = aggregate(ratings).posterior
        for i, item in enumerate(ratings.items):
            if item not in known:
                errors.append((posterior[i].max(), LABELS[int(posterior[i].argmax())] == truth[item]))
    confidence, right = np.array(errors).T
    bins = np.clip((confidence * 10).astype(int), 0, 9)
    ece = sum(abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    assert ece <= 0.03


def test_a_temperature_softens_and_never_sharpens() -> None:
    posterior = np.array([[0.9, 0.08, 0.02]])
    assert softened(posterior, 1.0) == pytest.approx(posterior)
    assert softened(posterior, 3.0)[0, 0] < 0.9
    rows, truth = simulate(5, [0.95] * 5)
    assert aggregate(make_ratings(rows, LABELS, {i: {truth[i]} for i in sorted(truth)[:80]})).temperature >= 1


def test_the_same_ratings_in_any_order_give_the_same_posterior() -> None:
    rows, _ = simulate(6, [0.9] * 6, n=60)
    assert np.array_equal(aggregate(make_ratings(rows, LABELS)).posterior, aggregate(make_ratings(rows[::-1], LABELS)).posterior)


@pytest.mark.skipif(
    not (GAL / "gal_BarzanMozafari_answers.parquet").exists(), reason="../shared/data/quality is not here (real data, never committed)"
)
def test_on_real_crowd_labels_the_choice_is_no_worse_than_the_majority() -> None:
    answers = pq.read_table(GAL / "gal_BarzanMozafari_answers.parquet").to_pylist()
    truth = {r["item"]: r["truth"] for r in pq.read_table(GAL / "gal_BarzanMozafari_truth.parquet").to_pylist()}
    labels = sorted(set(truth.values()))
    rows = [(r["item"], r["rater"], r["label"]) for r in {(r["item"], r["rater"]): r for r in answers}.values()]
    known = set(sorted(truth)[:100])
    ratings = make_ratings(rows, labels, {i: {truth[i]} for i in known})

    def right(posterior: np.ndarray) -> float:
        judged = [
            (labels[int(p.argmax())], truth[i]) for p, i in zip(posterior, ratings.items, strict=True) if i in truth and i not in known
        ]
        return float(np.mean([x == y for x, y in judged]))

    assert right(aggregate(ratings).posterior) >= right(majority_posterior(ratings)) - 0.005
