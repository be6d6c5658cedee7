"""Lists of structs to Arrow arrays of exactly the table's types: one pass over the structs, and none over a field that is empty throughout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
from msgspec.structs import astuple

from flywheel.ingestion.rows import Message, Response, ToolCall
from flywheel.records import LogRecord
from flywheel.storage.arrow import arrow_schema

SCHEMA = arrow_schema(LogRecord)
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


def plain(values: Values, type: pa.DataType) -> pa.Array:
    """One flat field."""
    if values.count(None) == len(values):
        return pa.nulls(len(values), type)
    return pa.array(values, type)


def _offsets(holders: Values) -> pa.Array:
    return pa.array([0, *accumulate(map(len, holders))], pa.int32())


@cache
def _zeros(count: int) -> pa.Array:
    return pa.array([0] * count, pa.int32())


def empty_lists(type: pa.ListType, count: int) -> pa.Array:
    """As many empty lists."""
    return pa.ListArray.from_arrays(_zeros(1 << (count + 1).bit_length()).slice(0, count + 1), pa.nulls(0, type.value_type), type=type)


def lists(holders: Values, made: Callable[[Values], pa.Array], type: pa.ListType) -> pa.Array:
    """A list of structs a row; None is empty."""
    if not any(holders):
        return empty_lists(type, len(holders))
    full = [h or () for h in holders]
    return pa.ListArray.from_arrays(_offsets(full), made(list(chain.from_iterable(full))), type=type)


def struct(type: pa.StructType, arrays: Sequence[pa.Array]) -> pa.Array:
    """A struct array of exactly `type`."""
    return pa.StructArray.from_arrays(list(arrays), fields=[type.field(i) for i in range(type.num_fields)])


def _calls(calls: Values) -> pa.Array:
    said = fields_of(ToolCall, calls)
    return struct(CALLS.value_type, [plain(said[f.name], f.type) for f in CALLS.value_type])


@cache
def _absent(type: pa.DataType, count: int) -> pa.Array:
    return pa.array([None] * count, type)


def absent(type: pa.DataType, count: int) -> pa.Array:
    """Nulls below which the fields that may not be null hold something, as Parquet demands (`pa.nulls` puts nulls there too)."""
    return _absent(type, 1 << max(count - 1, 1).bit_length()).slice(0, count)


def _rare(values: Values, field: pa.Field) -> pa.Array:
    """A nested field that few rows have."""
    if values.count(None) == len(values):
        if not pa.types.is_list(field.type) or field.nullable:
            return absent(field.type, len(values))
        return empty_lists(field.type, len(values))
    none: list[Any] | None = None if field.nullable else []
    return pa.array([none if v is None else _full(v) for v in values], field.type)


def _full(value: Any) -> Any:
    """A struct as a dict with every field, also those at their default."""
    if isinstance(value, msgspec.Struct):
        return {name: _full(getattr(value, name)) for name in value.__struct_fields__}
    return [_full(v) for v in value] if isinstance(value, list) else value


def _messages(said: Fields) -> pa.Array:
    return struct(
        MESSAGE, [lists(said["tool_calls"], _calls, CALLS) if f.name == "tool_calls" else plain(said[f.name], f.type) for f in MESSAGE]
    )


def _generation(answered: Fields) -> pa.Array:
    arrays = []
    for field in GENERATION:
        values = answered["model" if field.name == "model_id" else field.name]
        arrays.append(_rare(values, field) if pa.types.is_nested(field.type) else plain(values, field.type))
    return struct(GENERATION, arrays)


def _responses(answered: Fields) -> pa.Array:
    return struct(RESPONSE, [plain(answered["text"], pa.string()), lists(answered["tool_calls"], _calls, CALLS), _generation(answered)])


def _optional(structs: Values, type: pa.StructType) -> pa.Array:
    if structs.count(None) == len(structs):
        return absent(type, len(structs))
    return pa.array([None if s is None else _full(s) for s in structs], type)


def turns_of(rows: Fields) -> dict[str, Values]:
    """The fields of all messages, one after the other."""
    return fields_of(Message, list(chain.from_iterable(filter(None, rows["messages"]))))


def answers_of(rows: Fields) -> dict[str, Values]:
    """The fields of all responses."""
    return fields_of(Response, list(chain.from_iterable(filter(None, rows["responses"]))))


def nested_columns(rows: Fields, said: Fields, answered: Fields) -> dict[str, pa.Array]:
    """`messages`, `responses`, `feedback` and `template` of checked rows, whose turns and answers are `said` and `answered`."""
    return {
        "messages": pa.ListArray.from_arrays(_offsets(rows["messages"]), _messages(said), type=SCHEMA.field("messages").type),
        "responses": pa.ListArray.from_arrays(_offsets(rows["responses"]), _responses(answered), type=SCHEMA.field("responses").type),
        "feedback": _optional(rows["feedback"], FEEDBACK),
        "template": _optional(rows["template"], TEMPLATE),
    }
