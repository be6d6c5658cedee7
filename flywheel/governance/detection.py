"""All layers over one conversation's texts: normalise, look, carry what was found through the conversation, resolve overlaps."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from flywheel.governance.aliases import LITERAL
from flywheel.governance.dialogue_layer import phrase_spans, slot_spans, turns_expectations
from flywheel.governance.normalise import Normalised, normalise
from flywheel.governance.ordinary import NEVER_A_NAME, is_ordinary
from flywheel.governance.pattern_layer import compile_identifiers, identifier_spans, pattern_spans
from flywheel.governance.profile_layer import known_entities, name_parts, raw_id_spans
from flywheel.governance.secret_layer import secret_spans
from flywheel.governance.spans import LAYERS, Span, resolve
from flywheel.settings import GovernanceSettings

Fields = tuple[tuple[str, str], ...]
PROPAGATED = frozenset({"slot", "phrase", "named_field", "fuzzy", "secret"})
CACHED_TEXTS = 200_000
BETWEEN = "\0"


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

    def conversation(self, pieces: Sequence[Piece], *, personal: Fields = (), raw_ids: Fields = ()) -> list[list[Span]]:
        """For each piece its spans in the original text's characters, without overlap, in order. A text that is an alias already stays."""
        turns = [(p.role, p.text) for p in pieces if p.role is not None]
        expectations = iter(turns_expectations(turns))
        read: list[Normalised] = []
        spans: list[list[Span]] = []
        for piece in pieces:
            plain, alone = self._alone(piece.text, piece.light)
            found = list(alone)
            wanted, recent = next(expectations) if piece.role is not None else (frozenset[str](), frozenset[str]())
            if (wanted or recent) and "slot" in self.layers:
                found.extend(slot_spans(plain.text, wanted, recent))
            if piece.hint and "named_field" in self.layers and not is_ordinary(plain.text.strip()):
                found.append(Span(0, len(plain.text), piece.hint, "named_field", 0.9))
            read.append(plain)
            spans.append(found)
        self._known(pieces, read, spans, personal, raw_ids)
        if "conversation" in self.layers:
            self._propagate(pieces, read, spans)
        return [self._settle(plain, found) for plain, found in zip(read, spans, strict=True)]

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
        """Once a name (or PIN, or answer) is known, it is one wherever the conversation says it."""
        surfaces: dict[str, tuple[str, int]] = {}
        for plain, found in zip(read, spans, strict=True):
            for span in found:
                if span.layer in PROPAGATED:
                    for surface in _surfaces(span.type, plain.text[span.start : span.end]):
                        if span.priority > surfaces.get(surface, ("", 0))[1]:
                            surfaces[surface] = (span.type, span.priority)
        if not surfaces:
            return
        ordered = sorted(surfaces, key=lambda s: (-len(s), s))
        body = "|".join(
            (re.escape(s) if is_ordinary(s) else f"(?i:{re.escape(s)})") + (r"(?!\w)" if s[-1].isalnum() else "") for s in ordered
        )
        pattern = re.compile(rf"(?<!\w)(?:{body})")
        folded_types = {s.casefold(): t for s, (t, _) in reversed(surfaces.items())}
        for piece, plain, found in zip(pieces, read, spans, strict=True):
            if not piece.light:
                for match in pattern.finditer(plain.text):
                    found.append(Span(*match.span(), folded_types[match.group().casefold()], "conversation", 0.8))

    def _settle(self, plain: Normalised, found: list[Span]) -> list[Span]:
        if not found:
            return []
        literals = [Span(*m.span(), "", "alias") for m in LITERAL.finditer(plain.text)] if "[" in plain.text else []
        settled = [s for s in resolve([*literals, *found], plain.text) if s.layer != "alias"]
        return [Span(*plain.back(s.start, s.end), s.type, s.layer, s.score) for s in settled]


def _surfaces(type: str, value: str) -> Iterable[str]:
    """The forms of a found value worth looking for elsewhere."""
    whole = value.strip(" \t\n.,;:!?\"'")
    if len(whole) < 2 or (whole.isdigit() and len(whole) < 4) or whole.casefold() in NEVER_A_NAME:
        return
    yield whole
    if type in ("PERSON", "SECURITY_ANSWER") and " " in whole:
        yield from (p for p in name_parts(whole) if len(p) > 2 and p.casefold() not in NEVER_A_NAME)
