"""What one sighting of a model call tells: its attributes (all families) and its message events, read into one set of facts.

Where a call carries two families (Phoenix derives `llm.*` from `gen_ai.*`), the GenAI conventions come first and the other only fills what is
missing; where the two disagree, that is counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flywheel.ingestion.formats.otel_attributes import EMPTY, Sorted, Tree, loss_name, sort_attributes
from flywheel.ingestion.formats.otel_events import Event, completion_of, prompt_of, read_events
from flywheel.ingestion.formats.otel_indexed import answers_of_tree, logprobs_of, parsed, raw_request, raw_response, turns_of_tree
from flywheel.ingestion.formats.otel_messages import Lost, Turn, answers_of, finish_reason, system_turn, text_id, turns_of
from flywheel.ingestion.formats.otel_wire import number, plain
from flywheel.ingestion.formats.pieces import consent_statement
from flywheel.ingestion.quarantine import Rejected

NUMBERS = {"temperature": False, "top_p": False, "seed": True, "max_tokens": True, "prompt_tokens": True, "completion_tokens": True}
PARAMETERS = {
    "temperature": "temperature", "top_p": "top_p", "seed": "seed", "max_completion_tokens": "max_tokens", "max_tokens": "max_tokens",
    "max_output_tokens": "max_tokens", "model": "model", "model_name": "model", "user": "user_id", "n": "choices",
}  # fmt: skip
IDS = frozenset({"response_id", "conversation_id", "user_id"})
IN_METADATA = {"conversation_id": "conversation_id", "session_id": "conversation_id", "user_id": "user_id", "consent": "consent_said"}
RESPONSE_MARKS = frozenset({"choices", "object", "model", "type", "candidates"})


@dataclass(slots=True)
class Facts:
    """What is known of a call. `said` holds checked single values by canonical name."""

    lost: Lost
    messages: list[Turn] | None = None
    answers: list[Turn] | None = None
    said: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    consent: Any = None
    documents: list[str] = field(default_factory=list)


def read_facts(attributes: Mapping[str, Any], events: Sequence[Event], format: str) -> Facts:
    """Read a sighting. Raises `Rejected` with the attribute's name."""
    facts = Facts(Lost(format))
    found = sort_attributes(attributes, facts.lost)
    facts.metadata = found.metadata
    _metadata(found, facts)
    _parameters(found, facts)
    from_events = read_events(events, facts.lost) if events else (None, None)
    _messages(found, from_events[0], facts)
    _answers(found, from_events[1], facts)
    _single_values(found, facts)
    if found.trees["documents"]:
        facts.documents = document_ids(found)
    return facts


def _metadata(found: Sorted, facts: Facts) -> None:
    value = found.get("metadata")
    said = parsed(value) if isinstance(value, str) else value
    if value is not None and not isinstance(said, dict):
        facts.lost.add("metadata (no JSON object)")
    for key, held in said.items() if isinstance(said, dict) else ():
        if key in IN_METADATA and held is not None:
            found.slots.setdefault(IN_METADATA[key], (9, held, f"metadata.{key}"))
        elif held not in EMPTY and facts.metadata.setdefault(key, held) != held:
            facts.lost.add(f"metadata.{loss_name(key)} (another fact has this name)")
    stated = {k.removeprefix("consent."): facts.metadata.pop(k) for k in list(facts.metadata) if k.startswith("consent.")}
    if stated:  # Phoenix flattens metadata
        found.slots.setdefault("consent_said", (9, stated, "metadata.consent"))
    for name in ("consent", "consent_said"):
        value = found.get(name)
        if (statement := consent_statement(value)) is not None:
            facts.consent = facts.consent or dict(statement)
        elif value is not None:
            facts.metadata.setdefault("consent", value)
            facts.lost.add(f"{found.name(name)} (not a consent statement)")


def _parameters(found: Sorted, facts: Facts) -> None:
    value = found.get("parameters")
    if value is None:
        return
    said = parsed(value) if isinstance(value, str) else value
    if not isinstance(said, dict):
        facts.lost.add("llm.invocation_parameters (no JSON object)")
        return
    for key, held in said.items():
        if (name := PARAMETERS.get(key)) is not None:
            if held is not None:
                found.slots.setdefault(name, (9, held, f"llm.invocation_parameters.{key}"))
        elif held not in EMPTY:
            facts.lost.add(loss_name(f"llm.invocation_parameters.{key}"))


def _messages(found: Sorted, from_events: list[Turn] | None, facts: Facts) -> None:
    lost = facts.lost
    if (value := found.get("input")) is not None:
        facts.messages = turns_of(value, "gen_ai.input.messages", lost)
    facts.messages = facts.messages or from_events
    if not facts.messages and (value := found.get("prompt")) is not None:
        facts.messages = prompt_of(value, "gen_ai.prompt", lost)
    if (value := found.get("system")) is not None and (turn := system_turn(value, "gen_ai.system_instructions", lost)) is not None:
        if not facts.messages:  # the other family has the rest
            facts.messages = _of_trees(found, lost) or []
        if not (
            facts.messages and facts.messages[0]["role"] in ("system", "developer") and facts.messages[0]["content"] == turn["content"]
        ):
            facts.messages = [turn, *facts.messages]
    if facts.messages:
        for tree, name in ((found.trees["prompts"], "gen_ai.prompt"), (found.trees["inputs"], "llm.input_messages")):
            if tree:
                _compare(facts.messages, turns_of_tree, tree, name, lost)
        return
    facts.messages = _of_trees(found, lost)
    if not facts.messages and found.trees["texts"]:
        facts.messages = turns_of_tree(found.trees["texts"], "llm.prompts", lost, "user")
    if not facts.messages and (value := found.get("input_value")) is not None:
        facts.messages = raw_request(value, "input.value", lost)


def _of_trees(found: Sorted, lost: Lost) -> list[Turn] | None:
    if found.trees["prompts"]:
        return turns_of_tree(found.trees["prompts"], "gen_ai.prompt", lost)
    return turns_of_tree(found.trees["inputs"], "llm.input_messages", lost) if found.trees["inputs"] else None


def _answers(found: Sorted, from_events: list[Turn] | None, facts: Facts) -> None:
    lost = facts.lost
    if (value := found.get("output")) is not None:
        facts.answers = answers_of(value, "gen_ai.output.messages", lost)
    facts.answers = facts.answers or from_events
    if not facts.answers and (value := found.get("completion")) is not None:
        facts.answers = completion_of(value, "gen_ai.completion", lost)
    trees = ((found.trees["completions"], "gen_ai.completion"), (found.trees["outputs"], "llm.output_messages"))
    for tree, name in trees:
        if tree and facts.answers:
            _compare(facts.answers, answers_of_tree, tree, name, lost)
        elif tree:
            facts.answers = answers_of_tree(tree, name, lost)
    raw = found.get("output_value")
    if raw is None:
        return
    if not facts.answers and not _is_error(raw):
        facts.answers = raw_response(raw, "output.value", lost)
    if isinstance(raw, str) and raw.startswith("{") and (found.get("response_id") is None or '"logprobs"' in raw):
        raw = parsed(raw)
    if isinstance(raw, dict):
        _from_response(raw, found, facts)


def _is_error(raw: Any) -> bool:
    """A response without an answer in it: what some instrumentations leave of it is its id and model."""
    value = parsed(raw) if isinstance(raw, str) else raw
    return isinstance(value, dict) and not ({"choices", "role", "content"} & set(value))


def response_id(found: Mapping[str, Any]) -> str | int | None:
    """The response's id in attributes as `keyed` gives them: what judgements written elsewhere know the call by."""
    for key in ("gen_ai.response.id", "llm.response.id"):
        told: str | int | None = plain(found.get(key))
        if told is not None:
            return told
    raw = plain(found.get("output.value"))
    said = parsed(raw) if isinstance(raw, str) and '"id"' in raw else None
    if isinstance(said, dict) and isinstance(said.get("id"), str) and not RESPONSE_MARKS.isdisjoint(said):
        return str(said["id"])
    return None


def _from_response(raw: Mapping[str, Any], found: Sorted, facts: Facts) -> None:
    """What the raw response of an OpenInference span says beyond its attributes: its id, and the choices' log-probabilities."""
    if isinstance(raw.get("id"), str) and raw["id"] and not RESPONSE_MARKS.isdisjoint(raw):
        found.slots.setdefault("response_id", (9, raw["id"], "output.value.id"))
    if isinstance(raw.get("model"), str):
        found.slots.setdefault("model", (9, raw["model"], "output.value.model"))
    if isinstance(raw.get("system_fingerprint"), str):
        facts.metadata.setdefault("system_fingerprint", raw["system_fingerprint"])
    choices = raw.get("choices")
    if isinstance(choices, list) and facts.answers and len(choices) == len(facts.answers):
        for n, (choice, answer) in enumerate(zip(choices, facts.answers, strict=True)):
            if isinstance(choice, dict):
                if (reason := finish_reason(choice.get("finish_reason"))) is not None:
                    answer.setdefault("finish_reason", reason)
                if (logprobs := logprobs_of(choice.get("logprobs"), f"output.value.choices.{n}.logprobs")) is not None:
                    answer["token_logprobs"] = logprobs


def _compare(ours: list[Turn], read: Callable[[Tree, str, Lost], list[Turn]], tree: Tree, name: str, lost: Lost) -> None:
    """Count where the other family tells another story; take from it what ours does not tell."""
    try:
        theirs = read(tree, name, Lost(lost.format))
    except Rejected:
        lost.add(f"{name}.N (cannot be read; the call has another family's messages too)")
        return
    if len(theirs) == len(ours):
        for mine, other in zip(ours, theirs, strict=True):
            if "text" in mine and "finish_reason" in other:
                mine.setdefault("finish_reason", other["finish_reason"])
    if [_gist(t) for t in theirs] != [_gist(t) for t in ours]:
        lost.add(f"{name}.N (differs from the call's other messages)")


def _gist(turn: Turn) -> tuple[Any, ...]:
    return turn.get("role"), turn.get("content", turn.get("text")), [c["name"] for c in turn.get("tool_calls", ())]


def _single_values(found: Sorted, facts: Facts) -> None:
    said = facts.said
    for name, (_, value, attribute) in found.slots.items():
        if (whole := NUMBERS.get(name)) is not None:
            said[name] = number(value, attribute, whole=whole)
        elif name in IDS and (text := text_id(value, attribute)) is not None:
            said[name] = text
    for name in ("model", "error"):
        if (value := found.get(name)) is not None:
            if not isinstance(value, str):
                raise Rejected("invalid_field", f"{found.name(name)} must be text", found.name(name))
            said[name] = value
    reasons = found.get("finish_reasons")
    if isinstance(reasons, str):
        reasons = parsed(reasons)
    for answer, reason in zip(facts.answers or (), reasons if isinstance(reasons, list) else [reasons], strict=False):
        if (word := finish_reason(reason)) is not None:
            answer.setdefault("finish_reason", word)
    if (value := found.get("choices")) is not None and value != len(facts.answers or ()):
        facts.lost.add(found.name("choices"))
    _template(found, facts)


def _template(found: Sorted, facts: Facts) -> None:
    if found.slots.keys().isdisjoint(("template", "template_id", "template_version")):
        return
    text = found.get("template")
    key = text_id(found.get("template_id"), found.name("template_id"))
    version = text_id(found.get("template_version"), found.name("template_version"))
    if text is not None:
        facts.lost.add("llm.prompt_template.template")
    if key is None and version is not None and isinstance(text, str):  # it has no name: its own text names it
        key = "sha256-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if key is not None and version is not None:
        facts.said["template"] = {"id": key, "version": version}
    else:
        for name, value in (("template_id", key), ("template_version", version)):
            if value is not None:
                facts.lost.add(f"{found.name(name)} (id or version is missing)")


def document_ids(found: Sorted) -> list[str]:
    """The ids of retrieved documents, in rank order. Raises `Rejected`."""
    ids = [
        text_id(found.trees["documents"][n].get("document.id"), f"retrieval.documents.{n}.document.id")
        for n in sorted(found.trees["documents"])
    ]
    return [i for i in ids if i is not None]
