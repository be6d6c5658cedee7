"""Escapes and look-alikes read as what they stand for, and every character of the original is known again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.governance.detection import Detector, Piece
from flywheel.governance.disguise import fold, unescape, views
from flywheel.governance.normalise import folded, normalise
from flywheel.settings import GovernanceSettings

DETECTOR = Detector(GovernanceSettings(ner="off"))


@pytest.mark.parametrize(("text", "reads"), [
    ("jane%40shop.example", "jane@shop.example"), ("J%C3%BCrgen", "Jürgen"), ("Kat\\u0061rina", "Katarina"), ("\\\\u004aane", "Jane"), ("a&#64;b &amp; c", "a@b & c"),
    ("&#x4A;ane", "Jane"), ("K\u0430tarina", "Katarina"), ("Москва", "Москва"), ("100 %", "100 %"), ("%zz &nothing; \\u12", "%zz &nothing; \\u12"), ("%ff", "%ff"),
    ("\\ud83d\\ude00", "\U0001f600"), ("&#xD800;", "&#xD800;"), ("&#1114112;", "&#1114112;"),
])  # fmt: skip
def test_a_text_reads_as_what_it_stands_for(text: str, reads: str) -> None:
    assert normalise(text).text == reads


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "Ж", "\u200b", "%41", "%C3%BC", "%zz", "\\u0041", "&amp;", "&#66;", "ﬁ", " ", "\u0430b", "\\"]), max_size=14
    ).map("".join)
)
def test_every_character_leads_back_to_what_it_stands_for(text: str) -> None:
    plain = normalise(text)
    at = 0
    for i in range(len(plain.text)):
        a, b = plain.back(i, i + 1)
        assert 0 <= a < b <= len(text)
        assert a >= at - 5
        at = a


@pytest.mark.parametrize(("text", "left"), [
    ("mail jane.doe%40shop.example now", "mail [] now"), ('{"to": "jane.doe\\u0040shop.example"}', '{"to": "[]"}'), ("jane.doe&#64;shop.example!", "[]!"),
    ("j\u0430ne.d\u043ee@shop.example", "[]"),
])  # fmt: skip
def test_a_disguised_address_is_covered_whole_and_nothing_else(text: str, left: str) -> None:
    (spans,) = DETECTOR.conversation([Piece(text)])
    for span in reversed(spans):
        text = text[: span.start] + "[]" + text[span.end :]
    assert text == left


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_folding_for_the_scan_is_never_finer_than_folding_for_tokens(text: str) -> None:
    assert fold(normalise(text).text) == fold(normalise(folded(text)).text)
    for _, view in views(text):
        assert isinstance(view, str)
    unescape(text)
