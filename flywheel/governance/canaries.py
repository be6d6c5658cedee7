"""Canaries: invented values of every type, put into logs in every place and disguise, and looked for in everything that came of them.

A canary's words occur nowhere else (`Vexaquil Dromintor`), so that a piece of one anywhere outside the restricted zone is a leak, and its
number tells which type, place and disguise got through. The values are listed in the restricted zone; they belong to nobody.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flywheel.errors import BadInput, NotFound
from flywheel.governance.residual import Needles
from flywheel.governance.scan import ScanReport, scan_home_for
from flywheel.governance.vault_schema import Entry
from flywheel.storage import Home, write_atomically
from flywheel.weeks import parse_round, window

_SYLLABLES = (
    "vex",
    "qui",
    "dro",
    "min",
    "tor",
    "zal",
    "bre",
    "nuk",
    "ost",
    "fyr",
    "gam",
    "hul",
    "jev",
    "kip",
    "lor",
    "wex",
    "yan",
    "plo",
    "skra",
    "thu",
)
LIST = "canaries.json"


def _to_base64(value: str) -> str:
    return base64.b64encode(f"for {value}".encode()).decode()


_CYRILLIC = str.maketrans({"a": "\u0430", "e": "\u0435", "o": "\u043e", "i": "\u0456", "A": "\u0410", "E": "\u0415", "O": "\u041e"})
# how a value is written; those that end in a conversation's turn say it there
DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "upper": str.upper,
    "lower": str.lower,
    "spaces": lambda v: v.replace(" ", "  \n"),
    "zero_width": "\u200b".join,
    "byte_order_mark": lambda v: f"{v[:3]}\ufeff{v[3:]}",
    "full_width": lambda v: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in v),
    "look_alikes": lambda v: v.translate(_CYRILLIC),
    "base64": _to_base64,
    "percent": lambda v: quote(v, safe=""),
    "json_escapes": lambda v: "".join(f"\\u{ord(c):04x}" for c in v),
    "entities": lambda v: "".join(f"&#{ord(c)};" for c in v),
}  # fmt: skip
PLACES = (
    "message", "answer", "split_over_turns", "code", "tool_arguments", "tool_result", "nested_json", "metadata_value", "metadata_key", "comment", "edited",
    "retrieval_id", "guardrail", "speaker", "record_id", "conversation_id", "user_id", "file_name", "template", "unknown_field", "broken_line",
)  # fmt: skip
TYPES = (
    "PERSON",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "ADDRESS",
    "ORDER_ID",
    "ACCOUNT_ID",
    "CREDIT_CARD",
    "SECRET",
    "USERNAME",
    "SECURITY_ANSWER",
)
# types that redaction must find although no profile names them
WITHOUT_PROFILE = frozenset({"EMAIL_ADDRESS", "ORDER_ID", "ACCOUNT_ID", "CREDIT_CARD", "SECRET"})
_FIELD = {
    "PERSON": "name", "EMAIL_ADDRESS": "email", "PHONE_NUMBER": "phone", "ADDRESS": "address", "ORDER_ID": "order_id", "ACCOUNT_ID": "account_id",
    "CREDIT_CARD": "card_number", "SECRET": "password", "USERNAME": "username", "SECURITY_ANSWER": "security_answer",
}  # fmt: skip
_SAYS = {
    "PERSON": "Please change the name to {} on my account.", "EMAIL_ADDRESS": "Write to {} about it.", "PHONE_NUMBER": "Call me at {} tomorrow.",
    "ADDRESS": "Send it to {} instead.", "ORDER_ID": "It is about order {} again.", "ACCOUNT_ID": "My account is {} as before.",
    "CREDIT_CARD": "Charge {} instead.", "SECRET": "I signed in with {} and it failed.", "USERNAME": "My login {} is locked.",
    "SECURITY_ANSWER": "The answer to my question is {} of course.",
}  # fmt: skip


@dataclass(frozen=True)
class Canary:
    """One invented value. `pieces`: what must be found nowhere."""

    number: int
    type: str
    place: str
    disguise: str
    known: bool
    value: str
    pieces: tuple[str, ...]


def make_canaries(n: int, seed: int) -> list[Canary]:
    """`n` canaries over types, places and disguises: each pair of these comes up before any repeats, as far as `n` goes."""
    rng = random.Random(f"canaries|{seed}")
    made = []
    for number in range(n):
        type = TYPES[number % len(TYPES)]
        place = PLACES[(number // len(TYPES)) % len(PLACES)]
        disguise = list(DISGUISES)[(number // len(TYPES) + number // (len(TYPES) * len(PLACES)) + number) % len(DISGUISES)]
        if place in ("record_id", "conversation_id", "user_id", "file_name", "split_over_turns", "unknown_field"):
            disguise = "plain"  # an id is what it is
        # a value in two halves that nothing names is two words like others: no detector and no scan can know
        known = type not in WITHOUT_PROFILE or number % 3 > 0 or place == "split_over_turns"
        value, pieces = _value(type, number, rng)
        made.append(Canary(number, type, place, disguise, known, value, pieces))
    return made


def label_canaries(n: int, first: int, seed: int) -> list[Canary]:
    """`n` canaries, numbered from `first`, for what raters write; of types that redaction must find in a text of which nothing is known."""
    rng = random.Random(f"label canaries|{seed}")
    types, disguises = sorted(WITHOUT_PROFILE), list(DISGUISES)
    made = []
    for number in range(first, first + n):
        type, disguise = types[number % len(types)], disguises[(number // len(types)) % len(disguises)]
        value, pieces = _value(type, number, rng)
        made.append(Canary(number, type, ("rationale", "critique")[number % 2], disguise, False, value, pieces))
    return made


def remark(canary: Canary) -> str:
    """What a rater who saw the value elsewhere would write."""
    return _SAYS[canary.type].format(DISGUISES[canary.disguise](canary.value))


def _word(rng: random.Random, syllables: int = 3) -> str:
    return "".join(rng.choice(_SYLLABLES) for _ in range(syllables)).capitalize()


def _value(type: str, number: int, rng: random.Random) -> tuple[str, tuple[str, ...]]:
    word, other = f"{_word(rng)}{_SYLLABLES[number % 20]}", f"{_word(rng)}{_SYLLABLES[number // 20 % 20]}"
    if type == "PERSON":
        return f"{word} {other}", (word, other)
    if type == "EMAIL_ADDRESS":
        return f"{word.lower()}.{other.lower()}@canary.example", (word, other)
    if type == "PHONE_NUMBER":
        digits = f"20794{number * 7_919 % 10**5:05d}"
        return f"+44 {digits[:2]} {digits[2:6]} {digits[6:]}", (f"+44{digits}", f"{digits[:2]} {digits[2:6]} {digits[6:]}", digits)
    if type == "ADDRESS":
        return f"{rng.randrange(10, 9999)} {word} Street, {other}ton", (f"{word} Street", f"{other}ton")
    if type == "ORDER_ID":
        value = f"SF-{rng.randrange(10**7, 10**8)}"
        return value, (value, value[3:])
    if type == "ACCOUNT_ID":
        value = f"AC-{rng.randrange(10**7, 10**8)}"
        return value, (value, value[3:])
    if type == "CREDIT_CARD":
        digits = _luhn(f"400000{rng.randrange(10**9):09d}")
        grouped = " ".join(digits[i : i + 4] for i in range(0, 16, 4))
        return grouped, (digits, grouped)
    if type == "SECRET":
        value = f"sk_live_{word}{rng.randrange(10**9)}{other}"
        return value, (value, value[8:])
    return (
        (f"{word.lower()}_{rng.randrange(10**4)}", (word.lower(),))
        if type == "USERNAME"
        else (word + other.lower(), (word + other.lower(),))
    )


def _luhn(digits: str) -> str:
    total = sum(d if i % 2 else (d * 2 - 9 if d > 4 else d * 2) for i, d in enumerate(map(int, digits)))
    return digits + str(-total % 10)


# --- into logs


def plant(home: Home, round: str, n: int, *, seed: int = 0) -> list[Canary]:
    """Put log files with `n` canaries into the landing folder, as a source would deliver them, and their list into the restricted zone.
    Raises `BadInput` for a wrong round, a remote landing folder or `n` below 1."""
    key = parse_round(round)
    if n < 1:
        raise BadInput(f"--plant {n}: at least one")
    if "://" in home.landing:
        raise BadInput(f"canaries are planted in a folder; the landing is {home.landing}")
    canaries = make_canaries(n, seed)
    by_file: dict[str, list[str]] = {}
    for canary in canaries:
        name = f"log {canary.value}.jsonl" if canary.place == "file_name" else f"canaries-{key}.jsonl"
        by_file.setdefault(name.replace("/", "-"), []).extend(_lines(canary, key))
    for name, lines in by_file.items():
        write_atomically(Path(home.landing) / name, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), mode=0o600)
    listed = [{**asdict(c), "round": key} for c in canaries]
    write_atomically(home.restricted / LIST, json.dumps(listed, ensure_ascii=False, indent=0).encode(), mode=0o600)
    return canaries


def planted(home: Home) -> list[Canary]:
    """The canaries that were planted. Raises `NotFound` when there are none."""
    path = home.restricted / LIST
    if not path.exists():
        raise NotFound("no canaries were planted here: flywheel privacy canaries --plant N --round R, then run the round")
    rows = json.loads(path.read_text())
    return [Canary(**{**{k: v for k, v in r.items() if k != "round"}, "pieces": tuple(r["pieces"])}) for r in rows]


def _lines(canary: Canary, round: str) -> Iterator[str]:
    row = _row(canary, round)
    text = json.dumps(row, ensure_ascii=canary.number % 2 == 0)
    yield text if canary.place != "broken_line" else text[:-9]


def _row(canary: Canary, round: str) -> dict[str, Any]:
    shown = DISGUISES[canary.disguise](canary.value)
    said = _SAYS[canary.type].format(shown)
    begin, _ = window(round)
    asked = f"Where is my parcel number {canary.number}? It is about a blue lamp and a desk."
    user: dict[str, Any] = {"role": "user", "content": asked}
    answer: dict[str, Any] = {"text": f"I am sorry about the lamp. I have opened claim {canary.number} for you.", "model": "canary-model"}
    row: dict[str, Any] = {
        "id": f"canary-{canary.number}", "timestamp": (begin + timedelta(minutes=7 * canary.number % 9_000)).isoformat(),
        "conversation_id": f"canary-talk-{canary.number}", "user_id": f"canary-user-{canary.number}", "domain": "support",
        "messages": [user], "responses": [answer], "metadata": {"channel": "chat"},
        "consent": {"purposes": ["labeling", "training", "evaluation"], "legal_basis": "consent", "policy_version": "canary", "granted_at": "2025-06-01T00:00:00Z"},
    }  # fmt: skip
    if canary.known:
        row["profile"] = {_FIELD[canary.type]: canary.value}
    call = {"id": "call_1", "name": "lookup", "arguments": json.dumps({"query": {_FIELD[canary.type]: shown}, "n": 3})}
    place = canary.place
    if place == "message":
        user["content"] = f"{asked} {said}"
    elif place == "answer":
        answer["text"] += f" {said}"
    elif place == "split_over_turns":
        half = canary.value.find(" ") + 1 or len(canary.value) // 2
        asks = {"role": "assistant", "content": f"And the rest of your {_FIELD[canary.type].replace('_', ' ')}, please?"}
        first = {"role": "user", "content": _SAYS[canary.type].format(canary.value[:half].strip())}
        row["messages"] = [user, first, asks, {"role": "user", "content": canary.value[half:]}]
    elif place == "code":
        user["content"] = f'{asked}\n```python\ndef login():\n    value = "{shown}"  # {said}\n    return send(value)\n```'
    elif place == "tool_arguments":
        row["messages"] = [
            user,
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "{}", "tool_call_id": "call_1"},
            user,
        ]
    elif place == "tool_result":
        found = json.dumps({"customer": {_FIELD[canary.type]: shown}})
        row["messages"] = [user, {"role": "tool", "content": found, "tool_call_id": "call_1"}, user]
    elif place == "nested_json":
        row["metadata"] = {"raw": json.dumps({"body": json.dumps({_FIELD[canary.type]: shown})})}
    elif place == "metadata_value":
        row["metadata"] = {_FIELD[canary.type]: shown, "trail": [said]}
    elif place == "metadata_key":
        row["metadata"] = {shown: {"seen": 1}}
    elif place == "comment":
        row["feedback"] = {"thumbs": "down", "comment": said}
    elif place == "edited":
        row["feedback"] = {"thumbs": "down", "edited_text": f"{answer['text']} {said}"}
    elif place == "retrieval_id":
        answer["retrieval"] = {"ids": [shown, f"kb/{shown}/page"]}
    elif place == "guardrail":
        answer["guardrails"] = [{"name": "pii", "decision": "allow", "detail": said}]
    elif place == "speaker":
        user["name"] = shown
    elif place == "record_id":
        row["id"] = canary.value
        user["content"] = f"{asked} My request was {canary.value}."
    elif place == "conversation_id":
        row["conversation_id"] = canary.value
    elif place == "user_id":
        row["user_id"] = canary.value
    elif place == "template":
        row["template"] = {"id": said, "version": "1"}
    elif place == "unknown_field":
        row[canary.value] = canary.value
    return row


# --- out of everything


@dataclass(frozen=True)
class CanaryReport:
    """What was looked for and what was found: canary to the places it stands in."""

    canaries: list[Canary]
    found: dict[int, list[str]]
    scan: ScanReport

    def by(self, what: str) -> dict[str, tuple[int, int]]:
        """(leaked, planted) by `type`, `place` or `disguise`."""
        table: dict[str, tuple[int, int]] = {}
        for canary in self.canaries:
            leaked, all_ = table.get(getattr(canary, what), (0, 0))
            table[getattr(canary, what)] = (leaked + (canary.number in self.found), all_ + 1)
        return table


def check_canaries(home: Home, canaries: Iterable[Canary]) -> CanaryReport:
    """Scan everything outside the restricted zone for every piece of every canary, and for each just as it was planted."""
    listed = list(canaries)
    scan = scan_home_for(home, Needles(_entries(listed), everywhere=True))
    found: dict[int, list[str]] = {}
    for place, times in sorted(scan.leaks.items()):
        found.setdefault(int(place.token), []).append(f"{place.file} {place.where} ({place.form}, {times}x)")
    return CanaryReport(listed, found, scan)


def _entries(canaries: Iterable[Canary]) -> Iterator[Entry]:
    for canary in canaries:
        shown = DISGUISES[canary.disguise](canary.value)
        for piece in dict.fromkeys((canary.value, shown, *canary.pieces)):
            yield Entry(str(canary.number), canary.type, piece, ())
