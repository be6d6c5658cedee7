"""OTLP as JSON: ids, times, values and the nesting resource > scope > item, in every spelling that exporters write.

The canonical form has camelCase names, hexadecimal ids and 64-bit numbers as text; protobuf's own `MessageToJson` writes base64 ids,
Phoenix's `/spans/otlpv1` snake_case names with every unused member of a union as null and numbers as numbers.
"""

from __future__ import annotations

import math
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flywheel.ingestion.formats.contract import Bad
from flywheel.ingestion.formats.pieces import quick_json
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.timestamps import parse_timestamp
from flywheel.ingestion.turns import kind

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DEEPEST = 64  # levels of nested values: more is an attack, and would end the interpreter's stack
# name of a container -> the items in it
RESOURCES = {"resourceSpans": "spans", "resource_spans": "spans", "resourceLogs": "logRecords", "resource_logs": "logRecords"}
SCOPES = {
    "scopeSpans": "spans", "scope_spans": "spans", "instrumentationLibrarySpans": "spans", "scopeLogs": "logRecords", "scope_logs": "logRecords",
}  # fmt: skip
METRICS = frozenset({"resourceMetrics", "resource_metrics", "resourceProfiles", "resource_profiles"})
SAID_ABOVE = frozenset({"resource", "schemaUrl", "schema_url", "scope", "instrumentationLibrary"})
TEXTS = frozenset({"stringValue", "string_value", "bytesValue", "bytes_value"})
INTS = frozenset({"intValue", "int_value"})
DOUBLES = frozenset({"doubleValue", "double_value"})
BOOLS = frozenset({"boolValue", "bool_value"})
ARRAYS = frozenset({"arrayValue", "array_value"})
KVLISTS = frozenset({"kvlistValue", "kvlist_value"})


def first(value: Mapping[str, Any], *names: str) -> Any:
    """The first of `names` that is there and not null."""
    for name in names:
        found = value.get(name)
        if found is not None:
            return found
    return None


def any_value(value: Any, field: str, depth: int = 0) -> Any:
    """An OTLP AnyValue as a plain JSON value. Raises `Rejected`."""
    if depth > DEEPEST:
        raise Rejected("invalid_field", f"{field} is nested more than {DEEPEST} deep", field)
    if value is None or isinstance(value, (str, int, float)):  # some writers leave the union out
        return value
    if not isinstance(value, dict):
        raise Rejected("invalid_field", f"{field} must be an AnyValue, is {kind(value)}", field)
    for name, held in value.items():
        if held is None:
            continue
        if name in TEXTS and isinstance(held, str):
            return held
        if name in INTS:
            return _whole(held, field)
        if name in DOUBLES and isinstance(held, (int, float, str)) and not isinstance(held, bool):
            try:
                return float(held)
            except (ValueError, OverflowError):
                break
        if name in BOOLS and isinstance(held, bool):
            return held
        if name in ARRAYS and isinstance(held, dict):
            values = held.get("values")
            if values is None or isinstance(values, list):
                return [any_value(v, f"{field}.{i}", depth + 1) for i, v in enumerate(values or [])]
        if name in KVLISTS and isinstance(held, dict):
            return attributes(held.get("values"), field, depth + 1)
        break
    else:
        return None  # an empty AnyValue is a null
    raise Rejected("invalid_field", f"{field} is no AnyValue", field)


def attributes(entries: Any, field: str, depth: int = 0) -> dict[str, Any]:
    """A list of `{key, value}` (or an object, as other exports have) as one flat object of plain values. Raises `Rejected`."""
    if entries is None:
        return {}
    if isinstance(entries, dict):
        for key, value in entries.items():
            demand_shallow(value, f"{field}.{key}")
        return dict(entries)
    if not isinstance(entries, list):
        raise Rejected("invalid_field", f"{field} must be a list of attributes, is {kind(entries)}", field)
    found: dict[str, Any] = {}
    for number, entry in enumerate(entries):
        if entry.__class__ is not dict or (key := entry.get("key")).__class__ is not str:
            raise Rejected("invalid_field", f"{field}.{number} is no attribute with a key", f"{field}.{number}")
        value = entry.get("value")
        if value.__class__ is dict:
            if (held := value.get("stringValue")).__class__ is str:  # nine in ten
                found[key] = held
                continue
            if (held := value.get("intValue")).__class__ is str and held.isdecimal() and len(held) < 19:
                found[key] = int(held)
                continue
            if (held := value.get("doubleValue")).__class__ is float or (held := value.get("boolValue")).__class__ is bool:
                found[key] = held
                continue
        found[key] = any_value(value, f"{field}.{key}", depth)
    return found


def demand_shallow(value: Any, field: str) -> None:
    """Refuse a value that nests deeper than any log does: whoever writes it as JSON later would end the interpreter's stack."""
    level = [value] if value.__class__ in (dict, list) else []
    for _ in range(DEEPEST):
        if not level:
            return
        level = [v for held in level for v in (held.values() if isinstance(held, dict) else held) if v.__class__ in (dict, list)]
    raise Rejected("invalid_field", f"{field[:200]} is nested more than {DEEPEST} deep", field[:200])


def keyed(entries: Any, field: str) -> dict[str, Any]:
    """Attributes by key, their values still as they came: enough to see what a span is. Raises `Rejected`."""
    if entries is None:
        return {}
    if isinstance(entries, dict):
        return dict(entries)
    try:
        found = {entry["key"]: entry.get("value") for entry in entries}
    except (TypeError, KeyError, AttributeError):
        attributes(entries, field)  # says which one it is
        raise Rejected("invalid_field", f"{field} must be a list of attributes", field) from None
    return found


def plain(value: Any) -> Any:
    """The text or number of a value that `keyed` gave; None for anything else."""
    if isinstance(value, dict):
        value = first(value, "stringValue", "string_value")
    return value if isinstance(value, (str, int)) and not isinstance(value, bool) else None


def _whole(value: Any, field: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and len(value) <= 20:
        try:
            return int(value)
        except ValueError:
            pass
    raise Rejected("invalid_field", f"{field} must be a whole number", field)


def identifier(value: Any, field: str) -> str | None:
    """A trace or span id in lower-case hexadecimal, from hexadecimal or base64; None where it is absent or all zeros. Raises `Rejected`."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 128:
        raise Rejected("invalid_field", f"{field} must be an id", field)
    if len(value) in (16, 32) and value.isalnum():
        return value.lower() if value.strip("0") else None
    text = value.removeprefix("0x")
    if text.endswith("=") and len(text) in (12, 24):  # 8 or 16 bytes, as protobuf's MessageToJson writes them
        try:
            text = b64decode(text, validate=True).hex()
        except ValueError:
            raise Rejected("invalid_field", f"{field} is neither hexadecimal nor base64", field) from None
    text = text.strip().lower()
    return text if text.strip("0") else None


def moment(value: Any, field: str) -> str | None:
    """A time as ISO 8601 in UTC with microseconds: from nanoseconds since 1970 (number or text) or from ISO text. Raises `Rejected`."""
    if value is None or value in ("", "0", 0):
        return None
    try:
        if isinstance(value, str) and not value.lstrip("-").isdecimal():
            read = datetime.fromisoformat(value)
            read = (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
        else:
            nanoseconds = _whole(value, field)
            if nanoseconds < 10**17:  # in another unit, as its size tells
                return parse_timestamp(nanoseconds, field)[0].isoformat(timespec="microseconds")
            read = EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except (ValueError, OverflowError):
        raise Rejected("invalid_timestamp", f"{field} is no time", field) from None
    return read.isoformat(timespec="microseconds")


def from_json(text: str) -> Any:
    """JSON text as a value. Raises `ValueError` on anything else, too deep a nesting included."""
    try:
        value = quick_json(text)
        if text.count("[") + text.count("{") > DEEPEST:  # it cannot be deeper than that
            demand_shallow(value, "JSON text")
    except (RecursionError, Rejected):
        raise ValueError("nested too deep") from None
    return value


def number(value: Any, field: str, *, whole: bool = False) -> int | float:
    """A finite number, also from text. Raises `Rejected`."""
    try:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ValueError
        read: int | float = value if isinstance(value, (int, float)) else (int(value) if whole else float(value))
        if isinstance(read, float) and (not math.isfinite(read) or (whole and not read.is_integer())):
            raise ValueError
    except ValueError:
        raise Rejected("invalid_field", f"{field} must be a {'whole ' if whole else ''}number", field) from None
    return int(read) if whole else read


Unit = tuple[str, Mapping[str, Any], dict[str, Any], str]  # "spans" | "logRecords", the item, the item as a row by itself, its path


def units(row: Mapping[str, Any]) -> Iterator[Unit | Bad]:
    """Every span and log record of an OTLP row. Each comes with a row that holds nothing else, so that it can be kept and read again
    by itself. What stands in the place of a list or an object is bad as a whole. Raises `Rejected` before the first item only."""
    holders = [(name, items, True) for name, items in RESOURCES.items() if row.get(name) is not None]
    holders += [(name, items, False) for name, items in SCOPES.items() if row.get(name) is not None]
    if not holders and METRICS.isdisjoint(row):
        name = next((n for n in (*RESOURCES, *SCOPES) if n in row), "resourceSpans")
        raise Rejected("missing_field", f"{name} is null: a list was to be here", name)
    for name, _, _ in holders:
        if not isinstance(row[name], list):
            raise Rejected("invalid_field", f"{name} must be a list, is {kind(row[name])}", name)
    for name, items, outer in holders:
        if outer:
            for number, group in enumerate(row[name]):
                yield from _scopes(group, items, f"{name}.{number}")
        else:
            yield from _items(row[name], row.get("resource"), items, name)


def _scopes(group: Any, items: str, path: str) -> Iterator[Unit | Bad]:
    if not isinstance(group, dict):
        yield Bad("invalid_field", f"{path} must be an object, is {kind(group)}", path, group)
        return
    for name, held in SCOPES.items():
        if held == items and group.get(name) is not None:
            if isinstance(group[name], list):
                yield from _items(group[name], group.get("resource"), items, f"{path}.{name}")
            else:
                yield Bad("invalid_field", f"{path}.{name} must be a list, is {kind(group[name])}", f"{path}.{name}", group)


def _items(scopes: list[Any], resource: Any, items: str, path: str) -> Iterator[Unit | Bad]:
    outer, inner = ("resourceSpans", "scopeSpans") if items == "spans" else ("resourceLogs", "scopeLogs")
    snake = "spans" if items == "spans" else "log_records"
    for number, scope in enumerate(scopes):
        found = first(scope, items, snake) if isinstance(scope, dict) else 0
        if found is None:
            continue
        if not isinstance(found, list):
            place = f"{path}.{number}"
            yield Bad("invalid_field", f"{place} holds no list of {snake.replace('_', ' ')}", place, scope)
            continue
        above = first(scope, "scope", "instrumentationLibrary")
        for position, item in enumerate(found):
            place = f"{path}.{number}.{items}.{position}"
            if not isinstance(item, dict):
                yield Bad("invalid_field", f"{place} must be an object, is {kind(item)}", place, item)
                continue
            inside: dict[str, Any] = {items: [item]} if above is None else {"scope": above, items: [item]}
            whole: dict[str, Any] = {inner: [inside]} if resource is None else {"resource": resource, inner: [inside]}
            yield items, item, {outer: [whole]}, place


def alone(payload: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], Any]:
    """What `units` put into a payload: the kind of item, the item, its resource."""
    for outer, inner, items in (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")):
        if outer in payload:
            group = payload[outer][0]
            return items, group[inner][0][items][0], group.get("resource")
    return "spans", payload, payload.get("resource")
