"""The agreement gate: bounds decide, unfit measurements fail, and every verdict says what it used."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flywheel.quality import agreement_table, agreement_verdict, rater_quality
from flywheel.records import AgreementRow, RaterQualityRow, Verdict
from flywheel.settings import QualitySettings
from flywheel.storage import from_table, to_table

ROUND = "2026-01-05"
GOOD = {f"r{i}": 0.96 for i in range(9)}
NOW = datetime(2026, 1, 20, tzinfo=UTC)


def decide(made: Any, *, settings: QualitySettings | None = None, batch: Any = None, quality: Any = None) -> Verdict:
    settings = settings or QualitySettings()
    quality = quality if quality is not None else rater_quality(made.annotations, round=ROUND, settings=settings)
    table = agreement_table(made.annotations, quality, round=ROUND, settings=settings, seed=1)
    return agreement_verdict(
        made.annotations,
        table,
        quality,
        round=ROUND,
        annotations_sha256="s" * 64,
        batch=batch if batch is not None else made.batch,
        settings=settings,
        now=NOW,
    )


def test_good_raters_pass_and_the_verdict_is_bound_and_carries_its_thresholds(answered: Callable[..., Any]) -> None:
    verdict = decide(answered(GOOD, n_natural=540, n_gold=60))
    assert (verdict.state, verdict.gate, verdict.round, verdict.subject_sha256, verdict.decided_at) == (
        "pass",
        "agreement",
        ROUND,
        "s" * 64,
        NOW,
    )
    assert "lower bound reaches 0.65" in verdict.reasons[0]
    assert set(QualitySettings.model_fields) < set(verdict.thresholds)
    assert verdict.thresholds["honeypot_share_high"] == 0.15


def test_paused_raters_are_left_out_and_said_so(answered: Callable[..., Any]) -> None:
    verdict = decide(answered(GOOD | {"spam1": 0.3, "spam2": 0.3, "left": -1.0}, n_natural=540, n_gold=60))
    assert verdict.state == "pass"
    assert any(r.startswith("note: 3 of 12 raters are paused; their ") for r in verdict.reasons)


def test_bad_agreement_fails(answered: Callable[..., Any]) -> None:
    made = answered({f"r{i}": 0.72 for i in range(9)}, n_natural=540, n_gold=60)
    quality = rater_quality(made.annotations, round=ROUND, settings=QualitySettings())
    rows = [r.model_copy(update={"state": "active"}) for r in from_table(RaterQualityRow, quality)]
    verdict = decide(made, quality=to_table(RaterQualityRow, rows))
    assert verdict.state == "fail"
    assert "upper bound lies below 0.65" in verdict.reasons[0]


def test_between_the_bounds_it_is_inconclusive_and_says_how_many_items_would_decide(answered: Callable[..., Any]) -> None:
    verdict = decide(answered({f"r{i}": 0.89 for i in range(9)}, n_natural=540, n_gold=60, seed=3))
    assert verdict.state == "inconclusive"
    assert "gold items would decide" in verdict.reasons[0]


def test_without_answers_it_is_pending_and_while_they_come_in_too(answered: Callable[..., Any], make_round: Callable[..., Any]) -> None:
    assert decide(make_round(n_natural=540, n_gold=60)).state == "pending"
    made = answered(GOOD, n_natural=540, n_gold=60)
    made.rows = made.rows[: len(made.rows) // 2]
    verdict = decide(made)
    assert verdict.state == "pending"
    assert verdict.reasons[0].startswith("900 of 1800 asked-for answers are in")
    assert decide(made, settings=QualitySettings(minimum_completion=0.4)).state != "pending"


def test_too_little_gold_is_inconclusive(answered: Callable[..., Any]) -> None:
    verdict = decide(answered(GOOD, n_natural=180, n_gold=20))
    assert verdict.state == "inconclusive"
    assert verdict.reasons[0].startswith("20 gold items have two or more labels that count, 30 are needed")


def test_unanimous_gold_passes_by_percent_agreement_and_ac1(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=360, n_gold=40)
    made.truth = dict.fromkeys(made.truth, "a")
    for task in made.tasks:
        for rater in ("r1", "r2", "r3"):
            made.say(task, rater, "a")
    verdict = decide(made)
    assert verdict.state == "pass"
    assert "alpha is undefined, agreement 100 %; AC1 1.000" in verdict.reasons[0]


def test_a_segment_that_fails_fails_the_batch(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=540, n_gold=80, domains=("support", "support", "support", "code"))
    quality = rater_quality(made.annotations, round=ROUND, settings=QualitySettings())
    spoiled = {a.event_id: "ab"[i % 2] for i, a in enumerate(a for a in made.rows if a.kind == "gold" and a.domain == "code")}
    made.rows = [a.model_copy(update={"decision": spoiled.get(a.event_id, a.decision)}) for a in made.rows]
    verdict = decide(made, quality=quality)
    assert verdict.state == "fail"
    assert any(r.startswith("gold:code: ") and "upper bound" in r for r in verdict.reasons)


def test_a_segment_with_little_gold_is_noted(answered: Callable[..., Any]) -> None:
    verdict = decide(answered(GOOD, n_natural=540, n_gold=60, domains=("support",) * 11 + ("code",)))
    assert verdict.state == "pass"
    assert "note: segment code has 5 gold items, too few to judge it (10)" in verdict.reasons


@pytest.mark.parametrize(("n_natural", "n_gold"), [(600, 20), (200, 60)])
def test_a_honeypot_share_outside_5_to_15_percent_fails(answered: Callable[..., Any], n_natural: int, n_gold: int) -> None:
    verdict = decide(answered(GOOD, n_natural=n_natural, n_gold=n_gold))
    assert verdict.state == "fail"
    assert "of the tasks are gold" in verdict.reasons[0]


def test_attention_checks_are_neither_gold_nor_tasks_in_that_share(answered: Callable[..., Any]) -> None:
    assert decide(answered(GOOD, n_natural=540, n_gold=60, n_attention=200)).state == "pass"


def test_mixed_guidelines_fail(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=540, n_gold=60)
    made.rows[0] = made.rows[0].model_copy(update={"guideline_sha256": "h" * 64})
    verdict = decide(made)
    assert (verdict.state, verdict.reasons[0][:25]) == ("fail", "2 guidelines are mixed: g")


def test_sides_that_are_not_randomised_fail(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=540, n_gold=60)
    made.tasks = [t.model_copy(update={"presented_left": "a"}) for t in made.tasks]
    verdict = decide(made)
    assert verdict.state == "fail"
    assert "sides are not randomised: a on the left in 600 of 600" in verdict.reasons[0]


def test_answers_to_tasks_of_no_batch_fail(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=540, n_gold=60)
    made.rows[0] = made.rows[0].model_copy(update={"task_id": "stranger"})
    assert "1 annotated tasks are not in the batch" in decide(made).reasons


def test_an_active_rater_clearly_below_one_half_on_gold_fails(answered: Callable[..., Any]) -> None:
    made = answered(GOOD | {"bad": 0.1}, n_natural=540, n_gold=60)
    quality = rater_quality(made.annotations, round=ROUND, settings=QualitySettings())
    rows = [r.model_copy(update={"state": "watch"}) for r in from_table(RaterQualityRow, quality)]
    verdict = decide(made, quality=to_table(RaterQualityRow, rows))
    assert verdict.state == "fail"
    assert verdict.reasons[0].startswith("rater bad is watch, but passed ")


def test_the_table_holds_every_statistic_by_segment_and_no_nan(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=100, n_gold=12)
    settings = QualitySettings()
    quality = rater_quality(made.annotations, round=ROUND, settings=settings)
    table = agreement_table(made.annotations, quality, round=ROUND, settings=settings, seed=1)
    rows = {(r.segment, r.statistic): r for r in from_table(AgreementRow, table)}
    assert {"gold", "gold:code", "gold:support", "natural", "natural:code", "natural:support", "natural:without_ties", "repeat"} == {
        s for s, _ in rows
    }
    for segment in ("gold", "natural", "natural:code"):
        for statistic in ("percent_agreement", "krippendorff_alpha_nominal", "fleiss_kappa", "gwet_ac1"):
            row = rows[segment, statistic]
            assert row.low is not None
            assert row.high is not None
            assert row.low <= (row.value or 0) <= row.high
    one, two = rows["gold", "krippendorff_alpha_gate"], rows["gold", "krippendorff_alpha_nominal"]
    assert one.value == two.value
    assert (two.low or 0) <= (one.low or 0)
    assert rows["repeat", "intra_rater_agreement"].status == "undefined"
    assert table.equals(
        agreement_table(
            made.annotations.take(list(range(made.annotations.num_rows))[::-1]), quality, round=ROUND, settings=settings, seed=1
        )
    )


def test_a_raters_repeats_give_intra_rater_agreement(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=10, n_gold=0)
    again = [t.model_copy(update={"task_id": f"{t.task_id}r", "kind": "repeat"}) for t in made.tasks[:4]]
    made.tasks += again
    for task, decision in zip(made.tasks, "aaaaaaaaaa" + "aaab", strict=True):
        made.say(task, "r1", decision)
    made.say(again[0], "r2", "b")  # did not see it before
    quality = rater_quality(made.annotations, round=ROUND, settings=QualitySettings())
    rows = from_table(AgreementRow, agreement_table(made.annotations, quality, round=ROUND, settings=QualitySettings(), seed=1))
    (row,) = [r for r in rows if r.statistic == "intra_rater_agreement"]
    assert (row.value, row.n_items) == (0.75, 4)
