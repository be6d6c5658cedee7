"""What only the dialogue tells: "my name is ...", "my PIN is ...", an answer to what the assistant has just asked, a field in JSON.

Plain rules, no model. They know English phrasing; names must look like names (`names.take_name`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from flywheel.governance.given_names import given_name_spans
from flywheel.governance.identity import named_type
from flywheel.governance.names import PHRASE_RULES, take_name
from flywheel.governance.ordinary import NEVER_A_NAME, is_ordinary
from flywheel.governance.spans import Span

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
        ("PIN", r"\bpin\b[^.!?\d]{0,40}?(?P<v>\d{4,6})\b(?:\s*(?:or|and|,|/)\s*(?P<w>\d{4,6})\b)?"),
        ("ACCOUNT_ID", r"\b(?:account|acct|balance)\b[^.!?\d]{0,30}?(?P<v>[A-Z]{0,3}-?\d(?:[ -]?\d){5,17})\b"),
        ("ACCESS_CODE", rf"\b(?:access|clearance|verification|security|entry|door|pass)?\s?code{_IS}(?P<v>(?=[A-Z-]*\d)[A-Z0-9-]{{4,12}})\b"),
        ("DOB", rf"\b(?:date of birth|d\.?o\.?b\.?|birth ?da(?:te|y)|born(?: on| in)?){_IS}(?:the\s+)?(?P<v>{_DATE})"),
        ("GOVERNMENT_ID", rf"\b(?:ssn|social security|passport|licen[cs]e){_IS}(?P<v>(?=[A-Z-]*\d)[A-Z0-9-]{{6,14}})\b"),
        ("PHONE_NUMBER", rf"\b(?:phone|mobile|cell|tel|call me (?:on|at)|text me (?:on|at)|reach me (?:on|at)){_IS}(?P<v>\+?\(?\d(?:[\s().-]{{0,2}}\d){{5,14}})\b"),
        ("CREDIT_CARD", rf"\bcard(?: ending(?: in| with)?)?{_IS}(?P<v>\d(?:[ -]?\d){{11,18}})\b"),
        ("ADDRESS", r"\b(?:zip|postal|post)\s?code\s*(?:is|:|=)?\s*(?P<v>\d{5}(?:-\d{4})?)\b"),
    )
)  # fmt: skip
_SECRET_WORD = re.compile(
    r"\b(?:maiden(?:\s+name)?|(?:childhood |first )?pet(?:'?s)?(?:\s+name)?|(?:dog|cat|hamster|goldfish)(?:'?s)?(?:\s+name)?)\s*(?:is|was|:|,|were|called|named)?"
    r"\s*(?:called|named|was|is)?\s+",
    re.I,
)
_LEAD = re.compile(
    r"^(?:[\W_]|\b(?:hi|hello|hey|sure|ok|okay|yes|yeah|yep|of course|it'?s|it is|its|it was|that'?s|that is|that would be|i'?m|i am|im|this is|my|the|full|first|last"
    r"|user|pet'?s?|maiden|mother'?s?|mom'?s?|name'?s?|is|was|certainly|thanks|thank you|please|uh|um|well|oh|sorry|right|i think|i believe|her|his|called|named|and|dr|mr|mrs|ms"
    r"|poor|little|good|old|think|answer|username|hmm+|erm)\b)+",
    re.I,
)
_FIELD = re.compile(r"[\"']([A-Za-z][\w .-]{1,40})[\"']\s*:\s*(?:\"((?:[^\"\\\n]|\\.){2,300})\"|'([^'\\\n]{2,300})'|(\d{6,20}))")
_FORM = re.compile(r"(?m)^[ \t>*-]*([A-Za-z][A-Za-z _/-]{1,30}?)[ \t]*:[ \t]*([^\s{}()\[\];=][^\n{}();=]{1,120}?)[ \t]*$")
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


_MONEY = re.compile(r"[$€£]|\b(?:dollars?|bucks|usd|eur|euros?|pounds?|transfer\w*|amount)\b", re.I)


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
    for rule in PHRASE_RULES:
        found.extend(Span(*s, "PERSON", "phrase", 0.7) for s in rule.find(text))
    found.extend(Span(*s, "PERSON", "phrase", 0.5) for s in given_name_spans(text))
    for match in _SECRET_WORD.finditer(text):
        if (taken := take_name(text, match.end(), titled=True)) is not None:
            found.append(Span(*taken, "SECURITY_ANSWER", "slot", 0.7))
    if any(c.isdigit() for c in text):
        for kind, pattern in _SAID:
            for match in pattern.finditer(text):
                found.extend(Span(*match.span(g), kind, "slot", 0.8) for g in ("v", "w") if match.groupdict().get(g))
        found.extend(Span(*m.span(), "ADDRESS", "phrase", 0.6) for m in _STREET.finditer(text) if _is_street(m.group()))
        found.extend(Span(*m.span(), "ADDRESS", "phrase", 0.6) for m in _POSTCODE.finditer(text))
        found.extend(Span(*m.span("v"), "ADDRESS", "phrase", 0.6) for m in _LIVES.finditer(text) if any(c.isdigit() for c in m["v"]))
    found.extend(_named_fields(text))
    return found


def _is_street(found: str) -> bool:
    words = re.findall(r"[^\W\d_][\w'.-]*", found)
    if words[0].islower() and is_ordinary(words[0].strip(".")):
        return False  # "10 minutes on University Boulevard"
    return any(w[:1].isupper() for w in words[:-1]) or not all(is_ordinary(w.strip(".")) for w in words[:-1])


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
            if (taken := take_name(text, match.start(2), titled=False)) is not None:
                found.append(Span(*taken, kind, "named_field", 0.7))
        elif kind is not None and kind != "SECRET" and (any(c.isdigit() for c in match[2]) or "@" in match[2]) and len(match[2]) < 100:
            found.append(Span(*match.span(2), kind, "named_field", 0.7))
    return found


def slot_spans(text: str, wanted: frozenset[str], recent: frozenset[str]) -> list[Span]:
    """The answer to what was just asked (`wanted`), or asked a little earlier (`recent`: only unmistakable shapes)."""
    found: list[Span] = []
    if recent and _MONEY.search(text):
        recent = frozenset()
    for kind in sorted(wanted | (recent & {"PIN", "ACCOUNT_ID", "DOB", "ACCESS_CODE", "CREDIT_CARD"})):
        shape = _SHAPES.get(kind)
        if shape is not None:
            found.extend(Span(*m.span(), kind, "slot", 0.7) for m in shape.finditer(text))
    if "ADDRESS" in wanted and any(c.isdigit() for c in text) and len(text) < 160:
        found.extend(Span(*m.span(), "ADDRESS", "slot", 0.6) for m in re.finditer(r"\d[^.;!?\n]*[^\s.;!?]", text))
    for kind in ("PERSON", "SECURITY_ANSWER"):
        if kind in wanted:
            found.extend(_spoken(text, kind))
    return found


def _spoken(text: str, kind: str) -> list[Span]:
    """A name or word given as an answer: first in the reply, or first after a comma or sentence end in a short one."""
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    taken = take_name(text, start, titled=len(text[start:].split()) > 5)
    if taken is not None:
        return [Span(*taken, kind, "slot", 0.7)]
    if len(text) > 160:
        return []
    spans: list[Span] = []
    for match in re.finditer(r"[^\W\d_][\w'-]*", text):
        word = match.group()
        if (
            "'" not in word
            and word[0].isupper()
            and word.casefold() not in NEVER_A_NAME
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
