"""Known entities: the account fields of the conversation's own subject, wherever they appear in its text.

Exact values with any spacing and case, phone and card numbers in any grouping, parts of names and addresses, and near misses (people
mistype their own names): edit distance 1 or 2 for name parts, a similarity of 92 of 100 for addresses, 88 for their first line (rapidfuzz).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flywheel.governance.identity import identifying_type
from flywheel.governance.normalise import normalise
from flywheel.governance.ordinary import is_ordinary
from flywheel.governance.spans import Span

RAW_IDS = ("record_id", "conversation_id", "user_id")
NUMBERS = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "ACCOUNT_ID", "IBAN_CODE", "GOVERNMENT_ID", "US_SSN"})
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
TITLES = frozenset(["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "madam", "lady", "lord", "jr", "sr", "ii", "iii"])
RUN = re.compile(r"[^\s\0]{3,}")
MINIMUM_HALF = 3
HOUSE_NUMBER = re.compile(r"^\d{1,6}[A-Za-z]?\s+")
SEPARATOR = r"[\s().\-/]*"


def name_parts(name: str) -> list[str]:
    """The words of a name that may stand for it: no titles, no initials; a hyphenated part also by its halves."""
    words = [w for w in WORD.findall(name) if w.casefold() not in TITLES and len(w) > 1]
    return list(dict.fromkeys(w for word in words for w in (word, *(word.split("-") if "-" in word else ())) if len(w) > 1))


@dataclass(frozen=True)
class KnownEntities:
    """Compiled values of one profile."""

    any_case: re.Pattern[str] | None
    as_written: re.Pattern[str] | None
    types: tuple[str, ...]
    fuzzy_names: tuple[str, ...]
    fuzzy_addresses: tuple[str, ...]
    unbroken: tuple[tuple[str, str], ...] = ()

    def exact(self, text: str) -> list[Span]:
        """Where the values themselves stand."""
        found: list[Span] = []
        for pattern in (self.any_case, self.as_written):
            if pattern is not None:
                found.extend(Span(*m.span(), self.types[int((m.lastgroup or "g0")[1:])], "profile") for m in pattern.finditer(text))
        return [*found, *self._halves(text)] if self.unbroken else found

    def _halves(self, text: str) -> Iterator[Span]:
        """A value without blanks that was written in two pieces, in this turn or two: both halves stand alone somewhere."""
        runs = {m.group().casefold().rstrip(".,;:!?") for m in RUN.finditer(text)}
        for type, value in self.unbroken:
            for cut in range(MINIMUM_HALF, len(value) - MINIMUM_HALF + 1):
                if value[:cut] in runs and value[cut:] in runs:
                    for half in (value[:cut], value[cut:]):
                        pattern = rf"(?i)(?<![^\s\0]){re.escape(half)}(?=[.,;:!?]*(?:[\s\0]|$))"
                        yield from (Span(*m.span(), type, "profile") for m in re.finditer(pattern, text))

    def near_words(self, text: str) -> set[str]:
        """Words of `text` that are misspelt parts of a name."""
        return {w for w in set(WORD.findall(text)) if near_name(w, self.fuzzy_names)} if self.fuzzy_names else set()

    def near(self, text: str, words: set[str]) -> list[Span]:
        """Where misspelt names (`words`) and addresses stand."""
        found = [Span(*m.span(), "PERSON", "fuzzy", 0.8) for m in WORD.finditer(text) if m.group() in words] if words else []
        return found + [s for a in self.fuzzy_addresses if (s := _near_address(text, a)) is not None]


@lru_cache(maxsize=4_096)
def known_entities(fields: tuple[tuple[str, str], ...]) -> KnownEntities:
    """Compile (type, value) pairs; cached, for a customer writes more than once."""
    any_case: list[str] = []
    as_written: list[str] = []
    types: list[str] = []
    names: list[str] = []
    addresses: list[str] = []
    unbroken: list[tuple[str, str]] = []

    def add(body: str, type: str, *, exact: bool = False) -> None:
        (as_written if exact else any_case).append(f"(?P<g{len(types)}>{body})")
        types.append(type)

    for type, raw in sorted(fields, key=lambda f: (-len(f[1]), f)):
        value = normalise(raw).text.strip()
        if len(value) < 2:
            continue
        if len(value) >= 8 and type != "PERSON" and not re.search(r"\s", value):
            unbroken.append((type, value.casefold()))
        digits = re.sub(r"\D", "", value)
        if type == "PERSON":
            add(_whole(value), type, exact=is_ordinary(value))
            for part in name_parts(value):
                ordinary = is_ordinary(part)
                add(
                    rf"(?<!\w){re.escape(part.title() if ordinary and part.islower() else part)}(?!\w)",
                    type,
                    exact=ordinary or len(part) < 3,
                )
                if len(part) >= 4 and not ordinary:
                    names.append(part.casefold())
            continue
        if type in NUMBERS and len(digits) >= 6:
            core = digits[-10:] if type == "PHONE_NUMBER" and len(digits) > 10 else digits
            lead = r"(?:\+?\d{1,3}[\s().\-]*)?(?:\(?0\)?[\s().\-]*)?" if type == "PHONE_NUMBER" else ""
            add(rf"(?<!\d){lead}\(?{SEPARATOR.join(core)}(?!\d)", type)
        if (len(value) < 4 and not digits) or is_ordinary(value):
            continue
        add(_whole(value), type)
        if type == "ADDRESS":
            if len(value) >= 10 and " " in value:
                addresses.append(value)
            for piece in (p.strip() for p in value.split(",")):
                if len(piece) >= 4 and piece != value and not is_ordinary(piece):
                    add(_whole(piece), type)
                street = HOUSE_NUMBER.sub("", piece)
                if street != piece and len(street) >= 8 and not all(is_ordinary(w) for w in WORD.findall(street)):
                    add(_whole(street), type)
    return KnownEntities(
        re.compile("|".join(any_case), re.I) if any_case else None, re.compile("|".join(as_written)) if as_written else None, tuple(types),
        tuple(dict.fromkeys(names)), tuple(dict.fromkeys(addresses)), tuple(dict.fromkeys(unbroken)),
    )  # fmt: skip


def _whole(value: str) -> str:
    body = r"\s+".join(re.escape(word) for word in value.split())
    return (r"(?<!\w)" if value[:1].isalnum() else "") + body + (r"(?!\w)" if value[-1:].isalnum() else "")


def profile_fields(profile: dict[str, str]) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """((type, value) of personal fields, (type, value) of the raw ids that ingestion added), both sorted."""
    personal: list[tuple[str, str]] = []
    ids: list[tuple[str, str]] = []
    for key, value in profile.items():
        kind = identifying_type(key, value)
        if kind is not None:
            (ids if key in RAW_IDS else personal).append((kind, value))
    return tuple(sorted(personal)), tuple(sorted(ids))


def raw_id_spans(text: str, ids: tuple[tuple[str, str], ...]) -> list[Span]:
    """Raw ids in `text`, by plain search: they differ from record to record, so that nothing is worth compiling."""
    found = []
    lowered = text.lower()
    if len(lowered) != len(text):
        lowered = text
    for type, value in ids:
        wanted = value.lower()
        at = lowered.find(wanted) if len(wanted) >= 4 else -1
        while at >= 0:
            end = at + len(wanted)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                found.append(Span(at, end, type, "profile"))
            at = lowered.find(wanted, end)
    return found


@lru_cache(maxsize=65_536)
def near_name(word: str, names: tuple[str, ...]) -> bool:
    """Is `word` a misspelling of one of `names` (case-folded)? Distance 1 from 4 letters on, 2 from 8 on; short ones keep their initial."""
    lowered = word.casefold()
    if len(lowered) < 4 or is_ordinary(lowered):
        return False
    from rapidfuzz.distance import OSA

    for name in names:
        allowed = 2 if len(name) >= 8 else 1
        if abs(len(name) - len(lowered)) <= allowed and (len(name) >= 6 or name[0] == lowered[0]) and lowered != name:
            distance = OSA.distance(lowered, name, score_cutoff=allowed)
            if distance <= allowed:
                return True
    return False


def _near_address(text: str, address: str) -> Span | None:
    if len(text) < 8 or not any(c.isdigit() for c in text):
        return None
    from rapidfuzz import fuzz

    lowered = text.lower()
    if len(lowered) != len(text):
        return None
    for wanted, cutoff in ((address.lower(), 92), (address.lower().split(",")[0], 88)):
        if len(wanted) >= 10 and len(text) >= len(wanted) * 0.8:
            found = fuzz.partial_ratio_alignment(wanted, lowered, score_cutoff=cutoff)
            if found is not None:
                start, end = found.dest_start, found.dest_end
                while start > 0 and text[start - 1].isalnum() and text[start : start + 1].isalnum():
                    start -= 1
                while end < len(text) and text[end].isalnum() and text[end - 1].isalnum():
                    end += 1
                if any(c.isdigit() for c in text[start:end]):
                    return Span(start, end, "ADDRESS", "fuzzy", found.score / 100)
    return None
