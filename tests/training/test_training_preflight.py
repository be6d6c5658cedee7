from __future__ import annotations

from typing import Any

import pytest

from flywheel.errors import TrainingFailed
from flywheel.training.preflight import check_rows, prompt_key


class Characters:
    """One token a character, `$` ends; `merging` glues the two characters at the answer's start to one token."""

    eos_token, eos_token_id = "$", 0

    def __init__(self, merging: bool = False) -> None:
        self.merging = merging

    def __call__(self, text: str) -> dict[str, list[int]]:
        ids = [0 if c == "$" else ord(c) for c in text]
        if self.merging and "?y" in text:
            at = text.index("?y")
            ids[at : at + 2] = [999]
        return {"input_ids": ids}


def row(**fields: str) -> dict[str, Any]:
    return {"id": "p1", "prompt": "why?", "cluster": "c1", "chosen": "yes", "rejected": "no", **fields}


def check(rows: list[dict[str, Any]], tokenizer: Any = None, **options: Any) -> dict[str, Any]:
    return check_rows(rows, tokenizer or Characters(), answers=("chosen", "rejected"), **{"max_length": 20, **options})


def test_good_rows_are_reported() -> None:
    report = check([row(), row(id="p2"), row(id="p3", chosen="no", rejected="yes")])
    assert report["rows"] == 3
    assert report["truncated"] == 0
    assert report["duplicates"] == 1
    assert report["contradictions"] == 1
    assert report["longest_tokens"] == len("why?yes$")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "no rows"),
        ([row(rejected="yes ")], {}, r"chosen equal to rejected \(p1\)"),
        ([row(chosen=" ")], {}, "an empty answer"),
        ([row(), row(id="p2", chosen="y" * 30)], {}, r"1 of 2 rows with more than training.max_length = 20 tokens \(p2\)"),
        ([row()], {"tokenizer": Characters(merging=True)}, "tokens merge"),
        ([row()], {"held_out_clusters": {"c1"}}, "held out for evaluation"),
        ([row()], {"held_out_prompts": {prompt_key("why?")}}, "held out for evaluation"),
    ],
)
def test_rows_that_would_train_wrongly_are_refused_by_name(rows: list[dict[str, Any]], options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingFailed, match=message):
        check(rows, **options)


def test_a_tokenizer_that_cannot_end_is_refused() -> None:
    endless = Characters()
    endless.eos_token_id = None  # type: ignore[assignment]
    with pytest.raises(TrainingFailed, match="end-of-sequence"):
        check([row()], endless)
