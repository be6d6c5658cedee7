"""Nested columns without the fields that no row of a chunk has: most rows tell a tenth of what a record can hold, and every field that is
carried along is sorted, written, read and gathered with the others. A field that is left out is put back where the table needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import pyarrow as pa

from flywheel.records import LogRecord
from flywheel.storage.arrow import arrow_schema

SCHEMA = arrow_schema(LogRecord)
NESTED = ("messages", "responses", "feedback", "template")


@cache
def _zeros(count: int) -> pa.Array:
    return pa.array([0] * count, pa.int32())


def empty_lists(type: pa.ListType, count: int) -> pa.Array:
    """As many empty lists."""
    return pa.ListArray.from_arrays(_zeros(1 << (count + 1).bit_length()).slice(0, count + 1), pa.nulls(0, type.value_type), type=type)


@cache
def _nothing(type: pa.DataType, count: int) -> pa.Array:
    return pa.array([None] * count, type)


def nothing(field: pa.Field, count: int) -> pa.Array:
    """A field that no row has: an empty list where it may not be null, else nulls below which the fields that may not be null hold
    something, as Parquet demands (`pa.nulls` puts nulls there too)."""
    if not field.nullable:
        return empty_lists(field.type, count)
    return _nothing(field.type, 1 << max(count - 1, 1).bit_length()).slice(0, count)


def struct(type: pa.StructType, arrays: Mapping[str, pa.Array | None]) -> pa.Array:
    """A struct array of those fields of `type` that there are."""
    held = [(f, array) for f in type if (array := arrays[f.name]) is not None]
    return pa.StructArray.from_arrays([array for _, array in held], fields=[f.with_type(array.type) for f, array in held])


def fitted(array: pa.Array, type: pa.DataType) -> pa.Array:
    """A nested array (no null in it is above a field that was left out) with every field of `type`."""
    if array.type.equals(type):
        return array
    if pa.types.is_list(type):
        return pa.ListArray.from_arrays(array.offsets, fitted(array.values, type.value_type), type=type)
    held = {f.name for f in array.type}
    arrays = [fitted(array.field(f.name), f.type) if f.name in held else nothing(f, len(array)) for f in type]
    return pa.StructArray.from_arrays(arrays, fields=list(type))


def _joint(full: pa.DataType, types: Sequence[pa.DataType]) -> pa.DataType:
    """What holds every field that one of `types` has, in the order of `full`."""
    if all(t.equals(types[0]) for t in types):
        return types[0]
    if pa.types.is_list(full):
        return pa.list_(full.value_field.with_type(_joint(full.value_type, [t.value_type for t in types])))
    held = [(f, [t.field(f.name).type for t in types if t.get_field_index(f.name) >= 0]) for f in full]
    return pa.struct([f.with_type(_joint(f.type, found)) for f, found in held if found])


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables with the same columns, but for what was left out, as one (one chunk a column)."""
    if not all(t.schema.equals(tables[0].schema) for t in tables):
        names = list(dict.fromkeys(n for t in tables for n in t.schema.names))
        types = {
            n: _joint(SCHEMA.field(n).type, [t.schema.field(n).type for t in tables if n in t.schema.names]) for n in names if n in NESTED
        }
        tables = [_as(t, names, types) for t in tables]
    return pa.concat_tables(tables).combine_chunks()


def whole(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """A table with these columns, the nested ones among them with all of their fields."""
    return _as(table, columns, {n: SCHEMA.field(n).type for n in columns if n in NESTED})


def _as(table: pa.Table, names: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
    held, made = set(table.schema.names), []
    for name in names:
        if name not in types:
            made.append(table[name])
        elif name not in held:
            made.append(nothing(SCHEMA.field(name).with_type(types[name]), table.num_rows))
        elif table.schema.field(name).type.equals(types[name]):
            made.append(table[name])
        else:
            made.append(pa.chunked_array([fitted(c, types[name]) for c in table[name].chunks], types[name]))
    return pa.table(made, names=list(names))
