"""Loading a recogniser and asking it about many texts at once.

The shipped one sees one text at a time, whatever stands beside it in a batch: the same text gives the same spans in any batch, process or
number of threads. Texts in which no word could be a name are not looked at.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from flywheel.errors import SettingsError
from flywheel.governance.ner.features import Lexicon
from flywheel.governance.ner.network import FORMAT, LEXICON, META, SHAPE, TAGS, TYPES, WEIGHTS, build_network, initialize

SHIPPED = Path(__file__).parent / "model"
MOST_TOKENS = 4_000  # a batch of the network
MOST_LETTERS = 2_000  # a longer text is read in parts
POSSIBLE = 0.1  # a word with this probability of a name supports a weak finding of the rules
FOREIGN = {"PERSON": "PERSON", "PER": "PERSON", "PRS": "PERSON", "persName": "PERSON", "ADDRESS": "ADDRESS", "USERNAME": "USERNAME",
           "SECURITY_ANSWER": "SECURITY_ANSWER", "GPE": "PLACE", "LOC": "PLACE", "FAC": "PLACE", "ORG": "ORG"}  # fmt: skip
ANSWERS = 0.6  # of the threshold: an answer counts only where one is spoken of
_LETTERS = re.compile(r"[^\W\d_]+")
_STOP = re.compile(r"(?<=[a-z]{3}[.!?])\s+")  # not behind Dr.
_BLOB = re.compile(r"\S{81,}")


@dataclass(frozen=True)
class Found:
    """A stretch of text that holds `type` (PLACE, ORG and MAYBE, a possible person, among them), with the least of its words' probabilities."""

    start: int
    end: int
    type: str
    score: float


class Recogniser(Protocol):
    """What finds names. Each text alone decides its result."""

    @property
    def identity(self) -> dict[str, str]:
        """What tells this model from any other: hashes of its files, or name and version. No path."""
        ...

    def find(self, texts: Sequence[str]) -> list[list[Found]]:
        """For each text what stands in it, in order."""
        ...

    def known(self, word: str) -> bool:
        """Is this word in a dictionary and nobody's name?"""
        ...

    def is_listed(self, word: str) -> bool:
        """Is this on a list of names?"""
        ...


@lru_cache(maxsize=4)
def load_recogniser(name: str, threshold: float) -> Recogniser:
    """`shipped`, a folder that `flywheel privacy train-ner` wrote, or a spaCy model (folder or package). Raises `SettingsError`."""
    folder = SHIPPED if name == "shipped" else Path(name)
    if (folder / META).is_file() and (folder / WEIGHTS).is_file():
        return OwnRecogniser(folder, threshold)
    if name == "shipped":
        raise SettingsError(
            f"governance.ner: the shipped model is not in {SHIPPED}; install the package again, or set governance.ner to off"
        )
    return SpacyRecogniser(name)


class OwnRecogniser:
    """A model of ours."""

    def __init__(self, folder: Path, threshold: float) -> None:
        try:
            meta = json.loads((folder / META).read_text(encoding="utf-8"))
            if meta.get("format") != FORMAT or meta.get("tags") != list(TAGS):
                raise SettingsError(f"governance.ner: {folder} is of another version; train it again with `flywheel privacy train-ner`")
            lexicon, weights = (folder / LEXICON).read_bytes(), (folder / WEIGHTS).read_bytes()
            self.identity = {"weights_sha256": hashlib.sha256(weights).hexdigest(), "lexicon_sha256": hashlib.sha256(lexicon).hexdigest()}
            if self.identity["weights_sha256"] != meta["weights_sha256"]:
                raise SettingsError(
                    f"governance.ner: the weights in {folder} are not those that its {META} names; copy or train the model again"
                )
            self.lexicon = Lexicon.from_bytes(lexicon)
            self._language = self.lexicon.language()
            self._network = build_network(meta.get("network", SHAPE))
            initialize(self._network, [self._language.make_doc("One text with Some Words in it, 2 numbers.")])
            self._network.from_bytes(weights)
        except (OSError, ValueError, KeyError) as error:
            raise SettingsError(f"governance.ner: {folder} cannot be read: {error}") from None
        # outside of any memory zone: everyday words stay known to the tokenizer
        everyday = sorted(self.lexicon.core)
        self._language.make_doc(" ".join([*everyday, *(w.capitalize() for w in everyday)]))
        self.threshold = threshold
        self._known: dict[str, bool] = {}

    def known(self, word: str) -> bool:
        found = self._known.get(word)
        if found is None:
            if len(self._known) > 200_000:
                self._known.clear()
            found = self._known[word] = self.lexicon.known(word)
        return found

    def is_listed(self, word: str) -> bool:
        return "n" in self.lexicon.kind(word)

    def worth_reading(self, text: str) -> tuple[int, int] | None:
        """From the first to the last sentence in which a word could be a name. Cheap: most turns of a chat hold everyday words alone."""
        seen = self._known
        strange = {w for w in _LETTERS.findall(text) if not (seen[w] if w in seen else self.known(w))}
        if not strange:
            return None
        unknown = [m.span() for m in _LETTERS.finditer(text) if m.group() in strange]
        begin, end = 0, len(text)
        for stop in _STOP.finditer(text):
            if stop.end() <= unknown[0][0]:
                begin = stop.end()
            elif stop.start() >= unknown[-1][1]:
                end = stop.start()
                break
        return begin, end

    def find(self, texts: Sequence[str]) -> list[list[Found]]:
        made: list[list[Found]] = [[] for _ in texts]
        parts = [
            (i, at + there[0], part[there[0] : there[1]])
            for i, text in enumerate(texts)
            for at, part in _parts(text)
            if (there := self.worth_reading(part)) is not None
        ]
        parts.sort(key=lambda p: len(p[2]))
        with self._language.memory_zone():
            for batch in _batches(parts):
                docs = [self._language.make_doc(part) for _, _, part in batch]
                for (index, at, _), doc, scores in zip(batch, docs, self._network.predict(docs), strict=True):
                    made[index].extend(self._spans(doc, scores, at))
        for found in made:
            found.sort(key=lambda f: f.start)
        return made

    def _spans(self, doc: Any, scores: Any, at: int) -> Iterator[Found]:
        """Neighbouring words of one type are one span."""
        if not len(doc):
            return
        kinds = scores[:, 1::2] + scores[:, 2::2]  # a column a type: its beginning or inside
        open_: tuple[int, int, int, str, float] | None = None  # last word, start, end, type, score
        for i in (kinds.max(axis=1) >= POSSIBLE).nonzero()[0].tolist():
            token = doc[i]
            if token.is_space:
                continue
            best = int(kinds[i].argmax())
            kind, probability, person = TYPES[best], float(kinds[i, best]), float(kinds[i, 0])
            start, end = token.idx, token.idx + len(token.text)
            enough = self.threshold if kind != "SECURITY_ANSWER" else self.threshold * ANSWERS
            if person >= POSSIBLE and (kind != "PERSON" or person < enough):
                yield Found(at + start, at + end, "MAYBE", round(person, 4))
            if probability < enough:
                continue
            goes_on = open_ is not None and open_[3] == kind and open_[0] == i - 1 and float(scores[i, 1 + 2 * best]) <= probability / 2
            if open_ and goes_on:
                open_ = (i, open_[1], end, kind, min(open_[4], probability))
                continue
            if open_:
                yield Found(at + open_[1], at + open_[2], open_[3], round(open_[4], 4))
            open_ = (i, start, end, kind, probability)
        if open_:
            yield Found(at + open_[1], at + open_[2], open_[3], round(open_[4], 4))


class SpacyRecogniser:
    """Somebody else's spaCy pipeline: its entities of types we know."""

    def __init__(self, name: str) -> None:
        import spacy

        try:
            self._language = spacy.load(name)
        except OSError as error:
            raise SettingsError(
                f"governance.ner: {name!r} is no model: give shipped, off, a folder of `flywheel privacy train-ner`, or an installed spaCy model ({error})"
            ) from None
        self.identity = {k: str(self._language.meta.get(k, "")) for k in ("lang", "name", "version")}

    def known(self, word: str) -> bool:
        from flywheel.governance.ordinary import is_ordinary

        return is_ordinary(word)

    def is_listed(self, word: str) -> bool:
        from flywheel.governance.given_names import GIVEN

        return word.casefold() in GIVEN

    def find(self, texts: Sequence[str]) -> list[list[Found]]:
        made = []
        with self._language.memory_zone():
            # one text a batch: another's batch composition may move the last bits of a score
            for text in texts:
                found = []
                for at, part in _parts(text):
                    for entity in self._language(part).ents:
                        kind = FOREIGN.get(entity.label_)
                        if kind:
                            found.append(Found(at + entity.start_char, at + entity.end_char, kind, 1.0))
                made.append(found)
        return made


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """(offset, part): blobs without a space hold no name and would cost the tokenizer much; long texts break at lines or spaces."""
    begin = 0
    for blob in _BLOB.finditer(text):
        yield from _chunks(text, begin, blob.start())
        begin = blob.end()
    yield from _chunks(text, begin, len(text))


def _chunks(text: str, begin: int, end: int) -> Iterator[tuple[int, str]]:
    while end - begin > MOST_LETTERS:
        window = text[begin : begin + MOST_LETTERS]
        cut = max(window.rfind("\n"), window.rfind(". ") + 1, MOST_LETTERS // 2)
        if cut == MOST_LETTERS // 2:
            cut = max(window.rfind(" "), cut)
        yield begin, text[begin : begin + cut]
        begin += cut
    if begin < end:
        yield begin, text[begin:end]


def _batches(parts: Iterable[tuple[int, int, str]]) -> Iterator[list[tuple[int, int, str]]]:
    batch: list[tuple[int, int, str]] = []
    size = 0
    for part in parts:
        batch.append(part)
        size += len(part[2]) // 4 + 1
        if size >= MOST_TOKENS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
