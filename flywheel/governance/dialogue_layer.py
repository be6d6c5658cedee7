"""What only the dialogue tells: "my name is ...", "my PIN is ...", an answer to what the assistant has just asked, a field in JSON.

Plain rules, no model. They know English phrasing; names must look like names (`names.take_name`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from flywheel.governance.code_text import NO_CODE, code_of, could_be_a_name, named_by_key
from flywheel.governance.dictionary import is_english, is_sound
from flywheel.governance.given_names import given_name_spans, introduced_given_names
from flywheel.governance.identity import named_type
from flywheel.governance.names import CONTRACTED, PHRASE_RULES, take_name
from flywheel.governance.ordinary import NEVER_A_NAME, is_ordinary
from flywheel.governance.spans import Span

SHORT_TURN = 16  # words
GIVEN_SCORE = 0.6  # of a common given name without further context
DIGIT = re.compile(r"\d")
_LETTERS = re.compile(r"[^\W\d_]+")
_ASKING = re.compile(
    r"\?|\b(?:please|provide|enter|tell|give|need|may i|can i|could i|require\w*|confirm|specify|what(?:'s| is| was)|verify|have your|share)\b",
    re.I,
)
_EXPECT: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.I))
    for kind, pattern in (
        ("SECURITY_ANSWER", r"maiden name|\bpet\b|security (?:question|answer)|first school|favou?rite \w+|childhood"),
        ("PERSON", r"\b(?:your|full|first|last|sur|user|a|the|guest|host|patient|customer)\s?-?names?\b(?! of)|\bname,? (?:and|please|rank)|^name\b|who am i speaking"),
        ("ACCOUNT_ID", r"account (?:number|no\b|id|#)|bank account"),
        ("PIN", r"\bpin\b"),
        ("DOB", r"date of birth|birth ?da(?:te|y)|\bdob\b|when were you born"),
        ("ACCESS_CODE", r"\bcode\b"),
        ("PHONE_NUMBER", r"phone|contact number|mobile|call (?:you|back)|telephone"),
        ("EMAIL_ADDRESS", r"e-?mail"),
        ("ADDRESS", r"\baddress\b|where do you live|zip ?code|post ?code"),
        ("ORDER_ID", r"order (?:number|no\b|id|#)"),
        ("CREDIT_CARD", r"card (?:number|no\b)"),
    )
)  # fmt: skip
_DATE = r"(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}[./-]\d{1,2}[./-]\d{1,2}|(?:\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2}?(?:st|nd|rd|th)?,?\s*\d{2,4})"
_DATES = re.compile(rf"(?<![\d/]){_DATE}(?![\d/])", re.I)
_SHAPES: dict[str, re.Pattern[str]] = {
    "ACCOUNT_ID": re.compile(r"(?<![\w.])[A-Z]{0,3}-?\d(?:[ -]?\d){5,17}(?![\w])"),
    "PIN": re.compile(r"(?<![\w.,$€£:/-])\d{4,6}(?![\w%]|[.,:/-]\d)"),
    "DOB": _DATES,
    "ACCESS_CODE": re.compile(r"(?<![\w.,$€£:/-])(?=[A-Za-z-]*\d)[A-Za-z0-9-]{4,12}(?![\w]|[.,:/-]\d)"),
    "PHONE_NUMBER": re.compile(r"(?<!\w)\+?\(?\d(?:[\s().-]{0,2}\d){5,14}(?!\w)"),
    "EMAIL_ADDRESS": re.compile(r"\S+@\S+"),
    "ORDER_ID": re.compile(r"(?<!\w)#?[A-Z]{0,4}-?\d{4,14}(?!\w)", re.I),
    "CREDIT_CARD": re.compile(r"(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)"),
}
_IS = r"(?:\s*(?:number|no\.?|num|code|id|#))*\s*(?:is|was|are|:|=|#|-|should be|would be|being)?\s*(?:either|now|probably|maybe|not|actually)?\s*"
_SAID: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.I))
    for kind, pattern in (
        ("ACCOUNT_ID", r"\b(?:account|acct|balance)\b[^.!?\d]{0,30}?(?P<v>[A-Z]{0,3}-?\d(?:[ -]?\d){5,17})\b"),
        ("ACCESS_CODE", rf"\b(?:access|clearance|verification|security|entry|door|pass)?\s?code{_IS}(?P<v>(?=[A-Z-]*\d)[A-Z0-9-]{{4,12}})\b"),
        ("DOB", rf"\b(?:date of birth|d\.?o\.?b\.?|birth ?da(?:te|y)|born(?: on| in)?){_IS}(?:the\s+)?(?P<v>{_DATE})"),
        ("GOVERNMENT_ID", rf"\b(?:ssn|social security|passport|licen[cs]e){_IS}(?P<v>(?=[A-Z-]*\d)[A-Z0-9-]{{6,14}})\b"),
        ("PHONE_NUMBER", rf"\b(?:phone|mobile|cell|tel|call me (?:on|at)|text me (?:on|at)|reach me (?:on|at)){_IS}(?P<v>\+?\(?\d(?:[\s().-]{{0,2}}\d){{5,14}})\b"),
        ("CREDIT_CARD", rf"\bcard(?: ending(?: in| with)?)?{_IS}(?P<v>\d(?:[ -]?\d){{11,18}})\b"),
        ("ADDRESS", r"\b(?:zip|postal|post)\s?code\s*(?:is|:|=)?\s*(?P<v>\d{5}(?:-\d{4})?)\b"),
    )
)  # fmt: skip
# named in a turn, and a number of the right form anywhere in it
_MENTIONED: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.I))
    for kind, pattern in (
        ("PIN", r"\bpin\b(?! ?drop)"),
        ("ACCOUNT_ID", r"\b(?:account|acct|acc)\b"),
        ("ACCESS_CODE", r"\b(?:access|clearance|verification|security|entry|door|pass|confirmation|unlock|login|one.?time)\s?code\b"),
        ("DOB", r"\b(?:birth\w*|d\.?o\.?b|born)\b"),
    )
)
_BIRTH_YEAR = re.compile(r"(?:19[2-9]\d|200\d|201[0-5])")
_DAY_OF_YEAR = re.compile(
    r"\b(?:(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2}(?:st|nd|rd|th)?|\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\b",
    re.I,
)
_LONG_NUMBER = re.compile(r"(?<![\w.,$€£:/#+-])\d{7,17}(?![\w%]|[.,:/-]\d)")
_SECRET_WORD = re.compile(
    r"\b(?:maiden(?:\s+name)?|(?:childhood |first )?pet(?:'?s)?(?:\s+name)?|(?:dog|cat|hamster|goldfish)(?:'?s)?(?:\s+name)?)\s*(?:is|was|:|,|were|called|named)?"
    r"\s*(?:called|named|was|is)?\s+",
    re.I,
)
_AND_ANOTHER = re.compile(r"\s*(?:,|and|&|,\s*and)\s+")
_SECRET_WORDS = ("maiden", "pet", "dog", "cat", "hamster", "goldfish")  # without one of them the pattern above matches nothing
_LEAD = re.compile(
    r"^(?:[\W_]|\b(?:hi|hello|hey|sure|ok|okay|yes|yeah|yep|of course|it'?s|it is|its|it was|that'?s|that is|that would be|i'?m|i am|im|this is|my|the|full|first|last"
    r"|user|pet'?s?|maiden|mother'?s?|mom'?s?|name'?s?|is|was|certainly|thanks|thank you|please|uh|um|well|oh|sorry|right|i think|i believe|her|his|called|named|and|dr|mr|mrs|ms"
    r"|poor|little|good|old|think|answer|username|hmm+|erm|childhood|favou?rite|school|cat'?s?|dog'?s?)\b)+",
    re.I,
)
_FIELD = re.compile(r"[\"']([A-Za-z][\w .-]{1,40})[\"']\s*:\s*(?:\"((?:[^\"\\\n]|\\.){2,300})\"|'([^'\\\n]{2,300})'|(\d{6,20}))")
_FORM = re.compile(r"(?m)^[ \t>*-]*([A-Za-z][A-Za-z _/-]{1,30}?)[ \t]*:[ \t]*([^\s{}()\[\];=][^\n{}();=]{1,120}?)[ \t]*$")
_STREET_KINDS = frozenset(
    [
        "street",
        "st",
        "avenue",
        "ave",
        "road",
        "rd",
        "lane",
        "ln",
        "drive",
        "dr",
        "boulevard",
        "blvd",
        "court",
        "ct",
        "way",
        "place",
        "pl",
        "square",
        "sq",
        "terrace",
        "close",
        "crescent",
        "highway",
        "hwy",
        "parkway",
        "pkwy",
        "row",
        "walk",
    ]
)
_STREET = re.compile(
    r"(?<![\w.])\d{1,5}[A-Za-z]?,?\s+(?:[NSEW]\.?\s+)?(?:[^\W\d_][\w'.-]*\s+){1,4}?"
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|pl|square|sq|terrace|close|crescent|highway|hwy|parkway|pkwy|row|walk)\b\.?"
    r"(?:,?\s+(?:apt|apartment|unit|suite|flat|#)\.?\s?\w{1,5})?(?-i:,\s*[A-Z][\w'-]+(?:\s[A-Z][\w'-]+){0,2})?(?-i:,?\s+[A-Z]{2}\s+\d{5}(?:-\d{4})?|,?\s+\d{5}\b)?",
    re.I,
)
_POSTCODE = re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b")
_LIVES = re.compile(
    r"\b(?:i live (?:at|in)|my (?:new |home |delivery |shipping |billing |postal )?address is|(?:deliver|ship|send|sent|delivered|shipped)(?: it| this| them)? to|(?:new |home |delivery |shipping |billing )?address:)\s+"
    r"(?P<v>(?:\d|flat\b|apt\b|unit\b|[^\W\d_a-z][\w'.-]*\s(?=[^.;!?\n]{0,40}\d))[^;!?\n]{4,90}?)(?=\s*(?:[;!?\n]|\.(?:\s|$)|\s\.|$|\bplease\b|\band my\b|\bbut\b|\bbecause\b))",
    re.I,
)  # fmt: skip


# a number that is an amount, not an identifier: what stands right behind it, or before it
_UNIT_BEHIND = re.compile(
    r"\s*(?:[%$€£]|(?:dollars?|bucks|usd|eur|euros?|gbp|pounds?|credits?|cents?|grand|points?|people|guests?|persons?|minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?"
    r"|miles?|meters?|metres?|kilomet\w+|km|feet|ft|square|sq|gb|mb|kg|items?|pieces?|times|percent|steps|calories|degrees|o'?clock|am|pm)\b)",
    re.I,
)
_AMOUNT_BEFORE = re.compile(
    r"(?:[$€£]|\b(?:than|about|around|roughly|approximately|under|below|over|above|up to|least|most|between|budget\w*|price|pay|paid|spend|spent|costs?|amount|sum|total"
    r"|balance|transfer\w*|deposit\w*|withdr[ae]w\w*|send|sent|owe|owes|charged?|worth|in|since|room|flight|gate|version|error|line|page)"
    r"(?:\s+(?:is|was|to|of|for|me|you|him|her|them|a|the|only|exactly|just|\$|€|£))*)\s*$",
    re.I,
)
_ROUND = re.compile(r"[1-9]0{3,}")
_EITHER = re.compile(r"\b\d{4,6}\s+or\s+\d{4,6}\b")


def _is_amount(text: str, start: int, end: int) -> bool:
    """Is the number at [start, end) so many of something?"""
    return _UNIT_BEHIND.match(text, end) is not None or _AMOUNT_BEFORE.search(text, max(0, start - 40), start) is not None


@lru_cache(maxsize=8_192)
def expected(asked: str) -> frozenset[str]:
    """Types that an assistant's turn asks for."""
    if not asked or not _ASKING.search(asked):
        return frozenset()
    found = [kind for kind, pattern in _EXPECT if pattern.search(asked)]
    if "SECURITY_ANSWER" in found and "PERSON" in found and not re.search(r"\b(?:your|full) (?:full )?name\b", asked, re.I):
        found.remove("PERSON")  # the name of a pet
    return frozenset(found)


def phrase_spans(text: str) -> list[Span]:
    """What a text says about itself, whoever speaks."""
    found: list[Span] = []
    # a rule that wants capitals needs a word that could be one of a name
    titled = any(w[0].isupper() and w.casefold() not in NEVER_A_NAME for w in _LETTERS.findall(text))
    for rule in PHRASE_RULES:
        if titled or not rule.titled:
            found.extend(Span(*s, "PERSON", "phrase", rule.score) for s in rule.find(text))
    if titled:
        found.extend(Span(*s, "PERSON", "phrase", GIVEN_SCORE) for s in given_name_spans(text))
    found.extend(Span(*s, "PERSON", "phrase", GIVEN_SCORE) for s in introduced_given_names(text))
    if found and (code := code_of(text)):  # phrases are of English; bare code names somebody only behind a key that says so
        found = [
            s for s in found
            if could_be_a_name(code, text[s.start : s.end]) and (not code.is_bare(s.start, s.end) or named_by_key(text, s.start))
        ]  # fmt: skip
    lowered = text.lower()
    for match in _SECRET_WORD.finditer(text) if any(w in lowered for w in _SECRET_WORDS) else ():
        if (
            taken := take_name(text, match.end(), titled=True) or take_name(text, match.end(), titled=False, words=1, asked=True)
        ) is not None:
            found.append(Span(*taken, "SECURITY_ANSWER", "slot", 0.7))
    if DIGIT.search(text):
        for kind, pattern in _SAID:
            for match in pattern.finditer(text):
                found.append(Span(*match.span("v"), kind, "slot", 0.8))
        found.extend(_mentioned(text))
        found.extend(Span(*m.span(), "ADDRESS", "phrase", 0.6) for m in _STREET.finditer(text) if _is_street(m.group()))
        found.extend(Span(*m.span(), "ADDRESS", "phrase", 0.6) for m in _POSTCODE.finditer(text))
        found.extend(Span(*m.span("v"), "ADDRESS", "phrase", 0.6) for m in _LIVES.finditer(text) if any(c.isdigit() for c in m["v"]))
    found.extend(_named_fields(text))
    return found


def _mentioned(text: str) -> list[Span]:
    """Numbers of a turn that names what they are, wherever it does: "I have my PIN! It is 3100"."""
    found: list[Span] = []
    for kind, pattern in _MENTIONED:
        if pattern.search(text):
            found.extend(
                Span(*m.span(), kind, "slot", 0.7) for m in _SHAPES[kind].finditer(text) if kind == "DOB" or not _is_amount(text, *m.span())
            )
    return found


_IN_A_STREET = frozenset(
    [
        "north",
        "south",
        "east",
        "west",
        "main",
        "park",
        "spring",
        "hill",
        "lake",
        "river",
        "king",
        "queen",
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
        "new",
        "old",
        "high",
        "market",
        "mill",
        "church",
        "bridge",
        "station",
        "rose",
        "grand",
        "green",
        "white",
        "black",
        "red",
    ]
)
_ALSO_WORDS = frozenset(["place", "way", "close", "drive", "row", "walk", "court", "square", "st", "ct", "pl"])
_CLOCK = frozenset(["am", "pm", "a.m", "p.m"])


def _is_street(found: str) -> bool:
    """A street begins behind its number; "10 minutes on University Boulevard" and "2 bedroom place" are none."""
    words = [w.strip(".") for w in re.findall(r"[^\W\d_][\w'.-]*", found)]
    kind = next((i for i, w in enumerate(words) if i and w.casefold() in _STREET_KINDS), len(words) - 1)
    inner = words[:kind]
    if any(w.casefold() in _CLOCK or CONTRACTED.match(w) for w in inner):
        return False
    lower = [w for w in inner if w.islower() and w not in _IN_A_STREET]
    if any(is_ordinary(w) for w in lower) or (words[kind].casefold() in _ALSO_WORDS and any(is_english(w) for w in lower)):
        return False
    return any(w[:1].isupper() for w in inner) or not all(is_ordinary(w) for w in inner)


def _named_fields(text: str) -> list[Span]:
    found: list[Span] = []
    if ":" not in text:
        return found
    for match in _FIELD.finditer(text):
        kind = named_type(match[1])
        group = next(g for g in (2, 3, 4) if match[g] is not None)
        if kind is not None and not is_ordinary(match[group].strip()) and "[" not in match[group]:
            found.append(Span(*match.span(group), kind, "named_field", 0.8))
    for match in _FORM.finditer(text):
        kind = named_type(match[1])
        if kind == "PERSON":
            if (taken := take_name(text, match.start(2), titled=False)) is not None and could_be_a_name(NO_CODE, text[slice(*taken)]):
                found.append(Span(*taken, kind, "named_field", 0.7))
        elif kind is not None and kind != "SECRET" and (any(c.isdigit() for c in match[2]) or "@" in match[2]) and len(match[2]) < 100:
            shape = _SHAPES.get(kind)
            inside = [m.span() for m in shape.finditer(text, *match.span(2))] if shape is not None else []
            found.extend(Span(*span, kind, "named_field", 0.7) for span in inside or [match.span(2)])
    return found


def slot_spans(text: str, wanted: frozenset[str], recent: frozenset[str]) -> list[Span]:
    """The answer to what was just asked (`wanted`), or asked a little earlier (`recent`: only unmistakable shapes)."""
    found: list[Span] = []
    short = len(text.split()) <= SHORT_TURN or _EITHER.search(text) is not None
    for kind in sorted(wanted | (recent & {"PIN", "ACCOUNT_ID", "DOB", "ACCESS_CODE", "CREDIT_CARD"})):
        shape = _SHAPES.get(kind)
        if shape is None:
            continue
        for match in shape.finditer(text):
            counted = kind not in ("DOB", "EMAIL_ADDRESS") and _is_amount(text, *match.span())
            if not counted and (kind in wanted or kind != "PIN" or (short and not _ROUND.fullmatch(match.group()))):
                found.append(Span(*match.span(), kind, "slot", 0.7))
    if "DOB" in wanted and short:
        found.extend(
            Span(*m.span(), "DOB", "slot", 0.6)
            for m in (_DAY_OF_YEAR.search(text), _BIRTH_YEAR.fullmatch(text.strip(" .!")))
            if m and not found
        )
    if "ADDRESS" in wanted and DIGIT.search(text) and len(text) < 160:
        found.extend(Span(*m.span(), "ADDRESS", "slot", 0.6) for m in re.finditer(r"\d[^.;!?\n]*[^\s.;!?]", text))
    for kind in ("PERSON", "SECURITY_ANSWER"):
        if kind in wanted:
            found.extend(_spoken(text, kind))
    return found


def volunteered(text: str) -> list[Span]:
    """What a customer tells unasked: a bare long number is somebody's account or the like, a full date of long ago a birthday."""
    if not DIGIT.search(text):
        return []
    code = code_of(text)
    found = [
        Span(*m.span(), "ACCOUNT_ID", "phrase", 0.5)
        for m in _LONG_NUMBER.finditer(text)
        if not m.group().endswith("000")
        and not _is_amount(text, *m.span())
        and not (m.group() in code.words or code.is_bare(*m.span()) or code.is_string(*m.span()))
    ]
    if len(text.split()) <= SHORT_TURN:
        found.extend(Span(*m.span(), "DOB", "phrase", 0.5) for m in _DATES.finditer(text) if _BIRTH_YEAR.search(m.group()))
    return found


def _spoken(text: str, kind: str) -> list[Span]:
    """A name or word given as an answer: first in the reply, or first after a comma or sentence end in a short one."""
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    words = len(text[start:].split())
    taken = take_name(text, start, titled=words > 5, cautious=kind == "PERSON" and words > 2, asked=True)
    if taken is not None:
        both = [Span(*taken, kind, "slot", 0.7)]
        if kind == "SECURITY_ANSWER" and (joint := _AND_ANOTHER.match(text, taken[1])) is not None:
            other = take_name(text, joint.end(), titled=False, words=1, asked=True)
            both.extend([Span(*other, kind, "slot", 0.7)] if other else [])
        return both
    if len(text) > 160:
        return []
    spans: list[Span] = []
    for match in re.finditer(r"[^\W\d_][\w'-]*", text):
        word = match.group()
        if (
            "'" not in word
            and word[0].isupper()
            and word.casefold() not in NEVER_A_NAME
            and not (word.isupper() and len(word) > 1 and not text.isupper())
            and not is_sound(word)
            and (match.start() == 0 or not text[: match.start()].rstrip().endswith((".", "?", "!")))
        ):
            spans.append(Span(*match.span(), kind, "slot", 0.5))
    return spans[:3]


def turns_expectations(turns: Sequence[tuple[str, str]]) -> list[tuple[frozenset[str], frozenset[str]]]:
    """For each (role, text): what was asked just before it, and what was asked in the conversation so far."""
    wanted: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    result = []
    for role, text in turns:
        result.append((wanted, asked) if role == "user" else (frozenset[str](), frozenset[str]()))
        if role == "assistant":
            wanted = expected(text)
            asked |= wanted
    return result
