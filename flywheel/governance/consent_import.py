"""Consent statements from files into the ledger: every line checked, all of them with one append, or nothing.

A bad line goes to the consent quarantine with its place and its text. A withdrawal in it is heard all the same where its subject and
purposes can be read: doubt must not keep rows in use.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from flywheel.errors import BadInput
from flywheel.governance.audit import consent_quarantine
from flywheel.governance.chain import Body
from flywheel.governance.consent import PURPOSES, Action, ConsentLedger, Statement
from flywheel.governance.consent_files import ConsentLine, consent_lines
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.timestamps import parse_timestamp
from flywheel.records import Purpose
from flywheel.storage import Home, Ids, sha256_text

SUBJECT_ID = re.compile(r"[0-9a-f]{32}")
ALL = ("all", "*")
LONGEST = 500
SOURCE = "import"
WITHDRAWS = re.compile(
    r"withd|revok|revoc|opt(ed|s)?[\s_-]?out|unsubscri|object|den(y|ied)|declin|refus|reject|cancel|retract|terminat|delet|eras|(no|false|0|none)$"
)
MENTIONS = re.compile(r"withd|revok|revoc|opt(ed|s)?[\s_-]?out|unsubscri")
TIMES = ("effective_at", "granted_at", "withdrawn_at", "expires_at")


@dataclass
class ConsentImport:
    """What an import did. `rejected` holds a row a bad line, without its text; `unheard` are those that say withdrawn and could not be heard."""

    counts: dict[str, int]
    rejected: list[dict[str, Any]] = field(default_factory=list)
    losses: dict[str, int] = field(default_factory=dict)
    unheard: int = 0
    strangers: int = 0


def import_consent(home: Home, ledger: ConsentLedger, files: Sequence[Path], columns: Mapping[str, str], *, now: datetime) -> ConsentImport:
    """Read `files` to their ends, then append what they say. Reading them again adds nothing. Raises `BadInput` on a file that cannot be
    read (nothing is imported then), `ClockSetBack`, `IntegrityError`."""
    state = ledger.judged_by(now)
    ids = home.ids
    statements: list[Statement] = []
    refused: list[Body] = []
    counts: Counter[str] = Counter(files=len(files), lines=0, statements=0, rejected=0, withdrawals_heard=0)
    losses: Counter[str] = Counter()
    unheard = 0
    for path in files:
        if not path.is_file():
            raise BadInput(f"{path} is no file")
        for line in consent_lines(path, columns):
            counts["lines"] += 1
            losses.update(line.left_out)
            try:
                if line.problem is not None:
                    raise line.problem
                found = statements_of(line.row, ids=ids, now=now)
                counts["statements"] += len(found)
            except Rejected as problem:
                found = withdrawals_heard(line, ids=ids, now=now)
                counts["withdrawals_heard"] += len(found)
                unheard += not found and (_says_withdrawn(line) or (not line.row and MENTIONS.search(line.raw.lower()) is not None))
                refused.append(_refused(line, problem, len(found), now))
            statements += found
    counts["rejected"] = len(refused)
    strangers = {s.subject_id for s in statements if s.action == "withdrawn"} - set(state.subjects.to_pylist())
    strangers -= {s.subject_id for s in statements if s.action == "granted"}
    if refused:
        consent_quarantine(home).append(lambda there: _fresh(there, refused))
    counts["added"] = ledger.append_statements(statements, ids=ids, recorded_at=now)
    counts["known_already"] = len(statements) - counts["added"]
    shown = [{k: row[k] for k in ("file", "line", "reason", "field", "message", "withdrawals_heard")} for row in refused]
    return ConsentImport(dict(counts), shown, dict(sorted(losses.items())), unheard, len(strangers))


def statements_of(row: Mapping[str, Any], *, ids: Ids, now: datetime) -> list[Statement]:
    """What a line says, one statement a purpose and moment. Raises `Rejected` with the field."""
    subject, purposes = _subject(row, ids), _purposes(row)
    times = {name: parse_timestamp(row[name], name)[0] for name in TIMES if name in row}
    moments = _moments(row, times)
    source = _text(row, "source", SOURCE)
    found = []
    for action, at in moments:
        granted = action == "granted"
        basis = _text(row, "legal_basis", None if granted else "withdrawal")
        policy = _text(row, "policy_version", None if granted else "-")
        until = times.get("expires_at") if granted else None
        if until is not None and until <= at:
            raise Rejected("invalid_field", "expires_at does not lie after the grant", "expires_at")
        found += [Statement(subject, p, action, basis, policy, at, source, until) for p in purposes]
    return found


def withdrawals_heard(line: ConsentLine, *, ids: Ids, now: datetime) -> list[Statement]:
    """The withdrawals in a line that is itself not taken, effective when it says, or now where that cannot be read. Empty where it says no
    withdrawal, or its subject or purposes cannot be read."""
    row = line.row
    if not _says_withdrawn(line):
        return []
    try:
        subject = _subject(row, ids)
    except Rejected:
        return []
    words = _words(row)
    purposes = PURPOSES if any(w in ALL for w in words) else [p for p in PURPOSES if p in words]
    at, key = now, f"line {sha256_text(line.raw)}"
    for name in ("withdrawn_at", "effective_at"):
        try:
            at, key = (parse_timestamp(row[name], name)[0], "") if name in row and key else (at, key)
        except Rejected:
            continue
    return [Statement(subject, p, "withdrawn", "withdrawal", "-", at, f"{SOURCE}: rejected line", None, key) for p in purposes]


def _moments(row: Mapping[str, Any], times: Mapping[str, datetime]) -> list[tuple[Action, datetime]]:
    action = str(row.get("action", "")).lower()
    said: dict[Action, datetime] = {}
    for name, of in (("granted_at", "granted"), ("withdrawn_at", "withdrawn")):
        if name in times:
            said[of] = times[name]  # type: ignore[index]
    if not action:
        if "effective_at" in times:
            raise Rejected("missing_field", "effective_at without an action: granted or withdrawn?", "action")
        if not said:
            raise Rejected("missing_field", "neither an action nor granted_at nor withdrawn_at", "action")
        return list(said.items())
    if action not in ("granted", "withdrawn"):
        raise Rejected("invalid_field", "action is neither granted nor withdrawn", "action")
    chosen: Action = "granted" if action == "granted" else "withdrawn"
    if chosen == "granted" and "withdrawn" in said:
        raise Rejected("invalid_field", "action says granted, yet there is a withdrawn_at", "action")
    if chosen in said and "effective_at" in times and said[chosen] != times["effective_at"]:
        raise Rejected("invalid_field", f"effective_at and {chosen}_at differ", "effective_at")
    at = said.get(chosen, times.get("effective_at"))
    if at is None:
        raise Rejected("missing_field", f"when it was {chosen} is missing (effective_at)", "effective_at")
    return list({**said, chosen: at}.items())


def _subject(row: Mapping[str, Any], ids: Ids) -> str:
    user, given = row.get("user_id"), row.get("subject_id")
    if user is None and given is None:
        raise Rejected("missing_field", "neither user_id nor subject_id", "user_id")
    if given is not None and not (isinstance(given, str) and SUBJECT_ID.fullmatch(given.strip())):
        raise Rejected("invalid_field", "subject_id is not 32 hex digits (a user id goes into user_id)", "subject_id")
    if user is None:
        return str(given).strip()
    if isinstance(user, bool) or not isinstance(user, (str, int)) or not str(user).strip():
        raise Rejected("invalid_field", "user_id must be text or a whole number, and not empty", "user_id")
    keyed = ids.make("subject", str(user).strip())
    if given is not None and given.strip() != keyed:
        raise Rejected("invalid_field", "user_id and subject_id are of two subjects", "subject_id")
    return keyed


def _words(row: Mapping[str, Any]) -> list[str]:
    """What stands under purpose and purposes: a list, or text with commas, semicolons, bars or spaces between."""
    words: list[str] = []
    for name in ("purpose", "purposes"):
        value = row.get(name, [])
        for part in value if isinstance(value, list) else [value]:
            words += [w.lower() for w in re.split(r"[,;|\s]+", part) if w] if isinstance(part, str) else [repr(part)]
    return words


def _purposes(row: Mapping[str, Any]) -> list[Purpose]:
    words = _words(row)
    if not words:
        raise Rejected("missing_field", f"purpose is missing: {', '.join(PURPOSES)} or all", "purpose")
    if any(w not in (*PURPOSES, *ALL) for w in words):
        raise Rejected("invalid_field", f"purpose may hold {', '.join(PURPOSES)} or all", "purpose")
    return [p for p in PURPOSES if p in words or any(w in ALL for w in words)]


def _text(row: Mapping[str, Any], name: str, default: str | None) -> str:
    value = row.get(name, default)
    if value is None:
        raise Rejected("missing_field", f"{name} is missing: a grant without it cannot be relied on", name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a policy version may be a number
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST or any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise Rejected("invalid_field", f"{name} must be text of at most {LONGEST} characters", name)
    return value.strip()


def _says_withdrawn(line: ConsentLine) -> bool:
    """In our words or in others that mean it: such a line is refused, but it must not keep rows in use."""
    action = str(line.row.get("action", "")).strip().lower()
    if "withdrawn_at" in line.row or WITHDRAWS.match(action):
        return True
    strange = line.problem.message.lower() if line.problem is not None and line.problem.reason == "unknown_field" else ""
    return MENTIONS.search(strange) is not None and not action.startswith("grant") and "granted_at" not in line.row


def _refused(line: ConsentLine, problem: Rejected, heard: int, now: datetime) -> Body:
    return {
        "file": line.file, "line": line.line, "reason": problem.reason, "field": problem.field, "message": problem.message, "raw": line.raw,
        "withdrawals_heard": heard, "recorded_at": now.isoformat(),
    }  # fmt: skip


def _fresh(there: Sequence[Body], refused: Sequence[Body]) -> list[Body]:
    """Those that are not in quarantine already."""
    known = {(row["file"], row["line"], row["raw"]) for row in there}
    fresh = []
    for row in refused:
        key = (row["file"], row["line"], row["raw"])
        if key not in known:
            known.add(key)
            fresh.append(row)
    return fresh
