"""Training on the processor, reproducibly: the same seed, data and version give the same weights, bit for bit, on one machine.

Each pass draws new text, so that nothing is learnt by heart; after each the development part (other sentences, other names) decides
whether to go on. The weights kept are the best pass's averages.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.governance.dialogues import read_dialogues
from flywheel.governance.ner.corpus import Example, generate
from flywheel.governance.ner.features import Lexicon
from flywheel.governance.ner.network import FORMAT, LEXICON, META, SHAPE, TAGS, TYPES, WEIGHTS, build_network, initialize
from flywheel.storage import write_atomically

BATCH_TOKENS = 1_500
DROPOUT = 0.3
PATIENCE = 4
DEVELOPMENT_TEXTS = 4_000
HELD_OUT = 10  # one labelled dialogue in so many measures and does not train
MAPPED = {"LOCATION": "ADDRESS", "NAME": "PERSON", "PER": "PERSON", "USER_NAME": "USERNAME"}


@dataclass(frozen=True)
class Figures:
    """What a measurement found: recall and precision of the letters of PERSON, and of all reported types."""

    person_recall: float
    person_precision: float
    recall: float
    precision: float

    @property
    def score(self) -> float:
        """F1 of PERSON and of all, in equal parts. Real text holds fewer names than the generated one, which weighs for precision already."""
        return (_f1(self.person_precision, self.person_recall) + _f1(self.precision, self.recall)) / 2


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / max(1e-9, precision + recall)


def train(
    out: Path, *, seed: int, labelled: Sequence[Path] = (), texts: int = 20_000, passes: int = 12, start: Path | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Train and write a model's folder; returns its meta data. `start`: a model to go on from, else untrained weights."""
    from thinc.api import Adam, fix_random_seed, set_dropout_rate

    began = time.monotonic()
    fix_random_seed(seed)
    own, held_out = _labelled_examples(labelled)
    lexicon = Lexicon.from_bytes((start / LEXICON).read_bytes()) if start else Lexicon.build()
    language = lexicon.language()
    shape = json.loads((start / META).read_text(encoding="utf-8")).get("network", SHAPE) if start else SHAPE
    network = build_network(shape)
    initialize(network, [language.make_doc("One text with Some Words in it, 2 numbers.")])
    if start:
        network.from_bytes((start / WEIGHTS).read_bytes())
    set_dropout_rate(network, DROPOUT)
    develop = list(generate(max(200, min(DEVELOPMENT_TEXTS, texts)), seed, develop=True))
    optimizer = Adam(0.001, L2=1e-5, grad_clip=1.0, use_averages=True)
    rng = random.Random(f"ner|train|{seed}")
    best: tuple[float, int, bytes] = (-1.0, -1, b"")
    figures = Figures(0, 0, 0, 0)
    for number in range(passes):
        optimizer.learn_rate = 0.0015 * (1 - 0.9 * number / max(1, passes))
        loss = tokens = 0.0
        examples = [*generate(texts, seed * 1_000 + number), *own]
        rng.shuffle(examples)
        for docs, truths in _batches(language, examples):
            guesses, backward = network.begin_update(docs)
            steps = [guess - truth for guess, truth in zip(guesses, truths, strict=True)]
            loss += float(sum((s**2).sum() for s in steps))
            tokens += sum(len(s) for s in steps)
            backward(steps)
            network.finish_update(optimizer)
        with network.use_params(optimizer.averages):
            figures = measure(network, language, develop)
            extra = measure(network, language, held_out) if held_out else None
            score = figures.score if extra is None else (figures.score + extra.score) / 2
            if score > best[0]:
                best = (score, number, network.to_bytes())
        words = f"pass {number + 1}/{passes}: loss {loss / max(1, tokens):.4f}, on the development part PERSON recall {figures.person_recall:.3f}"
        words += f" precision {figures.person_precision:.3f}, all {figures.recall:.3f} {figures.precision:.3f}"
        if extra:
            words += f"; own held-out dialogues PERSON {extra.person_recall:.3f} {extra.person_precision:.3f}"
        progress(f"{words} ({time.monotonic() - began:.0f} s)")
        if number - best[1] >= PATIENCE:
            break
    network.from_bytes(best[2])
    figures = measure(network, language, develop)
    meta: dict[str, Any] = {
        "format": FORMAT, "kind": "flywheel-ner", "tags": list(TAGS), "network": dict(shape), "seed": seed, "texts": texts, "passes": best[1] + 1, "labelled": len(own),
        "started_from": "a model" if start else "untrained", "weights_sha256": hashlib.sha256(best[2]).hexdigest(),
        "development": {"person_recall": round(figures.person_recall, 4), "person_precision": round(figures.person_precision, 4),
                        "recall": round(figures.recall, 4), "precision": round(figures.precision, 4)},
    }  # fmt: skip
    if held_out:
        own_figures = measure(network, language, held_out)
        meta["held_out"] = {
            "texts": len(held_out),
            "person_recall": round(own_figures.person_recall, 4),
            "person_precision": round(own_figures.person_precision, 4),
        }
    out.mkdir(parents=True, exist_ok=True)
    # in use every name on a list helps; in training half of them stood for names on none
    write_atomically(out / LEXICON, (lexicon if start else Lexicon.build(all_names=True)).to_bytes())
    write_atomically(out / WEIGHTS, best[2])
    write_atomically(out / META, json.dumps(meta, indent=1).encode() + b"\n")
    return meta


def _batches(language: Any, examples: Sequence[Example]) -> Iterator[tuple[list[Any], list[Any]]]:
    import numpy as np

    docs: list[Any] = []
    truths: list[Any] = []
    size = 0
    for example in examples:
        doc = language.make_doc(example.text)
        if not len(doc):
            continue
        truth = np.zeros((len(doc), len(TAGS)), dtype="float32")
        truth[np.arange(len(doc)), token_tags(doc, example)] = 1
        docs.append(doc)
        truths.append(truth)
        size += len(doc)
        if size >= BATCH_TOKENS:
            yield docs, truths
            docs, truths, size = [], [], 0
    if docs:
        yield docs, truths


def token_tags(doc: Any, example: Example) -> list[int]:
    """The tag of each token: that of the label it shares a letter with."""
    tags = [0] * len(doc)
    labels = sorted(example.labels)
    at, begun = 0, -1
    for token in doc:
        start, end = token.idx, token.idx + len(token.text)
        while at < len(labels) and labels[at][1] <= start:
            at += 1
        if at < len(labels) and labels[at][0] < end and not token.is_space:
            tags[token.i] = 1 + 2 * TYPES.index(labels[at][2]) + (begun == at)
            begun = at
    return tags


def measure(network: Any, language: Any, examples: Sequence[Example]) -> Figures:
    """Recall and precision by letters, a token's tag being its likeliest."""
    reported = range(1, 1 + 2 * TYPES.index("PLACE"))
    counts = dict.fromkeys(("person_hit", "person_gold", "person_found", "hit", "gold", "found"), 0)
    for begin in range(0, len(examples), 256):
        part = examples[begin : begin + 256]
        docs = [language.make_doc(e.text) for e in part]
        for doc, example, scores in zip(docs, part, network.predict(docs), strict=True):
            if not len(doc):
                continue
            for token, truth, guess in zip(doc, token_tags(doc, example), scores.argmax(axis=1), strict=True):
                letters, is_person, found_person = len(token.text), truth in (1, 2), guess in (1, 2)
                counts["person_gold"] += letters * is_person
                counts["person_found"] += letters * found_person
                counts["person_hit"] += letters * (is_person and found_person)
                counts["gold"] += letters * (truth in reported)
                counts["found"] += letters * (guess in reported)
                counts["hit"] += letters * (truth in reported and guess in reported)
    return Figures(
        counts["person_hit"] / max(1, counts["person_gold"]), counts["person_hit"] / max(1, counts["person_found"]),
        counts["hit"] / max(1, counts["gold"]), counts["hit"] / max(1, counts["found"]),
    )  # fmt: skip


def _labelled_examples(paths: Iterable[Path]) -> tuple[list[Example], list[Example]]:
    """(to train on, to measure on) of dialogues labelled by the user. Types the model does not know count as no name."""
    own: list[Example] = []
    held_out: list[Example] = []
    for path in paths:
        for number, dialogue in enumerate(read_dialogues(path)):
            for turn in dialogue.turns:
                named = sorted((start, end, MAPPED.get(kind, kind)) for start, end, kind in turn.gold)
                example = Example(turn.text, tuple(label for label in named if label[2] in TYPES))
                (held_out if number % HELD_OUT == HELD_OUT - 1 else own).append(example)
    return own, held_out
