"""The residual gate: does any value that the vault knows still stand in a table? Independent of the detectors: plain search.

Aho-Corasick over every vault value, normalised (case, Unicode form, invisible characters, spacing), over every string of a table, nested
ones and JSON included; numbers once more with their separators taken out. What counts:

- **strong** values (e-mails, anything with six characters and a digit, two or more words) from a profile or a structured pattern: anywhere;
- **weak** ones (a single name, a 4-digit PIN) and whatever dialogue rules only guessed: in rows of the subject or conversation that holds
  them, as whole words; one that is also an ordinary English word ("Mark") only as written;
- **excluded**, each with its reason: values under four characters; ordinary words all in lower case.

It cannot see what nobody knew of: that is what the audit sample is for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from flywheel.governance.normalise import folded, normalise
from flywheel.governance.ordinary import is_ordinary
from flywheel.governance.vault import Entry, Vault
from flywheel.records import Verdict

GATE = "residual_leak"
MINIMUM_LENGTH = 4
NUMBER_TYPES = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "ACCOUNT_ID", "GOVERNMENT_ID", "US_SSN"})
RAW_ID_TYPES = frozenset({"RECORD_ID", "CONVERSATION_ID"})
BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s().\-/]{1,4}(?=\d)")


@dataclass(frozen=True)
class Leak:
    """A vault value in a table, without the value: row number, column path, type, token."""

    row: int
    column: str
    type: str
    token: str


@dataclass(frozen=True)
class _Needle:
    entry: Entry
    text: str
    everywhere: bool
    as_written: bool


def exclusion(type: str, value: str) -> str | None:
    """Why a value is not looked for; None where it is."""
    plain = folded(value)
    if len(plain) < MINIMUM_LENGTH:
        return "shorter than 4 characters"
    if is_ordinary(plain) and value == value.lower():
        return "an ordinary word"
    if type in RAW_ID_TYPES and plain.isdigit() and len(plain) < 6:
        return "a short number that counts rows"
    return None


def is_strong(value: str) -> bool:
    """Would this value tell who someone is wherever it stands?"""
    plain = folded(value)
    if "@" in plain:
        return True
    if len(plain) >= 6 and any(c.isdigit() for c in plain):
        return True
    words = re.findall(r"[^\W\d_]{2,}", plain)
    return len(words) >= 2 and not all(is_ordinary(w) for w in words)


def excluded_values(vault: Vault) -> dict[str, int]:
    """How many values are not looked for, by reason."""
    reasons = Counter(r for e in vault.entries() if (r := exclusion(e.type, e.value)) is not None)
    return dict(sorted(reasons.items()))


def residual_leaks(table: pa.Table, vault: Vault) -> list[Leak]:
    """Every place in `table` that still holds a value of the vault, by row and column."""
    words, numbers = _automata(vault)
    if words is None and numbers is None:
        return []
    found: set[tuple[int, str, str, str]] = set()
    for number, row in enumerate(table.to_pylist()):
        holders = {row.get("subject_id"), row.get("conversation_id")} - {None}
        for path, text in _strings(row, ""):
            for needle in _hits(text, words, numbers):
                if needle.everywhere or any(
                    (h.conversation_id or h.subject_id) in holders or (h.certain and h.subject_id in holders) for h in needle.entry.holders
                ):
                    found.add((number, path, needle.entry.type, needle.entry.token))
    return [Leak(*leak) for leak in sorted(found)]


def _automata(vault: Vault) -> tuple[Any, Any]:
    import ahocorasick

    by_text: dict[str, list[_Needle]] = {}
    by_digits: dict[str, list[_Needle]] = {}
    for entry in vault.entries():
        if exclusion(entry.type, entry.value) is not None:
            continue
        plain = folded(entry.value)
        certain = any(h.certain for h in entry.holders)
        needle = _Needle(entry, normalise(entry.value).text.strip(), certain and is_strong(entry.value), is_ordinary(plain))
        by_text.setdefault(plain, []).append(needle)
        digits = re.sub(r"\D", "", plain)
        if entry.type in NUMBER_TYPES and len(digits) >= 7:
            by_digits.setdefault(digits[-9:] if entry.type == "PHONE_NUMBER" else digits, []).append(needle)

    def build(needles: dict[str, list[_Needle]]) -> Any:
        if not needles:
            return None
        automaton = ahocorasick.Automaton()
        for text, listed in needles.items():
            automaton.add_word(text, (text, listed))
        automaton.make_automaton()
        return automaton

    return build(by_text), build(by_digits)


def _hits(text: str, words: Any, numbers: Any) -> Iterator[_Needle]:
    if len(text) < MINIMUM_LENGTH:
        return
    written = normalise(text).text
    plain = folded(text)
    if words is not None:
        for end, (value, needles) in words.iter(plain):
            if _stands_alone(plain, end + 1 - len(value), end + 1):
                yield from (n for n in needles if not n.as_written or re.search(rf"(?<!\w){re.escape(n.text)}(?!\w)", written))
    if numbers is not None and sum(c.isdigit() for c in plain) >= 7:
        joined = BETWEEN_DIGITS.sub("", plain)
        for end, (value, needles) in numbers.iter(joined):
            if not joined[end + 1 : end + 2].isdigit() and not re.fullmatch(r"[0-9a-f]", joined[end + 1 : end + 2]):
                before = joined[max(0, end + 1 - len(value) - 5) : end + 1 - len(value)]
                if not re.search(r"[a-f]\d*$|\d{5}$|\.\d*$", before):
                    yield from needles


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whole words only, unless the value is long enough to mean nothing else: inside a hash, any number stands somewhere."""
    if end - start >= 16 or "@" in text[start:end]:
        return True
    left = start > 0 and text[start].isalnum() and text[start - 1].isalnum()
    right = end < len(text) and text[end - 1].isalnum() and text[end].isalnum()
    return not (left or right)


def _strings(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
        if "\\" in value and value[:1] in "{[":  # JSON columns escape quotes and line breaks
            import json

            try:
                yield from _strings(json.loads(value), path)
            except ValueError:
                return
    elif isinstance(value, dict):
        for key in value:
            yield path, str(key)
            yield from _strings(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, path)


def residual_verdict(table_sha256: str, leaks: list[Leak], round: str, now: datetime) -> Verdict:
    """The gate's verdict on exactly these bytes: passes with no leak. Reasons name column, type and count, never a value."""
    places = Counter((leak.column, leak.type) for leak in leaks)
    reasons = [f"{count} x {type} in {column}" for (column, type), count in sorted(places.items())]
    if leaks:
        rows = sorted({leak.row for leak in leaks})
        reasons.append(
            f"rows {', '.join(map(str, rows[:10]))}{' ...' if len(rows) > 10 else ''}: add what was missed to governance.identifiers"
        )
    return Verdict(
        gate=GATE, round=round, subject_sha256=table_sha256, state="fail" if leaks else "pass", reasons=reasons, thresholds={"maximum_leaks": 0},
        decided_at=now,
    )  # fmt: skip
