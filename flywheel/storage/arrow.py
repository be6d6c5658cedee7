"""Pydantic records to Arrow and back. The record model is the one source of a table's schema.

str -> string, int -> int64, float -> float64, bool -> bool, datetime -> timestamp[us, UTC], list -> list, record -> struct,
dict -> JSON text (canonical: sorted keys), Literal -> string. Every column is nullable only where the model allows None.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

R = TypeVar("R", bound=BaseModel)
SIMPLE: dict[Any, pa.DataType] = {
    str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), datetime: pa.timestamp("us", "UTC"), date: pa.date32(),
}  # fmt: skip


def _unwrap(annotation: Any) -> tuple[Any, bool]:
    """The bare type, and whether None is allowed."""
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        arms = get_args(annotation)
        rest = [a for a in arms if a is not type(None)]
        bare = {_unwrap(a)[0] for a in rest}
        # numbers of both kinds share a column only inside JSON; a table column has one type
        if len(bare) != 1:
            raise TypeError(f"{annotation} has no single column type")
        return bare.pop(), len(rest) < len(arms)
    return annotation, False


def _arrow_type(annotation: Any) -> pa.DataType:
    bare, _ = _unwrap(annotation)
    if bare in SIMPLE:
        return SIMPLE[bare]
    origin = get_origin(bare)
    if origin is Literal:
        return pa.string()
    if origin is list:
        return pa.list_(_arrow_type(get_args(bare)[0]))
    if bare is dict or origin is dict:
        return pa.string()
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return pa.struct([pa.field(n, _arrow_type(f.annotation), _unwrap(f.annotation)[1]) for n, f in bare.model_fields.items()])
    raise TypeError(f"{annotation} has no Arrow type")


@cache
def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """The Arrow schema of a record model; field metadata carries `privacy` where declared."""
    fields = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        metadata = {"privacy": str(extra["privacy"])} if "privacy" in extra else None
        fields.append(pa.field(name, _arrow_type(field.annotation), _unwrap(field.annotation)[1], metadata))
    return pa.schema(fields)


@cache
def _json_columns(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(n for n, f in model.model_fields.items() if _is_dict(f.annotation))


def _is_dict(annotation: Any) -> bool:
    bare, _ = _unwrap(annotation)
    return bare is dict or get_origin(bare) is dict


def to_table(model: type[R], records: Iterable[R | Mapping[str, Any]]) -> pa.Table:
    """Records (or mappings that validate as such) as a table in the model's schema. Raises pydantic's `ValidationError` on a
    mapping that does not fit."""
    json_columns = _json_columns(model)
    rows = []
    for record in records:
        row = (record if isinstance(record, model) else model.model_validate(record)).model_dump(mode="python")
        for name in json_columns:
            if row[name] is not None:
                row[name] = json.dumps(row[name], sort_keys=True, ensure_ascii=False, default=str)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=arrow_schema(model))


def from_table(model: type[R], table: pa.Table) -> list[R]:
    """The records of a table; validates every row."""
    json_columns = [n for n in _json_columns(model) if n in table.column_names]
    rows: Sequence[dict[str, Any]] = table.to_pylist()
    for name in json_columns:
        for row in rows:
            if isinstance(row[name], str):
                row[name] = json.loads(row[name])
    return [model.model_validate(row) for row in rows]


def empty_table(model: type[BaseModel]) -> pa.Table:
    """No rows, the right columns."""
    return arrow_schema(model).empty_table()
