"""What a person reads, and what k of n says about the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywheel.errors import BadInput, NotFound
from flywheel.governance import provenance_log
from flywheel.governance.audit_sample import audit_result, clopper_pearson_upper, draw_sample, sample_path, take_answers
from flywheel.reporting import render_report
from flywheel.storage import Home
from tests.small_rounds import R1, R3


@pytest.mark.parametrize(
    ("leaking", "n", "bound"),
    [(0, 300, 0.00994), (0, 60, 0.0487), (1, 100, 0.0466), (5, 50, 0.19883), (0, 1, 0.95), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_the_bound_is_clopper_pearsons(leaking: int, n: int, bound: float) -> None:
    assert clopper_pearson_upper(leaking, n) == pytest.approx(bound, abs=5e-5)


def answered(home: Home, leaks: list[int | None], note: str = "") -> Path:
    lines = [json.loads(line) for line in sample_path(home, R1).read_text().splitlines()]
    for line, count in zip(lines[1:], leaks, strict=False):
        line.update(leaks=count, note=note)
    path = home.root / "answers.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_sample_is_drawn_by_the_rounds_seed_and_holds_redacted_text_only(small_home: Home) -> None:
    path, drawn, of = draw_sample(small_home, R1, 20)
    first = path.read_bytes()
    assert (drawn, of > 100) == (20, True)
    assert draw_sample(small_home, R1, 20)[0].read_bytes() == first
    assert path.is_relative_to(small_home.restricted)
    assert path.stat().st_mode & 0o077 == 0
    talk = json.loads(first.splitlines()[1])
    assert talk["leaks"] is None
    assert any(t["where"].endswith("messages.0.content") for t in talk["texts"])
    assert draw_sample(small_home, R1, 10**6)[1] == of
    with pytest.raises(NotFound):
        draw_sample(small_home, R3)


def test_answers_become_a_bound_in_the_report_and_notes_stay_in_the_restricted_zone(small_home: Home) -> None:
    page = render_report(small_home, R1, now=small_home.now()).read_text()
    assert "Nobody has read a sample" in page
    draw_sample(small_home, R1, 30)
    result = take_answers(small_home, R1, answered(small_home, [0] * 24 + [2] + [None] * 5, "Wilhelmina Quartz stands there"), "reader-1")
    assert (result.read, result.leaking, result.sampled) == (25, 1, 30)
    page = render_report(small_home, R1, now=small_home.now()).read_text()
    assert "1 of 25 conversations that reader-1 read" in page
    assert "17.6" in page
    assert "Quartz" not in page + provenance_log(small_home).path.read_text()
    again = take_answers(small_home, R1, answered(small_home, [0] * 30), "reader-1")
    assert (again.read, again.leaking) == (30, 0)
    assert audit_result(small_home, R1) == again


def test_answers_to_anything_else_are_refused(small_home: Home, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no sample"):
        take_answers(small_home, R1, tmp_path / "a", "x")
    draw_sample(small_home, R1, 5)
    for content, why in (
        ("{]", "no JSON"), ("[1]", "no JSON object"), ('{"conversation_id": "zz", "leaks": 0}', "not in the sample"), ('{"redacted_sha256": "x"}', "another sample"),
        ("", "answers nothing"),
    ):  # fmt: skip
        (tmp_path / "a.jsonl").write_text(content)
        with pytest.raises(BadInput, match=why):
            take_answers(small_home, R1, tmp_path / "a.jsonl", "x")
    with pytest.raises(BadInput, match="whole number"):
        take_answers(small_home, R1, answered(small_home, [-1]), "x")
    with pytest.raises(BadInput, match="who read it"):
        take_answers(small_home, R1, answered(small_home, [0]), " ")
    assert audit_result(small_home, R1) is None
