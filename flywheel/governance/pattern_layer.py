"""Structured identifiers: Presidio's pattern recognizers behind a prefilter, and the configured formats of the business.

Presidio's recognizers are called one by one, each only on a text that could hold what it looks for (the phone recognizer alone costs
more than all others). Those that mis-type business ids are left out: on real chats every order id came out as a US bank number or a
driving licence, and chat typos as web addresses (facts/privacy.md, section 2). DATE_TIME stays: dates of orders are no personal data here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flywheel.errors import SettingsError
from flywheel.governance.checks import CHECKS
from flywheel.governance.numerals import is_literal, is_no_address
from flywheel.governance.spans import Span
from flywheel.settings import IdentifierPattern

# recognizer class in presidio_analyzer.predefined_recognizers -> what a text must contain for it to be asked
PREFILTERS: dict[str, re.Pattern[str]] = {
    "EmailRecognizer": re.compile(r"@"),
    "CreditCardRecognizer": re.compile(r"\d(?:[ -]?\d){11}"),
    "IbanRecognizer": re.compile(r"[A-Za-z]{2}[ -]?\d{2}[ -]?[A-Za-z0-9]{4}"),
    "UsSsnRecognizer": re.compile(r"\d{3}[- .]?\d{2}[- .]?\d{4}"),
    "IpRecognizer": re.compile(r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f]?:[0-9A-Fa-f]{0,4}:"),
    "MacAddressRecognizer": re.compile(r"[0-9A-Fa-f]{2}[:-][0-9A-Fa-f]{2}[:-]|[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\."),
    "CryptoRecognizer": re.compile(r"(?:bc1|[13])[A-Za-z0-9]{24}"),
}
PHONE_CANDIDATE = re.compile(r"[+(]{0,2}\d(?:[^\w\n]{0,4}\d){6,}")
IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
STRONG = frozenset({"EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "MAC_ADDRESS", "CRYPTO"})
PHONE_SHAPE = re.compile(r"(?<![\w.])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,5}\)|\d{2,5})[ .-]\d{3,4}[ .-]\d{3,4}(?![\w-]|\.\d)")
SPELT_EMAIL = re.compile(
    r"\b[\w.+-]+\s?(?:\(at\)|\[at\]|\{at\}|\sat\s|\s@\s)\s?[\w-]+(?:\s?(?:\(dot\)|\[dot\]|\{dot\}|\sdot\s|\.)\s?[\w-]+)*"
    r"\s?(?:\(dot\)|\[dot\]|\{dot\}|\sdot\s|\.)\s?[a-z]{2,10}\b",
    re.I,
)
BEFORE_AT, AFTER_AT = 80, 260  # more than an address may have there (RFC 5321: 64 and 255)
_DIGIT_OR_AT = re.compile(r"[\d@]")
_SPELT_DOT = re.compile(r"\(dot\)|\[dot\]|\{dot\}|\sdot\s|\(at\)|\[at\]|\{at\}|\s@\s", re.I)


@lru_cache(maxsize=2)
def recognizers(language: str) -> tuple[tuple[re.Pattern[str], Any], ...]:
    """(prefilter, recognizer), made once a process. No NLP engine, no model, no network."""
    from presidio_analyzer import predefined_recognizers as known

    made = []
    for name, prefilter in PREFILTERS.items():
        kind = getattr(known, name)
        if name == "EmailRecognizer":  # the original asks tldextract, which goes to the network, and lets unknown suffixes pass
            kind = type("EmailShapeRecognizer", (kind,), {"validate_result": lambda self, pattern_text: None})
        made.append((prefilter, kind(supported_language=language)))
    return tuple(made)


def pattern_spans(text: str, *, language: str, minimum_score: float) -> list[Span]:
    """What Presidio's recognizers and our phone and spelt-out e-mail rules find in `text`."""
    if not _DIGIT_OR_AT.search(text) and not _SPELT_DOT.search(text):
        return []
    found: list[Span] = []
    for prefilter, recognizer in recognizers(language):
        if prefilter.search(text):
            # the e-mail expression takes quadratic time in what stands before an @: it sees only the surroundings
            parts = _around_ats(text) if type(recognizer).__name__ == "EmailShapeRecognizer" else ((0, text),)
            for start, part in parts:
                for result in recognizer.analyze(part, recognizer.supported_entities, None):
                    if result.entity_type == "IP_ADDRESS" and is_no_address(text, start + result.start, start + result.end):
                        continue
                    if result.score >= minimum_score:
                        layer = "pattern_strong" if result.entity_type in STRONG else "pattern"
                        found.append(Span(start + result.start, start + result.end, result.entity_type, layer, result.score))
    found.extend(s for s in _phones(text, language) if not is_literal(text, s.start, s.end))
    found.extend(Span(*m.span(), "PHONE_NUMBER", "pattern", 0.5) for m in PHONE_SHAPE.finditer(text))
    if _SPELT_DOT.search(text):
        found.extend(Span(*m.span(), "EMAIL_ADDRESS", "pattern", 0.6) for m in SPELT_EMAIL.finditer(text))
    return found


def _around_ats(text: str) -> Iterator[tuple[int, str]]:
    """(start, part) of the text around each @; parts that touch are one."""
    start, end = 0, -1
    for at in re.finditer("@", text):
        if at.start() - BEFORE_AT > end:
            if end >= 0:
                yield start, text[start:end]
            start = max(0, at.start() - BEFORE_AT)
        end = at.start() + AFTER_AT
    if end >= 0:
        yield start, text[start:end]


def _phones(text: str, language: str) -> list[Span]:
    """What Presidio's phone recognizer finds, asked only about the surroundings of long digit groups: it parses for eight regions."""
    found: list[Span] = []
    for candidate in PHONE_CANDIDATE.finditer(text):
        if IP.fullmatch(candidate.group()):
            continue
        start = max(0, candidate.start() - 4)
        spans = _phones_near(text[start : candidate.end() + 14], language)
        for a, b in ((start + a, start + b) for a, b in spans):
            found.append(Span(a, b, "PHONE_NUMBER", "number" if text[a:b].lstrip("([{- ").isdigit() else "pattern", 0.4))
    return found


@lru_cache(maxsize=65_536)
def _phones_near(window: str, language: str) -> tuple[tuple[int, int], ...]:
    return tuple((r.start, r.end) for r in _phone_recognizer(language).analyze(window, ["PHONE_NUMBER"]))


@lru_cache(maxsize=2)
def _phone_recognizer(language: str) -> Any:
    from presidio_analyzer.predefined_recognizers import PhoneRecognizer

    return PhoneRecognizer(supported_language=language)


@dataclass(frozen=True)
class Identifier:
    """A configured format, compiled."""

    type: str
    pattern: re.Pattern[str]
    context: re.Pattern[str] | None
    window: int
    holds: Callable[[str], bool]


def compile_identifiers(identifiers: Mapping[str, str | IdentifierPattern]) -> tuple[Identifier, ...]:
    """The configured formats. Raises `SettingsError` naming the key of one that is no regular expression, matches the empty text, or has a
    name, label or context word that cannot be one."""
    made = []
    for name, given in identifiers.items():
        one = IdentifierPattern(pattern=given) if isinstance(given, str) else given
        label, where = one.label or name, f"governance.identifiers.{name}"
        try:
            compiled = re.compile(one.pattern)
        except re.error as error:
            raise SettingsError(f"{where}: {one.pattern!r} is no regular expression: {error}") from None
        if compiled.fullmatch(""):
            raise SettingsError(f"{where}: {one.pattern!r} matches the empty text; make it match an identifier")
        if not re.fullmatch(r"[A-Z][A-Z_]{1,30}", label):
            raise SettingsError(f"{where}: a type name has capital letters and _ only, as ORDER_ID; {label!r} is none (name or label)")
        if any(not word.strip() for word in one.context):
            raise SettingsError(f"{where}.context: an empty word stands everywhere; leave it out")
        words = "|".join(re.escape(word.strip()) for word in sorted(one.context, key=len, reverse=True))
        context = re.compile(rf"(?<![^\W_])(?:{words})(?![^\W_])", re.I) if words else None
        made.append(Identifier(label, compiled, context, one.window, CHECKS[one.check]))
    return tuple(made)


def identifier_spans(text: str, identifiers: tuple[Identifier, ...]) -> list[Span]:
    """Business identifiers in `text`, and the same in lower case, with their context and check where one is configured."""
    upper = text.upper()
    texts = (text, upper) if upper != text and len(upper) == len(text) else (text,)
    return [
        Span(*m.span(), one.type, "identifier")
        for one in identifiers for t in texts for m in one.pattern.finditer(t)
        if m.end() > m.start() and one.holds(m.group()) and _in_context(text, m.start(), m.end(), one)
    ]  # fmt: skip


def _in_context(text: str, start: int, end: int, one: Identifier) -> bool:
    if one.context is None:
        return True
    behind = end + one.window
    return any(one.context.search(text, first, last) is not None for first, last in ((max(0, start - one.window), start), (end, behind)))
