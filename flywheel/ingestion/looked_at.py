"""What the taxonomy looks at, taken from the columns of a whole chunk: expressions are compiled anew for each call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.taxonomy import Taxonomy


def classified(table: pa.Table, taxonomy: Taxonomy) -> pa.Table:
    """The table (one chunk a column; nested fields that no row has may be left out) with task types and domains."""
    asked, context, turns = _asked(_one(table["messages"]))
    answered, calls = _answered(_one(table["responses"]))
    template = None if "template" not in table.schema.names else pc.struct_field(_one(table["template"]), "id")
    task_type, domain = taxonomy.classify(
        asked, answered, turns, calls, context=context, template=template, metadata=_one(table["metadata"]),
        task_type=_one(table["said_task_type"]), domain=_one(table["said_domain"]),
    )  # fmt: skip
    return table.append_column("task_type", task_type).append_column("domain", domain)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _items(lists: pa.ListArray) -> tuple[pa.StructArray, Any, Any]:
    """All items of all lists, and where each list starts and ends among them."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    return lists.flatten(), offsets[:-1] - offsets[0], offsets[1:] - offsets[0]


def _asked(messages: pa.ListArray) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The last user turn, all of them, and how many."""
    said, start, end = _items(messages)
    content = said.field("content")
    user = pc.equal(said.field("role"), "user").to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(user)])
    turns = before[end] - before[start]
    place = np.append(np.flatnonzero(user), 0)  # one more for lists without any that stand last
    last = pa.array(place[before[end] - 1], mask=turns == 0)
    asked = content.take(last).fill_null("")
    several = np.flatnonzero(turns > 1)
    if not len(several):
        return asked, asked, pa.array(turns)
    joined = []
    for row in several.tolist():
        joined.append("\n".join(content.take(pa.array(place[before[start[row]] : before[end[row]]])).to_pylist()))
    return asked, pc.replace_with_mask(asked, pa.array(turns > 1), pa.array(joined, pa.string())), pa.array(turns)


def _answered(responses: pa.ListArray) -> tuple[pa.Array, pa.Array]:
    """The first answer, and whether any of them calls a tool."""
    answers, start, end = _items(responses)
    first = answers.field("text").take(pa.array(start))
    if answers.type.get_field_index("tool_calls") < 0:  # no answer of the chunk calls one
        return first, pa.array(np.zeros(len(start), bool))
    length = pc.list_value_length(answers.field("tool_calls")).fill_null(0).to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(length)])
    return first, pa.array(before[end] > before[start])
