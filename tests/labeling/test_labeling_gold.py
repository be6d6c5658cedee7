"""Gold items are read whole or refused with their place: a lost gold item would weaken every gate in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flywheel.errors import BadInput
from flywheel.labeling import gold_sha256, load_gold


def item(**changes: Any) -> dict[str, Any]:
    return {
        "gold_id": "g1", "domain": "support", "prompt": [{"role": "user", "content": "late"}], "accepted": ["a"], "rationale": "P5", "origin": "expert",
        "response_a": {"text": "traced", "generation": {"model_id": "m"}}, "response_b": {"text": "refunded", "generation": {"model_id": "m"}},
    } | changes  # fmt: skip


def write(folder: Path, *items: dict[str, Any]) -> Path:
    (folder / "g.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items))
    return folder


def test_items_come_by_id_and_their_hash_ignores_the_order(tmp_path: Path) -> None:
    found = load_gold(write(tmp_path, item(gold_id="z"), item(gold_id="b", kind="attention")))
    assert [g.gold_id for g in found] == ["b", "z"]
    assert gold_sha256(found) == gold_sha256(found[::-1])
    assert gold_sha256(found) != gold_sha256(found[:1])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"accepted": []}, "field accepted"),
        ({"accepted": ["left"]}, "field accepted.0"),
        ({"colour": "red"}, "field colour"),
        ({"prompt": []}, "field prompt"),
        ({"response_b": {"text": "traced", "generation": {"model_id": "m"}}}, "the same text"),
        ({"gold_id": "g0"}, "taken already"),
    ],
)
def test_a_bad_item_is_an_error_with_file_line_and_field(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=r"g\.jsonl, line 2") as error:
        load_gold(write(tmp_path, item(gold_id="g0"), item(**changes)))
    assert says in str(error.value)


def test_a_configured_folder_must_exist_and_an_empty_one_has_no_items(tmp_path: Path) -> None:
    assert load_gold(tmp_path) == []
    with pytest.raises(BadInput, match="no such folder"):
        load_gold(tmp_path / "absent")


def test_the_example_in_the_readme_is_a_gold_item(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "data/gold/README.md").read_text()
    example = text.split("```json\n")[1].split("```")[0]
    (tmp_path / "example.jsonl").write_text(example)
    assert load_gold(tmp_path)[0].accepted == ["a"]
