"""Lists of structs to Arrow arrays of the table's types: one pass over the structs. A field that is empty throughout is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
from msgspec.structs import astuple

from flywheel.ingestion.narrow import SCHEMA, struct
from flywheel.ingestion.rows import Message, Response, ToolCall

MESSAGE = SCHEMA.field("messages").type.value_type
RESPONSE = SCHEMA.field("responses").type.value_type
CALLS = MESSAGE.field("tool_calls").type
GENERATION = RESPONSE.field("generation").type
FEEDBACK, TEMPLATE = SCHEMA.field("feedback").type, SCHEMA.field("template").type
Values = Sequence[Any]
Fields = Mapping[str, Values]


def fields_of(kind: type[msgspec.Struct], structs: Values) -> dict[str, Values]:
    """The values of every field."""
    names = kind.__struct_fields__
    return dict(zip(names, zip(*map(astuple, structs), strict=True) if structs else [()] * len(names), strict=True))


def _told(values: Values, field: pa.Field) -> pa.Array | None:
    """One flat field; None where no struct has it."""
    return None if _empty(values) else pa.array(values, field.type)


def _empty(values: Values) -> bool:
    return (not values or values[0] is None) and values.count(None) == len(values)


def _offsets(holders: Values) -> pa.Array:
    return pa.array([0, *accumulate(map(len, holders))], pa.int32())


def _calls(holders: Values) -> pa.Array | None:
    """The tool calls of each turn; None where there are none at all."""
    if not any(holders):
        return None
    full = [h or () for h in holders]
    said = fields_of(ToolCall, list(chain.from_iterable(full)))
    made = struct(CALLS.value_type, {f.name: pa.array(said[f.name], f.type) for f in CALLS.value_type})
    return pa.ListArray.from_arrays(_offsets(full), made, type=CALLS)


def _rare(values: Values, field: pa.Field) -> pa.Array | None:
    """A nested field that few rows have."""
    if _empty(values):
        return None
    none: list[Any] | None = None if field.nullable else []
    return pa.array([none if v is None else _full(v) for v in values], field.type)


def _full(value: Any) -> Any:
    """A struct as a dict with every field, also those at their default."""
    if isinstance(value, msgspec.Struct):
        return {name: _full(getattr(value, name)) for name in value.__struct_fields__}
    return [_full(v) for v in value] if isinstance(value, list) else value


def _messages(said: Fields) -> pa.Array:
    return struct(MESSAGE, {f.name: _calls(said[f.name]) if f.name == "tool_calls" else _told(said[f.name], f) for f in MESSAGE})


def _generation(answered: Fields) -> pa.Array:
    arrays = {}
    for field in GENERATION:
        values = answered["model" if field.name == "model_id" else field.name]
        arrays[field.name] = _rare(values, field) if pa.types.is_nested(field.type) else _told(values, field)
    return struct(GENERATION, arrays)


def _responses(answered: Fields) -> pa.Array:
    text, calls = pa.array(answered["text"], pa.string()), _calls(answered["tool_calls"])
    return struct(RESPONSE, {"text": text, "tool_calls": calls, "generation": _generation(answered)})


def turns_of(rows: Fields) -> dict[str, Values]:
    """The fields of all messages, one after the other."""
    return fields_of(Message, list(chain.from_iterable(filter(None, rows["messages"]))))


def answers_of(rows: Fields) -> dict[str, Values]:
    """The fields of all responses."""
    return fields_of(Response, list(chain.from_iterable(filter(None, rows["responses"]))))


def nested_columns(rows: Fields, said: Fields, answered: Fields) -> dict[str, pa.Array]:
    """`messages`, `responses`, `feedback` and `template` of checked rows, whose turns and answers are `said` and `answered`, without what
    none of them has (`flywheel.ingestion.narrow`)."""
    made = {
        "messages": pa.ListArray.from_arrays(_offsets(rows["messages"]), _messages(said)),
        "responses": pa.ListArray.from_arrays(_offsets(rows["responses"]), _responses(answered)),
    }
    for name, type in (("feedback", FEEDBACK), ("template", TEMPLATE)):
        if not _empty(rows[name]):
            made[name] = pa.array([None if s is None else _full(s) for s in rows[name]], type)
    return made
