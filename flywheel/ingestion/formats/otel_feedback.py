"""Judgements of a call: `gen_ai.evaluation.result` events and Phoenix's annotations, as the record's feedback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.ingestion.formats.feedback import EDITS, ESCALATED, plain_name, thumbs_of
from flywheel.ingestion.formats.otel_messages import Lost, text_id
from flywheel.ingestion.formats.otel_wire import number
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_object

VAGUE = frozenset({"true", "yes", "false", "no", "+1", "-1"})  # "toxic: yes" is no thumbs up
YES = frozenset({"true", "yes", "escalated", "1"})
KINDS = {"HUMAN": 0, "": 1, "CODE": 2, "LLM": 3}  # the nearer to the user, the earlier


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judgement, with what decides which of several counts."""

    name: str
    label: str | None
    score: float | None
    comment: str | None
    annotator: str
    order: tuple[int, str, str]


def of_evaluation(fields: Mapping[str, Any], time: str | None) -> Judgement:
    """From the fields of a `gen_ai.evaluation.result` event. Raises `Rejected`."""
    prefix = "gen_ai.evaluation."
    said = {k.removeprefix(prefix): v for k, v in fields.items() if k.startswith(prefix)}
    score = said.get("score.value", said.get("score"))
    return _judgement(said.get("name"), said.get("score.label", said.get("label")), score, said.get("explanation"), "", time, prefix)


def of_annotation(row: Mapping[str, Any], lost: Lost) -> Judgement:
    """From an annotation of Phoenix. Raises `Rejected`."""
    result = demand_object(row.get("result") or {}, "result")
    for key in ("metadata", "identifier", "user_id"):
        if row.get(key):
            lost.add(f"annotation {key}")
    annotator = row.get("annotator_kind")
    time = row.get("updated_at") if isinstance(row.get("updated_at"), str) else None
    kind = annotator.upper() if isinstance(annotator, str) else ""
    return _judgement(row.get("name"), result.get("label"), result.get("score"), result.get("explanation"), kind, time, "result.")


def _judgement(name: Any, label: Any, score: Any, comment: Any, annotator: str, time: str | None, prefix: str) -> Judgement:
    for value, key in ((label, "label"), (comment, "explanation")):
        if value is not None and not isinstance(value, str):
            raise Rejected("invalid_field", f"{prefix}{key} must be text", f"{prefix}{key}")
    told = text_id(name, f"{prefix}name") or ""
    points = None if score is None else float(number(score, f"{prefix}score"))
    if points is None and not label and not comment:
        raise Rejected("missing_field", f"{prefix}score, label or explanation: a judgement needs one of them", f"{prefix}score")
    return Judgement(told, label or None, points, comment or None, annotator, (KINDS.get(annotator, 1), time or "", told))


def feedback_of(judgements: Sequence[Judgement], lost: Lost) -> tuple[dict[str, Any], dict[str, Any]]:
    """One record's feedback from its judgements, and what of them goes to its metadata. A person's comes before a model's, then the
    earlier; what a later one says again is counted as lost."""
    made: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for one in sorted(judgements, key=lambda j: j.order):
        label = plain_name(one.label) if one.label else ""
        name = plain_name(one.name)
        told: dict[str, Any] = {}
        if name in ESCALATED:
            told["escalated"] = bool(one.score) or label in YES
        elif name in EDITS:
            told["edited_text"] = one.comment or one.label
        else:
            told = {"score": one.score, "comment": one.comment, "thumbs": None if label in VAGUE or label.isdigit() else thumbs_of(label)}
            if label and told["thumbs"] is None:
                lost.add("evaluation label (neither good nor bad)")
        for key, value in told.items():
            if value is not None and made.setdefault(key, value) != value:
                lost.add(f"evaluation {key} (there are several)")
        for key, value in (("feedback.name", one.name), ("feedback.annotator_kind", one.annotator)):
            if value:
                metadata.setdefault(key, value)
    return made, metadata
