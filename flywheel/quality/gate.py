"""The agreement gate: one verdict on a batch's annotations, bound to their hash.

PASS when the one-sided lower bound of alpha on gold items reaches the floor, FAIL when the upper bound stays below it, else
INCONCLUSIVE (more overlap is asked for). A point estimate would pass a process whose alpha really is .632 in 37 % of batches of 100 gold
items; the bound passes it in 2 % (facts/quality.md, section 6). Whatever makes the measurement itself unfit fails the gate too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

import pyarrow as pa

from flywheel.quality.agreement import GATE_STATISTIC, counts_as_label
from flywheel.quality.intervals import binomial_two_sided_p, gold_items_needed
from flywheel.records import AgreementRow, Annotation, LabelingTask, RaterQualityRow, Verdict, VerdictState
from flywheel.settings import QualitySettings
from flywheel.storage import from_table

GATE = "agreement"
HONEYPOT_SHARE = (0.05, 0.15)
SIDE_RANDOMISATION_P = 0.001
RATER_FLOOR = 0.5
RATER_CONFIDENCE = 0.95


def agreement_verdict(
    annotations: pa.Table, agreement: pa.Table, rater_quality: pa.Table, *, round: str, annotations_sha256: str, batch: pa.Table,
    settings: QualitySettings, now: datetime, withdrawn_tasks: Collection[str] = (),
) -> Verdict:  # fmt: skip
    """The verdict on the round's annotations. Answers to `withdrawn_tasks` (consent) are asked for no more. `reasons` explains the state; reasons that start with `note:` did not decide it.

    `pending`: no annotations, or fewer than `minimum_completion` of the asked-for answers are in. `fail`, whatever alpha is: answers under
    several guidelines, gold outside 5-15 % of the tasks (attention checks aside), sides not randomised (p < .001), a rater who is not
    paused but whose gold accuracy lies below .5 with posterior probability above .95. `inconclusive`: fewer than `minimum_gold_items` gold
    items with two or more ratings, or alpha's bounds on both sides of the floor. Each domain with `minimum_segment_items` must not fail."""
    given = [a for a in from_table(Annotation, annotations) if a.status == "accepted"]
    tasks = from_table(LabelingTask, batch)
    raters = from_table(RaterQualityRow, rater_quality)
    rows = {(r.segment, r.statistic): r for r in from_table(AgreementRow, agreement)}
    notes = _paused_note(given, raters)
    broken = _unfit(given, tasks)
    done, asked = _completion(given, [t for t in tasks if t.task_id not in set(withdrawn_tasks)])
    state: VerdictState
    if not given:
        state, reasons = "pending", ["no annotations yet"]
    elif broken:
        state, reasons = "fail", broken
    elif done < settings.minimum_completion * asked:
        state, reasons = "pending", [f"{done} of {asked} asked-for answers are in, {settings.minimum_completion:.0%} are needed"]
    elif failing := _failing_raters(raters):
        state, reasons = "fail", failing
    else:
        state, reasons, more = _alpha_state(rows, {t.domain for t in tasks if t.kind in ("natural", "overlap")}, settings)
        notes = more + notes
    return Verdict(
        gate=GATE, round=round, subject_sha256=annotations_sha256, state=state, reasons=reasons + [f"note: {n}" for n in notes],
        thresholds=_thresholds(settings), evidence_sha256=_evidence(agreement, rater_quality), decided_at=now,
    )  # fmt: skip


def _thresholds(settings: QualitySettings) -> dict[str, float | int | str | bool]:
    return {
        **settings.model_dump(),
        "honeypot_share_low": HONEYPOT_SHARE[0],
        "honeypot_share_high": HONEYPOT_SHARE[1],
        "side_randomisation_p": SIDE_RANDOMISATION_P,
        "rater_floor": RATER_FLOOR,
        "rater_confidence": RATER_CONFIDENCE,
        "policy": "one_sided_bounds",
    }


def _evidence(agreement: pa.Table, rater_quality: pa.Table) -> str:
    body = json.dumps([agreement.to_pylist(), rater_quality.to_pylist()], sort_keys=True, default=str)
    return hashlib.sha256(body.encode()).hexdigest()


def _paused_note(given: Sequence[Annotation], raters: Sequence[RaterQualityRow]) -> list[str]:
    paused = {r.rater for r in raters if r.state == "paused"}
    left_out = sum(not counts_as_label(a, paused) and a.decision != "skip" for a in given)
    return [f"{len(paused)} of {len(raters)} raters are paused; their {left_out} labels are left out"] if paused else []


def _unfit(given: Sequence[Annotation], tasks: Sequence[LabelingTask]) -> list[str]:
    """What makes the measurement unfit, whatever further labels would say."""
    reasons = []
    guidelines = {t.guideline_sha256 for t in tasks} | {a.guideline_sha256 for a in given}
    if len(guidelines) > 1:
        reasons.append(f"{len(guidelines)} guidelines are mixed: {', '.join(sorted(g[:12] for g in guidelines))}")
    strangers = {a.task_id for a in given} - {t.task_id for t in tasks}
    if strangers:
        reasons.append(f"{len(strangers)} annotated tasks are not in the batch")
    kinds = Counter(t.kind for t in tasks)
    countable = len(tasks) - kinds["attention"]
    share = kinds["gold"] / countable if countable else 0.0
    low, high = HONEYPOT_SHARE
    if not low <= share <= high:
        reasons.append(
            f"{share:.1%} of the tasks are gold ({kinds['gold']} of {countable}), {low:.0%}-{high:.0%} are needed; add gold items or set gold_share"
        )
    left_is_a = sum(t.presented_left == "a" for t in tasks)
    p = binomial_two_sided_p(left_is_a, len(tasks))
    if p < SIDE_RANDOMISATION_P:
        reasons.append(f"sides are not randomised: a on the left in {left_is_a} of {len(tasks)} tasks (p = {p:.1g})")
    return reasons


def _completion(given: Sequence[Annotation], tasks: Sequence[LabelingTask]) -> tuple[int, int]:
    """Answers that are in (skips too, no more than asked for a task) and answers asked for."""
    answered: dict[str, set[str]] = defaultdict(set)
    for a in given:
        answered[a.task_id].add(a.rater)
    return sum(min(len(answered[t.task_id]), t.redundancy) for t in tasks), sum(t.redundancy for t in tasks)


def _failing_raters(raters: Sequence[RaterQualityRow]) -> list[str]:
    reasons = []
    for r in raters:
        below = probability_below_half(r.gold_passed, r.n_gold)
        if r.state != "paused" and r.n_gold and below > RATER_CONFIDENCE:
            reasons.append(
                f"rater {r.rater} is {r.state}, but passed {r.gold_passed} of {r.n_gold} gold items: accuracy below .5 with probability {below:.3f}"
            )
    return reasons


def probability_below_half(passed: int, n: int) -> float:
    """P(accuracy < 1/2) after `passed` of `n`, uniform prior: Beta(passed + 1, n - passed + 1) at 1/2, by its binomial form."""
    log_half = (n + 1) * math.log(2)
    terms = (math.lgamma(n + 2) - math.lgamma(i + 1) - math.lgamma(n - i + 2) - log_half for i in range(passed + 1, n + 2))
    return min(1.0, math.fsum(math.exp(t) for t in terms))


def _alpha_state(
    rows: dict[tuple[str, str], AgreementRow], domains: set[str], settings: QualitySettings
) -> tuple[VerdictState, list[str], list[str]]:
    """State, reasons and notes from alpha on gold, overall and by domain."""
    notes: list[str] = []
    overall = rows.get(("gold", GATE_STATISTIC))
    n_items = overall.n_items if overall else 0
    if overall is None or n_items < settings.minimum_gold_items:
        need = f"{n_items} gold items have two or more labels that count, {settings.minimum_gold_items} are needed"
        return "inconclusive", [f"{need}: ask for more raters on gold tasks or add gold items"], notes
    state, reason = _segment_state("gold", overall, rows, settings)
    reasons = [reason]
    for domain in sorted(domains | {s.split(":", 1)[1] for s, name in rows if s.startswith("gold:") and name == GATE_STATISTIC}):
        row = rows.get((f"gold:{domain}", GATE_STATISTIC))
        if row is None or row.n_items < settings.minimum_segment_items:
            notes.append(
                f"segment {domain} has {row.n_items if row else 0} gold items, too few to judge it ({settings.minimum_segment_items})"
            )
            continue
        segment_state, why = _segment_state(f"gold:{domain}", row, rows, settings)
        if segment_state == "fail":
            state = "fail"
            reasons.append(why)
        else:
            notes.append(why)
    return state, reasons, notes


def _segment_state(
    segment: str, row: AgreementRow, rows: dict[tuple[str, str], AgreementRow], settings: QualitySettings
) -> tuple[VerdictState, str]:
    floor, ac1 = settings.alpha_floor, rows.get((segment, "gwet_ac1"))
    beside = f"; AC1 {ac1.value:.3f}" if ac1 and ac1.value is not None else ""
    if row.value is None:
        percent = rows.get((segment, "percent_agreement"))
        if percent and percent.value == 1.0 and ac1 and ac1.value is not None:
            return (
                "pass",
                f"{segment}: all {row.n_annotations} labels of {row.n_items} items agree: alpha is undefined, agreement 100 %{beside}",
            )
        return "inconclusive", f"{segment}: alpha is undefined and agreement not complete{beside}"
    if row.low is None or row.high is None:
        return "inconclusive", f"{segment}: alpha {row.value:.3f} has no interval ({row.n_items} items){beside}"
    said = f"{segment}: alpha {row.value:.3f}, one-sided {settings.confidence:.0%} bounds {row.low:.3f} and {row.high:.3f}, {row.n_items} items{beside}"
    if row.low >= floor:
        return "pass", f"{said}; the lower bound reaches {floor}"
    if row.high < floor:
        return "fail", f"{said}; the upper bound lies below {floor}"
    needed = gold_items_needed(row.value, floor, confidence=settings.confidence)
    way = f"about {needed} gold items would decide at this alpha" if needed else "no number of items decides at this alpha"
    return "inconclusive", f"{said}; {floor} lies between; {way}"
