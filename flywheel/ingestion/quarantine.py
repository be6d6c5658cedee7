"""Why a row could not be used. A row that is refused is kept whole in the quarantine table, with its place and the reason."""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

Reason = Literal[
    "malformed_json", "not_an_object", "wrong_encoding", "unknown_field", "missing_field", "invalid_field", "empty_messages",
    "empty_responses", "no_response", "future_timestamp", "invalid_timestamp", "id_conflict", "line_too_long", "empty_file", "unreadable_file",
]  # fmt: skip
REASONS: tuple[str, ...] = get_args(Reason)


class Rejected(Exception):
    """A row that cannot become a record. `field` is its dotted path in the row as it came."""

    def __init__(self, reason: Reason, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.field = reason, message, field


RowKey = bytes


def row_key(file: str, line: int, raw: str) -> RowKey:
    """What names a row beyond one import: its place and its text, for a log that is rotated has other rows under the same name. Short, for
    there may be millions."""
    return hashlib.sha256(f"{file}\0{line}\0{raw}".encode("utf-8", "surrogatepass")).digest()[:16]


def readable(data: bytes) -> str:
    """Bytes as text; whatever is not UTF-8 as backslash escapes, so that nothing is lost."""
    return data.decode("utf-8", "backslashreplace")
