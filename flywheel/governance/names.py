"""Where a name begins after a phrase that announces one, and where it ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flywheel.governance.ordinary import NEVER_A_NAME, ORDINARY

_TOKEN = re.compile(r"[^\W\d_](?:[^\W\d_]|['-](?=[^\W\d_]))*")
_TITLE = re.compile(r"(?:mr|mrs|ms|miss|mx|dr|prof|professor|doctor|captain|sir|madam)\b\.?[ \t]+", re.I)
_CONTRACTED = re.compile(r"(?i)\w+'(?:m|ve|ll|d|re|t)$")
_PARTICLES = frozenset(
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
MOST_WORDS = 4


def take_name(text: str, start: int, *, titled: bool, words: int = MOST_WORDS) -> tuple[int, int] | None:
    """The name that begins at `start` (titles skipped), or None.

    `titled`: each word must begin with a capital, and a word that is also ordinary ("Will") only counts beside another. Otherwise lower
    case counts too, as long as the word is none of everyday English.
    """
    while (title := _TITLE.match(text, start)) is not None:
        start = title.end()
    at, end, taken, sure = start, start, 0, False
    while taken < words and (token := _TOKEN.match(text, at)) is not None:
        word = token.group().removesuffix("'s")
        lowered = word.casefold()
        after = token.start() + len(word)
        capital = word[0].isupper()
        if lowered in _PARTICLES and taken and not capital:
            at = _after_space(text, after)  # counts only with a word behind it
            if at == after:
                break
            continue
        if (
            lowered in NEVER_A_NAME
            or _CONTRACTED.match(word)
            or (titled and not capital)
            or (len(word) == 1 and not taken and text[after : after + 1] != ".")
        ):
            break
        if word.isupper() and len(word) > 1 and titled and len(word) < 4:
            break  # an abbreviation
        sure = sure or lowered not in ORDINARY or capital
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
    """A phrase before a name. `titled`: the name needs capitals. `ends`: what must follow it."""

    pattern: re.Pattern[str]
    titled: bool = True
    ends: re.Pattern[str] | None = None

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        for match in self.pattern.finditer(text):
            taken = take_name(text, match.end(), titled=self.titled)
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
        titled=False,
    ),
    PhraseRule(re.compile(r"(?<![\w.])(?:mr|mrs|ms|miss|mx|dr|prof|professor|doctor)\b\.?[ \t]+(?=[^\W\d_])", re.I)),
    PhraseRule(
        re.compile(
            r"\b(?:i am|i'm|im|i’m|this is|call me|named|called|ask for|asked for|speak (?:to|with)|spoke (?:to|with)|talked (?:to|with)|speaking with"
            r"|contact|behalf of|signed|attn:?|for customer|customer|user|agent|guests? (?:is|are)|invite|written by|thanks?,? to|appointment with|see)\s+(?=[^\W\d_])",
            re.I,
        )
    ),
    PhraseRule(re.compile(rf"\b(?:{_RELATION})(?:'s name is|,| is| named| called)?[ \t]+(?=[^\W\d_])", re.I)),
    PhraseRule(re.compile(r"\b(?:hi|hello|hey|dear|thanks|thank you|welcome|welcome back|sorry|goodbye|bye|ok|okay|great|alright|sure),?[ \t]+(?=[^\W\d_])", re.I),
               ends=re.compile(r"\s*(?:[,.!?:;]|$|\n)")),
    PhraseRule(re.compile(r"(?:^|[\n.!?]\s*)(?:(?:kind|best|warm)\s+)?(?:regards|sincerely|cheers|thanks|yours(?: truly| sincerely)?|best|love)\s*,?\s*\n\s*", re.I),
               ends=re.compile(r"[ \t]*(?:\n|$)")),
    PhraseRule(re.compile(r"\b(?:it'?s|it is|here is|here's)[ \t]+(?=[^\W\d_])", re.I), ends=re.compile(r"\s*(?:here|speaking|again|,|\.?$)")),
    PhraseRule(re.compile(r"^(?:\s*(?:hi|hello|hey)\b[\s,.!]*)?", re.I), ends=re.compile(r"\s+(?:here|speaking)\b")),
    PhraseRule(re.compile(r"(?i:@author|author:|reviewed[- ]by:|signed-off-by:|co-authored-by:|maintainer:|copyright(?: \(c\))?(?: \d{4})?)[ \t]+(?=[^\W\d_])")),
)  # fmt: skip
