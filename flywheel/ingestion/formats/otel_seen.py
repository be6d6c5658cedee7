"""One part of a trace, read: a span (OTLP or Phoenix), a log record, or an annotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flywheel.ingestion.formats.otel_attributes import EMPTY, KEPT_OF_RESOURCE, flat, loss_name
from flywheel.ingestion.formats.otel_events import fields_of
from flywheel.ingestion.formats.otel_kinds import CONTENT_EVENTS, DETAILS, EVALUATION, sort_of_span
from flywheel.ingestion.formats.otel_wire import alone, any_value, attributes, first, identifier, moment
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_list, demand_object

ERROR_STATUS = frozenset({2, "2", "STATUS_CODE_ERROR", "ERROR", "StatusCode.ERROR"})
OF_THE_MACHINE = (
    "telemetry.", "service.", "host.", "process.", "os.", "k8s.", "container.", "cloud.", "deployment.", "faas.", "device.", "aws.", "gcp.",
    "azure.", "webengine.", "net.", "schema.",
)  # fmt: skip
SPAN_FIELDS = frozenset({
    "traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id", "parent_id", "name", "kind", "span_kind", "startTimeUnixNano",
    "start_time_unix_nano", "start_time", "attributes", "events", "status", "status_code", "status_message", "traceState", "trace_state", "flags",
    "id", "context", "resource", "scope",
})  # fmt: skip
RENAMED = {
    "endTimeUnixNano": "end time (how long it took)",
    "end_time_unix_nano": "end time (how long it took)",
    "end_time": "end time (how long it took)",
}
LOGGED = CONTENT_EVENTS | {DETAILS, EVALUATION}
IGNORED_EVENTS = frozenset({"exception", "llm.content.completion.chunk", "First Token Stream Event"})


@dataclass(slots=True)
class Seen:
    """A part with its place among the parts. `sort` is a span's sort, the event's name of a log record, or `annotation`."""

    index: int
    sort: str
    trace: str | None = None
    span: str | None = None
    parent: str | None = None
    name: str = ""
    time: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    evaluations: list[tuple[Mapping[str, Any], str | None]] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    failed: bool = False
    error: str | None = None
    lost: dict[str, int] = field(default_factory=dict)

    def lose(self, what: str) -> None:
        """Count what the part said and a record has no place for."""
        self.lost[what] = self.lost.get(what, 0) + 1


def read_part(payload: Mapping[str, Any], index: int) -> Seen:
    """A payload, whichever export it came from. Raises `Rejected`."""
    if "annotator_kind" in payload:
        return Seen(index, "annotation", identifier(payload.get("trace_id"), "trace_id"), identifier(payload.get("span_id"), "span_id"),
                    attributes=payload)  # fmt: skip
    items, item, resource = alone(payload)
    seen = _span(item, index) if items == "spans" else _log(item, index)
    seen.resource, lost = of_resource(resource)
    for name in lost:
        seen.lose(name)
    return seen


def context_of(span: Mapping[str, Any]) -> tuple[Any, Any]:
    """A span's trace and span id as they came, from whichever place. Raises `Rejected`."""
    context = span.get("context")
    if context is None:
        return first(span, "traceId", "trace_id"), first(span, "spanId", "span_id")
    held = demand_object(context, "context")
    return held.get("trace_id"), held.get("span_id")


def _span(span: Mapping[str, Any], index: int) -> Seen:
    trace, own = context_of(span)
    found = flat(attributes(span.get("attributes"), "attributes"))
    kind = span.get("span_kind")
    events = span.get("events")
    seen = Seen(
        index, sort_of_span(found, kind, events), identifier(trace, "traceId"), identifier(own, "spanId"),
        identifier(first(span, "parentSpanId", "parent_span_id", "parent_id"), "parentSpanId"),
        span["name"] if isinstance(span.get("name"), str) else "",
        moment(first(span, "startTimeUnixNano", "start_time_unix_nano", "start_time"), "startTimeUnixNano"), found,
    )  # fmt: skip
    status = span.get("status")
    code = first(status, "code", "status_code") if isinstance(status, dict) else span.get("status_code")
    seen.failed = isinstance(code, (str, int)) and code in ERROR_STATUS
    if events:
        _span_events(demand_list(events, "events"), seen)
    for key, value in span.items():
        if key not in SPAN_FIELDS and value not in EMPTY and value not in (0, "0"):
            seen.lose(RENAMED.get(key) or loss_name(key))
    return seen


def _span_events(events: list[Any], seen: Seen) -> None:
    timed: list[tuple[str, str, Mapping[str, Any]]] = []
    for number, value in enumerate(events):
        event = demand_object(value, f"events.{number}")
        name = event.get("name")
        said = attributes(event.get("attributes"), f"events.{number}.attributes")
        time = moment(first(event, "timeUnixNano", "time_unix_nano", "timestamp"), f"events.{number}.timeUnixNano") or ""
        if not isinstance(name, str):
            raise Rejected("invalid_field", f"events.{number} has no name", f"events.{number}.name")
        if name in CONTENT_EVENTS:
            timed.append((time, name, fields_of(said, None)))
        elif name == DETAILS:
            seen.attributes = {**flat(said), **seen.attributes}
        elif name == EVALUATION:
            seen.evaluations.append((said, time))
        elif name == "exception":
            kind = said.get("exception.type")
            seen.error = kind if isinstance(kind, str) else "exception"
        if name not in CONTENT_EVENTS and name not in (DETAILS, EVALUATION) and name not in IGNORED_EVENTS:
            seen.lose(f"event {loss_name(name)}")
    seen.events = [(name, said) for _, name, said in sorted(timed, key=lambda e: e[0])]


def event_name(record: Mapping[str, Any], found: Mapping[str, Any]) -> Any:
    """What a log record is called: its own field since 1.38 of OTLP's conventions, an attribute before."""
    return first(record, "eventName", "event_name") or found.get("event.name")


def _log(record: Mapping[str, Any], index: int) -> Seen:
    found = attributes(record.get("attributes"), "attributes")
    said = dict(fields_of(found, any_value(record.get("body"), "body")))
    name = event_name(record, found)
    said.pop("event.name", None)
    time = moment(first(record, "timeUnixNano", "time_unix_nano"), "timeUnixNano") or moment(
        first(record, "observedTimeUnixNano", "observed_time_unix_nano"), "observedTimeUnixNano"
    )
    seen = Seen(
        index, name if isinstance(name, str) and name in LOGGED else "log", identifier(first(record, "traceId", "trace_id"), "traceId"),
        identifier(first(record, "spanId", "span_id"), "spanId"), time=time, attributes=flat(said) if name == DETAILS else said,
    )  # fmt: skip
    if record.get("droppedAttributesCount"):
        seen.lose("droppedAttributesCount")
    return seen


def of_resource(resource: Any) -> tuple[dict[str, Any], list[str]]:
    """What a resource says that a record keeps, and the names of what is lost of it. Raises `Rejected`."""
    kept: dict[str, Any] = {}
    lost: list[str] = []
    if resource is None:
        return kept, lost
    if not isinstance(resource, dict):
        raise Rejected("invalid_field", "resource must be an object", "resource")
    for key, value in attributes(resource.get("attributes"), "resource.attributes").items():
        if value in EMPTY:
            continue
        if (name := KEPT_OF_RESOURCE.get(key)) is not None:
            kept.setdefault(name, value)
        elif not key.startswith(OF_THE_MACHINE):
            lost.append(f"resource {loss_name(key)}")
    return kept, lost
