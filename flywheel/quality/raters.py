"""What a round shows about each rater, and whether the rater's labels count.

Gold answers are a sequence of passes and fails. The evidence is a one-sided CUSUM of the log-likelihood ratio of a bad rater's accuracy
p1 against a good one's p0: a fail adds ln((1 - p1) / (1 - p0)), a pass adds ln(p1 / p0), never below 0 (Page 1954). A rater is paused
when it ever exceeds ln(1 / false_pause). "Paused after more than one fail" would pause 72 % of raters of 95 % accuracy within 50 gold
items (facts/quality.md, section 4).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Literal

import pyarrow as pa

from flywheel.quality.intervals import binomial_two_sided_p, wilson_interval
from flywheel.records import Annotation, RaterQualityRow
from flywheel.settings import QualitySettings
from flywheel.storage import from_table, to_table

EFFECTIVE_SIDE_BIAS = 0.15  # a rater is paused for side bias only when the left share is off by as much
OUTLIER_Z = -3.0
SHORTEST_S = 0.001  # a median of no time at all is the hastiest, not one to leave out
NO_TIME = datetime.max.replace(tzinfo=UTC)


def rater_quality(annotations: pa.Table, *, round: str, settings: QualitySettings) -> pa.Table:
    """One `RaterQualityRow` a rater, by rater id. Takes accepted annotations only; a skip counts for nothing but `n_annotations`.

    States: `paused` (gold evidence, or side bias that is significant after Holm's correction and large), `watch` (half the evidence,
    small but significant side bias, or times far below the other raters'), `active`."""
    by_rater: dict[str, list[Annotation]] = defaultdict(list)
    for annotation in from_table(Annotation, annotations):
        if annotation.status == "accepted":
            by_rater[annotation.rater].append(annotation)
    raters = sorted(by_rater)
    peers = _peer_agreement(by_rater)
    lefts = {r: _left_right(by_rater[r]) for r in raters}
    side_p = _side_bias(by_rater, lefts)
    biased = holm({r: p for r, p in side_p.items() if p is not None}, settings.side_bias_p)
    times = {r: _median_active_s(by_rater[r]) for r in raters}
    hasty = _hasty({r: t for r, t in times.items() if t is not None})
    rows = []
    for rater in raters:
        given = by_rater[rater]
        results = [a.gold_result == "pass" for a in sorted(given, key=_time) if a.gold_result]
        evidence = cusum_evidence(results, settings.rater_accuracy_good, settings.rater_accuracy_bad)
        interval = wilson_interval(sum(results), len(results))
        left, right = lefts[rater]
        share = left / (left + right) if left + right else None
        state, reasons = _state(evidence, share if rater in biased else None, rater in hasty, settings)
        rows.append(
            RaterQualityRow(
                round=round, rater=rater, origin=given[0].origin, cohort=given[0].cohort, n_annotations=len(given), n_gold=len(results),
                gold_passed=sum(results), accuracy=sum(results) / len(results) if results else None,
                accuracy_low=interval[0] if interval else None, accuracy_high=interval[1] if interval else None, evidence_llr=evidence,
                peer_agreement=peers.get(rater), left_share=share, side_bias_p=side_p[rater], median_active_s=times[rater], state=state,
                reasons=reasons,
            )
        )  # fmt: skip
    return to_table(RaterQualityRow, rows)


def cusum_evidence(passed: Sequence[bool], good: float, bad: float) -> float:
    """The highest value that the CUSUM reaches over gold results in the order of answering, nats."""
    for_pass, for_fail = math.log(bad / good), math.log((1 - bad) / (1 - good))
    current = highest = 0.0
    for result in passed:
        current = max(0.0, current + (for_pass if result else for_fail))
        highest = max(highest, current)
    return highest


def holm(p_values: dict[str, float], level: float) -> set[str]:
    """Names whose p value is significant at `level` after Holm's correction (1979)."""
    found: set[str] = set()
    for position, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: (item[1], item[0]))):
        if p > level / (len(p_values) - position):
            break
        found.add(name)
    return found


def _state(
    evidence: float, biased_share: float | None, is_hasty: bool, settings: QualitySettings
) -> tuple[Literal["active", "watch", "paused"], list[str]]:
    limit = math.log(1 / settings.rater_false_pause)
    paused, watch = [], []
    if evidence >= limit:
        paused.append(f"gold: evidence {evidence:.2f} reaches {limit:.2f}")
    elif evidence >= limit / 2:
        watch.append(f"gold: evidence {evidence:.2f} is past half of {limit:.2f}")
    if biased_share is not None:
        message = f"side: {biased_share:.0%} of decisions are for the left"
        (paused if abs(biased_share - 0.5) >= EFFECTIVE_SIDE_BIAS else watch).append(message)
    if is_hasty:
        watch.append("time: median far below the other raters'")
    if paused:
        return "paused", paused + watch
    return ("watch", watch) if watch else ("active", [])


def _time(annotation: Annotation) -> tuple[datetime, str]:
    return annotation.ended_at or annotation.started_at or NO_TIME, annotation.event_id


def _left_right(given: Sequence[Annotation]) -> tuple[int, int]:
    decided = [a for a in given if a.decision in ("a", "b")]
    left = sum(a.decision == a.presented_left for a in decided)
    return left, len(decided) - left


def _side_bias(by_rater: dict[str, list[Annotation]], lefts: dict[str, tuple[int, int]]) -> dict[str, float | None]:
    """Exact two-sided p of side bias. Only decisions against the other raters' majority on the same task tell (McNemar 1947): how often
    the better answer happened to lie on the left is the same for all who saw the task. A rater without such company is tested against
    one half."""
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for given in by_rater.values():
        for a in given:
            if a.decision in ("a", "b"):
                votes[a.task_id]["left" if a.decision == a.presented_left else "right"] += 1
    found: dict[str, float | None] = {}
    for rater, given in by_rater.items():
        against, company = Counter[str](), False
        for a in given:
            if a.decision not in ("a", "b"):
                continue
            mine, other = ("left", "right") if a.decision == a.presented_left else ("right", "left")
            with_me, against_me = votes[a.task_id][mine] - 1, votes[a.task_id][other]
            company |= with_me + against_me > 0
            against[mine] += against_me > with_me
        left, right = (against["left"], against["right"]) if company else lefts[rater]
        found[rater] = binomial_two_sided_p(left, left + right) if sum(lefts[rater]) else None
    return found


def _median_active_s(given: Sequence[Annotation]) -> float | None:
    known = [a.active_s for a in given if a.active_s is not None]
    return median(known) if known else None


def _hasty(times: dict[str, float]) -> set[str]:
    """Raters whose log median time lies more than 3 robust standard deviations below the others' median. Slowness is no fault."""
    if len(times) < 5:
        return set()
    logs = {r: math.log(max(t, SHORTEST_S)) for r, t in times.items()}
    middle = median(logs.values())
    spread = 1.4826 * median(abs(v - middle) for v in logs.values())
    return {r for r, v in logs.items() if spread > 0 and (v - middle) / spread < OUTLIER_Z}


def _peer_agreement(by_rater: dict[str, list[Annotation]]) -> dict[str, float]:
    """Mean share of other raters who gave the same label, over natural tasks with other raters' labels."""
    votes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    mine: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for rater, given in by_rater.items():
        for a in given:
            if a.kind in ("natural", "overlap") and a.decision != "skip":
                votes[a.task_id][a.decision] += 1
                mine[rater].append((a.task_id, a.decision))
    found = {}
    for rater, labels in mine.items():
        shares = []
        for task_id, decision in labels:
            others = sum(votes[task_id].values()) - 1
            if others:
                shares.append((votes[task_id][decision] - 1) / others)
        if shares:
            found[rater] = math.fsum(shares) / len(shares)
    return found
