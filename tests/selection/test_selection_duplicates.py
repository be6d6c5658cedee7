from __future__ import annotations

import numpy as np
import pytest

from flywheel.errors import BadInput
from flywheel.selection.duplicates import near_duplicate_groups

LONG = (
    "please send the blue shoes back to the warehouse because the left one has a scratch near the heel and i need another pair soon thanks"
)


def groups(*texts: str, similarity: float = 0.9) -> list[str]:
    return near_duplicate_groups([f"{i}" for i in range(len(texts))], texts, texts, similarity)


def test_case_space_and_alias_numbers_do_not_count():
    assert groups("[PERSON_1] lost a Parcel", "[person_2]  lost a parcel", "[PERSON_2] lost  a parcel") == ["0", "1", "0"]


def test_other_numbers_are_another_ticket():
    assert groups(f"{LONG} after 5 days", f"{LONG} after 35 days", similarity=0.6) == ["0", "1"]
    assert groups(f"{LONG} after five days", f"{LONG} after six days", similarity=0.6) == ["0", "0"]


def test_a_word_more_at_the_end_of_a_long_text_is_a_near_duplicate():
    assert groups(LONG, f"{LONG} bye", similarity=0.85) == ["0", "0"]
    assert groups(LONG, LONG.replace("blue", "red"), LONG.replace("scratch", "hole"), similarity=0.95) == ["0", "1", "2"]


def test_the_group_is_the_smallest_id_whatever_the_order_of_rows():
    texts = [LONG, "something else entirely", f"{LONG} bye", LONG.upper(), ""]
    ids = ["e", "d", "c", "b", "a"]
    found = dict(zip(ids, near_duplicate_groups(ids, texts, [""] * 5, 0.85), strict=True))
    assert found == {"e": "b", "d": "d", "c": "b", "b": "b", "a": "a"}
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5)
        again = near_duplicate_groups([ids[i] for i in order], [texts[i] for i in order], [""] * 5, 0.85)
        assert dict(zip([ids[i] for i in order], again, strict=True)) == found


def test_grouping_misses_no_pair_above_the_threshold_of_a_brute_force_search():
    rng = np.random.default_rng(0)
    words = np.array([f"w{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(300)])
    texts = []
    for _ in range(60):
        base = list(rng.choice(words, 40))
        texts.append(" ".join(base))
        texts.append(" ".join([*base, *rng.choice(words, 1)]))
    found = groups(*texts, similarity=0.9)
    assert all(found[i] == found[i + 1] for i in range(0, 120, 2))
    assert len(set(found)) == 60


def test_nothing_gives_nothing_and_a_repeated_id_is_an_error():
    assert groups() == []
    with pytest.raises(BadInput, match="occurs twice"):
        near_duplicate_groups(["a", "a"], ["x", "y"], ["", ""], 0.9)
