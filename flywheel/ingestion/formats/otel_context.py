"""What surrounds a call in its trace: the documents that a retrieval found, the decisions of guardrails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.ingestion.formats.otel_attributes import sort_attributes
from flywheel.ingestion.formats.otel_facts import document_ids
from flywheel.ingestion.formats.otel_indexed import parsed
from flywheel.ingestion.formats.otel_messages import Lost, text_id
from flywheel.ingestion.formats.otel_seen import Seen

# OpenInference defines no attribute for a guardrail's decision: these are what instrumentations write
DECISIONS = (
    "guardrail.decision",
    "guardrail.result",
    "guardrail.outcome",
    "guardrail.action",
    "validator_result",
    "gen_ai.security.decision",
)
DETAILS = ("guardrail.detail", "guardrail.reason", "guardrail.explanation", "gen_ai.security.reason")
IN_OUTPUT = ("decision", "result", "outcome", "action", "verdict", "passed", "validation_passed")
LABEL = re.compile(r"[\w][\w .+/-]{0,63}", re.ASCII)
# only these may be taken from a free text: decisions are kept in tables that redaction passes over
WORDS = frozenset({
    "pass", "passed", "fail", "failed", "block", "blocked", "allow", "allowed", "flag", "flagged", "reject", "rejected", "deny", "denied", "redact",
    "redacted", "ok", "safe", "unsafe", "warn", "warned", "modify", "modified", "true", "false", "accept", "accepted", "filtered", "refuse", "refused",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Context:
    """Of one span: ids of documents, or a guardrail's decision. `time` orders several."""

    time: str
    documents: list[str] = field(default_factory=list)
    guardrail: Mapping[str, Any] | None = None


def read_retrieval(seen: Seen, format: str) -> Context | None:
    """The documents of a retriever's span; None where it names none. Raises `Rejected`."""
    ids = document_ids(sort_attributes(seen.attributes, Lost(format)))
    listed = seen.attributes.get("gen_ai.retrieval.documents")
    listed = parsed(listed) if isinstance(listed, str) else listed
    for n, document in enumerate(listed if isinstance(listed, list) else ()):
        found = text_id(document.get("id"), f"gen_ai.retrieval.documents.{n}.id") if isinstance(document, dict) else None
        if found is not None:
            ids.append(found)
    return Context(seen.time or "", ids) if ids else None


def read_guardrail(seen: Seen) -> Context | None:
    """A guardrail's decision; None where its span names none."""
    decision = _label(_first(seen.attributes, DECISIONS))
    output = seen.attributes.get("output.value")
    said = parsed(output) if isinstance(output, str) else output
    if decision is None:
        word = _first(said, IN_OUTPUT) if isinstance(said, dict) else said
        word = str(word).strip().lower() if isinstance(word, (str, bool)) else None
        decision = word if word in WORDS else None
    if decision is None and seen.failed:
        decision = "error"
    if decision is None:
        return None
    detail = _first(seen.attributes, DETAILS)
    name = _label(_first(seen.attributes, ("guardrail.name", "validator_name"))) or _label(seen.name) or "guardrail"
    made: dict[str, Any] = {"name": name, "decision": decision}
    if isinstance(detail, str) and detail:
        made["detail"] = detail
    return Context(seen.time or "", guardrail=made)


def _first(held: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((held[n] for n in names if held.get(n) is not None), None)


def _label(value: Any) -> str | None:
    text = str(value).lower() if isinstance(value, bool) else value
    return text if isinstance(text, str) and LABEL.fullmatch(text) else None
