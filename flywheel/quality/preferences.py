"""Preferences: each pair's labels to one outcome with a posterior, or to the expert tier.

Gold, attention and repeat tasks measure raters and never become preferences. What the crowd cannot decide (posterior below the floor)
and `both_bad` need an expert's annotation; without one the pair is left out and counted, so that doubt never turns into training data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa

from flywheel.quality.aggregation import Aggregation, aggregate, make_ratings
from flywheel.quality.agreement import CATEGORIES, counts_as_label
from flywheel.quality.counts import FloatArray
from flywheel.records import (
    Annotation,
    Arm,
    GoldItem,
    JudgeLabel,
    LabelingTask,
    LabelOrigin,
    Outcome,
    Pair,
    Preference,
    RaterQualityRow,
    Tier,
)  # fmt: skip
from flywheel.settings import QualitySettings
from flywheel.storage import from_table, to_table

EXPERT_PRIOR = (9.0, 1.0)  # what an expert's accuracy is taken for before any gold answer


@dataclass(frozen=True)
class _Decision:
    outcome: Outcome
    posterior: float
    tier: Tier


def aggregate_preferences(
    annotations: pa.Table, rater_quality: pa.Table, batch: pa.Table, judge_labels: pa.Table, pairs: pa.Table, *, round: str,
    settings: QualitySettings, exclude_pairs: Collection[str] = frozenset(), experts: Collection[str] = frozenset(),
    gold: Sequence[GoldItem] | None = None,
) -> tuple[pa.Table, dict[str, Any]]:  # fmt: skip
    """`Preference` rows of the round's natural pairs by pair id, and facts (method, log-losses, what became of every pair).

    `pairs`: `Pair` rows of the rounds that the batch draws from; a pair that is gone from there (an erasure) is left out. `exclude_pairs`:
    pair ids that may not be used (consent). `experts`: raters whose annotation decides what the crowd cannot, besides those of origin
    `expert`. `gold`: exact accepted answers; without it they are read off the gold results. Pairs of the arm `random_evaluation` are rows
    too: whoever trains leaves them out by `arm`. `batch` may hold earlier rounds' tasks: their pairs enter with late (banked) answers, so
    the caller names in `exclude_pairs` those that were accepted before. Judge-kept pairs enter with origin and tier `judge`."""
    tasks = {t.task_id: t for t in from_table(LabelingTask, batch)}
    quality = from_table(RaterQualityRow, rater_quality)
    paused = {r.rater for r in quality if r.state == "paused"}
    everything = from_table(Annotation, annotations)
    given = [a for a in everything if counts_as_label(a, paused, banked=True) and a.task_id in tasks]
    late = {a.pair_id for a in given if a.status == "banked"}
    asked = [t for t in tasks.values() if t.kind in ("natural", "overlap") and (t.round == round or t.pair_id in late)]
    natural = {t.pair_id: t for t in sorted(asked, key=lambda t: t.round)}
    by_pair: dict[str, list[Annotation]] = defaultdict(list)
    for a in sorted(given, key=lambda a: a.event_id):
        if tasks[a.task_id].kind in ("natural", "overlap"):
            by_pair[a.pair_id].append(a)

    aggregation, position = _aggregate(given, tasks, settings, gold)
    expert_ids = {a.rater for a in given if a.origin == "expert"} | set(experts)
    trust = _expert_accuracy(quality, expert_ids)
    known_pairs = {p.pair_id: p for p in from_table(Pair, pairs)}
    fate: Counter[str] = Counter()
    rows = []
    for pair_id in sorted(natural):
        task, labels, pair = natural[pair_id], by_pair[pair_id], known_pairs.get(pair_id)
        if pair_id in exclude_pairs or pair is None:
            fate["excluded" if pair_id in exclude_pairs else "pair_gone"] += 1
        elif not labels:
            fate["unlabelled"] += 1
        elif (decision := _decide(aggregation.posterior[position[pair_id]], labels, task.redundancy, expert_ids, trust, settings)) is None:
            fate["to_expert"] += 1
        else:
            fate["expert" if decision.tier == "expert" else "crowd"] += 1
            rows.append(_preference(pair, task, labels, decision, aggregation.method, round))
    rows += _judge_rows(
        judge_labels, natural, known_pairs, exclude_pairs, next((t for t in tasks.values() if t.round == round), None), round, fate
    )
    rows.sort(key=lambda p: p.pair_id)
    facts = {
        "pairs": sum(fate.values()),
        "accepted": len(rows),
        "fate": dict(sorted(fate.items())),
        "outcomes": dict(sorted(Counter(r.outcome for r in rows).items())),
        "origins": dict(sorted(Counter(r.origin for r in rows).items())),
        "aggregator": aggregation.method,
        "aggregator_reason": aggregation.reason,
        "gold_log_loss": aggregation.log_loss,
        "gold_items": aggregation.n_known,
        "temperature": aggregation.temperature,
        "labels_used": sum(len(v) for v in by_pair.values()),
        "labels_of_paused_raters": sum(a.rater in paused and a.status == "accepted" for a in everything),
        "banked": sum(a.status == "banked" for a in everything),
    }
    return to_table(Preference, rows), facts


def _aggregate(
    given: Sequence[Annotation], tasks: Mapping[str, LabelingTask], settings: QualitySettings, gold: Sequence[GoldItem] | None
) -> tuple[Aggregation, dict[str, int]]:
    """Posteriors of natural pairs and gold tasks together; the index of each by pair id."""
    exact: dict[str, set[str]] = {g.gold_id: set(g.accepted) for g in gold or ()}
    rows: list[tuple[str, str, str]] = []
    accepted: dict[str, set[str]] = {}
    passed: dict[str, set[str]] = defaultdict(set)
    failed: dict[str, set[str]] = defaultdict(set)
    for a in given:
        task = tasks[a.task_id]
        if task.kind in ("natural", "overlap", "gold"):
            rows.append((a.pair_id, a.rater, a.decision))
        if task.kind == "gold":
            (passed if a.gold_result == "pass" else failed)[a.pair_id].add(a.decision)
            accepted[a.pair_id] = exact.get(str(task.gold_id)) or passed[a.pair_id] or {c for c in CATEGORIES if c not in failed[a.pair_id]}
    accepted = {pair_id: right for pair_id, right in accepted.items() if right}
    ratings = make_ratings(rows, CATEGORIES, accepted)
    return aggregate(ratings, settings.aggregator), {item: i for i, item in enumerate(ratings.items)}


def _expert_accuracy(quality: Sequence[RaterQualityRow], experts: Collection[str]) -> float:
    """Pooled gold accuracy of the experts, with a Beta(9, 1) prior."""
    passed = sum(r.gold_passed for r in quality if r.rater in experts)
    n = sum(r.n_gold for r in quality if r.rater in experts)
    return (passed + EXPERT_PRIOR[0]) / (n + sum(EXPERT_PRIOR))


def _decide(
    posterior: FloatArray, labels: Sequence[Annotation], redundancy: int, experts: Collection[str], trust: float, settings: QualitySettings
) -> _Decision | None:
    """The crowd's outcome where it is sure and not `both_bad`; else the experts' majority; else None."""
    best = int(posterior.argmax())
    runner_up = float(np.delete(posterior, best).max())
    enough = len(labels) >= min(settings.minimum_labels, redundancy)  # one person's word is not the crowd's
    sure = enough and float(posterior[best]) >= settings.posterior_floor and float(posterior[best]) - runner_up > 1e-9
    if sure and CATEGORIES[best] != "both_bad":
        return _Decision(cast(Outcome, CATEGORIES[best]), float(posterior[best]), "crowd")
    said = Counter(a.decision for a in labels if a.rater in experts).most_common()
    if not said or (len(said) > 1 and said[0][1] == said[1][1]):
        return None
    return _Decision(cast(Outcome, said[0][0]), trust, "expert")


def _preference(pair: Pair, task: LabelingTask, labels: Sequence[Annotation], decision: _Decision, method: str, round: str) -> Preference:
    origin: LabelOrigin = (
        "simulated" if any(a.origin == "simulated" for a in labels) else "expert" if decision.tier == "expert" else "human"
    )
    return Preference(
        **_of_pair(pair, decision.outcome), round=round, posterior=decision.posterior, n_annotations=len(labels),
        likert_a=_mean([a.likert_a for a in labels]), likert_b=_mean([a.likert_b for a in labels]),
        rationales=[a.rationale for a in labels if a.rationale], event_ids=[a.event_id for a in labels], aggregator=method, tier=decision.tier,
        origin=origin, arm=cast(Arm, task.arm), batch_id=task.batch_id, guideline_version=task.guideline_version,
        guideline_sha256=task.guideline_sha256,
    )  # fmt: skip


def _of_pair(pair: Pair, outcome: Outcome) -> dict[str, Any]:
    """The columns that a preference takes from its pair."""
    names = (
        "pair_id", "record_id", "conversation_id", "subject_id", "domain", "task_type", "prompt", "response_a", "response_b", "prompt_sha256",
        "prompt_cluster", "redaction_version",
    )  # fmt: skip
    sides = {"a": ("a", "b"), "b": ("b", "a")}.get(outcome, (None, None))
    return {name: getattr(pair, name) for name in names} | {"outcome": outcome, "chosen": sides[0], "rejected": sides[1]}


def _mean(values: Sequence[int | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _judge_rows(
    judge_labels: pa.Table, natural: Mapping[str, LabelingTask], pairs: Mapping[str, Pair], exclude: Collection[str],
    any_task: LabelingTask | None, round: str, fate: Counter[str],
) -> list[Preference]:  # fmt: skip
    """Pairs that the judge kept. Its `both_bad` is not final either."""
    rows = []
    for judged in from_table(JudgeLabel, judge_labels):
        if judged.route != "judge" or judged.pair_id in natural:
            continue
        pair = pairs.get(judged.pair_id)
        if judged.pair_id in exclude or pair is None:
            fate["excluded" if judged.pair_id in exclude else "pair_gone"] += 1
        elif judged.decision in (None, "both_bad") or judged.p_a is None or any_task is None:
            fate["to_expert"] += 1
        else:
            fate["judge"] += 1
            sure = judged.confidence if judged.confidence is not None else max(judged.p_a, 1 - judged.p_a)
            rows.append(
                Preference(
                    **_of_pair(pair, judged.decision), round=round, posterior=sure, n_annotations=0,
                    aggregator=judged.judge_id or "judge", tier="judge", origin="judge", arm="active", batch_id=any_task.batch_id,
                    guideline_version=any_task.guideline_version, guideline_sha256=any_task.guideline_sha256,
                )
            )  # fmt: skip
    return rows
