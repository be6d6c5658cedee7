"""OpenTelemetry's logs and spans of model calls, as OTLP/JSON, in all five dialects seen in the wild.

In: what the collector's file exporter writes (a line holds many spans or log records), Phoenix's `/spans/otlpv1`, or bare spans. All parts of
one trace are assembled together, because a call may be told by a span and by log records of other files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped, Whole
from flywheel.ingestion.formats.otel_attributes import EMPTY, loss_name
from flywheel.ingestion.formats.otel_calls import assemble_trace
from flywheel.ingestion.formats.otel_facts import response_id
from flywheel.ingestion.formats.otel_kinds import CALL, CONTENT_EVENTS, DETAILS, EVALUATION, GUARDRAIL, RETRIEVAL, sort_of_span
from flywheel.ingestion.formats.otel_quick import quick_call
from flywheel.ingestion.formats.otel_seen import context_of, event_name
from flywheel.ingestion.formats.otel_wire import METRICS, RESOURCES, SAID_ABOVE, SCOPES, any_value, identifier, keyed, plain, units
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow

CONTAINERS = frozenset({*RESOURCES, *SCOPES, *METRICS})


def is_bare_span(row: Mapping[str, Any]) -> bool:
    """A span outside of any container: one a line, or an element of Phoenix's OTLP answer."""
    return (
        ("traceId" in row and "spanId" in row and ("startTimeUnixNano" in row or isinstance(row.get("attributes"), list)))
        or ("trace_id" in row and "span_id" in row and "start_time_unix_nano" in row)
    )  # fmt: skip


class OtelFormat:
    """`otel`: OTLP/JSON."""

    name = "otel"

    def claims(self, row: Json) -> bool:
        """Containers of OTLP, or a bare span."""
        if not CONTAINERS.isdisjoint(row):
            return True
        data = row.get("data")
        return is_bare_span(row) or (isinstance(data, list) and bool(data) and isinstance(data[0], dict) and is_bare_span(data[0]))

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """Each span and log record of the row."""
        return otlp_items(row, losses, self.name)

    def quick_part(self, payload: Json) -> tuple[CanonicalRow, Counter[str]] | None:
        """The record and its losses, where a trace of one part is of the commonest kind."""
        return quick_call(payload, self.name)

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The calls of one trace."""
        return assemble_trace(parts, self.name, losses)


def otlp_items(row: Json, losses: Counter[str], format: str) -> Iterator[Item]:
    """Items of an OTLP row. Raises `Rejected` before the first one where it holds none of OTLP's lists."""
    if CONTAINERS.isdisjoint(row):
        if isinstance(row.get("data"), list):
            for number, element in enumerate(row["data"]):
                if isinstance(element, dict):
                    yield span_item(element, dict(element), f"data.{number}", format)
                else:
                    yield Bad("invalid_field", f"data.{number} must be a span", f"data.{number}", element)
        elif is_bare_span(row):
            yield span_item(row, dict(row), "", format)
        else:
            raise Rejected("missing_field", "resourceSpans or resourceLogs is missing: this is no OTLP", "resourceSpans")
        return
    for unit in units(row):
        if isinstance(unit, Bad):
            yield unit
        elif unit[0] == "spans":
            yield span_item(unit[1], unit[2], unit[3], format)
        else:
            yield from log_items(unit[1], unit[2], unit[3], losses, format)
    for key in row:
        if key in METRICS:
            yield Skipped("metrics")
        elif key not in CONTAINERS and key not in SAID_ABOVE and row[key] not in EMPTY:
            losses[f"{format}: {loss_name(key)}"] += 1


def span_item(span: Mapping[str, Any], payload: dict[str, Any], path: str, format: str) -> Item:
    """A span: part of a record, skipped, or bad. `payload` is kept where it is a part."""
    prefix = f"{path}." if path else ""
    try:
        found = keyed(span.get("attributes"), f"{prefix}attributes")
        sort = sort_of_span(found, span.get("span_kind"), span.get("events"))
        if sort not in (CALL, RETRIEVAL, GUARDRAIL):
            return Skipped(sort)
        trace, own = context_of(span)
        trace_id, span_id = identifier(trace, f"{prefix}traceId"), identifier(own, f"{prefix}spanId")
        for value, name in ((trace_id, "traceId"), (span_id, "spanId")):
            if value is None:
                raise Rejected("missing_field", f"{prefix}{name} is missing", f"{prefix}{name}")
    except Rejected as refused:
        return Bad(refused.reason, refused.message, refused.field, payload)
    response = response_id(found)
    aliases = [f"span:{span_id}"]
    if response:
        aliases.append(f"response:{response}")
    return Part(str(trace_id), payload, tuple(aliases) if sort == CALL else ())


def log_items(record: Mapping[str, Any], payload: dict[str, Any], path: str, losses: Counter[str], format: str) -> Iterator[Item]:
    """A log record: a message or the whole of a call, a judgement, or skipped. One item."""
    try:
        found = keyed(record.get("attributes"), f"{path}.attributes")
        name = event_name(record, {"event.name": plain(found.get("event.name"))})
        if not isinstance(name, str) or (name not in CONTENT_EVENTS and name not in (DETAILS, EVALUATION)):
            yield Skipped("log")
            return
        trace = identifier(record.get("traceId") or record.get("trace_id"), f"{path}.traceId")
        span = identifier(record.get("spanId") or record.get("span_id"), f"{path}.spanId")
        response = plain(found.get("gen_ai.response.id"))
        if response is None and name in (DETAILS, EVALUATION):
            body = any_value(record.get("body"), f"{path}.body")
            response = body.get("gen_ai.response.id") if isinstance(body, dict) else None
            response = response if isinstance(response, (str, int)) else None
        key = trace or (f"span:{span}" if span else None)
        if name == EVALUATION:
            key = f"response:{response}" if response else key
        elif name == DETAILS:
            key = key or (f"response:{response}" if response else None)
        if key is None and name != DETAILS:
            raise Rejected(
                "missing_field", f"{path} names neither a trace nor a response: which call does it belong to?", f"{path}.traceId"
            )
    except Rejected as refused:
        yield Bad(refused.reason, refused.message, refused.field, payload)
        return
    if key is None:  # the call's only sighting, and all there is to know of it
        made = assemble_trace([payload], format, losses)
        yield Whole(made.rows[0][1]) if made.rows else made.bad.get(0, Bad("invalid_field", f"{path} tells of no call", path, payload))
        return
    aliases = [] if name == EVALUATION else [f"span:{span}"] if span else []
    if response and name == DETAILS:
        aliases.append(f"response:{response}")
    yield Part(key, payload, tuple(aliases))


OTEL = OtelFormat()
