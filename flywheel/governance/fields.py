"""Every text of a record, found by the schema's own privacy declarations. A field that could hold text and declares nothing is refused.

`redact`: free text, all layers. `keep`: no personal data by contract; the certain layers still look, since a log can hold anything.
`pseudonymise`: must already be a keyed id. `drop`: must not be there.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flywheel.errors import IntegrityError
from flywheel.governance.identity import named_type

HARMLESS = (int, float, bool, datetime, date, type(None))
ACTIONS = frozenset({"redact", "keep", "pseudonymise", "drop"})
KEYED_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class FieldRule:
    """One field of a model: its action, or the model whose fields decide."""

    name: str
    action: str | None
    model: type[BaseModel] | None


@dataclass(frozen=True)
class KeyOf:
    """Names a map's key itself, where a text is the key and not the value."""

    name: str


@dataclass
class Text:
    """One text of a record: `holder[key]` is it. `hint`: the type that its field's name promises. `role`: who speaks, in messages."""

    value: str
    action: str
    path: str
    holder: Any
    key: Any
    hint: str | None = None
    role: str | None = None

    def put(self, value: str) -> None:
        if isinstance(self.key, KeyOf):
            items = [(value if name == self.key.name else name, item) for name, item in self.holder.items()]
            self.holder.clear()
            self.holder.update(items)
        else:
            self.holder[self.key] = value


@cache
def field_rules(model: type[BaseModel]) -> tuple[FieldRule, ...]:
    """What the schema says about each field. Raises `IntegrityError` naming the field that says nothing."""
    rules = []
    for name, field in model.model_fields.items():
        inner = _model_in(field.annotation)
        action = _declared(field)
        if inner is None and action is None and _may_hold_text(field.annotation):
            raise IntegrityError(f"{model.__name__}.{name} holds text and declares no privacy (redact, pseudonymise, keep, drop)")
        if action is not None and action not in ACTIONS:
            raise IntegrityError(f"{model.__name__}.{name} declares privacy {action!r}; known: {', '.join(sorted(ACTIONS))}")
        if inner is not None:
            field_rules(inner)
        if inner is not None or action is not None:
            rules.append(FieldRule(name, action, inner))
    return tuple(rules)


def _declared(field: FieldInfo) -> str | None:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "privacy" in extra:
        return str(extra["privacy"])
    return _declared_inside(field.annotation)


def _declared_inside(annotation: Any) -> str | None:
    if get_origin(annotation) is Annotated:
        for note in get_args(annotation)[1:]:
            extra = getattr(note, "json_schema_extra", None)
            if isinstance(extra, dict) and "privacy" in extra:
                return str(extra["privacy"])
    for argument in get_args(annotation):
        if (found := _declared_inside(argument)) is not None:
            return found
    return None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)


def _may_hold_text(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, HARMLESS):
        return False
    origin = get_origin(annotation)
    if origin is Literal:
        return False
    if origin in (Union, types.UnionType, list, Annotated):
        arguments = get_args(annotation)
        return any(_may_hold_text(a) for a in (arguments[:1] if origin is Annotated else arguments))
    return True


def texts_of(model: type[BaseModel], row: dict[str, Any]) -> Iterator[Text]:
    """Every text of a row (a dict in the shape of `model`, to be changed in place), in the order of the schema's fields."""
    yield from _walk(model, row, "", None)


def _walk(model: type[BaseModel], row: dict[str, Any], prefix: str, role: str | None) -> Iterator[Text]:
    role = str(row["role"]) if "role" in row and "content" in row else role
    for rule in field_rules(model):
        value = row.get(rule.name)
        if value is None:
            continue
        path = f"{prefix}{rule.name}"
        if rule.model is not None:
            for number, item in enumerate(value if isinstance(value, list) else [value]):
                yield from _walk(rule.model, item, f"{path}.{number}." if isinstance(value, list) else f"{path}.", role)
        elif rule.action == "pseudonymise":
            for item in value if isinstance(value, list) else [value]:
                if not KEYED_ID.fullmatch(item):
                    raise IntegrityError(f"{model.__name__}.{path} is no keyed id; a raw id must not leave the restricted zone")
        elif rule.action == "drop":
            raise IntegrityError(f"{model.__name__}.{path} may not leave the restricted zone")
        else:
            # who speaks in a user's or assistant's turn is a person; the name in a tool's turn is the tool's
            hint = "PERSON" if rule.name == "name" and role in ("user", "assistant") and "content" in row else None
            yield from loose_texts(value, str(rule.action), path, row, rule.name, hint=hint, role=role)


def loose_texts(
    value: Any, action: str, path: str, holder: Any, key: Any, *, hint: str | None = None, role: str | None = None
) -> Iterator[Text]:
    """Texts in a value of any JSON shape. Whole numbers of seven digits and more are texts too (a phone number); what a key names, a number
    of any size is."""
    if isinstance(value, str):
        if value:
            yield Text(value, action, path, holder, key, hint, role)
    elif isinstance(value, dict):
        for name in value:
            yield from loose_texts(value[name], action, f"{path}.{name}", value, name, hint=named_type(name) or hint, role=role)
            if name:  # after its value, which is put back under the old key
                yield Text(name, action, f"{path}.<key>", value, KeyOf(name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from loose_texts(item, action, f"{path}.{number}", value, number, hint=hint, role=role)
    elif isinstance(value, int) and not isinstance(value, bool) and action == "redact" and (hint or abs(value) >= 1_000_000):
        yield Text(str(value), action, path, holder, key, hint, role)
