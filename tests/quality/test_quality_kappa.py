"""Kappa, percent agreement and AC1 against published tables and independent libraries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_tables import COHEN_1960, FLEISS_1971, GWET_RAW, PARADOX, SOURCE_MATRIX, WIKIPEDIA_FLEISS, long_form

from flywheel.errors import BadInput
from flywheel.quality import cohen_kappa, confusion_matrix, fleiss_kappa, gwet_ac1, percent_agreement


def as_counts(matrix: list[list[int]]) -> np.ndarray:
    """Item counts of two raters' confusion matrix."""
    eye = np.eye(len(matrix), dtype=int)
    return np.array([eye[i] + eye[j] for i in range(len(matrix)) for j in range(len(matrix)) for _ in range(matrix[i][j])])


def test_the_worked_matrix_of_the_source_has_kappa_point_8348_and_not_point_71() -> None:
    estimate = cohen_kappa(SOURCE_MATRIX)
    assert estimate.value == pytest.approx((107 / 120 - 4956 / 14400) / (1 - 4956 / 14400), abs=1e-12)
    assert f"{estimate.value:.5f}" == "0.83482"
    assert (estimate.low, estimate.high) == (pytest.approx(0.7498615293100119, abs=1e-9), pytest.approx(0.9197699827611447, abs=1e-9))
    assert percent_agreement(as_counts(SOURCE_MATRIX)).value == pytest.approx(107 / 120, abs=1e-12)
    assert sum(map(sum, SOURCE_MATRIX)) - sum(SOURCE_MATRIX[i][i] for i in range(3)) == 13


@pytest.mark.parametrize(
    ("matrix", "kappa"),
    [
        (COHEN_1960, 29 / 59),
        ([[20, 5], [10, 15]], 0.4),
        ([[45, 15], [25, 15]], 3 / 23),
        ([[25, 35], [5, 35]], 7 / 27),
        (PARADOX, 0.26578560939794427),
    ],
)
def test_published_kappas(matrix: list[list[int]], kappa: float) -> None:
    assert cohen_kappa(matrix).value == pytest.approx(kappa, abs=1e-12)


def test_weighted_kappas() -> None:
    assert cohen_kappa(SOURCE_MATRIX, weights="linear").value == pytest.approx(0.8434442270058709, abs=1e-12)
    assert cohen_kappa(SOURCE_MATRIX, weights="quadratic").value == pytest.approx(0.8525469168900804, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=3, max_size=3), st.sampled_from([None, "linear", "quadratic"])
)
def test_statsmodels_agrees_on_kappa_and_its_error(matrix: list[list[int]], weights: str | None) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    mine = cohen_kappa(matrix, weights=weights)  # type: ignore[arg-type]
    if mine.value is None:
        return
    theirs = inter_rater.cohens_kappa(np.array(matrix), wt=weights)
    assert mine.value == pytest.approx(theirs.kappa, abs=1e-9)
    if mine.low is not None and mine.high is not None and mine.low > -1 and mine.high < 1:
        assert (mine.high - mine.low) / 2 == pytest.approx(1.959963984540054 * theirs.std_kappa, abs=1e-7)


def test_published_fleiss_kappas() -> None:
    assert fleiss_kappa(np.array(FLEISS_1971)).value == pytest.approx(0.43024452006014074, abs=1e-12)
    assert fleiss_kappa(np.array(WIKIPEDIA_FLEISS)).value == pytest.approx(0.20993070442195522, abs=1e-12)


def test_fleiss_with_missing_ratings_meets_gwets_value() -> None:
    assert f"{fleiss_kappa(long_form(GWET_RAW)).value:.5f}" == "0.76117"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=2, max_size=20))
def test_statsmodels_agrees_on_complete_tables(labels: list[list[int]]) -> None:
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    counts = np.array([np.bincount(row, minlength=3) for row in labels])
    mine = fleiss_kappa(counts)
    if mine.value is not None:
        assert mine.value == pytest.approx(inter_rater.fleiss_kappa(counts), abs=1e-9)


def test_gwets_coefficients_on_his_example() -> None:
    data = long_form(GWET_RAW)
    assert f"{gwet_ac1(data).value:.5f}" == "0.77544"
    assert f"{gwet_ac1(data, weights='quadratic').value:.3f}" == "0.914"
    assert f"{gwet_ac1(data, weights='linear').value:.5f}" == "0.85874"
    assert f"{gwet_ac1(as_counts(SOURCE_MATRIX)).value:.5f}" == "0.83883"


def test_ac1_stands_where_kappa_collapses() -> None:
    counts = as_counts(PARADOX)
    assert percent_agreement(counts).value == pytest.approx(0.95, abs=1e-12)
    assert gwet_ac1(counts).value == pytest.approx(0.948238826056575, abs=1e-12)


def test_unanimous_ratings() -> None:
    counts = np.array([[3, 0, 0], [3, 0, 0]])
    assert fleiss_kappa(counts).status == "undefined"
    assert cohen_kappa([[5, 0], [0, 0]]).status == "undefined"
    assert cohen_kappa([[0, 0], [0, 0]]).reason == "no item was rated by both"
    assert gwet_ac1(counts).value == percent_agreement(counts).value == 1.0


def test_a_confusion_matrix_counts_shared_items() -> None:
    assert confusion_matrix(["a", "b", "a"], ["a", "a", "b"], ["a", "b"]).tolist() == [[1, 1], [1, 0]]
    with pytest.raises(BadInput, match="3 labels of the first rater but 2"):
        confusion_matrix(["a", "b", "a"], ["a", "a"])
    with pytest.raises(BadInput, match="square"):
        cohen_kappa([[1, 2, 3], [1, 2, 3]])
