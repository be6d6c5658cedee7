"""Codes and numbers in plain words, one way for page and summary."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

ABSENT = "–"
REASONS = {
    "other_rounds": "of another week", "duplicates": "exact duplicates", "quarantined": "quarantined",
    "quarantined_elsewhere": "quarantined in another round", "no_consent": "no consent", "withdrawn": "consent withdrawn",
    "expired": "consent expired", "retention_ended": "kept as long as retention allows", "not_allowed_for_evaluation": "no consent to evaluation", "withdrawn_since": "consent withdrawn since", "already_published": "already shown to raters",
    "late_for_this_round": "arrived late, next pool", "from_earlier_rounds": "from earlier rounds", "no_contrast": "no second, different answer",
    "not_picked": "not picked", "kept_by_judge": "decided by the judge model", "skipped": "skipped by raters", "no_label_yet": "no label yet",
    "near_duplicate_prompt": "near-duplicate prompts", "beyond_prefilter": "beyond the prefilter", "no_second_response": "no second response",
    "repeated_record": "the same record again", "excluded": "excluded", "pair_gone": "pair erased", "no_usable_label": "only labels of paused raters",
    "late_labels": "late labels of earlier rounds", "to_expert": "disputed, needs an expert", "not_allowed_for_training": "no consent to training", "tie": "tie: no direction to learn",
    "both_bad": "both bad: no direction to learn", "random_evaluation": "held out for evaluation", "random_control": "held out as control",
    "no_model_was_trained": "no model was trained", "unexplained": "not explained by any stage", "abandoned": "round given up",
    "malformed_json": "malformed JSON", "invalid_timestamp": "invalid time", "future_timestamp": "time lies ahead", "id_conflict": "same id, other content",
}  # fmt: skip
GATES = {
    "consent": ("Consent", "every record's subject allows labeling"),
    "residual_leak": ("Residual leak", "no known personal value is left after redaction"),
    "agreement": ("Agreement", "raters agree on gold items"),
    "promotion": ("Promotion", "the candidate is better and breaks nothing"),
}
VERDICTS = {
    "pass": "passed", "fail": "failed", "inconclusive": "inconclusive", "pending": "pending", "stale": "outdated", "absent": "not reached",
}  # fmt: skip
STATES = {
    "collecting": "collecting", "published": "published", "labeling": "labeling", "gate_inconclusive": "gate inconclusive",
    "gate_failed": "gate failed", "ready": "ready to close", "closed": "closed", "abandoned": "abandoned",
}  # fmt: skip
STATISTICS = {
    "krippendorff_alpha": "Krippendorff’s alpha", "krippendorff_alpha_nominal": "Krippendorff’s alpha", "fleiss_kappa": "Fleiss’ kappa",
    "krippendorff_alpha_gate": "alpha, bounds of the gate", "cohen_kappa": "Cohen’s kappa", "cohen_kappa_mean_pairwise": "Cohen’s kappa, mean of pairs",
    "gwet_ac1": "Gwet’s AC1", "percent_agreement": "per cent agreement", "intra_rater_agreement": "raters with themselves",
}  # fmt: skip
METRICS = {"ok_candidate": "acceptable answers of the candidate", "ok_incumbent": "acceptable answers of what serves now"}
KINDS = {
    "annotation": "Labels", "annotation_quality": "Labels on gold, attention and repeat tasks", "expert_annotation": "Expert labels",
    "expert_annotation_quality": "Expert labels on gold, attention and repeat tasks", "embedded_text": "Texts embedded",
    "generated_response": "Second responses sampled",
}  # fmt: skip


def reason(code: str) -> str:
    """A reason code in words."""
    return REASONS.get(code, code.replace("_", " "))


def count(value: float | None) -> str:
    """1,234."""
    return ABSENT if value is None else f"{value:,.0f}"


def number(value: float | None, digits: int = 2) -> str:
    """A plain number with a true minus sign."""
    return ABSENT if value is None else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None, digits: int = 1) -> str:
    """Share as per cent, with a no-break space."""
    return ABSENT if value is None else f"{100 * value:.{digits}f} %"


def usd(value: float | None) -> str:
    """Dollars and cents; below a cent two significant digits."""
    if value is None:
        return ABSENT
    digits = 2 if value == 0 or abs(value) >= 0.01 else 1 - math.floor(math.log10(abs(value)))
    text = f"{value:,.{digits}f}"
    return f"${text}" if digits == 2 else f"${text.rstrip('0')}"


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """`.61 to .74`."""
    return ABSENT if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def percent_interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """`53.7 to 59.7 %` for shares."""
    return ABSENT if low is None or high is None else f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def statistic(code: str) -> str:
    """A statistic's name as the field writes it."""
    return STATISTICS.get(code, code.replace("_", " "))


def metric(code: str) -> str:
    """A measure of the comparison in words."""
    return METRICS.get(code, code.replace("_", " "))


def moment(value: datetime | None) -> str:
    """`2026-01-12 06:00 UTC`."""
    return ABSENT if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def week(round: str) -> str:
    """`5 to 11 January 2026` for the round's Monday."""
    first = date.fromisoformat(round)
    last = first + timedelta(days=6)
    if first.year != last.year:
        return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
    if first.month != last.month:
        return f"{first.day} {first:%B} to {last.day} {last:%B %Y}"
    return f"{first.day} to {last.day} {last:%B %Y}"


def short(identifier: str | None, length: int = 20) -> str:
    """An id cut for the eye; the page keeps the whole one in the title."""
    if not identifier:
        return ABSENT
    return identifier if len(identifier) <= length else f"{identifier[:length]}…"


def pseudonym(rater: str) -> str:
    """A rater's pseudonym; keyed ids (32 hex digits) are cut to the 8 that tell raters apart."""
    keyed = len(rater) == 32 and all(c in "0123456789abcdef" for c in rater)
    return rater[:8] if keyed else rater
