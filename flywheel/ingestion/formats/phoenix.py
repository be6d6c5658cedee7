"""Phoenix's own exports: spans of its REST interface (flat dotted attributes) and the annotations people and judges gave them.

A span of the GenAI conventions comes back with both attribute families, `gen_ai.*` and the `llm.*` that Phoenix derived from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped
from flywheel.ingestion.formats.otel import is_bare_span, span_item
from flywheel.ingestion.formats.otel_attributes import flat, loss_name
from flywheel.ingestion.formats.otel_calls import assemble_trace
from flywheel.ingestion.formats.otel_wire import identifier
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, kind

PAGE = frozenset({"data", "next_cursor"})


class PhoenixFormat:
    """`phoenix`: spans and annotations."""

    name = "phoenix"

    def claims(self, row: Json) -> bool:
        """A span with its `context`, an annotation, or a page of either."""
        data = row.get("data")
        if isinstance(data, list) and row.keys() <= PAGE:
            if not data:  # the last page may be empty
                return "next_cursor" in row
            return any(isinstance(held, Mapping) and (_is_span(held) or _is_annotation(held)) for held in data)
        return _is_span(row) or _is_annotation(row)

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """The spans or annotations of a page, or the one that the row is."""
        if "data" in row and not _is_span(row) and not _is_annotation(row):
            for number, element in enumerate(demand_list(row["data"], "data")):
                yield _item(element, f"data.{number}", self.name)
            for key in row.keys() - PAGE:
                losses[f"{self.name}: {loss_name(key)}"] += 1
        else:
            yield _item(row, "", self.name)

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The calls of one trace."""
        return assemble_trace(parts, self.name, losses)


def _is_span(row: Mapping[str, Any]) -> bool:
    context = row.get("context")
    return (isinstance(context, Mapping) and "span_id" in context) or "context.span_id" in row


def _is_annotation(row: Mapping[str, Any]) -> bool:
    return "annotator_kind" in row and ("result" in row or "name" in row)


def _item(element: Any, path: str, format: str) -> Item:
    prefix = f"{path}." if path else ""
    if not isinstance(element, Mapping):
        return Bad("invalid_field", f"{path} must be an object, is {kind(element)}", path, element)
    try:
        if _is_annotation(element):
            return _annotation(element, prefix)
        if "context.span_id" in element:  # a row of the spans' data frame
            return span_item(span := _of_frame(element), span, path, format)
        if not _is_span(element) and not is_bare_span(element):
            raise Rejected("missing_field", f"{prefix}context is missing: neither a span nor an annotation", f"{prefix}context")
        span = dict(element)
        if isinstance(span.get("attributes"), Mapping):
            span["attributes"] = dict(flat(span["attributes"]))
        return span_item(span, dict(element), path, format)
    except Rejected as refused:
        return Bad(refused.reason, refused.message, refused.field, element)


def _annotation(row: Mapping[str, Any], prefix: str) -> Item:
    span = identifier(row.get("span_id"), f"{prefix}span_id")
    trace = identifier(row.get("trace_id"), f"{prefix}trace_id")
    if span is None and trace is None:
        if row.get("session_id") is not None:
            return Skipped("session annotation")
        raise Rejected("missing_field", f"{prefix}span_id is missing: what was judged?", f"{prefix}span_id")
    return Part(f"span:{span}" if span else str(trace), dict(row))


def _of_frame(row: Mapping[str, Any]) -> dict[str, Any]:
    """`context.span_id` and `attributes.llm...` as columns, as the spans' data frame is written to JSON lines."""
    span = {k: v for k, v in row.items() if not k.startswith(("context.", "attributes."))}
    span["context"] = {"trace_id": row.get("context.trace_id"), "span_id": row.get("context.span_id")}
    span["attributes"] = {k.removeprefix("attributes."): v for k, v in row.items() if k.startswith("attributes.")}
    return span


PHOENIX = PhoenixFormat()
