"""A draft to a checked record: keyed ids, content hash, task type, and what the vault and the ledger need to know."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from flywheel.governance import Identity
from flywheel.ingestion.consent_fields import consent_events_of
from flywheel.ingestion.draft import Draft
from flywheel.ingestion.identities import flat_profile, identities_of
from flywheel.ingestion.quarantine import Reason, Rejected
from flywheel.ingestion.tasks import classify_task
from flywheel.records import ConsentEvent, LogRecord
from flywheel.storage import Ids

LABEL = re.compile(r"[\w][\w .+/-]{0,63}")
INT64 = 2**63
NUMBERS = ("temperature", "top_p", "seed", "max_tokens", "prompt_tokens", "completion_tokens")
REASONS: dict[str, Reason] = {"extra_forbidden": "unknown_field", "missing": "missing_field"}


@dataclass(frozen=True)
class Made:
    """A record and what came with it."""

    record: LogRecord
    consent: list[ConsentEvent]
    identities: list[Identity]


def make_record(
    draft: Draft, timestamp: datetime, losses: Counter[str], *, file: str, line: int, round: str, ids: Ids, now: datetime
) -> Made:
    """Check a draft against the record's schema. Raises `Rejected` with reason and field. `losses` gains what was not carried over."""
    if not draft.messages or not any(m["content"].strip() or m.get("tool_calls") for m in draft.messages if isinstance(m["content"], str)):
        raise Rejected("empty_messages", "messages holds no text: nothing was asked", "messages")
    if not draft.responses or not any(str(r["text"]).strip() or r["tool_calls"] for r in draft.responses):
        raise Rejected("empty_responses", "responses holds no text: nothing was answered", "responses")
    profile = flat_profile(draft.profile or {})
    metadata = draft.metadata or {}
    if not isinstance(metadata, Mapping):
        raise Rejected("invalid_field", "metadata must be an object", "metadata")
    _refuse_booleans(draft)
    guessed = classify_task(draft.messages, [str(r["text"]) for r in draft.responses])
    content: dict[str, Any] = {
        "timestamp": timestamp.isoformat(), "messages": draft.messages, "responses": draft.responses, "feedback": draft.feedback,
        "template": draft.template, "metadata": metadata, "profile": profile, "domain": draft.domain, "task_type": draft.task_type,
        "language": draft.language, "user": draft.user, "conversation": draft.conversation,
    }  # fmt: skip
    content_sha256 = _content_hash(content)
    # raw ids join the profile: it exists only in restricted tables, and redaction must know them to find them in text
    for key, value in (("record_id", draft.source_id), ("conversation_id", draft.conversation), ("user_id", draft.user)):
        if value is not None:
            profile.setdefault(key if profile.get(key, value) == value else f"log.{key}", value)
    record_id = (
        ids.make("record", draft.dialect, draft.source_id) if draft.source_id else ids.make("record", draft.dialect, "", content_sha256)
    )
    conversation_id = ids.make("conversation", draft.conversation) if draft.conversation else ids.make("conversation", "", record_id)
    subject_id = ids.make("subject", draft.user) if draft.user else ids.make("subject", "", conversation_id)
    try:
        record = LogRecord.model_validate({
            "round": round, "record_id": record_id, "conversation_id": conversation_id, "subject_id": subject_id, "timestamp": timestamp,
            "domain": _label(draft.domain, "domain") or guessed[1], "task_type": _label(draft.task_type, "task_type") or guessed[0],
            "language": _label(draft.language, "language"), "messages": draft.messages, "responses": draft.responses,
            "feedback": draft.feedback, "template": draft.template, "source": {"format": draft.dialect, "file": file, "line": line},
            "content_sha256": content_sha256, "profile": profile, "metadata": dict(metadata),
        })  # fmt: skip
    except ValidationError as error:
        raise _rejected(error) from None
    _refuse_wide_numbers(record)
    consent = [] if draft.consent is None else consent_events_of(draft.consent, subject_id, ids=ids, now=now)
    losses.update(draft.losses)
    return Made(record, consent, identities_of(subject_id, profile))


def _content_hash(content: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise Rejected("invalid_field", "a number is not finite", "metadata") from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _label(value: Any, field: str) -> str | None:
    """A short label: these fields pass redaction unread, so they may hold nothing but a label."""
    if value is None:
        return None
    if not isinstance(value, str) or not LABEL.fullmatch(value):
        raise Rejected("invalid_field", f"{field} must be a short label (letters, digits, space . + / - _; at most 64)", field)
    return value


def _rejected(error: ValidationError) -> Rejected:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(p) for p in first["loc"] if p != "generation") or "messages"
    return Rejected(REASONS.get(first["type"], "invalid_field"), f"{field}: {first['msg']}", field.replace("model_id", "model"))


def _refuse_booleans(draft: Draft) -> None:
    """Python takes true for the number 1; a log that says it means something else."""
    holders = [(f"responses.{i}", r["generation"]) for i, r in enumerate(draft.responses)]
    said = [(f"{place}.{name}", made.get(name)) for place, made in holders for name in NUMBERS]
    said += [(f"{place}.token_logprobs", v) for place, made in holders for v in _items(made.get("token_logprobs"))]
    if isinstance(draft.feedback, Mapping):
        said.append(("feedback.score", draft.feedback.get("score")))
    for place, value in said:
        if isinstance(value, bool):
            raise Rejected("invalid_field", f"{place} must be a number, is true or false", place)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _refuse_wide_numbers(record: LogRecord) -> None:
    """Columns hold 64-bit integers; JSON knows no bound."""
    for number, response in enumerate(record.responses):
        made = response.generation
        sandbox = made.sandbox
        wide = {
            "seed": made.seed,
            "max_tokens": made.max_tokens,
            "prompt_tokens": made.prompt_tokens,
            "completion_tokens": made.completion_tokens,
        }
        if sandbox:
            wide |= {"sandbox.tests_passed": sandbox.tests_passed, "sandbox.tests_total": sandbox.tests_total}
            wide |= {f"sandbox.findings.{i}.line": f.line for i, f in enumerate(sandbox.findings)}
        for name, value in wide.items():
            if value is not None and not -INT64 <= value < INT64:
                raise Rejected("invalid_field", f"responses.{number}.{name} does not fit 64 bits", f"responses.{number}.{name}")
