"""Agreement of a batch: every statistic, by segment, with intervals.

Segments: `gold` and `natural` (and each domain of them, `gold:code`), `natural:without_ties`, `repeat`. Labels of paused raters are left
out, skips are no labels. Natural items are subjective: no real public preference set reaches alpha .65 on them, which is why the gate
looks at gold and natural items pass one by one, by their posterior.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import pyarrow as pa

from flywheel.quality.alpha import alpha_statistic
from flywheel.quality.counts import IntArray, Statistic, count_matrix
from flywheel.quality.estimate import Estimate, point_estimate
from flywheel.quality.gwet import gwet_statistic
from flywheel.quality.intervals import bootstrap_interval, gold_items_needed, wilson_interval
from flywheel.quality.kappa import cohen_kappa, confusion_matrix, fleiss_statistic, percent_statistic
from flywheel.records import AgreementRow, Annotation, RaterQualityRow
from flywheel.settings import QualitySettings
from flywheel.storage import from_table, to_table

CATEGORIES = ("a", "b", "tie", "both_bad")
STATISTICS: dict[str, Statistic] = {
    "percent_agreement": percent_statistic,
    "krippendorff_alpha_nominal": alpha_statistic("nominal"),
    "fleiss_kappa": fleiss_statistic,
    "gwet_ac1": gwet_statistic(),
}
GATE_STATISTIC = "krippendorff_alpha_gate"
MINIMUM_SHARED = 10  # items that two raters must share before their kappa counts


def agreement_table(annotations: pa.Table, rater_quality: pa.Table, *, round: str, settings: QualitySettings, seed: int) -> pa.Table:
    """`AgreementRow`s by segment and statistic. Intervals hold with `settings.confidence` on both sides together; for the statistic
    `krippendorff_alpha_gate` (gold only: the value is alpha, nominal) each bound holds with it alone. `gold_items_needed`: how many gold
    items would decide the gate at the present alpha. `cohen_kappa_mean_pairwise`: over pairs of raters who share ten items or more."""
    paused = {r.rater for r in from_table(RaterQualityRow, rater_quality) if r.state == "paused"}
    given = [a for a in from_table(Annotation, annotations) if counts_as_label(a, paused)]
    rows: list[AgreementRow] = []

    def add(segment: str, statistic: str, estimate: Estimate) -> None:
        rows.append(
            AgreementRow(
                round=round, segment=segment, statistic=statistic, value=estimate.value, low=estimate.low, high=estimate.high,
                n_items=estimate.n_items, n_annotations=estimate.n_annotations, status=estimate.status,
            )
        )  # fmt: skip

    for segment, members in _segments(given):
        counts = _counts(members)
        segment_seed = int.from_bytes(hashlib.sha256(f"{seed}|{segment}".encode()).digest()[:8], "big")
        for name, statistic in STATISTICS.items():
            interval = bootstrap_interval(
                counts, statistic, replicates=settings.bootstrap_replicates, seed=segment_seed, confidence=settings.confidence
            )
            add(segment, name, _estimate(counts, statistic, interval))
        if segment.split(":")[0] == "gold":
            bounds = bootstrap_interval(
                counts, STATISTICS["krippendorff_alpha_nominal"], replicates=settings.bootstrap_replicates, seed=segment_seed,
                confidence=settings.confidence, sides=1,
            )  # fmt: skip
            gate = _estimate(counts, STATISTICS["krippendorff_alpha_nominal"], bounds)
            add(segment, GATE_STATISTIC, gate)
            add(segment, "gold_items_needed", _items_needed(gate, settings))
        add(segment, "cohen_kappa_mean_pairwise", _mean_pairwise_kappa(members))
    add("repeat", "intra_rater_agreement", _intra_rater(given))
    rows.sort(key=lambda r: (r.segment, r.statistic))
    return to_table(AgreementRow, rows)


def counts_as_label(annotation: Annotation, paused: set[str], *, banked: bool = False) -> bool:
    """True for what enters agreement and aggregation: accepted (for aggregation banked too), no skip, not by a paused rater."""
    standing = annotation.status == "accepted" or (banked and annotation.status == "banked")
    return standing and annotation.decision != "skip" and annotation.rater not in paused


def _segments(given: Sequence[Annotation]) -> Iterator[tuple[str, list[Annotation]]]:
    gold = [a for a in given if a.kind == "gold"]
    natural = [a for a in given if a.kind in ("natural", "overlap")]
    for name, members in (("gold", gold), ("natural", natural)):
        yield name, members
        for domain in sorted({a.domain for a in members}):
            yield f"{name}:{domain}", [a for a in members if a.domain == domain]
    yield "natural:without_ties", [a for a in natural if a.decision != "tie"]


def _counts(members: Sequence[Annotation]) -> IntArray:
    return count_matrix([a.task_id for a in members], [a.decision for a in members], CATEGORIES)[0]


def _estimate(counts: IntArray, statistic: Statistic, interval: tuple[float, float] | None) -> Estimate:
    estimate = point_estimate(counts, statistic)
    return estimate.with_interval(interval) if estimate.value is not None else estimate


def _items_needed(gate: Estimate, settings: QualitySettings) -> Estimate:
    needed = None if gate.value is None else gold_items_needed(gate.value, settings.alpha_floor, confidence=settings.confidence)
    return Estimate(None if needed is None else float(needed), gate.n_items, gate.n_annotations)


def _mean_pairwise_kappa(members: Sequence[Annotation]) -> Estimate:
    by_rater: dict[str, dict[str, str]] = defaultdict(dict)
    for a in members:
        by_rater[a.rater][a.task_id] = a.decision
    values, shared_items = [], 0
    for one, other in combinations(sorted(by_rater), 2):
        shared = sorted(by_rater[one].keys() & by_rater[other].keys())
        if len(shared) < MINIMUM_SHARED:
            continue
        matrix = confusion_matrix([by_rater[one][t] for t in shared], [by_rater[other][t] for t in shared], CATEGORIES)
        kappa = cohen_kappa(matrix)
        if kappa.value is not None:
            values.append(kappa.value)
            shared_items += len(shared)
    if not values:
        return Estimate(None, 0, 0, reason=f"no two raters share {MINIMUM_SHARED} items with variation")
    return Estimate(sum(values) / len(values), shared_items, 2 * shared_items)


def _intra_rater(given: Sequence[Annotation]) -> Estimate:
    """How often a rater who saw a pair twice, sides swapped, answered alike (Wilson interval)."""
    first = {(a.rater, a.pair_id): a.decision for a in given if a.kind in ("natural", "overlap")}
    again = [(a.decision, first[a.rater, a.pair_id]) for a in given if a.kind == "repeat" and (a.rater, a.pair_id) in first]
    if not again:
        return Estimate(None, 0, 0, reason="no rater saw a pair twice")
    same = sum(now == before for now, before in again)
    return Estimate(same / len(again), len(again), 2 * len(again)).with_interval(wilson_interval(same, len(again)))
