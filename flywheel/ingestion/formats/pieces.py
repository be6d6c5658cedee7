"""Pieces that the readers of chat logs share: JSON text, counting of losses, numbers written as text, and what metadata says.

Here belongs what knows no format; what a format calls its fields stays in that format's module.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Set
from typing import Any

import msgspec

from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_object, kind, message

PLAIN_KEY = re.compile(r"[\w.:/\- ]{1,64}")
CONSENT = frozenset({"purposes", "legal_basis", "policy_version", "granted_at", "withdrawn_at", "expires_at"})
PART = frozenset({"type", "text", "refusal", "content", "annotations", "logprobs"})
CALL = frozenset({"id", "type", "index", "function", "name", "arguments"})
FUNCTION = frozenset({"name", "arguments"})
CONSENT_KEYS = ("consent", "flywheel.consent")
CONVERSATION_KEYS = ("conversation_id", "session_id")
FINISH = {  # other houses' words for OpenAI's
    "tool_call": "tool_calls", "tool_use": "tool_calls", "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length",
    "max_output_tokens": "length", "unknown": None,
}  # fmt: skip


def empty(value: Any) -> bool:
    """Nothing in it: a field that was empty is no loss."""
    return value is None or value in ("", [], {})


def key_name(key: Any) -> str:
    """A key of a log for the loss report. One that is no name (it may be a text, or very long) is not repeated there."""
    return key if isinstance(key, str) and PLAIN_KEY.fullmatch(key) else "(a key that is no name)"


def count_lost(part: Mapping[str, Any], known: Set[str], prefix: str, losses: Counter[str]) -> None:
    """Count each field of `part` that has content and is not in `known`."""
    if part.keys() <= known:  # nearly always, and cheaper to see than a difference
        return
    for key in part.keys() - known:
        if not empty(part[key]):
            losses[f"{prefix}{key_name(key)}"] += 1


def too_deep(field: str | None = None) -> Rejected:
    """The refusal of a row whose nesting no reader can follow."""
    return Rejected("invalid_field", "nested too deeply to be read", field)


def quick_json(text: str) -> Any:
    """The value of JSON text, by the quick reader; what that one refuses (NaN, half characters), by the other one. Raises `ValueError` or
    `RecursionError`."""
    try:
        return msgspec.json.decode(text)
    except ValueError:
        return json.loads(text)


def from_json(text: str, field: str) -> Any:
    """The value that JSON text holds. Raises `Rejected` with the field."""
    try:
        return quick_json(text)
    except RecursionError:
        raise too_deep(field) from None
    except ValueError:
        raise Rejected("invalid_field", f"{field} is text that is not JSON", field) from None


def object_or_json(value: Any, field: str) -> Mapping[str, Any]:
    """An object, or JSON text of one: some gateways log bodies as text."""
    return demand_object(from_json(value, field) if isinstance(value, str) else value, field)


def maybe_json(value: Any) -> Any:
    """The list or object that a text holds; whatever is no such text stays as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return quick_json(value)
    except (ValueError, RecursionError):
        return value


def as_mapping(value: Any) -> Mapping[str, Any]:
    """An object, also from JSON text or from the pairs that a map column of a Parquet file gives; empty for anything else."""
    found = maybe_json(value)
    if isinstance(found, list) and all(isinstance(p, (list, tuple)) and len(p) == 2 and isinstance(p[0], str) for p in found):
        return {p[0]: p[1] for p in found}
    return found if isinstance(found, Mapping) else {}


def as_text(value: Any) -> str:
    """A value as the text that a model reads or writes: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def number(value: Any) -> int | float | None:
    """A number, or text that spells one (databases write 64-bit integers as text); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value if value - value == 0 else None  # not NaN, not infinite
    if isinstance(value, str) and 0 < len(value) <= 32:
        try:
            return int(value)
        except ValueError:
            try:
                return number(float(value))
            except ValueError:
                return None
    return None


def whole(value: Any) -> int | None:
    """A whole number, also as text or as 3.0."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def is_id(value: Any) -> bool:
    """May this stand as an id: text that is not blank, or a whole number."""
    return not isinstance(value, bool) and isinstance(value, (str, int)) and bool(str(value).strip())


def label(value: Any) -> str:
    """A value to compare or to order by: text as it is, a number spelled; nothing for what is neither."""
    return value if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""


def finish_reason(value: Any) -> Any:
    """In OpenAI's words."""
    return FINISH.get(value, value) if isinstance(value, str) else value


def error_name(error: Any) -> str:
    """What names an error: its code, else its type, else its beginning."""
    if isinstance(error, Mapping):
        for key in ("code", "type", "message"):
            if is_id(error.get(key)):
                return str(error[key])[:200]
    return str(error)[:200] if isinstance(error, (str, int)) else kind(error)


def consent_statement(value: Any) -> Mapping[str, Any] | None:
    """The consent that a log carries as an object with the canonical fields (or JSON text of one); None for anything else."""
    found = maybe_json(value)
    return found if isinstance(found, Mapping) and not CONSENT.isdisjoint(found) else None


def carry_metadata(row: dict[str, Any], found: Mapping[str, Any], format: str, losses: Counter[str]) -> None:
    """Put `found` into `row["metadata"]`; a consent statement, the conversation and the user in it go to their own places unless those are
    taken. Anything else that is called consent stays metadata, and is counted: it grants nothing."""
    rest = dict(found)
    for key in CONSENT_KEYS:
        value = rest.get(key)
        if empty(value):
            continue
        statement = consent_statement(value)
        if statement is None:
            losses[f"{format}: metadata.{key} (not a consent statement)"] += 1
        elif row.get("consent") is None:
            row["consent"] = statement
            del rest[key]
        elif statement != row["consent"]:
            losses[f"{format}: metadata.{key} (the row has another consent)"] += 1
    for place, keys in (("conversation_id", CONVERSATION_KEYS), ("user_id", ("user_id",))):
        for key in keys:
            if row.get(place) is None and is_id(rest.get(key)):
                row[place] = rest.pop(key)
    if rest:
        row["metadata"] = {**row.get("metadata", {}), **rest}


def turn_of(value: Any, field: str, format: str, losses: Counter[str]) -> dict[str, Any]:
    """One turn in OpenAI's form as a canonical one; what its tool calls and content parts hold beside the usual is counted too."""
    said = message(value, field, losses, strict=False, dialect=format)
    if isinstance(value.get("content"), list):
        count_parts(value["content"], f"{format}: messages[].content[].", losses)
    for call in value.get("tool_calls") or ():
        count_call(call, f"{format}: messages[].tool_calls[].", losses)
    return said


def count_parts(parts: list[Any], prefix: str, losses: Counter[str]) -> None:
    """Count what text parts have beside their text; a part of another type is counted as a whole where it is read."""
    for part in parts:
        if isinstance(part, Mapping) and part.get("type", "text") in ("text", "input_text", "output_text", "refusal"):
            count_lost(part, PART, prefix, losses)


def count_call(call: Mapping[str, Any], prefix: str, losses: Counter[str]) -> None:
    """Count what a tool call has beside its id, name and arguments."""
    count_lost(call, CALL, prefix, losses)
    if isinstance(call.get("function"), Mapping):
        count_lost(call["function"], FUNCTION, f"{prefix}function.", losses)


def without_none(made: dict[str, Any]) -> dict[str, Any]:
    """`made` without the keys that hold nothing."""
    return {k: v for k, v in made.items() if v is not None}
