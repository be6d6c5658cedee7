"""Where a round's rows went: each step's count, what joined, and what was lost for which reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.dataset import training_losses
from flywheel.records import ModelRow, TableManifest
from flywheel.storage import Home, Lake, from_table

UNEXPLAINED = "unexplained"
KEPT_BY_JUDGE = "kept_by_judge"
ACCEPTED, IN_DATASET, TRAINED = "accepted as preferences", "in the dataset", "trained on"


@dataclass(frozen=True)
class FunnelStep:
    """One step. `count` is None where the stage was not reached. count == previous count + sum(gained) - sum(lost)."""

    name: str
    count: int | None
    lost: dict[str, int] = field(default_factory=dict)
    gained: dict[str, int] = field(default_factory=dict)


def funnel(home: Home, round: str) -> list[FunnelStep]:
    """All steps of a round, in order, from stored manifests and open tables. Rows that no stage accounts for are `unexplained`."""
    lake = home.lake
    found = {name: lake.manifest(name, round) for name in (
        "inference_logs", "consented_logs", "redacted_logs", "response_pairs", "selection", "labeling_batch", "annotations", "preferences",
        "preference_dataset", "dpo_model",
    )}  # fmt: skip
    steps = _logs(found["inference_logs"])
    steps.append(_next("consented", steps[-1], _rows(found["consented_logs"]), _numbers(found["consented_logs"], "reasons")))
    withdrawn = {"withdrawn_since": _number(found["redacted_logs"], "withdrawn_since")}
    steps.append(_next("redacted", steps[-1], _rows(found["redacted_logs"]), withdrawn))
    steps.append(_pool(found["response_pairs"], steps[-1]))
    stats = _numbers(found["response_pairs"], "stats")
    steps.append(_next("paired", steps[-1], _rows(found["response_pairs"]), {k: stats.get(k, 0) for k in PAIRING_LOSSES}))
    withdrawn = {"withdrawn_since": _refused(found["selection"])}
    steps.append(_next("selected", steps[-1], _rows(found["selection"]), withdrawn, rest="not_picked"))
    people, pairs = _people(lake, round, found, steps[-1])
    return [*steps, *people, *_outcome(lake, round, found, people[-1], pairs)]


def _logs(manifest: TableManifest | None) -> list[FunnelStep]:
    counts = _numbers(manifest, "counts")
    read = FunnelStep("logs read", counts.get("rows_read", manifest.rows) if manifest else None)
    reasons = _numbers(manifest, "quarantine")
    if sum(reasons.values()) != counts.get("quarantined", 0):
        reasons = {"quarantined": counts.get("quarantined", 0)}
    lost = {k: counts.get(k, 0) for k in ("other_rounds", "duplicates", "quarantined_elsewhere")} | reasons
    return [read, _next("accepted", read, _rows(manifest), lost)]


def _pool(manifest: TableManifest | None, before: FunnelStep) -> FunnelStep:
    """The pool also holds records of the rounds before that no batch has shown yet."""
    pool = _numbers(manifest, "pool")
    if manifest is None or "pool" not in pool:
        return FunnelStep("in the pool", None if manifest is None else before.count)
    lost = {k: pool.get(k, 0) for k in ("already_published", "late_for_this_round", "withdrawn_since")}
    earlier = pool["pool"] + sum(lost.values()) - (before.count or 0)
    return _next("in the pool", before, pool["pool"], lost, {"from_earlier_rounds": earlier})


@dataclass(frozen=True)
class _Pairs:
    """Pair ids of the round: given to people, answered by them, and kept by the judge."""

    natural: frozenset[str] = frozenset()
    answered: frozenset[str] = frozenset()
    judged: frozenset[str] = frozenset()


def _people(lake: Lake, round: str, found: Mapping[str, TableManifest | None], selected: FunnelStep) -> tuple[list[FunnelStep], _Pairs]:
    if found["labeling_batch"] is None:
        return [FunnelStep("given to people", None), FunnelStep("labelled", None)], _Pairs()
    tasks = lake.read("labeling_batch", round, ["task_id", "pair_id", "kind"]).to_pylist()
    natural = frozenset(t["pair_id"] for t in tasks if t["kind"] in ("natural", "overlap"))
    judge = lake.read_rounds("judge_labels", [round]).select(["pair_id", "route"]).to_pylist()
    judged = frozenset(r["pair_id"] for r in judge if r["route"] == "judge") - natural
    # a pick without its pair: the subject took consent back after the pool was formed
    gone = _number(found["labeling_batch"], "pairs_gone")
    given = _next("given to people", selected, len(natural), {KEPT_BY_JUDGE: len(judged), "withdrawn_since": gone})
    if found["annotations"] is None:
        return [given, FunnelStep("labelled", None)], _Pairs(natural, frozenset(), judged)
    labels = lake.read("annotations", round, ["pair_id", "decision", "status", "task_round"]).to_pylist()
    mine = [r for r in labels if r["task_round"] == round and r["pair_id"] in natural and r["status"] == "accepted"]
    answered = frozenset(r["pair_id"] for r in mine if r["decision"] != "skip")
    skipped = {r["pair_id"] for r in mine} - answered
    tasks_gone = set(found["annotations"].facts.get("withdrawn_tasks", []))
    untold = {t["pair_id"] for t in tasks if t["task_id"] in tasks_gone} & (natural - answered - skipped)
    lost = {
        "skipped": len(skipped),
        "withdrawn_since": len(untold),
        "no_label_yet": len(natural) - len(answered) - len(skipped) - len(untold),
    }
    return [given, _next("labelled", given, len(answered), lost)], _Pairs(natural, answered, judged)


def _outcome(lake: Lake, round: str, found: Mapping[str, TableManifest | None], labelled: FunnelStep, pairs: _Pairs) -> list[FunnelStep]:
    preferences = found["preferences"]
    if preferences is None or labelled.count is None:
        return [FunnelStep(ACCEPTED, preferences.rows if preferences else None), FunnelStep(IN_DATASET, None), FunnelStep(TRAINED, None)]
    ids = frozenset(lake.read("preferences", round, ["pair_id"])["pair_id"].to_pylist())
    joined = {KEPT_BY_JUDGE: len(ids & pairs.judged), "late_labels": len(ids - pairs.judged - pairs.natural)}
    lost = _fates(preferences, len(pairs.answered - ids))
    accepted = _next(ACCEPTED, labelled, preferences.rows, lost, joined)
    dataset = found["preference_dataset"]
    refused = {f"not_allowed_for_{p}": _number(dataset, f"not_allowed_for_{p}") for p in ("training", "evaluation")}
    in_dataset = _next(IN_DATASET, accepted, _rows(dataset), refused)
    return [accepted, in_dataset, _trained(lake, round, found["dpo_model"], in_dataset)]


def _fates(preferences: TableManifest, lost: int) -> dict[str, int]:
    """`lost` labelled pairs by what aggregation says became of them. Its counts may also hold pairs of earlier rounds (late labels)
    and pairs without labels, so none takes more than what is left."""
    if "abandoned" in preferences.facts:
        return {"abandoned": lost}
    fate, reasons = _numbers(preferences, "fate"), dict[str, int]()
    fate["withdrawn_since"] = _number(preferences, "withdrawn_since")
    for code, as_said in (
        ("to_expert", "to_expert"),
        ("withdrawn_since", "withdrawn_since"),
        ("excluded", "excluded"),
        ("pair_gone", "pair_gone"),
        ("unlabelled", "no_usable_label"),
    ):
        taken = min(fate.get(code, 0), lost)
        reasons[as_said], lost = taken, lost - taken
    return reasons


def _trained(lake: Lake, round: str, dpo: TableManifest | None, before: FunnelStep) -> FunnelStep:
    """Rows of this round that the policy was trained on (its whole dataset version is larger)."""
    if dpo is None or before.count is None:
        return FunnelStep(TRAINED, None)
    models = from_table(ModelRow, lake.read("dpo_model", round))
    if not any(m.trained for m in models):
        return FunnelStep(TRAINED, 0, {"no_model_was_trained": before.count} if before.count else {})
    lost = training_losses(lake.read("preference_dataset", round, ["arm", "outcome"]))
    return _next(TRAINED, before, before.count - sum(lost.values()), lost)


PAIRING_LOSSES = ("near_duplicate_prompt", "beyond_prefilter", "no_contrast", "no_second_response", "repeated_record")
"""The numbers of `response_pairs.facts["stats"]` that count records without a pair; the others describe the pairs made."""


def _next(
    name: str, before: FunnelStep, count: int | None, lost: Mapping[str, int], gained: Mapping[str, int] | None = None, *,
    rest: str = UNEXPLAINED,
) -> FunnelStep:  # fmt: skip
    """A step whose losses add up: what `lost` does not explain goes under `rest`."""
    if count is None or before.count is None:
        return FunnelStep(name, count)
    joined = {k: v for k, v in (gained or {}).items() if v > 0}
    reasons = {k: v for k, v in lost.items() if v > 0}
    gap = before.count + sum(joined.values()) - count - sum(reasons.values())
    if gap > 0:
        reasons[rest] = reasons.get(rest, 0) + gap
    elif gap < 0:
        joined[UNEXPLAINED] = -gap
    return FunnelStep(name, count, reasons, joined)


def _rows(manifest: TableManifest | None) -> int | None:
    return manifest.rows if manifest else None


def _numbers(manifest: TableManifest | None, key: str) -> dict[str, int]:
    """The whole numbers of a group of facts."""
    return _plain(manifest.facts.get(key) if manifest else None)


def _plain(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        return {}
    return {str(k): v for k, v in value.items() if isinstance(v, int) and not isinstance(v, bool)}


def _refused(manifest: TableManifest | None) -> int:
    """Rows that consent for labeling kept from a stage."""
    facts: Any = manifest.facts.get("consent", {}).get("labeling", {}) if manifest else {}
    return sum(_plain(facts.get("refused")).values()) if isinstance(facts, dict) else 0


def _number(manifest: TableManifest | None, key: str) -> int:
    value = manifest.facts.get(key) if manifest else None
    return value if isinstance(value, int) else 0
