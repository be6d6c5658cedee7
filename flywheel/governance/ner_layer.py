"""What the trained recogniser adds, and where it is not believed.

It reads a text alone. Places and organisations it knows too: they are not redacted, but a mere common given name inside one is no person.
A security answer counts only where one is spoken of. It learnt little of code, which is full of words that no dictionary holds: on bare
code it is not believed, in strings and comments only with what looks like a name (`_is_named_in_code`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from flywheel.governance.code_text import CODE_WORDS, Code, code_of, named_by_key
from flywheel.governance.dictionary import is_english, is_sound
from flywheel.governance.given_names import GIVEN, PLACE_BEFORE, PLACE_BEHIND
from flywheel.governance.names import MOST_WORDS, PARTICLES, TITLE
from flywheel.governance.ner.model import Found, Recogniser, load_recogniser
from flywheel.governance.ordinary import NEVER_A_NAME, ORDINARY
from flywheel.governance.spans import Span
from flywheel.settings import GovernanceSettings

CERTAIN_SCORE = 0.9  # from here on what it found is looked for in the whole conversation
LISTED_LOWER_CASE, LOWER_CASE, LOWER_CASES = 0.8, 0.95, 0.97  # a listed word, one and more that are on no list
BATCH = 20_000
_EDGE = " \t\r\n.,;:!?\"'()[]{}<>|/\\*&+-_=#@~`"
_ANSWERS = re.compile(r"\b(?:maiden|pets?|dog|cat|hamster|goldfish|rabbit|school|answer|secur\w*)\b", re.I)
_LOGIN = re.compile(r"@|\b(?:user|login|log in|logged|account|handle|nick)|todo|fixme", re.I)
_DIRECTIONS = re.compile(
    r"\b(?:turn|walk|drive|head|bus|train|tram|line|stop|exit|street|avenue|road|corner|intersection|miles?|kilomet\w+|met(?:er|re)s?|blocks?|traffic|towards?|north|south|east"
    r"|west|left|right|route|rides?|taxi|cab|depart\w*|arriv\w*|destination|location|pick ?up|drop(?:ped|s)?)\b",
    re.I,
)
_ON_ROAD = re.compile(
    r"\b(?:on|onto|at|near|towards?|along|down|until|reach|past|cross|between)\s+$|\b(?:from|to|at|in|near)\s+['\"]\s*$", re.I
)
_CORNER = re.compile(r"\b[Aa]t\s+$")
_OTHER_ROAD = re.compile(r"\s+(?:and|&)\s+[A-Z0-9]")
_AND = re.compile(r"\s+(?:and|&|or)\s+")
_NO_SPELLING = re.compile(r"[^\W\d_]\d|\d[^\W\d_]|([^\W\d_])\1{3}", re.I)  # sw4pped, moneyyyy
_THE = re.compile(r"\b(?:the|The)\s+$")
_HOUSEHOLD = re.compile(r"\s+(?:famil|household|account|wedding|party|residence|kids|order|booking|reservation|case)", re.I)
_WORD = re.compile(r"[^\W\d_]+")
_TITLED = re.compile(r"(?:[^\W\d_a-z]['’]|Mc|Mac|De|Di|La|Le|Van)?[^\W\d_a-z][^\W\d_A-Z]+|[^\W\d_a-z]")  # Maria, McCoy, O'Hara, an initial
_HOUSE_NUMBER = re.compile(r"(?<!\w)\d+(?:[A-Za-z]|st|nd|rd|th)?(?!\w)|\d{3}")
_SIGN = re.compile(r"[\[\](){}<>=+*/\\|;:_#$%&@^~\"\d]")  # in nobody's name
_STREET_WORD = re.compile(r"[^\W\d_a-z][^\W\d_A-Z]{2}")
_NO_ADDRESS = re.compile(r"[|<>=()\[\]{}\\]|\b0x|\d[A-Z]\b.*\d[A-Z]\b")
_CALLED = re.compile(r"[(\[_\d]|\.[a-z_]|::|->")
_MEMBER = re.compile(r"[_$@\d]$|\w\.$|::$|->$|[^\W\d_]$")


@dataclass(frozen=True)
class Names:
    """Of one text: `spans` to redact, stretches that are `denied` to be a person (places, organisations), and those that are a `possible` one."""

    spans: tuple[Span, ...] = ()
    denied: tuple[tuple[int, int], ...] = ()
    possible: tuple[tuple[int, int], ...] = ()

    def supports(self, span: Span) -> bool:
        """May a weak finding of the rules stand?"""
        return any(a < span.end and span.start < b for a, b in self.possible)

    def opinion(self, start: int, end: int) -> int:
        """Of the word there: 0 a person (or possibly one), 1 a place or an organisation, 2 neither."""
        if any(a < end and start < b for a, b in self.possible):
            return 0
        return 1 if any(a < end and start < b for a, b in self.denied) else 2


NONE = Names()


@dataclass
class NameLayer:
    """Asks the recogniser, and remembers: agents repeat themselves."""

    settings: GovernanceSettings
    cached: int = 200_000
    _seen: dict[str, Names] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._not_names = frozenset(w.casefold() for name in self.settings.not_names for w in (name, *name.split()))

    @property
    def recogniser(self) -> Recogniser:
        return load_recogniser(self.settings.ner, self.settings.ner_threshold)

    def look_ahead(self, texts: Iterable[str]) -> None:
        """Read many texts at once, so that `names` finds them read. Changes nothing but the time it takes."""
        new = list(dict.fromkeys(t for t in texts if t not in self._seen))
        if len(self._seen) + len(new) > self.cached:
            self._seen.clear()
        for begin in range(0, len(new), BATCH):
            part = new[begin : begin + BATCH]
            codes = [code_of(text) for text in part]
            read = self.recogniser.find([c.readable(t) if c else t for t, c in zip(part, codes, strict=True)])
            for text, code, found in zip(part, codes, read, strict=True):
                self._seen[text] = self._judge(text, code, found) if found else NONE

    def names(self, text: str) -> Names:
        """What stands in one text."""
        if text not in self._seen:
            self.look_ahead([text])
        return self._seen[text]

    def _judge(self, text: str, code: Code, found: Sequence[Found]) -> Names:
        spans, denied, possible = [], [], []
        place_end = -1
        for one in sorted(found, key=lambda f: f.start):
            start, end = _trim(text, one.start, one.end)
            if start >= end:
                continue
            if one.type in ("PERSON", "MAYBE"):
                possible.append((start, end))
            if one.type == "MAYBE":
                continue
            if one.type in ("PLACE", "ORG"):
                denied.append((start, end))
                place_end = end if one.type == "PLACE" else place_end
            elif one.type == "PERSON" and (
                self._is_elsewhere(text, start, end) or (place_end >= 0 and _AND.fullmatch(text, place_end, start))
            ):
                denied.append((start, end))
                place_end = end
                possible.pop()
            elif (one.type == "PERSON" and one.score < self._demanded(text[start:end])) or (
                code and not self._is_named_in_code(code, text, start, end, one)
            ):
                continue
            elif self._holds(text[start:end], one.type, text):
                if one.type == "PERSON":
                    start, end = self._core(text, start, end)
                spans.append(Span(start, end, one.type, "ner", one.score))
        return Names(tuple(spans), tuple(denied), tuple(possible))

    def _holds(self, value: str, kind: str, text: str) -> bool:
        words = _WORD.findall(value)
        if not words or value.casefold() in self._not_names:
            return False
        if kind == "PERSON" and _NO_SPELLING.search(value):
            return False
        if kind == "PERSON":
            return any(
                len(w) > 1 and not is_sound(w) and not self.recogniser.known(w) and w.casefold() not in self._not_names for w in words
            )
        if kind == "ADDRESS":
            return _HOUSE_NUMBER.search(value) is not None and len(value) > 5
        if kind == "USERNAME":
            return len(value) > 3 and _LOGIN.search(text) is not None and not self.recogniser.known(value)
        return True

    def _is_named_in_code(self, code: Code, text: str, start: int, end: int, found: Found) -> bool:
        """Is this personal data in a text that holds code? Bare code names nobody, but where a key says so and a listed name stands; in
        strings and prose a name looks like one: capitals and small letters, on a list or two words of it, no sign and no word of code."""
        value = text[start:end]
        if found.type == "USERNAME":
            return not code.is_bare(start, end) and not code.is_word(value) and bool(_LOGIN.search(text, max(0, start - 40), start))
        if found.type == "ADDRESS":
            return not code.is_bare(start, end) and _STREET_WORD.search(value) is not None and _NO_ADDRESS.search(value) is None
        if found.type != "PERSON":
            return not code.is_bare(start, end)
        words = _WORD.findall(value)
        listed = [w for w in words if len(w) > 2 and self._is_given(w)]
        if code.is_bare(start, end):
            return bool(listed) and len(words) <= MOST_WORDS and _SIGN.search(value) is None and named_by_key(text, start)
        if _SIGN.search(value) or _CALLED.match(text, end) or _MEMBER.search(text, max(0, start - 2), start):
            return False
        if listed:
            return len(words) > 1 or not code.is_string(start, end) or _stands_whole(text, start, end)
        if code.is_string(start, end) and len(words) < 2:
            return False
        if any(code.is_word(w) for w in words) or not all(_TITLED.fullmatch(w) for w in words if w not in PARTICLES):
            return False
        return len(words) > 1 or found.score >= CERTAIN_SCORE

    def _is_given(self, word: str) -> bool:
        """A name on the lists, written as one, and no word of English or of code besides."""
        lowered = word.casefold()
        if lowered in CODE_WORDS or lowered in ORDINARY or not _TITLED.fullmatch(word):
            return False
        return lowered in GIVEN or (self.recogniser.is_listed(word) and not is_english(word))

    def _is_elsewhere(self, text: str, start: int, end: int) -> bool:
        """Is this a road, a house or an abbreviation, for all that it looks like a name?"""
        before, value = text[max(0, start - 16) : start], text[start:end]
        if PLACE_BEHIND.match(text, end) or PLACE_BEFORE.search(before) or (_ON_ROAD.search(before) and _DIRECTIONS.search(text)):
            return True
        if _CORNER.search(before) and _OTHER_ROAD.match(text, end):
            return True
        if _THE.search(before) and " " not in value and not value.endswith("s") and not _HOUSEHOLD.match(text, end):
            return True
        return value.isupper() and value.isalpha() and len(value) > 1 and not text.isupper() and not self.recogniser.is_listed(value)

    def _demanded(self, value: str) -> float:
        """How sure the recogniser must be: a word in lower case on no list is mostly a slip of the finger."""
        if any(c.isupper() for c in value):
            return 0.0
        words = _WORD.findall(value)
        if any(len(w) > 3 and self.recogniser.is_listed(w) for w in words):
            return LISTED_LOWER_CASE
        return LOWER_CASE if len(words) == 1 else LOWER_CASES

    def _core(self, text: str, start: int, end: int) -> tuple[int, int]:
        """Without everyday words in lower case around a name with capitals: "Shadi sounds good"."""
        words = [(m.start(), m.end(), m.group()) for m in _WORD.finditer(text, start, end)]
        if not any(w[:1].isupper() for _, _, w in words):
            return start, end
        kept = [
            i for i, (_, _, w) in enumerate(words)
            if not ((w.islower() and self.recogniser.known(w)) or is_sound(w) or (i == 0 and w.casefold() in NEVER_A_NAME))
        ]  # fmt: skip
        if not kept or kept == list(range(len(words))):
            return start, end
        first, last = kept[0], kept[-1]
        return (words[first][0] if first else start), (words[last][1] if last < len(words) - 1 else end)


def _stands_whole(text: str, start: int, end: int) -> bool:
    """In a string: alone in it, or between words of a sentence."""
    return (start == 0 or not (text[start - 1].isalnum() or text[start - 1] in "_-.")) and not (text[end : end + 1].isalnum())


def answers_meant(text: str, asked: frozenset[str]) -> bool:
    """Is a security answer spoken of, here or in what was asked?"""
    return "SECURITY_ANSWER" in asked or _ANSWERS.search(text) is not None


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Without signs at the ends, and without a title before the name."""
    while start < end and text[start] in _EDGE:
        start += 1
    while end > start and text[end - 1] in _EDGE:
        end -= 1
    title = TITLE.match(text, start, end)
    if title is not None and title.end() < end:
        start = title.end()
    if text[start:end].endswith(("'s", "’s")):
        end -= 2
    return start, end
