"""Configured business identifiers: pattern, label, context words, check digit; and what is refused, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flywheel.errors import SettingsError
from flywheel.governance.checks import CHECKS
from flywheel.governance.detection import Detector, Piece
from flywheel.settings import GovernanceSettings, IdentifierPattern, Settings


def found(text: str, **pattern: Any) -> list[tuple[str, str]]:
    chosen = GovernanceSettings(identifiers={"MEMBER_ID": IdentifierPattern(**pattern)}, ner="off")
    (spans,) = Detector(chosen, frozenset({"identifier"})).conversation([Piece(text)])
    return [(s.type, text[s.start : s.end]) for s in spans]


def test_a_label_names_the_type() -> None:
    assert found("see ab-1234", pattern=r"\bAB-\d{4}\b", label="CASE_ID") == [("CASE_ID", "ab-1234")]
    assert found("see AB-1234", pattern=r"\bAB-\d{4}\b") == [("MEMBER_ID", "AB-1234")]


@pytest.mark.parametrize(("text", "counts"), [
    ("my Member number is 123456", True), ("123456 is the membership no", False), ("123456 (member)", True), ("room 123456", False),
    ("member" + " " * 80 + "123456", False), ("member_no=123456", True), ("remember 123456", False),
])  # fmt: skip
def test_context_words_stand_near_as_words(text: str, counts: bool) -> None:
    assert found(text, pattern=r"\b\d{6}\b", context=("member",)) == ([("MEMBER_ID", "123456")] if counts else [])


# published examples of each scheme
GOOD = {"luhn": "79927398713", "mod97": "GB82WEST12345698765432", "mod11": "0306406152", "ean": "4006381333931", "verhoeff": "2363"}


@pytest.mark.parametrize(("check", "value"), GOOD.items())
def test_a_check_digit_is_demanded(check: str, value: str) -> None:
    assert found(f"no {value}.", pattern=r"\b[A-Z]{0,2}\d[A-Z0-9]{3,21}\b", check=check) == [("MEMBER_ID", value)]
    for i, c in enumerate(value):
        if c.isdigit():
            wrong = value[:i] + str((int(c) + 1) % 10) + value[i + 1 :]
            assert not CHECKS[check](wrong), "every scheme sees one wrong digit"


def test_every_check_that_the_settings_name_exists() -> None:
    assert set(get_args(IdentifierPattern.model_fields["check"].annotation)) == set(CHECKS)


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_text_breaks_a_check(text: str) -> None:
    assert all(isinstance(check(text), bool) for check in CHECKS.values())


@pytest.mark.parametrize(("given", "said"), [
    ({"pattern": "("}, "MEMBER_ID"), ({"pattern": "a*"}, "empty text"), ({"pattern": r"\d{6}", "label": "member id"}, "capital letters"),
    ({"pattern": r"\d{6}", "context": (" ",)}, "MEMBER_ID.context"), ({"pattern": r"(a+)+$"}, "MEMBER_ID"),
])  # fmt: skip
def test_a_bad_pattern_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises((SettingsError, ValidationError, ValueError), match=said):
        Detector(GovernanceSettings(identifiers={"MEMBER_ID": IdentifierPattern(**given)}))


def test_the_file_takes_both_forms(tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text(
        '[governance.identifiers]\nORDER_ID = "SF-[0-9]{6}"\nMEMBER = {pattern = "[0-9]{8}", label = "MEMBER_ID", context = ["member"], check = "luhn"}\n'
    )
    read = Settings.load(home=tmp_path).governance
    (spans,) = Detector(read, frozenset({"identifier"})).conversation([Piece("order SF-123456, member 12345674, other 12345675")])
    assert [s.type for s in spans] == ["ORDER_ID", "MEMBER_ID"]
    (tmp_path / "flywheel.toml").write_text('[governance.identifiers]\nMEMBER_ID = {pattern = "[0-9]{8}", check = "crc"}\n')
    with pytest.raises(SettingsError, match="check"):
        Settings.load(home=tmp_path)
