"""A configured pattern that could hang the gateway is refused at load, by name and with the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flywheel.errors import SettingsError
from flywheel.governance.pattern_layer import pattern_spans
from flywheel.regex_safety import UnsafePattern, problem_of, refuse_unsafe
from flywheel.settings import GovernanceSettings, Settings
from tests.operations import operations

BOMBS = [
    r"(a+)+b", r"(a*)*b", r"(a|a)*b", r"(a|aa)+$", r"(.*)*x", r"([a-z]+)*\d", r"(\w+\s?)*!", r"(\d+-?)+X", r"(?:a?b?)*c", r"((ab)*)*c", r"(x+x+)+y",
    r"([a-zA-Z0-9])(([\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+", r"^(([a-z])+.)+[A-Z]([a-z])+$", r"(?i)(Ab|aB)+x", r"(?:[a-m]x|[g-z]x)*1", r"(?=(a+)+b)c",
    r"(a{1,40}){1,40}b", r"(?:\wx|éx)*!", r"(?P<x>a+)(?P=x)+(?:b+)+c",
]  # fmt: skip
EMPTY = [r"x*", r"(a|b?)", r"\b", r"(?=a)", r"a{0,3}", ""]
SLOW = [r"\d+\d+\d+x", r"[A-Z]+-?\d+X", r".*=.*;"]
GOOD = [
    r"\bSF-\d{6,8}\b", r"\bAC-\d{6,8}\b", r"\bTK-\d{5,8}\b", r"(?i)\bmember[ #:]{0,3}(\d{4,12})\b", r"(?<![A-Z])[A-Z]{2,4}-\d{4}-[0-9a-f]{4,12}",
    r"(?:\d{3}-){2}\d{4}", r"\b(?:INV|CRN)[- ]?20\d\d[- ]?\d{4,8}\b", r"(?:[0-9a-f]{4}:){3}[0-9a-f]{4}", r"#\d{5}(?:-[A-Z]{1,3})?", r"\bKD(?:\d\d ?){4}\b",
]  # fmt: skip


@pytest.mark.parametrize("pattern", BOMBS)
def test_a_bomb_is_known_by_its_form_within_a_moment(pattern: str) -> None:
    found: list[str | None] = []
    assert operations(lambda: found.append(problem_of(pattern))) < 2_000_000
    assert "exponentially" in (found[0] or "")


@pytest.mark.parametrize("pattern", EMPTY)
def test_a_pattern_that_matches_nothing_at_all_is_refused(pattern: str) -> None:
    assert "empty text" in (problem_of(pattern) or "")


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_is_merely_slow_is_found_by_trying(pattern: str) -> None:
    assert problem_of(pattern) is None
    with pytest.raises(UnsafePattern, match="bound its repetitions"):
        refuse_unsafe({"ORDER_ID": r"\bSF-\d{6}\b", "X_ID": pattern})


def test_usual_identifiers_pass_and_are_tried_once() -> None:
    patterns = {f"ID_{n}": p for n, p in enumerate(GOOD)}
    refuse_unsafe(patterns)
    assert operations(lambda: refuse_unsafe(patterns)) < 2_000


def test_what_the_judge_lets_through_does_not_explode() -> None:
    """The judge against the engine: what passes gets through short hostile texts at once."""
    for pattern in GOOD:
        for letter in "aA0- ":
            found = re.compile(pattern).search(letter * 3_000 + "!")  # one that explodes would not come back
            assert found is None or found.end() <= 3_001


@pytest.mark.parametrize(("pattern", "why"), [(r"(\\d+)+x", "exponentially"), ("x*", "empty text"), ("(", "no regular expression")])
def test_the_settings_name_key_pattern_and_reason(tmp_path: Path, pattern: str, why: str) -> None:
    (tmp_path / "flywheel.toml").write_text(f'[governance.identifiers]\nORDER_ID = "SF-[0-9]{{6}}"\nMEMBER_ID = "{pattern}"\n')
    with pytest.raises(SettingsError, match=why) as refused:
        Settings.load(home=tmp_path)
    assert "MEMBER_ID" in str(refused.value)
    assert "governance.identifiers" in str(refused.value)


def test_a_large_pattern_is_refused_rather_than_judged_for_ever() -> None:
    assert problem_of("|".join(f"(?:{'ab' * 20}[0-9]{{3}}x){{2}}" for _ in range(40))) is not None
    assert problem_of("(?:" * 60 + "ab" + "){2}" * 60) is not None


def test_the_shipped_settings_pass() -> None:
    refuse_unsafe(GovernanceSettings().identifiers)


def test_a_megabyte_around_an_at_sign_takes_bounded_work() -> None:
    """Presidio's e-mail expression is cubic in what stands before an @: it gets only the surroundings, at their true places."""
    text = "y" * 1_000_000 + "@" + "x" * 100_000 + " ada@mail.example"
    spans = pattern_spans(text, language="en", minimum_score=0.35)
    assert any(text[s.start : s.end] == "ada@mail.example" for s in spans)
