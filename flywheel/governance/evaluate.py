"""How good redaction is, on labelled dialogues.

- recall of a type: share of its labelled spans of which every character (blanks aside) is covered, by whatever type (a half-hidden name is a leak);
- character precision: share of the covered characters that a label covers;
- label accuracy: share of the completely covered spans whose type is right (an order id typed as a phone is a defect);
- F2 of character precision and character recall: recall counts four times as much.

Time counts from the first text to the last; loading does not.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from flywheel.governance.detection import Detector, Piece
from flywheel.governance.dialogues import Dialogue, Turn
from flywheel.governance.identity import alias_name
from flywheel.governance.spans import LAYERS, Span
from flywheel.settings import GovernanceSettings

# names that labelled files use for what we call otherwise
_SAME = {
    "NAME": "PERSON", "PER": "PERSON", "ZIP": "ADDRESS", "ZIP_CODE": "ADDRESS", "POSTCODE": "ADDRESS", "STREET": "ADDRESS", "PASSWORD": "SECRET",
    "API_KEY": "SECRET", "DATE_OF_BIRTH": "DOB", "PET": "SECURITY_ANSWER", "MAIDEN_NAME": "SECURITY_ANSWER", "SSN": "GOVERNMENT",
}  # fmt: skip
CHUNK = 64


@dataclass
class Scores:
    """Counts that add up over dialogues; the rates follow from them."""

    dialogues: int = 0
    characters: int = 0
    spans: Counter[str] = field(default_factory=Counter)
    covered: Counter[str] = field(default_factory=Counter)
    right_type: int = 0
    gold_characters: int = 0
    predicted_characters: int = 0
    both_characters: int = 0
    seconds: float = 0.0
    missed: list[tuple[str, str, str]] = field(default_factory=list)
    wrong_type: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: Scores) -> None:
        """Take in another part's counts (its time too)."""
        for name in ("dialogues", "characters", "right_type", "gold_characters", "predicted_characters", "both_characters", "seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.spans.update(other.spans)
        self.covered.update(other.covered)
        self.wrong_type.update(other.wrong_type)
        self.missed.extend(other.missed)

    @property
    def recall(self) -> float | None:
        """Share of all spans that are completely covered."""
        return _share(self.covered.total(), self.spans.total())

    @property
    def char_precision(self) -> float | None:
        return _share(self.both_characters, self.predicted_characters)

    @property
    def label_accuracy(self) -> float | None:
        return _share(self.right_type, self.covered.total())

    @property
    def f2(self) -> float | None:
        recall, precision = _share(self.both_characters, self.gold_characters), self.char_precision
        if recall is None or precision is None:
            return None
        return round(5 * precision * recall / (4 * precision + recall), 4) if precision + recall else 0.0

    @property
    def docs_per_s(self) -> float | None:
        return round(self.dialogues / self.seconds, 1) if self.seconds else None

    def result(self) -> dict[str, Any]:
        """What `--json` prints. A rate without anything to count is null."""
        return {
            "by_type": {t: {"recall": _share(self.covered[t], n), "n": n} for t, n in sorted(self.spans.items())},
            "char_precision": self.char_precision, "label_accuracy": self.label_accuracy, "f2": self.f2, "docs_per_s": self.docs_per_s,
        }  # fmt: skip


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def same_type(found: str, wanted: str) -> bool:
    """Do two type names mean the same thing? Files say EMAIL, PHONE, ZIP."""
    return _plain_type(found) == _plain_type(wanted)


def _plain_type(name: str) -> str:
    short = alias_name(_SAME.get(name, name))
    return _SAME.get(short, short)


def evaluate(
    dialogues: Iterable[Dialogue], settings: GovernanceSettings, *, layers: Iterable[str] = LAYERS, with_profile: bool = True, processes: int = 1,
    keep_missed: int = 0,
) -> Scores:  # fmt: skip
    """Redact every dialogue and compare. `keep_missed`: how many missed spans to keep (type, value, text) to look at."""
    chosen = frozenset(layers)
    if processes > 1:
        return _spread(dialogues, settings, chosen, with_profile, processes, keep_missed)
    detector = _warm(Detector(settings, chosen))
    total = Scores()
    for chunk in _chunks(dialogues):
        total.add(_measure(detector, chunk, with_profile, keep_missed - len(total.missed)))
    return total


def _chunks(dialogues: Iterable[Dialogue]) -> Iterator[list[Dialogue]]:
    source = iter(dialogues)
    while chunk := list(islice(source, CHUNK)):
        yield chunk


def _warm(detector: Detector) -> Detector:
    detector.conversation([Piece("I am Warm Up, warm@up.example, +1 202 555 0100, key sk_live_SFDEMOabcDEF1234567890", role="user")])
    return detector


def _measure(detector: Detector, chunk: Sequence[Dialogue], with_profile: bool, keep_missed: int) -> Scores:
    scores = Scores()
    began = time.perf_counter()
    pieces = [[Piece(t.text, role=t.role) for t in d.turns] for d in chunk]
    detector.look_ahead([piece for there in pieces for piece in there])
    found = [
        detector.conversation(there, personal=d.personal if with_profile else (), raw_ids=d.raw_ids if with_profile else ())
        for d, there in zip(chunk, pieces, strict=True)
    ]
    scores.seconds = time.perf_counter() - began
    for dialogue, spans in zip(chunk, found, strict=True):
        scores.dialogues += 1
        for turn, there in zip(dialogue.turns, spans, strict=True):
            _compare(turn, there, scores, keep_missed)
    return scores


def _compare(turn: Turn, found: Sequence[Span], scores: Scores, keep_missed: int) -> None:
    text = turn.text
    scores.characters += len(text)
    if not found and not turn.gold:
        return
    covered = {i for span in found for i in range(span.start, span.end) if not text[i].isspace()}
    labelled = {i for start, end, _ in turn.gold for i in range(start, end) if not text[i].isspace()}
    scores.predicted_characters += len(covered)
    scores.gold_characters += len(labelled)
    scores.both_characters += len(covered & labelled)
    for start, end, wanted in turn.gold:
        scores.spans[wanted] += 1
        inside = {i for i in range(start, end) if not text[i].isspace()} or set(range(start, end))
        if not inside <= (covered or {i for s in found for i in range(s.start, s.end)}):
            if len(scores.missed) < keep_missed:
                scores.missed.append((wanted, text[start:end], text))
            continue
        scores.covered[wanted] += 1
        shares: Counter[str] = Counter()
        for span in found:
            shares[span.type] += max(0, min(span.end, end) - max(span.start, start))
        said = shares.most_common(1)[0][0]
        if same_type(said, wanted):
            scores.right_type += 1
        else:
            scores.wrong_type[(wanted, said)] += 1


# --- over several processes

_worker: tuple[Detector, bool, int] | None = None


def _start(settings: GovernanceSettings, layers: frozenset[str], with_profile: bool, keep_missed: int, ready: Any) -> None:
    global _worker  # noqa: PLW0603 - a worker process has one detector
    _worker = (_warm(Detector(settings, layers)), with_profile, keep_missed)
    ready.wait()


def _work(chunk: list[Dialogue]) -> Scores:
    assert _worker is not None  # noqa: S101 - `_start` ran in this process
    return _measure(_worker[0], chunk, _worker[1], _worker[2])


def _spread(
    dialogues: Iterable[Dialogue],
    settings: GovernanceSettings,
    layers: frozenset[str],
    with_profile: bool,
    processes: int,
    keep_missed: int,
) -> Scores:
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    total = Scores()
    with context.Pool(processes, _start, (settings, layers, with_profile, keep_missed, ready)) as pool:
        ready.wait()
        began = time.perf_counter()
        for part in pool.imap_unordered(_work, _chunks(dialogues)):
            total.add(part)
        total.seconds = time.perf_counter() - began
    total.missed = sorted(total.missed)[:keep_missed]
    return total


@dataclass(frozen=True)
class LayerShare:
    """What one layer contributes: the scores with it alone, and with all others but without it."""

    layer: str
    alone: Scores
    without: Scores


def layer_shares(
    dialogues: Sequence[Dialogue], settings: GovernanceSettings, *, layers: Sequence[str] = LAYERS, with_profile: bool = True
) -> list[LayerShare]:
    """Each of `layers` measured alone and left out of `layers`. One pass over the dialogues for each: give a sample."""
    return [
        LayerShare(
            layer, evaluate(dialogues, settings, layers=[layer], with_profile=with_profile),
            evaluate(dialogues, settings, layers=[name for name in layers if name != layer], with_profile=with_profile),
        ) for layer in layers
    ]  # fmt: skip
