"""The residual gate: does any value that the vault knows still stand in a table? Independent of the detectors: plain search.

Aho-Corasick over every vault value, normalised (case, Unicode form, invisible characters, spacing), over every string of a table, nested
ones and JSON included; numbers once more with their separators taken out. What counts:

- **strong** values (e-mails, anything with six characters and a digit, two or more words) from a profile or a structured pattern: anywhere;
- **weak** ones (a single name, a 4-digit PIN, a password such as `hunter2`, bare digits that may be a phone number) and whatever dialogue rules only guessed: in rows of the subject or conversation that holds
  them, as whole words; one that is also an ordinary English word ("Mark") only as written;
- **excluded**, each with its reason: values under four characters; ordinary words all in lower case.

It cannot see what nobody knew of: that is what the audit sample is for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from flywheel.governance.disguise import fold, views
from flywheel.governance.normalise import folded, normalise
from flywheel.governance.ordinary import is_ordinary
from flywheel.governance.spans import stands_alone
from flywheel.governance.vault import Entry, Vault
from flywheel.records import Verdict

GATE = "residual_leak"
MINIMUM_LENGTH = 4
NUMBER_TYPES = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "ACCOUNT_ID", "GOVERNMENT_ID", "US_SSN"})
RAW_ID_TYPES = frozenset({"RECORD_ID", "CONVERSATION_ID"})
COMMON_SECRET = re.compile(r"[a-z]{2,12}[\W_]?\d{1,4}[\W_]?")  # hunter2, test-1234: many people's, and nobody is known by it
MANY_DIGITS = re.compile(r"\d(?:[\s().\-/]{0,4}\d){6}")
BETWEEN_DIGITS = re.compile(r"(?<=\d)[\s().\-/]{1,4}(?=\d)")


@dataclass(frozen=True)
class Leak:
    """A vault value in a table, without the value: row number, column path, type, token. `guess`: neither a profile nor a structured
    pattern ever said it is one, nor did the redaction of this table's round; a rule or model guessed it in some other text."""

    row: int
    column: str
    type: str
    token: str
    guess: bool = False


@dataclass(frozen=True)
class Needle:
    """A value as it is looked for. `everywhere`: in any text; else in its holders' rows only."""

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


class Needles:
    """Every value that is looked for, compiled once. `everywhere`: all of them in any text, however short or common they are."""

    def __init__(self, entries: Iterable[Entry], *, everywhere: bool = False, said: Iterable[tuple[str, str, str]] = ()) -> None:
        """`said`: (conversation, round, token) of what the redaction of a round itself found (`Vault.said`)."""
        self.said = frozenset(said)
        by_text: dict[str, list[Needle]] = {}
        by_digits: dict[str, list[Needle]] = {}
        self.excluded: Counter[str] = Counter()
        self.everywhere = self.in_holders_rows = self.longest = 0
        for entry in entries:
            if not everywhere and (why := exclusion(entry.type, entry.value)) is not None:
                self.excluded[why] += 1
                continue
            plain = fold(normalise(entry.value).text)  # the value, not the escapes that it stood in
            certain = any(h.certain for h in entry.holders)
            strong = everywhere or (certain and is_strong(entry.value) and not (entry.type == "SECRET" and COMMON_SECRET.fullmatch(plain)))
            needle = Needle(entry, normalise(entry.value).text.strip(), strong, is_ordinary(plain))
            self.everywhere += needle.everywhere
            self.in_holders_rows += not needle.everywhere
            self.longest = max(self.longest, len(plain))
            by_text.setdefault(plain, []).append(needle)
            digits = re.sub(r"\D", "", plain)
            if entry.type in NUMBER_TYPES and len(digits) >= 7:
                by_digits.setdefault(digits[-9:] if entry.type == "PHONE_NUMBER" else digits, []).append(needle)
        self._words, self._numbers = _automaton(by_text), _automaton(by_digits)

    def __bool__(self) -> bool:
        return self._words is not None or self._numbers is not None

    def hits(self, text: str, *, numbers: bool = True, encoded: bool = True) -> Iterator[tuple[Needle, str]]:
        """(needle, form) of every value in `text`, in whatever form it stands (`disguise.FORMS`). `numbers`: also digits without their
        separators."""
        if len(text) < MINIMUM_LENGTH:
            return
        written = ""
        for form, plain in views(text, encoded=encoded):
            if self._words is not None:
                for end, (value, needles) in self._words.iter(plain):
                    if stands_alone(plain, end + 1 - len(value), end + 1):
                        for needle in needles:
                            if needle.as_written:
                                written = written or normalise(text).text
                                if not re.search(rf"(?<!\w){re.escape(needle.text)}(?!\w)", written):
                                    continue
                            yield needle, form
            if numbers and self._numbers is not None and form != "hex" and MANY_DIGITS.search(plain):
                yield from ((needle, form) for needle in self._in_digits(plain))

    def _in_digits(self, plain: str) -> Iterator[Needle]:
        joined = BETWEEN_DIGITS.sub("", plain)
        for end, (value, needles) in self._numbers.iter(joined):
            if not joined[end + 1 : end + 2].isdigit() and not re.fullmatch(r"[0-9a-f]", joined[end + 1 : end + 2]):
                before = joined[max(0, end + 1 - len(value) - 5) : end + 1 - len(value)]
                if not re.search(r"[a-f]\d*$|\d{5}$|\.\d*$", before):
                    yield from needles


def _automaton(needles: dict[str, list[Needle]]) -> Any:
    if not needles:
        return None
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for text, listed in needles.items():
        automaton.add_word(text, (text, listed))
    automaton.make_automaton()
    return automaton


def residual_leaks(table: pa.Table, vault: Vault) -> list[Leak]:
    """Every place in `table` that still holds a value of the vault, by row and column. What was only guessed in other texts does not
    count: a guess about a generated answer must not block the log that it answers."""
    return [leak for leak in table_leaks(table, needles_of(vault)) if not leak.guess]


def needles_of(vault: Vault) -> Needles:
    """Every value of a vault, and what each round itself found."""
    return Needles(vault.entries(), said=vault.said())


def table_leaks(table: pa.Table, needles: Needles, *, first_row: int = 0) -> list[Leak]:
    """The same with needles that are compiled already; rows count from `first_row`."""
    if not needles:
        return []
    found: dict[tuple[int, str, str, str], bool] = {}
    for number, row in enumerate(table.to_pylist(), start=first_row):
        texts = list(strings_in(row, ""))
        if next(needles.hits("\n".join(text for _, text in texts)), None) is None:  # once over the whole row: nearly all are clean
            continue
        for path, text in texts:
            for needle, _ in needles.hits(text):
                standing = "solid" if needle.everywhere else _standing(needle.entry, row, needles)
                if standing:
                    place = (number, path, needle.entry.type, needle.entry.token)
                    found[place] = found.get(place, True) and standing == "guess"
    return [Leak(*place, guess=guess) for place, guess in sorted(found.items())]


def _standing(entry: Entry, row: dict[str, Any], needles: Needles) -> str | None:
    """Does the value belong to this row's subject or conversation, and was it more than a guess?"""
    subject, conversation, round = row.get("subject_id"), row.get("conversation_id"), row.get("round")
    holders = {subject, conversation} - {None}
    mine = [h for h in entry.holders if (h.conversation_id or h.subject_id) in holders or (h.certain and h.subject_id in holders)]
    if not mine:
        return None
    return "solid" if any(h.certain or (h.conversation_id, round, entry.token) in needles.said for h in mine) else "guess"


def strings_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """(path, text) of every string in a row, keys of maps included."""
    if isinstance(value, str):
        yield path, value
        if "\\" in value and value[:1] in "{[":  # JSON columns escape quotes and line breaks
            import json

            try:
                yield from strings_in(json.loads(value), path)
            except ValueError:
                return
    elif isinstance(value, dict):
        for key in value:
            yield path, str(key)
            yield from strings_in(value[key], f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item, path)


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
