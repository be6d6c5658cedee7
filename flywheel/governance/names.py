"""Where a name begins after a phrase that announces one, and where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flywheel.governance.dictionary import is_english, is_sound
from flywheel.governance.ordinary import NAMES_TOO, NEVER_A_NAME, ORDINARY

_TOKEN = re.compile(r"[^\W\d_](?:[^\W\d_]|['-](?=[^\W\d_]))*")
TITLE = re.compile(r"(?:mr|mrs|ms|miss|mx|dr|prof|professor|doctor|captain|sir|madam)\b\.?[ \t]+", re.I)
CONTRACTED = re.compile(r"(?i)\w+'(?:m|ve|ll|d|re|t)$")
PARTICLES = frozenset(
    [
        "van",
        "von",
        "der",
        "den",
        "de",
        "del",
        "della",
        "di",
        "da",
        "dos",
        "du",
        "la",
        "le",
        "el",
        "al",
        "bin",
        "ibn",
        "ter",
        "ten",
        "st",
        "san",
    ]
)
_NATIONS = frozenset(
    [
        "chinese",
        "italian",
        "thai",
        "indian",
        "mexican",
        "japanese",
        "french",
        "german",
        "spanish",
        "korean",
        "vietnamese",
        "greek",
        "turkish",
        "american",
        "british",
        "english",
        "african",
        "european",
        "asian",
        "arabic",
        "russian",
        "polish",
    ]
)
MOST_WORDS = 4


def take_name(
    text: str, start: int, *, titled: bool, words: int = MOST_WORDS, cautious: bool = False, asked: bool = False
) -> tuple[int, int] | None:
    """The name that begins at `start` (titles skipped), or None.

    `titled`: each word must begin with a capital, and a word that is also ordinary ("Will") only counts beside another. Otherwise lower
    case counts too, as long as one word is none of everyday English (`cautious`: of a dictionary). `asked`: somebody wants a
    name here, so that one that is also a word ("mark") counts.
    """
    while (title := TITLE.match(text, start)) is not None:
        start = title.end()
    at, end, taken, sure = start, start, 0, False
    while taken < words and (token := _TOKEN.match(text, at)) is not None:
        word = token.group().removesuffix("'s")
        lowered = word.casefold()
        after = token.start() + len(word)
        capital = word[0].isupper()
        if lowered in PARTICLES and taken and not capital:
            at = _after_space(text, after)  # counts only with a word behind it
            if at == after:
                break
            continue
        if (
            lowered in NEVER_A_NAME
            or CONTRACTED.match(word)
            or is_sound(word)
            or lowered in _NATIONS
            or (titled and not capital)
            or (len(word) == 1 and not taken and text[after : after + 1] != ".")
        ):
            break
        if word.isupper() and len(word) > 1 and titled and len(word) < 4:
            break  # an abbreviation
        sure = sure or capital or (asked and lowered in NAMES_TOO) or not (lowered in ORDINARY or (cautious and is_english(lowered)))
        taken, end = taken + 1, after
        if len(word) == 1 and text[after : after + 1] == ".":
            after += 1
        at = _after_space(text, after)
        if at == after or len(word) < len(token.group()):
            break
    if not taken or not sure:
        return None
    return start, end


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


@dataclass(frozen=True)
class PhraseRule:
    """A phrase before a name. `titled`: the name needs capitals. `ends`: what must follow it. A `score` of 0.5 is weak: a recogniser may deny it."""

    pattern: re.Pattern[str]
    titled: bool = True
    ends: re.Pattern[str] | None = None
    score: float = 0.7
    asked: bool = False

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        for match in self.pattern.finditer(text):
            taken = take_name(text, match.end(), titled=self.titled, asked=self.asked)
            if taken is not None and (self.ends is None or self.ends.match(text, taken[1])):
                yield taken


_RELATION = (
    "friend|colleague|co-?worker|boss|manager|wife|husband|spouse|partner|son|daughter|brother|sister|mother|father|mom|mum|dad|aunt|uncle|cousin"
    "|neighbou?r|roommate|fiance|fiancee|boyfriend|girlfriend|nephew|niece|grandmother|grandfather|assistant|doctor|buddy|mate|client"
)
PHRASE_RULES: tuple[PhraseRule, ...] = (
    PhraseRule(
        re.compile(
            r"\b(?:my|his|her|their|full|first|last|user|customer'?s?|guest'?s?|recipient'?s?)\s*-?\s?name(?:'s| is| was|:| on the account is)\s*(?:is\s+)?"
            r"|\bname'?s? is\s+|\bname'?s\s+(?=[A-Z])|\bmy name\s+(?=[A-Z])|\bunder (?:the )?name (?:of )?|\bin the name of\s+",
            re.I,
        ),
        titled=False, asked=True,
    ),
    PhraseRule(re.compile(r"(?<![\w.])(?:mr|mrs|ms|miss|mx|dr|prof|professor|doctor)\b\.?[ \t]+(?=[^\W\d_])", re.I)),
    PhraseRule(
        re.compile(
            r"\b(?:i am|i'm|im|i’m|this is|call me|named|called|ask for|asked for|speak (?:to|with)|spoke (?:to|with)|talked (?:to|with)|speaking with"
            r"|behalf of|signed|attn:?|for customer|written by|appointment with)\s+(?=[^\W\d_])",
            re.I,
        )
    ),
    PhraseRule(
        re.compile(r"\b(?:contact|customer|user|agent|guests? (?:is|are)|invite|thanks?,? to|see)\s+(?=[^\W\d_])", re.I), score=0.5
    ),
    PhraseRule(re.compile(rf"\b(?:{_RELATION})(?:'s name is|,| is| named| called)?[ \t]+(?=[^\W\d_])", re.I)),
    PhraseRule(re.compile(r"\b(?:hi|hello|hey|dear|thanks|thank you|welcome|welcome back|goodbye|bye),?[ \t]+(?=[^\W\d_])", re.I),
               ends=re.compile(r"\s*(?:[,.!?:;]|$|\n)")),
    PhraseRule(re.compile(r"\b(?:sorry|ok|okay|great|alright|sure),?[ \t]+(?=[^\W\d_])", re.I), ends=re.compile(r"\s*(?:[,.!?:;]|$|\n)"), score=0.5),
    PhraseRule(re.compile(r"(?:^|[\n.!?]\s*)(?:(?:kind|best|warm)\s+)?(?:regards|sincerely|cheers|thanks|yours(?: truly| sincerely)?|best|love)\s*,?\s*\n\s*", re.I),
               ends=re.compile(r"[ \t]*(?:\n|$)")),
    PhraseRule(re.compile(r"\b(?:it'?s|it is|here is|here's)[ \t]+(?=[^\W\d_])", re.I), ends=re.compile(r"\s*(?:here|speaking|again|,|\.?$)")),
    PhraseRule(re.compile(r"^(?:\s*(?:hi|hello|hey)\b[\s,.!]*)?", re.I), ends=re.compile(r"\s+(?:here|speaking)\b")),
    PhraseRule(re.compile(r"(?i:@author|author:|reviewed[- ]by:|signed-off-by:|co-authored-by:|maintainer:|copyright(?: \(c\))?(?: \d{4})?)[ \t]+(?=[^\W\d_])")),
)  # fmt: skip
