"""Lines that a real log file would have wrong, one of each kind: each must end in quarantine under its reason code, and none get lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

# kind -> the reason code that ingestion must give
SPOILED = {
    "truncated line": "malformed_json",
    "a list of values instead of an object": "not_an_object",
    "Latin-1 bytes": "wrong_encoding",
    "a field that nobody knows": "unknown_field",
    "no messages field": "missing_field",
    "no timestamp": "missing_field",
    "a time that is no time": "invalid_timestamp",
    "a time in the year 2099": "future_timestamp",
    "no turns": "empty_messages",
    "no answers": "empty_responses",
    "an id that stands for other content": "id_conflict",
}


def spoiled_lines(records: Sequence[dict[str, Any]]) -> list[bytes]:
    """One line for each entry of `SPOILED`, in that order, made from the round's own records."""

    def changed(position: int, **fields: Any) -> dict[str, Any]:
        return {**records[position % len(records)], "id": f"{records[0]['id']}-bad-{position}", **fields}

    def without(position: int, field: str) -> dict[str, Any]:
        return {k: v for k, v in changed(position).items() if k != field}

    def line(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode()

    contradiction = {**records[0], "responses": [{"text": "This text was put in afterwards .", "model": "unknown"}]}
    return [
        line(changed(1))[:-40],
        line([*changed(2)]),
        json.dumps(changed(3, metadata={"note": "José paid"}), ensure_ascii=False).encode("latin-1", "replace"),
        line(changed(4, priority="urgent")),
        line(without(5, "messages")),
        line(without(6, "timestamp")),
        line(changed(7, timestamp="last Tuesday")),
        line(changed(8, timestamp="2099-01-01T00:00:00Z")),
        line(changed(9, messages=[])),
        line(changed(10, responses=[])),
        line(contradiction),
    ]
