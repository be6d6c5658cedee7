"""Krippendorff's alpha: published values, the krippendorff package as oracle, and a plain word where there is no value."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_tables import KRIPPENDORFF_A, KRIPPENDORFF_B, KRIPPENDORFF_C, SOURCE_MATRIX, WIKIPEDIA_ALPHA, long_form

from flywheel.errors import BadInput
from flywheel.quality import krippendorff_alpha
from flywheel.quality.alpha import LEVELS, Level


@pytest.mark.parametrize(
    ("table", "level", "exact", "published"),
    [
        (KRIPPENDORFF_C, "nominal", 0.743421052631579, "0.743"),
        (KRIPPENDORFF_C, "ordinal", 0.8153875037548814, "0.815"),
        (KRIPPENDORFF_C, "interval", 0.8491071428571428, "0.849"),
        (KRIPPENDORFF_C, "ratio", 0.7974027747116121, "0.797"),
        (KRIPPENDORFF_B, "nominal", 0.6919642857142858, "0.692"),
        (KRIPPENDORFF_A, "nominal", 0.09523809523809534, "0.095"),
        (WIKIPEDIA_ALPHA, "nominal", 0.691358024691358, "0.691"),
        (WIKIPEDIA_ALPHA, "ordinal", 0.8067214199413153, "0.807"),
        (WIKIPEDIA_ALPHA, "interval", 0.8108448928121059, "0.811"),
        (WIKIPEDIA_ALPHA, "ratio", 0.8089436707842471, "0.809"),
    ],
)
def test_published_values_are_met(table: Any, level: Level, exact: float, published: str) -> None:
    estimate = krippendorff_alpha(long_form(table), level)
    assert estimate.value == pytest.approx(exact, abs=1e-12)
    assert f"{estimate.value:.3f}" == published
    assert estimate.status == "defined"


def test_the_closed_form_of_example_c() -> None:
    """113/152 by exact fractions from the coincidence matrix."""
    items, _, labels = long_form(KRIPPENDORFF_C)
    observed, margins = Fraction(0), dict.fromkeys(range(1, 6), Fraction(0))
    for item in set(items):
        given_labels = [x for i, x in zip(items, labels, strict=True) if i == item]
        if len(given_labels) < 2:
            continue
        for one in range(len(given_labels)):
            margins[given_labels[one]] += 1  # type: ignore[index]
            observed += Fraction(sum(given_labels[one] != x for x in given_labels), len(given_labels) - 1)
    n = sum(margins.values())
    expected = n * n - sum(m * m for m in margins.values())
    assert krippendorff_alpha(long_form(KRIPPENDORFF_C)).value == pytest.approx(float(1 - (n - 1) * observed / expected), abs=1e-12)


def test_alpha_of_the_source_matrix() -> None:
    counts = [np.eye(3, dtype=int)[i] + np.eye(3, dtype=int)[j] for i in range(3) for j in range(3) for _ in range(SOURCE_MATRIX[i][j])]
    assert krippendorff_alpha(np.array(counts)).value == pytest.approx(0.8354691802584198, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from([None, 1, 2, 3, 5]), min_size=4, max_size=4), min_size=2, max_size=12), st.sampled_from(LEVELS))
def test_the_krippendorff_package_agrees(rows: list[list[int | None]], level: Level) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    table = [list(r) for r in zip(*rows, strict=True)]  # raters x items
    mine = krippendorff_alpha(long_form(table), level) if any(x is not None for r in table for x in r) else None
    if mine is None or mine.value is None:
        return
    data = np.array([[np.nan if x is None else x for x in r] for r in table], dtype=float)
    theirs = krippendorff.alpha(reliability_data=data, level_of_measurement=level)
    assert mine.value == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=30))
def test_alpha_is_never_nan_and_ignores_items_with_one_rating(rows: list[tuple[int, int, int]]) -> None:
    counts = np.array(rows)
    estimate = krippendorff_alpha(counts)
    pairable = counts[counts.sum(axis=1) >= 2]
    varied = len(pairable) > 0 and (pairable.sum(axis=0) > 0).sum() > 1
    assert (estimate.value is not None) == varied
    assert estimate.value is None or -1 <= estimate.value <= 1
    assert estimate.n_items == len(pairable)
    if len(pairable):
        assert estimate.value == krippendorff_alpha(pairable).value


def test_unanimous_ratings_leave_alpha_undefined_with_a_reason() -> None:
    estimate = krippendorff_alpha(np.array([[3, 0], [3, 0]]))
    assert (estimate.value, estimate.status, estimate.n_items) == (None, "undefined", 2)
    assert "no variation" in str(estimate.reason)
    assert krippendorff_alpha(np.zeros((0, 2), int)).status == "undefined"
    assert krippendorff_alpha(np.array([[1, 0], [0, 1]])).status == "undefined"


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="needs numbers"):
        krippendorff_alpha(long_form(KRIPPENDORFF_B), "interval")
    with pytest.raises(BadInput, match="values="):
        krippendorff_alpha(np.array([[1, 1], [2, 0]]), "ratio")
    with pytest.raises(BadInput, match="none of nominal"):
        krippendorff_alpha(np.array([[1, 1]]), "cardinal")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="repeat an"):
        krippendorff_alpha(([1, 1], ["r", "r"], ["a", "b"]))
    with pytest.raises(BadInput, match="non-negative whole numbers"):
        krippendorff_alpha(np.array([[0.5, 1.0]]))
