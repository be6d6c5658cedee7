"""Alpha, Fleiss' kappa and percent agreement on real preference sets, against values computed by independent libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from flywheel.quality import (
    bootstrap_interval,
    cohen_kappa,
    confusion_matrix,
    count_matrix,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from flywheel.quality.alpha import alpha_statistic

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "quality"
pytestmark = pytest.mark.skipif(
    not (DATA / "reference_values.json").exists(), reason="../shared/data/quality is not here (real data, never committed)"
)
REFERENCE = json.loads((DATA / "reference_values.json").read_text()) if (DATA / "reference_values.json").exists() else {}


def ratings(file: str) -> tuple[list[object], list[object]]:
    table = pq.read_table(DATA / f"{file}.parquet", columns=["item", "label"])
    return table["item"].to_pylist(), table["label"].to_pylist()


@pytest.mark.parametrize(
    ("name", "file", "without_ties"),
    [("pandalm", "pandalm", False), ("mqm_zhen", "mqm23_pairs_zhen", False), ("mqm_notie_zhen", "mqm23_pairs_zhen", True)],
)
def test_statistics_of_real_preference_sets(name: str, file: str, without_ties: bool) -> None:
    items, labels = ratings(file)
    kept = [(i, x) for i, x in zip(items, labels, strict=True) if not (without_ties and x == "tie")]
    counts, _ = count_matrix([i for i, _ in kept], [x for _, x in kept])
    expected = REFERENCE[name]
    alpha = krippendorff_alpha(counts)
    assert alpha.value == pytest.approx(expected["alpha_nominal"], abs=1e-9)
    full = counts[counts.sum(axis=1) == expected["fleiss_n"]]
    assert len(full) == expected["fleiss_items"]
    assert fleiss_kappa(full).value == pytest.approx(expected["fleiss_kappa"], abs=1e-9)
    assert percent_agreement(counts).value == pytest.approx(expected["pair_agreement"], abs=1e-9)
    interval = bootstrap_interval(counts, alpha_statistic(), seed=1)
    assert interval is not None
    assert np.allclose(interval, expected["alpha_ci_item_boot"], atol=0.004)


def test_alpha_of_the_argument_pairs() -> None:
    counts, _ = count_matrix(*ratings("ukp_judgments"))
    assert krippendorff_alpha(counts).value == pytest.approx(REFERENCE["ukp_dev_topics"]["alpha_nominal"], abs=5e-6)


def test_pairwise_kappas_of_pandalm_are_the_published_ones() -> None:
    table = pq.read_table(DATA / "pandalm.parquet", columns=["item", "rater", "label"]).to_pylist()
    by_rater = {r: {row["item"]: row["label"] for row in table if row["rater"] == r} for r in ("annotator1", "annotator2", "annotator3")}
    for one, other, published in (
        ("annotator1", "annotator2", "0.85"),
        ("annotator1", "annotator3", "0.88"),
        ("annotator2", "annotator3", "0.86"),
    ):
        items = sorted(by_rater[one])
        kappa = cohen_kappa(confusion_matrix([by_rater[one][i] for i in items], [by_rater[other][i] for i in items])).value
        assert kappa == pytest.approx(REFERENCE["pandalm"][f"cohen_{one}_{other}"], abs=1e-9)
        assert f"{kappa:.2f}" == published
