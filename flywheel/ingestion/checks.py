"""What a row must be to become a record. Whole batches are looked at first: nearly always nothing is wrong with any row of one."""

from __future__ import annotations

import re
from typing import Any

from flywheel.ingestion.columns import Fields
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow

LABEL = re.compile(r"[\w][\w .+/-]{0,63}")
KNOWN_LABELS = 10_000
NAMES, LABELS = ("id", "conversation_id", "user_id"), ("domain", "task_type", "language")


class Checks:
    """Knows the labels that were seen: they repeat."""

    def __init__(self) -> None:
        self._labels: set[str | None] = {None}

    def regular(self, rows: Fields, said: Fields, answered: Fields) -> bool:
        """Would no row be refused or changed by `check`? True where ids are text, labels short, and no text is blank or absent."""
        texts, named = (said["content"], answered["text"]), [rows[n] for n in NAMES]
        return (
            all(map(all, texts)) and not any(any(map(str.isspace, t)) for t in texts)
            and all(map(_ordinary, named)) and all(map(self.known, {*rows["domain"], *rows["task_type"], *rows["language"]} - self._labels))
            and [] not in said["tool_calls"] and [] not in answered["tool_calls"] and all(rows["messages"]) and all(rows["responses"])
        )  # fmt: skip

    def check(self, row: CanonicalRow) -> None:
        """Refuse what cannot be a record; give ids, content and tool calls their one form. Raises `Rejected`."""
        _something_said(row)
        if row.domain not in self._labels or row.task_type not in self._labels or row.language not in self._labels:
            self._label(row)
        row.id, row.conversation_id, row.user_id = (
            text_id(row.id, "id"), text_id(row.conversation_id, "conversation_id"), text_id(row.user_id, "user_id"),
        )  # fmt: skip

    def known(self, label: str) -> bool:
        """Is this label one? It is not looked at again."""
        if not LABEL.fullmatch(label):
            return False
        if len(self._labels) < KNOWN_LABELS:
            self._labels.add(label)
        return True

    def _label(self, row: CanonicalRow) -> None:
        """Short labels only: these fields pass redaction unread."""
        for name in LABELS:
            value = getattr(row, name)
            if value is not None and not self.known(value):
                raise Rejected("invalid_field", f"{name} must be a short label (letters, digits, space . + / - _; at most 64)", name)


def _ordinary(ids: Any) -> bool:
    """Are these texts or absent, and not blank?"""
    kinds = set(map(type, ids))
    if kinds == {str}:
        return all(ids) and not any(map(str.isspace, ids))
    return kinds <= {str, type(None)} and not any(v is not None and not v.strip() for v in ids)


def text_id(value: Any, name: str) -> str | None:
    """An id as text (a number is one too). Raises `Rejected` on a blank one."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise Rejected("invalid_field", f"{name} must be text or a whole number, and not empty", name)
    return str(value)


def _something_said(row: CanonicalRow) -> None:
    """Refuse a row in which nothing was asked or answered; give content and tool calls their one empty form."""
    asked = False
    for message in row.messages or ():
        content, calls = message.content, message.tool_calls
        if content is None:
            if not calls:
                raise Rejected("missing_field", "a message has neither content nor tool calls", "messages")
            message.content = ""
        if calls is not None and not calls:
            calls = message.tool_calls = None
        if not asked and (calls or (content and not content.isspace())):
            asked = True
    if not asked:
        raise Rejected("empty_messages", "messages holds no text: nothing was asked", "messages")
    answered = False
    for response in row.responses or ():
        calls, text = response.tool_calls, response.text
        if calls is not None and not calls:
            calls = response.tool_calls = None
        if not answered and (calls or (text and not text.isspace())):
            answered = True
    if not answered:
        raise Rejected("empty_responses", "responses holds no text: nothing was answered", "responses")
