"""A call's facts as a canonical row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flywheel.ingestion.formats.otel_context import Context
from flywheel.ingestion.formats.otel_facts import Facts
from flywheel.ingestion.formats.otel_feedback import Judgement, feedback_of
from flywheel.ingestion.formats.otel_seen import Seen
from flywheel.ingestion.quarantine import Rejected

TOTAL = "completion tokens (a total over several choices)"
OF_THE_REQUEST = ("temperature", "top_p", "seed", "max_tokens", "prompt_tokens")


def absorb(facts: Facts, other: Facts) -> None:
    """Fill what `facts` lacks from another sighting of the same call."""
    facts.messages = facts.messages or other.messages
    if not facts.answers:
        facts.answers = other.answers
    elif other.answers and len(other.answers) == len(facts.answers):
        for mine, theirs in zip(facts.answers, other.answers, strict=True):
            for key in ("finish_reason", "token_logprobs"):
                if key in theirs:
                    mine.setdefault(key, theirs[key])
    for key, value in other.said.items():
        facts.said.setdefault(key, value)
    for key, value in other.metadata.items():
        facts.metadata.setdefault(key, value)
    facts.consent = facts.consent or other.consent
    facts.documents = facts.documents or other.documents
    for name, count in other.lost.counts.items():  # one call: what both sightings lost is lost once
        facts.lost.counts[name] = max(facts.lost.counts[name], count)


def row_of(facts: Facts, main: Seen, time: str | None, judgements: Sequence[Judgement], context: Sequence[Context]) -> dict[str, Any]:
    """The canonical row. Raises `Rejected` where the call tells no prompt, no answer or no model."""
    said, lost = facts.said, facts.lost
    answers = facts.answers or []
    if not any(a["text"] or a.get("tool_calls") for a in answers):
        error = said.get("error") or main.error
        if main.failed or error:
            raise Rejected("no_response", f"the call failed: {error or 'status ERROR'}", "status")
        if not answers:
            raise Rejected("missing_field", "the call has no answer: was the recording of content switched off?", "gen_ai.output.messages")
    if not facts.messages:
        raise Rejected("missing_field", "the call has no prompt: was the recording of content switched off?", "gen_ai.input.messages")
    if "model" not in said:
        raise Rejected("missing_field", "neither the response nor the request names a model", "gen_ai.response.model")
    if main.failed:
        lost.add("status (an error beside an answer)")
    metadata = facts.metadata
    if main.trace is not None:
        metadata = {"trace_id": main.trace, **({"span_id": main.span} if main.span else {}), **metadata}
    row: dict[str, Any] = {"messages": facts.messages, "responses": _responses(facts, answers, context)}
    if (key := said.get("response_id")) is not None:
        row["id"] = key
    elif main.trace is not None and main.span is not None:
        row["id"] = f"{main.trace}:{main.span}"
    if time is not None:
        row["timestamp"] = time
    for name in ("conversation_id", "user_id", "template"):
        if name in said:
            row[name] = said[name]
    if judgements:
        row["feedback"], more = feedback_of(judgements, lost)
        metadata = {**metadata, **more}
    if facts.consent is not None:
        row["consent"] = facts.consent
    if metadata:
        row["metadata"] = metadata
    return row


def _responses(facts: Facts, answers: Sequence[dict[str, Any]], context: Sequence[Context]) -> list[dict[str, Any]]:
    said = facts.said
    asked = {name: said[name] for name in OF_THE_REQUEST if name in said}
    if "completion_tokens" in said:
        if len(answers) == 1:
            asked["completion_tokens"] = said["completion_tokens"]
        else:
            facts.lost.add(TOTAL)
    ordered = sorted(context, key=lambda c: c.time)
    ids = list(dict.fromkeys([*facts.documents, *(i for c in ordered for i in c.documents)]))
    if ids:
        asked["retrieval"] = {"ids": ids}
    decisions = [dict(c.guardrail) for c in ordered if c.guardrail is not None]
    if decisions:
        asked["guardrails"] = decisions
    return [{**answer, "model": said["model"], **asked} for answer in answers]
