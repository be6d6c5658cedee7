"""What a span or log record is: a model call, something that belongs to one, or no business of ours (and then, what kind of thing)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.otel_wire import plain

CALL, RETRIEVAL, GUARDRAIL = "call", "retrieval", "guardrail"
OPERATIONS = {
    "chat": CALL, "text_completion": CALL, "completion": CALL, "generate_content": CALL, "embeddings": "embedding", "embedding": "embedding",
    "execute_tool": "tool", "invoke_agent": "agent", "create_agent": "agent", "invoke_workflow": "chain", "retrieval": RETRIEVAL,
    "rerank": "reranker",
}  # fmt: skip
SPAN_KINDS = {
    "LLM": CALL, "EMBEDDING": "embedding", "CHAIN": "chain", "RETRIEVER": RETRIEVAL, "RERANKER": "reranker", "TOOL": "tool", "AGENT": "agent",
    "GUARDRAIL": GUARDRAIL, "EVALUATOR": "evaluator", "PROMPT": "prompt", "DECISION": "chain",
}  # fmt: skip
REQUEST_TYPES = {"chat": CALL, "completion": CALL, "embedding": "embedding", "rerank": "reranker"}
TRACELOOP_KINDS = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
DETAILS, EVALUATION = "gen_ai.client.inference.operation.details", "gen_ai.evaluation.result"
MESSAGE_EVENTS = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant", "gen_ai.tool.message": "tool",
}  # fmt: skip
CHOICE, PROMPT, COMPLETION = "gen_ai.choice", "gen_ai.content.prompt", "gen_ai.content.completion"
CONTENT_EVENTS = frozenset({*MESSAGE_EVENTS, CHOICE, PROMPT, COMPLETION})
CALL_KEYS = frozenset({
    "gen_ai.request.model", "gen_ai.response.model", "gen_ai.response.id", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.prompt",
    "gen_ai.completion", "llm.model_name", "llm.request.type", "llm.request.model",
})  # fmt: skip
CALL_PREFIXES = (
    "gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.", "llm.output_messages.", "llm.invocation_parameters", "llm.prompts.",
    "llm.completions.",
)  # fmt: skip
OTHERS = (
    ("http", ("http.", "url.")), ("database", ("db.",)), ("messaging", ("messaging.",)), ("rpc", ("rpc.",)), ("tool", ("gen_ai.tool.", "mcp.")),
    ("agent", ("gen_ai.agent.",)),
)  # fmt: skip


def sort_of_span(attributes: Mapping[str, Any], kind: Any = None, events: Any = None) -> str:
    """`call`, `retrieval`, `guardrail`, or the kind of a span that is none of them. `attributes` as `keyed` gives them, or decoded;
    `kind` is what the export says beside them (Phoenix)."""
    operation = plain(attributes.get("gen_ai.operation.name"))
    if isinstance(operation, str) and operation in OPERATIONS:
        return _with_documents(OPERATIONS[operation], attributes)
    said = plain(attributes.get("openinference.span.kind")) or kind
    if isinstance(said, str) and said.upper() in SPAN_KINDS:
        return _with_documents(SPAN_KINDS[said.upper()], attributes)
    asked = plain(attributes.get("llm.request.type"))
    if isinstance(asked, str) and asked in REQUEST_TYPES:
        return REQUEST_TYPES[asked]
    if not CALL_KEYS.isdisjoint(attributes):
        return CALL
    part = plain(attributes.get("traceloop.span.kind"))
    if isinstance(part, str) and part in TRACELOOP_KINDS:
        return TRACELOOP_KINDS[part]
    if any(isinstance(k, str) and k.startswith(CALL_PREFIXES) for k in attributes) or _has_content(events):
        return CALL
    for name, prefixes in OTHERS:
        if any(isinstance(k, str) and k.startswith(prefixes) for k in attributes):
            return name
    return "span"


def _with_documents(sort: str, attributes: Mapping[str, Any]) -> str:
    """A retrieval that says what it found is a part of a call; one that does not is only counted."""
    return (
        "retriever" if sort == RETRIEVAL and not any(str(k).startswith(("retrieval.", "gen_ai.retrieval.")) for k in attributes) else sort
    )


def _has_content(events: Any) -> bool:
    """Is one of a span's events a message?"""
    if not isinstance(events, list):
        return False
    return any(
        isinstance(e, dict) and isinstance(e.get("name"), str) and (e["name"] in CONTENT_EVENTS or e["name"] == DETAILS) for e in events
    )
