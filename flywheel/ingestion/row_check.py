"""Rows of any form looked at as plain JSON: one that a format gave as a record in strict form, the moment that a bad one names, and the
text by which the quarantine shows it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from typing import Any

import msgspec
from pydantic_core import from_json

from flywheel.ingestion.canonical import canonical_form
from flywheel.ingestion.depth import DEEPEST, TOO_DEEP
from flywheel.ingestion.formats.flywheel import NAME as OWN
from flywheel.ingestion.quarantine import Rejected, readable
from flywheel.ingestion.rows import CanonicalRow, convert
from flywheel.ingestion.timestamps import EPOCH, MICROSECOND, parse_timestamp

TIMES = (
    (("timestamp",), "timestamp"), (("response", "created"), "response.created"), (("created",), "created"), (("start_time",), "start_time"),
    (("startTimeUnixNano",), "startTimeUnixNano"), (("created_at",), "created_at"),
)  # fmt: skip


def checked_row(row: Mapping[str, Any], name: str, losses: Counter[str]) -> tuple[CanonicalRow, int]:
    """A canonical row in strict form, and its moment. Raises `Rejected`; of several things that are wrong the time is told first."""
    value = row.get("timestamp")
    if value is None:
        raise Rejected("missing_field", "timestamp is missing: a record belongs to the week of its request", "timestamp")
    made = None
    if name != OWN:
        with suppress(Rejected):  # perhaps in a looser form
            made = convert(row)
    if made is None or not _finite(made, row):  # of several things that are wrong these come before the form
        _refuse_infinite(row, "", 0)
    moment = (parse_timestamp(value)[0] - EPOCH) // MICROSECOND
    if made is not None and made.responses and made.messages and made.response is None and made.model is None:
        return made, moment
    return convert(canonical_form(row, losses, name)), moment


def _finite(made: CanonicalRow, row: Mapping[str, Any]) -> bool:
    """Are all numbers of a typed row finite, as far as a look at its typed fields tells? Fields of any shape are looked through elsewhere."""
    if made.feedback or row.get("consent") is not None or type(made.timestamp) is float:
        return False
    if any(type(v) is not str for held in (made.metadata, made.profile) if held for v in held.values()):
        return False
    for answer in made.responses or ():
        if not isfinite(answer.temperature or 0) or not isfinite(answer.top_p or 0) or not all(map(isfinite, answer.token_logprobs or ())):
            return False
    return True


def _refuse_infinite(value: Any, field: str, depth: int) -> None:
    """Numbers that JSON cannot write (1e999, or NaN inside a text that held JSON) have no place in a record; nor has what a text held that
    was nested without end."""
    kind = type(value)
    if kind is float:
        if not isfinite(value):
            raise Rejected(
                "invalid_field", f"{field}: a number is not finite", field.split(".", 1)[0] if field.startswith("metadata") else field
            )
    elif depth > DEEPEST:
        raise Rejected("invalid_field", TOO_DEEP, field.split(".", 1)[0])
    elif kind is dict:
        for key, inner in value.items():
            if type(inner) is not str:
                _refuse_infinite(inner, f"{field}.{key}" if field else str(key), depth + 1)
    elif kind is list:
        for number, inner in enumerate(value):
            if type(inner) is not str:
                _refuse_infinite(inner, f"{field}.{number}", depth + 1)


def moment_of(row: Any) -> int | None:
    """The moment that a row of any form names, as far as it can be told."""
    for path, name in TIMES:
        value = row
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            try:
                return (parse_timestamp(value, name)[0] - EPOCH) // MICROSECOND
            except Rejected:
                return None
    return None


def parsed_json(data: bytes) -> Any:
    """JSON, by the quick reader; what that one refuses, by the other one, whose errors say more. Raises `ValueError`."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return from_json(data, allow_inf_nan=False)


def canonical_json(value: Any) -> bytes:
    """JSON of one form: sorted keys, no spaces."""
    try:
        return _sorted(value)
    except (OverflowError, ValueError, TypeError, RecursionError):  # whole numbers beyond 64 bits, half characters
        return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def from_canonical_json(data: bytes) -> Any:
    """What `canonical_json` wrote."""
    try:
        return msgspec.json.decode(data)
    except ValueError:
        return json.loads(data)


def clean(text: str) -> str:
    """Text that can be written: half characters as escapes."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")


def as_text(value: Any) -> str:
    """An item as the quarantine shows it."""
    return clean(value) if isinstance(value, str) else readable(canonical_json(value))


_sorted = msgspec.json.Encoder(order="sorted").encode
