"""What the recogniser sees of a word: its letters' outline, its ends, and what word lists say of it.

A name that no list holds is told by what it is not: no English word, no place, no brand. So words outside the core vocabulary are not
seen by themselves but by their class, and the model cannot learn names by heart. The lists travel with the model.
"""

from __future__ import annotations

import gzip
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from flywheel.governance.ordinary import NEVER_A_NAME, ORDINARY

if TYPE_CHECKING:
    from spacy.language import Language

GROUPS = {
    "p": ("CITY", "COUNTRY", "REGION"),
    "b": ("BRAND", "PROD", "CODELIB", "CODELANG", "CAPS"),
    "o": (
        "FOOD",
        "NATION",
        "LANGUAGE",
        "DAY",
        "MONTH",
        "JOB",
        "SOUND",
        "HEADLINE",
        "UNIT",
        "ORGTAIL",
        "STREETTYPE",
        "VENUETYPE",
        "STREETBASE",
    ),
}
_WORD = re.compile(r"[^\W\d_]+")
_SHORT = re.compile(r"n't|'(?:s|m|re|ve|ll|d)$")


class Lexicon:
    """Word lists by class: w English words, n names, c words that
    dictionaries capitalise (places and much else), p places, b brands, o other listed words; `core` words are known by themselves."""

    def __init__(self, lists: Mapping[str, Iterable[str]]) -> None:
        self.lists = {name: frozenset(words) for name, words in lists.items()}
        self.core = self.lists["core"]
        self._classes = [(name, words) for name, words in sorted(self.lists.items()) if name != "core"]

    @classmethod
    def build(cls, *, all_names: bool = False) -> Lexicon:
        """From the package's lists and templates. Unless `all_names`, the parts that training needs as unheard-of names are left out."""
        from flywheel.governance.ner.grammar import read_sections
        from flywheel.governance.ner.lists import DATA, listed, lists, part_of

        every = [*listed("first_names.txt.gz"), *listed("last_names.txt.gz"), *lists()["EXTRAFIRST"], *lists()["EXTRALAST"]]
        names = {w for n in every if all_names or part_of(n) > 2 for w in _words(n)}
        held_back = set() if all_names else {w for n in every if part_of(n) <= 2 for w in _words(n)}
        first = {w for n in listed("first_names.txt.gz") for w in _words(n)}
        templates = read_sections((DATA / "templates.txt").read_text(encoding="utf-8"))
        core = {w for lines in templates.values() for line in lines for w in _words(re.sub(r"\{\w+\}|\\[nt]", " ", line))}
        found: dict[str, Iterable[str]] = {
            "w": {*listed("words.txt.gz"), *ORDINARY, *core}, "core": {*core, *ORDINARY},
            "n": {w for w in names - held_back - NEVER_A_NAME if len(w) > 1},
            "c": {w for word in listed("capitalised.txt.gz") for w in _words(word)} - NEVER_A_NAME,
        }  # fmt: skip
        for group, sources in GROUPS.items():
            found[group] = {w for source in sources for value in lists()[source] for w in _words(value)}
        found["b"] = set(found["b"]) - first  # Mercedes, Alexa
        return cls(found)

    def to_bytes(self) -> bytes:
        text = json.dumps({name: sorted(words) for name, words in sorted(self.lists.items())}, ensure_ascii=False)
        return gzip.compress(text.encode(), 9, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> Lexicon:
        return cls(json.loads(gzip.decompress(data)))

    @cached_property
    def _slips(self) -> frozenset[str]:
        """Core words of five letters on, each without one of its letters: what is one slip away from them meets them here."""
        return frozenset(form for word in self.core if len(word) > 4 for form in _without_one(word))

    def kind(self, word: str) -> str:
        """The class of a word: letters of the lists that hold it; `d` digits, `.` signs, `t` a slip of a core word, `x` none of these."""
        lowered = word.lower()
        if not any(c.isalpha() for c in lowered):
            return "d" if any(c.isdigit() for c in lowered) else "."
        if any(c.isdigit() for c in lowered):
            return "a"
        bare = plain(lowered)
        found = "".join(name for name, words in self._classes if lowered in words or bare in words)
        if found:
            return found
        if _SHORT.fullmatch(lowered):
            return "w"
        if lowered.endswith("s") and len(lowered) > 4 and lowered[:-1] in self.lists["w"]:
            return "w"
        if len(lowered) > 4 and (lowered in self._slips or any(f in self._slips or f in self.core for f in _without_one(lowered))):
            return "t"
        return "x"

    def known(self, word: str) -> bool:
        """Is this an English or otherwise listed word, and as it is written here nobody's name?"""
        kind = self.kind(word)
        return kind not in ("x", "t", "a", "c") and ("n" not in kind or ("w" in kind and word.islower()))

    def getters(self) -> dict[Any, Callable[[str], Any]]:
        """spaCy's lexical attributes as this model reads them."""
        from spacy.attrs import LANG, NORM, PREFIX, SHAPE, SUFFIX
        from spacy.lang.lex_attrs import word_shape
        from spacy.language import BaseDefaults

        def norm(word: str) -> str:
            lowered = word.lower()
            return lowered if lowered in self.core or len(lowered) == 1 or _SHORT.fullmatch(lowered) else f"<{self.kind(word)}>"

        # LANG carries the class; spaCy asks it for "_" to learn the vocabulary's language
        return {
            **BaseDefaults.lex_attr_getters, NORM: norm, PREFIX: lambda w: plain(w.lower())[:3], SUFFIX: lambda w: plain(w.lower())[-3:],
            SHAPE: word_shape, LANG: lambda w: "en" if w == "_" else self.kind(w),
        }  # fmt: skip

    def language(self) -> Language:
        """A blank English tokenizer whose words carry these attributes."""
        from spacy.lang.en import English
        from spacy.vocab import Vocab

        return English(vocab=Vocab(lex_attr_getters=self.getters()))


def plain(word: str) -> str:
    """Without accents."""
    if word.isascii():
        return word
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))


def _words(value: str) -> list[str]:
    found = [w.lower() for w in _WORD.findall(value.replace("'", ""))] + [w.lower() for w in _WORD.findall(value)]
    return list(dict.fromkeys([*found, *(plain(w) for w in found)]))


def _without_one(word: str) -> Iterable[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))
