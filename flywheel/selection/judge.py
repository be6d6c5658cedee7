"""The first judge: which picked pairs a model may decide, so that its error there is bounded.

On earlier pairs that people labelled, the judge's error among those at or above a confidence threshold has an exact one-sided
upper bound (Clopper and Pearson 1934). Thresholds come from a fixed grid, and each bound is taken at 1 - .05 / (grid size)
(Bonferroni), so that the chosen one holds with 95 % however the search went: the finite-sample form of selective prediction with
guaranteed risk (Geifman and El-Yaniv 2017, arXiv 1705.08500).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import JudgeLabel, SelectionPick
from flywheel.selection.uncertainty import RewardScorer, member_probabilities
from flywheel.settings import JudgeSettings
from flywheel.storage import from_table, to_table

GRID = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99)
CONFIDENCE = 0.95
OUTCOMES = ("a", "b", "tie", "both_bad")


@dataclass(frozen=True)
class Calibration:
    """Earlier human-labelled pairs: the judge's probability `p_a` (n,) before they were labelled, and people's `outcome` (n,): a, b,
    tie or both_bad. The bound holds for pairs like these: take them from picks of the same kind, never from training data."""

    p_a: Sequence[float]
    outcome: Sequence[str]


@dataclass(frozen=True)
class Threshold:
    """The lowest confidence from which the judge's error is bounded: `errors` of `n` calibration pairs, `bound` above them."""

    confidence: float
    n: int
    errors: int
    bound: float


def judge_pairs(
    selection: pa.Table, pairs: pa.Table, *, round: str, model: RewardScorer | None, calibration: Calibration | None,
    settings: JudgeSettings,
) -> pa.Table:  # fmt: skip
    """A row of `judge_labels` for each pick, sorted by pair_id: `route` says who decides, `reason` why.

    The judge keeps a pick of the active arm whose confidence reaches the risk-bounded threshold, the most confident first and never
    more than `maximum_share` of all picks. Everything else goes to people: both random arms always, and all of it while the judge is
    off, has no model, or its error is not shown to be small. Raises `BadInput` when a pick has no pair.
    """
    picks = sorted(from_table(SelectionPick, selection), key=lambda p: p.pair_id)
    if model is None or not settings.enabled or not picks:
        why = "judge is off" if not settings.enabled else "no model yet"
        return to_table(
            JudgeLabel, [JudgeLabel(round=round, pair_id=p.pair_id, record_id=p.record_id, route="human", reason=why) for p in picks]
        )
    threshold = find_threshold(calibration, settings.maximum_error) if calibration else None
    p_a = member_probabilities(model, _rows_of(picks, pairs, round)).mean(axis=0)
    confidence = np.maximum(p_a, 1 - p_a)
    allowed = int(settings.maximum_share * len(picks))
    eligible = [i for i, p in enumerate(picks) if threshold and p.arm == "active" and confidence[i] >= threshold.confidence]
    kept = set(sorted(eligible, key=lambda i: (-confidence[i], picks[i].pair_id))[:allowed])
    rows: list[dict[str, Any]] = []
    for i, pick in enumerate(picks):
        if pick.arm != "active":
            reason = f"{pick.arm}: random arms always go to people"
        elif threshold is None:
            reason = (
                "no calibration yet"
                if calibration is None
                else f"no confidence at which the error is shown to be <= {settings.maximum_error:g}"
            )
        elif i in kept:
            reason = (
                f"confidence {confidence[i]:.3f} >= {threshold.confidence:g}: {threshold.errors} errors in {threshold.n} earlier pairs, "
                f"95 % bound {threshold.bound:.4f}"
            )
        elif confidence[i] >= threshold.confidence:
            reason = f"the judge's share is full ({allowed} of {len(picks)} picks)"
        else:
            reason = f"confidence {confidence[i]:.3f} < {threshold.confidence:g}"
        rows.append(
            {
                "round": round, "pair_id": pick.pair_id, "record_id": pick.record_id, "judge_id": model.model_id, "p_a": float(p_a[i]),
                "decision": "a" if p_a[i] >= 0.5 else "b", "confidence": float(confidence[i]), "route": "judge" if i in kept else "human",
                "reason": reason,
            }
        )  # fmt: skip
    return to_table(JudgeLabel, rows)


def find_threshold(calibration: Calibration, maximum_error: float) -> Threshold | None:
    """The lowest confidence of the grid whose error bound is at most `maximum_error`; None where there is none. A tie or "both bad" is
    an error of the judge, which only says a or b."""
    p = np.asarray(calibration.p_a, dtype=np.float64)
    outcome = np.asarray(calibration.outcome, dtype=object)
    if p.ndim != 1 or p.shape != outcome.shape:
        raise BadInput(f"calibration needs one outcome for each p_a, got shapes {p.shape} and {outcome.shape}")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(outcome, OUTCOMES).all():
        raise BadInput(f"calibration: p_a must lie in [0, 1] and outcomes be one of {', '.join(OUTCOMES)}")
    wrong = np.where(p >= 0.5, "a", "b") != outcome
    confidence = np.maximum(p, 1 - p)
    for level in GRID:
        at = confidence >= level
        n, errors = int(at.sum()), int(wrong[at].sum())
        bound = clopper_pearson_upper(errors, n, 1 - (1 - CONFIDENCE) / len(GRID))
        if bound <= maximum_error:
            return Threshold(level, n, errors, bound)
    return None


def clopper_pearson_upper(errors: int, n: int, confidence: float) -> float:
    """Exact one-sided upper bound of a binomial rate; 1 where nothing was observed or everything was an error."""
    from scipy.stats import beta

    return 1.0 if errors >= n else float(beta.ppf(confidence, errors + 1, n - errors))


def _rows_of(picks: Sequence[SelectionPick], pairs: pa.Table, round: str) -> pa.Table:
    at = {pair_id: i for i, pair_id in enumerate(pairs["pair_id"].to_pylist())}
    absent = [p.pair_id for p in picks if p.pair_id not in at]
    if absent:
        raise BadInput(
            f"round {round}: {len(absent)} picks have no row in response_pairs (first: {absent[0]}); materialize `selection` again"
        )
    return pairs.take([at[p.pair_id] for p in picks])
