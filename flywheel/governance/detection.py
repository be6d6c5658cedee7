"""All layers over one conversation's texts: normalise, look, carry what was found through the conversation, resolve overlaps."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

from flywheel.governance.aliases import LITERAL
from flywheel.governance.dialogue_layer import GIVEN_SCORE, phrase_spans, slot_spans, turns_expectations, volunteered
from flywheel.governance.dictionary import is_english
from flywheel.governance.given_names import GIVEN
from flywheel.governance.ner_layer import NameLayer, Names, answers_meant
from flywheel.governance.normalise import Normalised, normalise
from flywheel.governance.ordinary import NEVER_A_NAME, is_ordinary
from flywheel.governance.pattern_layer import compile_identifiers, identifier_spans, pattern_spans
from flywheel.governance.profile_layer import known_entities, name_parts, raw_id_spans
from flywheel.governance.secret_layer import secret_spans
from flywheel.governance.spans import LAYERS, Span, resolve, stands_alone
from flywheel.settings import GovernanceSettings

Fields = tuple[tuple[str, str], ...]
PROPAGATED = frozenset({"slot", "phrase", "named_field", "fuzzy", "secret", "ner", "number"})
CACHED_TEXTS = 200_000
WEAK = 0.5  # what these layers find with so little certainty stands only where the recogniser thinks it possible
UNSURE = frozenset({"phrase", "slot"})
BETWEEN = "\0"
_WIDE = re.compile(r"\s\s|[^\S ]")


@dataclass(frozen=True)
class Piece:
    """A text to look at. `role` is set for a turn of the dialogue; `hint` types the whole text; `light` runs only the certain layers."""

    text: str
    role: str | None = None
    hint: str | None = None
    light: bool = False


@dataclass
class Detector:
    """Holds compiled settings and what texts without context gave: agents repeat themselves. `layers` may leave some out, to measure."""

    settings: GovernanceSettings
    layers: frozenset[str] = frozenset(LAYERS)
    _seen: dict[tuple[str, bool], tuple[Normalised, tuple[Span, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._identifiers = compile_identifiers(self.settings.identifiers)
        self._names = NameLayer(self.settings) if self.settings.ner != "off" and "ner" in self.layers else None

    def look_ahead(self, pieces: Iterable[Piece]) -> None:
        """Show pieces of many conversations before they are asked about one by one: the recogniser reads best in bulk. Changes no result."""
        if self._names is not None:
            self._names.look_ahead([normalise(text).text for text in dict.fromkeys(p.text for p in pieces if not p.light)])

    def recogniser(self) -> dict[str, str]:
        """Which model reads names: its name as configured and what identifies it (`Recogniser.identity`)."""
        if self._names is None:
            return {"model": "off"}
        return {"model": Path(self.settings.ner).name, "threshold": str(self.settings.ner_threshold), **self._names.recogniser.identity}

    def conversation(self, pieces: Sequence[Piece], *, personal: Fields = (), raw_ids: Fields = ()) -> list[list[Span]]:
        """For each piece its spans in the original text's characters, without overlap, in order. A text that is an alias already stays."""
        turns = [(p.role, p.text) for p in pieces if p.role is not None]
        expectations = iter(turns_expectations(turns))
        read: list[Normalised] = []
        spans: list[list[Span]] = []
        known = [self._alone(piece.text, piece.light) for piece in pieces]
        if self._names is not None:
            self._names.look_ahead([plain.text for piece, (plain, _) in zip(pieces, known, strict=True) if not piece.light])
        for piece, (plain, alone) in zip(pieces, known, strict=True):
            found = list(alone)
            wanted, recent = next(expectations) if piece.role is not None else (frozenset[str](), frozenset[str]())
            if (wanted or recent) and "slot" in self.layers:
                found.extend(slot_spans(plain.text, wanted, recent))
            if piece.role == "user" and "phrase" in self.layers:
                found.extend(volunteered(plain.text))
            if piece.hint and "named_field" in self.layers and not is_ordinary(plain.text.strip()):
                found.append(Span(0, len(plain.text), piece.hint, "named_field", 0.9))
            if self._names is not None and not piece.light:
                found = self._with_names(plain.text, found, wanted | recent)
            read.append(plain)
            spans.append(found)
        if self._names is not None:
            self._agree(self._names, read, spans)
        self._known(pieces, read, spans, personal, raw_ids)
        if "conversation" in self.layers:
            self._propagate(pieces, read, spans)
        return [self._settle(plain, found) for plain, found in zip(read, spans, strict=True)]

    def _with_names(self, text: str, found: list[Span], asked: frozenset[str]) -> list[Span]:
        """What the recogniser found, and without the weak findings that it denies."""
        assert self._names is not None  # noqa: S101 - asked by the caller
        names = self._names.names(text)
        found = [s for s in found if s.type != "PERSON" or s.layer not in UNSURE or s.score > GIVEN_SCORE or self._stands(names, s)]
        return [*found, *(s for s in names.spans if s.type != "SECURITY_ANSWER" or answers_meant(text, asked))]

    @staticmethod
    def _stands(names: Names, span: Span) -> bool:
        """Does an unsure finding stand? A common given name unless it is denied, others where the recogniser thinks it possible."""
        return names.opinion(span.start, span.end) != 1 if span.score > WEAK else names.supports(span)

    def _agree(self, names: NameLayer, read: Sequence[Normalised], spans: list[list[Span]]) -> None:
        """A word has one meaning in a conversation: what the recogniser takes for a person here and for a place, or for nobody, elsewhere
        is dropped, unless a rule is sure of it."""
        doubted: set[str] = set()
        sure: set[str] = set()
        given: set[str] = set()
        for plain, found in zip(read, spans, strict=True):
            for span in found:
                if span.type == "PERSON":
                    value = plain.text[span.start : span.end].casefold()
                    (doubted if span.layer == "ner" or span.score <= GIVEN_SCORE else sure).add(value)
                    if span.layer == "phrase" and WEAK < span.score <= GIVEN_SCORE:
                        given.add(value)
        sure |= {part for value in sure for part in value.split()}
        doubted -= sure
        if not doubted:
            return
        votes: dict[str, list[int]] = {value: [0, 0, 0] for value in doubted}
        for text in dict.fromkeys(plain.text for plain in read):
            lowered = _lowered(text)
            for value in doubted:
                for start, end in _occurrences(text, lowered, value, any_case=True):
                    votes[value][names.names(text).opinion(start, end)] += 1
        dropped = {
            value
            for value, (person, place, nobody) in votes.items()
            if (place > person if value in given else (place and 2 * place >= person) or nobody > 2 * person)
        }
        places = {
            plain.text[a:b].casefold()
            for plain, found in zip(read, spans, strict=True)
            for a, b in (names.names(plain.text).denied if found else ())
        }
        dropped |= _beside(dropped | (places - sure), doubted - dropped, read)
        if dropped:
            for plain, found in zip(read, spans, strict=True):
                found[:] = [
                    s for s in found
                    if s.type != "PERSON" or not (s.layer == "ner" or s.score <= GIVEN_SCORE) or plain.text[s.start : s.end].casefold() not in dropped
                ]  # fmt: skip

    def _known(
        self, pieces: Sequence[Piece], read: Sequence[Normalised], spans: list[list[Span]], personal: Fields, raw_ids: Fields
    ) -> None:
        """The profile's values, searched once over all pieces (a zero byte between them, which no value's pattern can cross)."""
        if not (personal or raw_ids):
            return
        joined = BETWEEN.join(plain.text for plain in read)
        known = known_entities(personal) if personal else None
        if "profile" in self.layers:
            found = [*(known.exact(joined) if known else ()), *raw_id_spans(joined, raw_ids)]
            if found:
                starts = list(accumulate((len(p.text) + 1 for p in read[:-1]), initial=0))
                for span in found:
                    at = bisect_right(starts, span.start) - 1
                    spans[at].append(replace(span, start=span.start - starts[at], end=span.end - starts[at]))
        if known is not None and "fuzzy" in self.layers:
            words = known.near_words(joined)
            for piece, plain, found in zip(pieces, read, spans, strict=True):
                if not piece.light:
                    found.extend(known.near(plain.text, words))

    def _alone(self, text: str, light: bool) -> tuple[Normalised, tuple[Span, ...]]:
        cached = self._seen.get((text, light))
        if cached is None:
            plain = normalise(text)
            found = [*secret_spans(plain.text), *identifier_spans(plain.text, self._identifiers)]
            patterns = pattern_spans(plain.text, language=self.settings.presidio_language, minimum_score=self.settings.minimum_score)
            found.extend(s for s in patterns if not light or s.layer == "pattern_strong")
            if not light:
                found.extend(phrase_spans(plain.text))
            cached = (plain, tuple(s for s in found if s.layer in self.layers))
            if len(self._seen) >= CACHED_TEXTS:
                self._seen.clear()
            self._seen[(text, light)] = cached
        return cached

    def _propagate(self, pieces: Sequence[Piece], read: Sequence[Normalised], spans: list[list[Span]]) -> None:
        """Once a name (or PIN, or answer) is known, it is one wherever the conversation says it: in code too, and however unsure the layer
        was that said so. What is hidden in one place and left in another is a leak, and the residual gate takes it for one."""
        surfaces: dict[str, tuple[str, int]] = {}
        for plain, found in zip(read, spans, strict=True):
            for span in found:
                if span.layer in PROPAGATED:
                    for surface in _surfaces(span.type, plain.text[span.start : span.end]):
                        if span.priority > surfaces.get(surface, ("", 0))[1]:
                            surfaces[surface] = (span.type, span.priority)
        if not surfaces:
            return
        ordered = [(s, surfaces[s][0], not is_ordinary(s)) for s in sorted(surfaces, key=lambda s: (-len(s), s))]
        for piece, plain, found in zip(pieces, read, spans, strict=True):
            if not piece.light:
                lowered = _lowered(plain.text)
                for surface, type, any_case in ordered:
                    found.extend(
                        Span(*there, type, "conversation", 0.8) for there in _occurrences(plain.text, lowered, surface, any_case=any_case)
                    )

    def _settle(self, plain: Normalised, found: list[Span]) -> list[Span]:
        if not found:
            return []
        literals = [Span(*m.span(), "", "alias") for m in LITERAL.finditer(plain.text)] if "[" in plain.text else []
        settled = [s for s in resolve([*literals, *found], plain.text) if s.layer != "alias"]
        return [Span(*plain.back(s.start, s.end), s.type, s.layer, s.score) for s in settled]


def _lowered(text: str) -> str | None:
    """In lower case, where that keeps every character's place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else None


def _occurrences(text: str, lowered: str | None, value: str, *, any_case: bool) -> Iterator[tuple[int, int]]:
    """Where `value` stands as a word of its own, `maria_orders` included: exactly where the residual gate would see it (`_stands_alone`),
    or a round whose redaction left it would be stopped. Plain search: values differ from conversation to conversation."""
    if (any_case and lowered is None) or (" " in value and _WIDE.search(text)):
        pattern = r"\s+".join(map(re.escape, value.split()))
        found: Iterator[tuple[int, int]] = (m.span() for m in re.finditer(pattern, text, re.I if any_case else 0))
    else:
        found = _places(lowered if any_case and lowered is not None else text, value.lower() if any_case else value)
    return (there for there in found if stands_alone(text, *there))


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + 1)


def _beside(dropped: set[str], others: set[str], read: Sequence[Normalised]) -> set[str]:
    """Which of `others` are named together with one that is no person: two streets that make a corner."""
    if not dropped or not others or not any(" and " in p.text or "&" in p.text for p in read):
        return set()
    left, right = ("|".join(re.escape(v) for v in sorted(values, key=lambda v: (-len(v), v))) for values in (dropped, others))
    pair = re.compile(rf"(?<!\w)(?:(?:{left})\s+(?:and|&)\s+(?P<b>{right})|(?P<a>{right})\s+(?:and|&)\s+(?:{left}))(?!\w)", re.I)
    return {(m["a"] or m["b"]).casefold() for plain in read for m in pair.finditer(plain.text)}


def _surfaces(type: str, value: str) -> Iterable[str]:
    """The forms of a found value worth looking for elsewhere."""
    whole = value.strip(" \t\n.,;:!?\"'")
    if len(whole) < 2 or (whole.isdigit() and len(whole) < 4) or whole.casefold() in NEVER_A_NAME:
        return
    yield whole
    if type in ("PERSON", "SECURITY_ANSWER") and " " in whole:
        for part in name_parts(whole):
            word = part.casefold()
            if len(part) > 2 and word not in NEVER_A_NAME and not (part.islower() and word not in GIVEN and is_english(word)):
                yield part
