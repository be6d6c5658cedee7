"""Which attribute of a model call says what, in all families at once, and which say nothing about the call.

One pass sorts a call's attributes; what no table knows is lost, and counted under its name (indices as N).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from flywheel.ingestion.formats.otel_messages import Lost
from flywheel.ingestion.formats.otel_wire import DEEPEST
from flywheel.ingestion.quarantine import Rejected

# attribute -> (what it says, rank among those that say the same: the lowest wins)
SLOTS: dict[str, tuple[str, int]] = {
    "gen_ai.response.id": ("response_id", 0), "llm.response.id": ("response_id", 1),
    "gen_ai.response.model": ("model", 0), "llm.response.model_name": ("model", 1), "llm.response.model": ("model", 2),
    "gen_ai.request.model": ("model", 3), "llm.model_name": ("model", 4), "llm.request.model_name": ("model", 5), "llm.request.model": ("model", 6),
    "gen_ai.request.temperature": ("temperature", 0), "llm.request.temperature": ("temperature", 1), "llm.temperature": ("temperature", 2),
    "gen_ai.request.top_p": ("top_p", 0), "llm.request.top_p": ("top_p", 1), "llm.top_p": ("top_p", 2),
    "gen_ai.request.seed": ("seed", 0), "gen_ai.openai.request.seed": ("seed", 1),
    "gen_ai.request.max_tokens": ("max_tokens", 0), "gen_ai.request.max_completion_tokens": ("max_tokens", 1),
    "llm.request.max_tokens": ("max_tokens", 2),
    "gen_ai.usage.input_tokens": ("prompt_tokens", 0), "gen_ai.usage.prompt_tokens": ("prompt_tokens", 1),
    "llm.token_count.prompt": ("prompt_tokens", 2), "llm.usage.prompt_tokens": ("prompt_tokens", 3),
    "gen_ai.usage.output_tokens": ("completion_tokens", 0), "gen_ai.usage.completion_tokens": ("completion_tokens", 1),
    "llm.token_count.completion": ("completion_tokens", 2), "llm.usage.completion_tokens": ("completion_tokens", 3),
    "gen_ai.response.finish_reasons": ("finish_reasons", 0), "gen_ai.response.finish_reason": ("finish_reasons", 1),
    "llm.finish_reason": ("finish_reasons", 2), "llm.response.finish_reason": ("finish_reasons", 3), "llm.response.stop_reason": ("finish_reasons", 4),
    "gen_ai.conversation.id": ("conversation_id", 0), "session.id": ("conversation_id", 1),
    "traceloop.association.properties.session_id": ("conversation_id", 2),
    "traceloop.association.properties.conversation_id": ("conversation_id", 3),
    "traceloop.association.properties.thread_id": ("conversation_id", 4), "traceloop.association.properties.chat_id": ("conversation_id", 5),
    "metadata.conversation_id": ("conversation_id", 6), "metadata.session_id": ("conversation_id", 7),
    "user.id": ("user_id", 0), "enduser.id": ("user_id", 1), "traceloop.association.properties.user_id": ("user_id", 2),
    "gen_ai.user": ("user_id", 3), "llm.user": ("user_id", 4), "metadata.user_id": ("user_id", 5),
    "gen_ai.system_instructions": ("system", 0), "gen_ai.input.messages": ("input", 0), "gen_ai.output.messages": ("output", 0),
    "gen_ai.prompt": ("prompt", 0), "gen_ai.completion": ("completion", 0),
    "input.value": ("input_value", 0), "output.value": ("output_value", 0),
    "llm.invocation_parameters": ("parameters", 0), "metadata": ("metadata", 0),
    "flywheel.consent": ("consent", 0), "traceloop.association.properties.consent": ("consent_said", 1), "metadata.consent": ("consent_said", 0),
    "gen_ai.request.choice.count": ("choices", 0),
    "prompt.id": ("template_id", 0), "llm.prompt_template.id": ("template_id", 1), "llm.prompt_template.name": ("template_id", 2),
    "gen_ai.prompt.name": ("template_id", 3), "traceloop.prompt.key": ("template_id", 4),
    "llm.prompt_template.version": ("template_version", 0), "gen_ai.prompt.version": ("template_version", 1),
    "traceloop.prompt.version": ("template_version", 2), "llm.prompt_template.template": ("template", 0),
    "error.type": ("error", 0),
}  # fmt: skip
# facts that a record keeps in its metadata, under one name whatever the dialect calls them
KEPT = {
    "gen_ai.provider.name": "provider", "gen_ai.system": "provider", "llm.system": "provider", "llm.provider": "provider", "llm.vendor": "provider",
    "tag.tags": "tags", "gen_ai.agent.name": "gen_ai.agent.name", "gen_ai.agent.id": "gen_ai.agent.id",
    "gen_ai.openai.response.system_fingerprint": "system_fingerprint", "openai.response.system_fingerprint": "system_fingerprint",
    "gen_ai.response.system_fingerprint": "system_fingerprint",
    "openai.response.service_tier": "service_tier", "gen_ai.openai.response.service_tier": "service_tier",
    "openinference.project.name": "project", "traceloop.workflow.name": "traceloop.workflow.name",
}  # fmt: skip
KEPT_OF_RESOURCE = {
    "service.name": "service.name", "deployment.environment.name": "environment", "deployment.environment": "environment",
    "openinference.project.name": "project",
}  # fmt: skip
TREES = (
    ("llm.input_messages.", "inputs"), ("llm.output_messages.", "outputs"), ("gen_ai.prompt.", "prompts"), ("gen_ai.completion.", "completions"),
    ("retrieval.documents.", "documents"), ("llm.prompts.", "texts"), ("llm.choices.", "outputs"),
    ("llm.completions.", "completions"),  # OpenLLMetry before the conventions
)  # fmt: skip
OPEN = ("metadata.", "traceloop.association.properties.")  # the application's own names below these
# says what kind of span this is, repeats what other attributes say, or speaks of the machine and the wire
IRRELEVANT = frozenset({
    "gen_ai.operation.name", "openinference.span.kind", "llm.request.type", "traceloop.span.kind", "input.mime_type", "output.mime_type",
    "llm.usage.total_tokens", "llm.token_count.total", "gen_ai.usage.total_tokens", "gen_ai.openai.api_base", "gen_ai.openai.api_version",
    "openai.api.type", "event.name", "gen_ai.client.operation.duration", "logfire.msg", "logfire.span_type",
})  # fmt: skip
IRRELEVANT_PREFIXES = (
    "telemetry.", "server.", "client.", "net.", "network.", "http.", "url.", "otel.", "thread.", "code.", "process.", "host.", "service.",
    "peer.", "user_agent.", "os.", "container.", "k8s.", "cloud.", "rpc.", "dns.", "tls.", "faas.", "device.", "webengine.", "aws.", "gcp.",
    "azure.", "schema.", "deployment.", "log.", "input.value.", "output.value.",
)  # fmt: skip
# a value that is a tree of messages or documents, and not a way of writing attributes
UNFLATTENED = frozenset({
    "gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions", "metadata", "flywheel.consent",
    "llm.invocation_parameters", "gen_ai.retrieval.documents", "gen_ai.prompt", "gen_ai.completion", "metadata.consent",
})  # fmt: skip
EMPTY: tuple[Any, ...] = (None, "", [], {})
OF_TOKENS = "token"  # none of a kind of tokens says nothing
INDEX = re.compile(r"(?<=\.)-?[0-9]+(?=\.|$)")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,99}")
Tree = dict[int, dict[str, Any]]


@dataclass(slots=True)
class Sorted:
    """A call's attributes by what they say."""

    slots: dict[str, tuple[int, Any, str]] = field(default_factory=dict)  # what -> (rank, value, attribute)
    metadata: dict[str, Any] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=lambda: {name: {} for _, name in TREES})

    def get(self, what: str) -> Any:
        """The value of the attribute that says it best."""
        found = self.slots.get(what)
        return None if found is None else found[1]

    def name(self, what: str) -> str:
        """That attribute's name, for a refusal."""
        found = self.slots.get(what)
        return what if found is None else found[2]


def sort_attributes(attributes: Mapping[str, Any], lost: Lost) -> Sorted:
    """Sort flat attributes. Raises `Rejected` for an index that is none."""
    made = Sorted()
    slots, metadata, trees = made.slots, made.metadata, made.trees
    for key, value in attributes.items():
        if not value and value in EMPTY:
            continue
        kind, what, number, rest = place_of(key) if len(key) < 256 else _place(key)
        if kind == "slot":
            found = slots.get(what)
            if found is None or number < found[0]:
                slots[what] = (number, value, key)
        elif kind == "tree":
            fields = trees[what].get(number)
            if fields is None:
                trees[what][number] = {rest: value}
            else:
                fields[rest] = value
        elif kind == "kept":
            metadata.setdefault(what, value)
        elif kind == "lost" and not (value == 0 and OF_TOKENS in what):
            lost.add(what)
    return made


def _place(key: str) -> tuple[str, str, int, str]:
    """Where an attribute goes: kind of place, its name, rank or index, the rest of the attribute's name."""
    if (slot := SLOTS.get(key)) is not None:
        return "slot", slot[0], slot[1], ""
    if key in KEPT:
        return "kept", KEPT[key], 0, ""
    for prefix, name in TREES:
        if key.startswith(prefix):
            head, _, rest = key[len(prefix) :].partition(".")
            if is_index(head):
                return "tree", name, int(head), rest
            if head.lstrip("-").isdigit():
                raise Rejected("invalid_field", f"{prefix}N: this N is no index of a message", f"{prefix}{head}"[:200])
            return "lost", loss_name(key), 0, ""
    if key in IRRELEVANT or key.startswith(IRRELEVANT_PREFIXES):
        return "nothing", "", 0, ""
    if key.startswith(OPEN):
        return "kept", key.split(".", 3 if key.startswith("t") else 1)[-1], 0, ""
    return "lost", loss_name(key), 0, ""


place_of = lru_cache(maxsize=8192)(_place)  # a program writes the same few names again and again


def is_index(text: str) -> bool:
    """A number small enough to count messages."""
    return text.isascii() and text.isdigit() and len(text) < 7


def loss_name(key: str) -> str:
    """An attribute's name for the counts: indices as N; a name that looks like data instead is not repeated."""
    name = INDEX.sub("N", key)
    return name if NAME.fullmatch(name) else "an attribute with an unusual name"


def dense(tree: Tree, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The tree's entries in order. Raises `Rejected` where one is missing: an SDK's attribute limit drops the oldest unsaid."""
    order = sorted(tree)
    if order and order[-1] + 1 != len(order):
        gap = next(n for n, there in enumerate(order) if n != there)
        raise Rejected("missing_field", f"{name}.{gap} is missing, but there are later ones", f"{name}.{gap}")
    return [(n, tree[n]) for n in order]


def flat(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes with dotted names only: some exports nest objects and lists of objects where others flatten them. Raises `Rejected`."""
    for key, value in attributes.items():
        if (value.__class__ is dict or value.__class__ is list) and _nested(key, value):
            break
    else:
        return attributes
    made: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [(k, v, 0) for k, v in reversed(list(attributes.items()))]
    while waiting:
        key, value, depth = waiting.pop()
        if not _nested(key, value):
            made.setdefault(key, value)
        elif depth > DEEPEST:
            raise Rejected("invalid_field", "an attribute is nested too deep", key[:200])
        else:
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(f"{key}.{k}", v, depth + 1) for k, v in reversed(list(inner))]
    return made


def _nested(key: str, value: Any) -> bool:
    if key in UNFLATTENED or key.startswith(("metadata.", "traceloop.association.")):
        return False
    return bool(value) and (isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value)))
