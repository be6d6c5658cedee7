"""Redaction of a text or of canonical log lines from anywhere, without a run state: what `flywheel privacy redact` does.

Same layers and same aliases as in a round; nothing is stored. Ids of log lines become ordinals (`record-1`, `user-2`), so that lines of one
conversation or person stay together and nothing is derived from the raw id; `profile` tells redaction what to look for and is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flywheel.errors import BadInput
from flywheel.governance.aliases import assign, literal_aliases
from flywheel.governance.detection import Detector, Fields, Piece
from flywheel.governance.fields import Text, loose_texts
from flywheel.governance.identity import flat_fields, identifying_type
from flywheel.governance.profile_layer import profile_fields
from flywheel.governance.redaction import values_found, with_aliases
from flywheel.governance.spans import Span

# one list says what happens to each field of a canonical line; a field that is not on it is refused
LINE_FIELDS = {
    "id": "pseudonymise", "conversation_id": "pseudonymise", "user_id": "pseudonymise", "timestamp": "keep", "domain": "keep", "task_type": "keep",
    "language": "keep", "messages": "redact", "responses": "redact", "response": "redact", "model": "keep", "feedback": "redact", "template": "keep",
    "profile": "drop", "metadata": "redact", "consent": "keep",
}  # fmt: skip
_ORDINALS = {"id": "record", "conversation_id": "conversation", "user_id": "user"}
_RAW_IDS = {"id": "record_id", "conversation_id": "conversation_id", "user_id": "user_id"}


@dataclass(frozen=True)
class FoundSpan:
    """What was replaced: characters [start, end) of the original text at `path` (empty for a plain text)."""

    path: str
    start: int
    end: int
    type: str
    layer: str
    score: float
    alias: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class StoredValue:
    """A value that was replaced, for a caller who wants it in the vault. `line` is the index among the lines."""

    type: str
    value: str
    alias: str
    layer: str
    line: int


def redact_plain(text: str, detector: Detector, profile: Mapping[str, str] | None = None) -> tuple[str, list[FoundSpan], list[StoredValue]]:
    """One text that belongs to no conversation."""
    personal, raw_ids = profile_fields(dict(profile or {}))
    holder = [text]
    spans, values = _redact([(0, Text(text, "redact", "", holder, 0))], detector, personal, raw_ids)
    return holder[0], spans[0], values


def parse_lines(lines: Iterable[str], name: str) -> list[dict[str, Any]]:
    """Canonical lines as objects. Raises `BadInput` with line and field for anything that is none, before anything is redacted."""
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{name} line {number}"
        try:
            row = json.loads(line)
        except ValueError:
            raise BadInput(f"{place} is no JSON (for plain text say --form text); nothing was printed") from None
        except RecursionError:
            raise BadInput(f"{place} is nested too deeply; nothing was printed") from None
        if not isinstance(row, dict):
            raise BadInput(f"{place} is no JSON object; nothing was printed")
        for field in row:
            if field not in LINE_FIELDS:
                known = ", ".join(LINE_FIELDS)
                raise BadInput(f"{place}: field {field[:40]!r} has no privacy rule, so the line is refused; a canonical line has {known}")
        for field, wanted in (("messages", list), ("responses", list), ("profile", dict), ("metadata", dict)):
            if row.get(field) is not None and not isinstance(row[field], wanted):
                raise BadInput(f"{place}: {field} must be {'a list' if wanted is list else 'an object'}")
        rows.append(row)
    if not rows:
        raise BadInput(f"{name} holds no line")
    return rows


def redact_lines(rows: Sequence[dict[str, Any]], detector: Detector) -> tuple[list[list[FoundSpan]], list[StoredValue]]:
    """Redact canonical lines in place (see `parse_lines`), conversation by conversation; the spans of each line, and all values."""
    talks: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        talks.setdefault(json.dumps(row.get("conversation_id")) if row.get("conversation_id") is not None else f"line {index}", []).append(
            index
        )
    profiles = [_profile(row) for row in rows]
    ordinals: dict[tuple[str, str], int] = {}
    for row in rows:
        row.pop("profile", None)
        for field, word in _ORDINALS.items():
            if row.get(field) is not None:
                key = (word, json.dumps(row[field], sort_keys=True))
                row[field] = f"{word}-{ordinals.setdefault(key, sum(w == word for w, _ in ordinals) + 1)}"
    spans: list[list[FoundSpan]] = [[] for _ in rows]
    values: list[StoredValue] = []
    for members in talks.values():
        members.sort(key=lambda i: (str(rows[i].get("timestamp")), i))
        texts = [(i, text) for i in members for text in _texts(rows[i])]
        fields = [profile_fields(profiles[i]) for i in members]
        personal, raw_ids = (tuple(sorted({f for pair in fields for f in pair[kind]})) for kind in (0, 1))
        found, said = _redact(texts, detector, personal, raw_ids)
        for index, there in found.items():
            spans[index] = there
        values.extend(said)
        for index in members:
            _join_arguments(rows[index])
    return spans, values


def _profile(row: Mapping[str, Any]) -> dict[str, str]:
    """The profile flat, with the raw ids beside it: they stand in texts too."""
    flat = flat_fields(row.get("profile") or {})
    return {**flat, **{_RAW_IDS[f]: str(row[f]) for f in _RAW_IDS if row.get(f) not in (None, "")}}


class _Arguments(dict[str, Any]):
    """Tool arguments that were JSON in a string, while their texts are replaced."""


def _texts(row: dict[str, Any]) -> Iterator[Text]:
    for field, action in LINE_FIELDS.items():
        if action in ("pseudonymise", "drop") or row.get(field) is None:
            continue
        value = row[field]
        if field in ("messages", "responses"):
            for number, turn in enumerate(value):
                yield from _turn(turn, f"{field}.{number}", value, number, "assistant" if field == "responses" else None)
        else:
            yield from loose_texts(value, action, field, row, field)


_KEPT_IN_TURN = frozenset({"role", "model", "tool_call_id", "finish_reason", "checkpoint", "token_logprobs", "type"})


def _turn(turn: Any, path: str, holder: Any, key: Any, role: str | None) -> Iterator[Text]:
    if not isinstance(turn, dict):
        yield from loose_texts(turn, "redact", path, holder, key)
        return
    said = role or (turn.get("role") if isinstance(turn.get("role"), str) else None)
    spoken = said if said in ("user", "assistant") else None
    for name, value in list(turn.items()):
        if name in ("content", "text"):
            parts = value if isinstance(value, list) else None
            for number, part in enumerate(parts or ()):
                inner = part if isinstance(part, dict) else None
                if inner is not None and isinstance(inner.get("text"), str):
                    yield Text(inner["text"], "redact", f"{path}.{name}.{number}.text", inner, "text", None, spoken)
                    rest = {k: v for k, v in inner.items() if k != "text"}
                    yield from _others(rest, inner, f"{path}.{name}.{number}")
                else:
                    yield from loose_texts(part, "redact", f"{path}.{name}.{number}", parts, number, role=spoken)
            if parts is None:
                yield from loose_texts(value, "redact", f"{path}.{name}", turn, name, role=spoken)
        elif name == "tool_calls" and isinstance(value, list):
            for number, call in enumerate(value):
                yield from _call(call, f"{path}.tool_calls.{number}", value, number)
        else:
            hint = "PERSON" if name == "name" and spoken else None
            yield from loose_texts(value, "keep" if name in _KEPT_IN_TURN else "redact", f"{path}.{name}", turn, name, hint=hint)


def _others(rest: dict[str, Any], holder: dict[str, Any], path: str) -> Iterator[Text]:
    for name, value in rest.items():
        yield from loose_texts(value, "keep" if name in _KEPT_IN_TURN else "redact", f"{path}.{name}", holder, name)


def _call(call: Any, path: str, holder: Any, key: Any) -> Iterator[Text]:
    body = call.get("function", call) if isinstance(call, dict) else call
    if isinstance(body, dict) and isinstance(body.get("arguments"), str):
        try:
            value = json.loads(body["arguments"])
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict | list):
            body["arguments"] = _Arguments(before=body["arguments"], value=value)
            yield from loose_texts(value, "redact", f"{path}.arguments", body["arguments"], "value")
        else:
            yield Text(body["arguments"], "redact", f"{path}.arguments", body, "arguments")
    elif isinstance(body, dict) and body.get("arguments") is not None:
        yield from loose_texts(body["arguments"], "redact", f"{path}.arguments", body, "arguments")
    if isinstance(call, dict):
        for part in (call, body) if body is not call else (call,):
            if isinstance(part, dict):
                rest = {k: v for k, v in part.items() if k not in ("function", "arguments")}
                for name, value in rest.items():
                    yield from loose_texts(value, "keep", f"{path}.{name}", part, name)
    else:
        yield from loose_texts(call, "redact", path, holder, key)


def _join_arguments(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, _Arguments):
                changed = inner["value"] != json.loads(inner["before"])
                value[key] = json.dumps(inner["value"], ensure_ascii=False) if changed else inner["before"]
            else:
                _join_arguments(inner)
    elif isinstance(value, list):
        for inner in value:
            _join_arguments(inner)


def _redact(
    texts: Sequence[tuple[int, Text]], detector: Detector, personal: Fields, raw_ids: Fields
) -> tuple[dict[int, list[FoundSpan]], list[StoredValue]]:
    pieces = [
        Piece(t.value, role=t.role if t.role in ("user", "assistant") else None, hint=t.hint, light=t.action == "keep") for _, t in texts
    ]
    found = detector.conversation(pieces, personal=personal, raw_ids=raw_ids)
    named = values_found([t.value for _, t in texts], found)
    taken = [literal for _, text in texts for literal in literal_aliases(text.value)]
    aliases = assign([(type, value) for type, value, _ in named], taken=taken, anchors=personal)
    given: Iterator[tuple[tuple[str, str, str], str]] = iter(zip(named, aliases, strict=True))
    spans: dict[int, list[FoundSpan]] = {index: [] for index, _ in texts}
    values: list[StoredValue] = []
    for (index, text), there in zip(texts, found, strict=True):
        replaced: list[str] = []
        for span in there:
            (type, value, layer), alias = next(given)
            replaced.append(alias)
            spans[index].append(FoundSpan(text.path, span.start, span.end, type, layer, _rounded(span), alias))
            values.append(StoredValue(type, value, alias, layer, index))
        if there:
            text.put(with_aliases(text.value, there, replaced))
    return spans, values


def _rounded(span: Span) -> float:
    return round(float(span.score), 3)


def parse_profile(given: Sequence[str]) -> dict[str, str]:
    """`--profile name=Ada --profile email=a@b.example` as a profile. Raises `BadInput` on one that names no field redaction knows."""
    profile = {}
    for item in given:
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise BadInput(f"--profile takes field=value, as --profile 'name=Ada Byron', not {item[:40]!r}")
        if identifying_type(key.strip(), value) is None:
            raise BadInput(
                f"--profile {key.strip()[:40]}: no field of that name tells who somebody is (name, email, phone, address, order_id, ...)"
            )
        profile[key.strip()] = value
    return profile
