"""Pictures for places that show images: well-formed, self-contained, the same for the same table."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import pytest

from assets.pictures import picture
from flywheel.records import AgreementRow, EvaluationRow, SelectionPick, UncertaintyRow
from flywheel.reporting import agreement_picture, evaluation_picture, selection_picture
from flywheel.storage import to_table

R = "2026-01-05"


def agreement(value: float | None):
    known = value is not None
    return to_table(AgreementRow, [{
        "round": R, "segment": "gold:<code>", "statistic": "krippendorff_alpha", "value": value, "low": 0.6 if known else None,
        "high": 0.9 if known else None, "n_items": 40, "n_annotations": 120, "status": "defined" if known else "undefined",
    }])  # fmt: skip


def picks(n: int):
    return to_table(SelectionPick, [
        {"round": R, "pair_id": f"p{i}", "record_id": f"r{i}", "domain": "code", "rank": i, "score": 0.5, "reason": "x", "arm": "active",
         "strategy": "hybrid", "seed": 1} for i in range(n)
    ])  # fmt: skip


def scores(n: int, known: bool = True):
    return to_table(
        UncertaintyRow, [{"round": R, "pair_id": f"p{i}", "record_id": f"r{i}", "uncertainty": i / n if known else None} for i in range(n)]
    )


def evaluation():
    return to_table(EvaluationRow, [{
        "round": R, "domain": "all", "decoding": "greedy", "metric": "win_rate", "value": 0.56, "low": 0.52, "high": 0.6, "n_prompts": 100,
        "n_clusters": 20, "candidate_id": "c", "incumbent_id": "i", "judge": "j",
    }])  # fmt: skip


@pytest.mark.parametrize(
    ("svg", "says"),
    [
        (agreement_picture(agreement(0.8), floor=0.65), "0.80 (0.60 to 0.90)"),
        (agreement_picture(agreement(None), floor=0.65), "undefined"),
        (agreement_picture(agreement(0.8).slice(0, 0), floor=0.65), "nothing to show"),
        (evaluation_picture(evaluation(), floor=0.45), "56.0 % (52.0 to 60.0 %)"),
        (selection_picture(picks(3), scores(9)), "3 (100.0 %)"),
        (selection_picture(picks(3), scores(9, known=False)), "bootstrap"),
        (selection_picture(picks(0), scores(0)), "0 picks"),
    ],
)
def test_a_picture_is_whole_and_says_its_numbers(svg: str, says: str) -> None:
    root = ElementTree.fromstring(svg)  # noqa: S314 - our own text
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert says in "".join(root.itertext())
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert "var(" not in svg


def test_the_metadata_holds_the_picture_as_an_image() -> None:
    svg = agreement_picture(agreement(0.8), floor=0.65)
    value = picture(svg, "alpha").md_str
    assert value.startswith("![alpha](data:image/svg+xml;base64,")
    assert base64.b64decode(value.split("base64,")[1].rstrip(")")).decode() == svg
