"""OTLP as JSON: spans, events and log records in resources and scopes, and the spellings that exporters give them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from tests.ingestion.dialects.interactions import Interaction, Json

BELOW = 1_000_000_000


def any_value(value: Any) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(v) for v in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes(value)}}
    return {} if value is None else {"stringValue": value}


def attributes(flat: Json) -> list[Json]:
    return [{"key": k, "value": any_value(v)} for k, v in flat.items()]


def nanoseconds(one: Interaction, after: float = 0) -> str:
    return str(one.seconds * BELOW + int(after * BELOW))


def span(one: Interaction, name: str, said: Json, events: list[Json] | None = None, *, which: int = 1, after: float = 0) -> Json:
    made = {
        "traceId": one.trace(), "spanId": one.span(which), "parentSpanId": one.span(0), "flags": 257, "name": name, "kind": 3,
        "startTimeUnixNano": nanoseconds(one, after), "endTimeUnixNano": nanoseconds(one, after + 0.5), "attributes": attributes(said), "status": {},
    }  # fmt: skip
    if one.failed and which == 1:
        made["status"] = {"code": 2, "message": "429"}
        made["attributes"] += attributes({"error.type": one.failed})
    if events:
        made["events"] = events
    return made


def event(one: Interaction, name: str, said: Json, after: float) -> Json:
    return {"timeUnixNano": nanoseconds(one, after), "name": name, "attributes": attributes(said)}


def log(one: Interaction, name: str, body: Any, after: float, said: Json | None = None) -> Json:
    return {"timeUnixNano": nanoseconds(one, after), "observedTimeUnixNano": nanoseconds(one, after), "severityNumber": 9, "eventName": name,
            "body": any_value(body), "attributes": attributes({"gen_ai.system": "openai", **(said or {})}), "flags": 1, "traceId": one.trace(),
            "spanId": one.span()}  # fmt: skip


RESOURCE = {"attributes": attributes({"service.name": "shop", "telemetry.sdk.language": "python"})}


def spans(*found: Json) -> Json:
    scope = {"name": "opentelemetry.instrumentation.openai", "version": "1.0"}
    return {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"scope": scope, "spans": list(found)}]}]}


def logs(*found: Json) -> Json:
    return {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": {"name": "x"}, "logRecords": list(found)}]}]}


# --- other spellings of the wire ----------------------------------------------------------------------------------------------------------

UNION = ("string_value", "bool_value", "int_value", "double_value", "array_value", "kvlist_value", "bytes_value")
SNAKE = {
    "resourceSpans": "resource_spans", "scopeSpans": "scope_spans", "resourceLogs": "resource_logs", "scopeLogs": "scope_logs", "logRecords": "log_records",
    "traceId": "trace_id", "spanId": "span_id", "parentSpanId": "parent_span_id", "startTimeUnixNano": "start_time_unix_nano",
    "endTimeUnixNano": "end_time_unix_nano", "timeUnixNano": "time_unix_nano", "observedTimeUnixNano": "observed_time_unix_nano",
    "severityNumber": "severity_number", "eventName": "event_name", "stringValue": "string_value", "boolValue": "bool_value", "intValue": "int_value",
    "doubleValue": "double_value", "arrayValue": "array_value", "kvlistValue": "kvlist_value",
}  # fmt: skip


def snake_case(value: Any) -> Any:
    """Names in snake_case, numbers as numbers, every unused member of a union null."""
    if isinstance(value, list):
        return [snake_case(v) for v in value]
    if not isinstance(value, dict):
        return value
    made = {SNAKE.get(k, k): snake_case(v) for k, v in value.items()}
    if made.keys() & set(UNION):
        made = {**dict.fromkeys(UNION), **made}
        if made["int_value"] is not None:
            made["int_value"] = int(made["int_value"])
    return made


def base64_ids(value: Any) -> Any:
    """As protobuf's MessageToJson writes: ids in base64, enumerations by name."""
    if isinstance(value, list):
        return [base64_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    made = {k: base64_ids(v) for k, v in value.items()}
    for key in ("traceId", "spanId", "parentSpanId"):
        if made.get(key):
            made[key] = b64encode(bytes.fromhex(made[key])).decode()
    if isinstance(made.get("kind"), int):
        made["kind"] = "SPAN_KIND_CLIENT"
    if isinstance(made.get("status"), dict) and made["status"].get("code") == 2:
        made["status"] = {**made["status"], "code": "STATUS_CODE_ERROR"}
    return made
