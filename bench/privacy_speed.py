"""The whole privacy stack, recogniser included, beside vanilla Presidio with its pattern recognizers alone: documents a second in one run,
one process, the same documents. A document is a whole chat; seconds are of the processor.

    OMP_NUM_THREADS=1 python -m bench.privacy_speed [--file labelled.jsonl.gz] [--n 600]

Without a file the chats are generated. Vanilla Presidio gets its fastest form: no NLP model, no look-up of e-mail suffixes in the network.
Each side is timed in slices in turn, so that another load on the machine hits both.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from flywheel.governance.detection import Detector, Piece
from flywheel.settings import GovernanceSettings

SLICES = 6
Talk = list[tuple[str, str]]


def generated(n: int) -> list[Talk]:
    """Chats of generated turns; one turn of three repeats what agents say."""
    from flywheel.governance.ner.corpus import generate

    texts = iter(generate(n * 14, 7))
    said = [next(texts).text for _ in range(40)]
    return [[("assistant", said[(i * 7 + j) % 40]) if j % 3 == 0 else ("user", next(texts).text) for j in range(18)] for i in range(n)]


def from_file(path: Path, n: int) -> list[Talk]:
    from itertools import islice

    from flywheel.governance.dialogues import read_dialogues

    return [[(t.role or "user", t.text) for t in d.turns] for d in islice(read_dialogues(path), n)]


def vanilla() -> Any:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    EmailRecognizer.validate_result = lambda self, pattern_text: None  # type: ignore[method-assign]
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    registry.recognizers = [r for r in registry.recognizers if "spacy" not in r.name.lower()]
    return AnalyzerEngine(
        registry=registry, nlp_engine=NoOpNlpEngine([{"lang_code": "en", "model_name": "no_op"}]), supported_languages=["en"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--n", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("bench/results/privacy_speed.json"))
    options = parser.parse_args()
    talks = from_file(options.file, options.n) if options.file else generated(options.n)
    engine = vanilla()
    sides = {"full stack": Detector(GovernanceSettings()), "without the recogniser": Detector(GovernanceSettings(ner="off"))}
    warm = [[("user", "I am Warm Up, mail warm@up.example, +1 202 555 0100, card 4000 0012 3456 7899")]]
    seconds = dict.fromkeys(["vanilla Presidio", *sides], 0.0)
    for detector in sides.values():
        _ours(detector, warm)
    engine.analyze(warm[0][0][1], language="en")
    size = -(-len(talks) // SLICES)
    for begin in range(0, len(talks), size):
        part = talks[begin : begin + size]
        began = time.process_time()
        for talk in part:
            engine.analyze("\n".join(text for _, text in talk), language="en")
        seconds["vanilla Presidio"] += time.process_time() - began
        for name, detector in sides.items():
            began = time.process_time()
            _ours(detector, part)
            seconds[name] += time.process_time() - began
    rates = {name: round(len(talks) / s, 1) for name, s in seconds.items()}
    found: dict[str, Any] = {
        "documents": len(talks), "letters": sum(len(text) for talk in talks for _, text in talk), "documents_per_s": rates,
        "source": options.file.name if options.file else "generated", "recognizers": sorted(r.name for r in engine.registry.recognizers),
        "ratio": round(rates["full stack"] / rates["vanilla Presidio"], 2),
        "ratio_without_recogniser": round(rates["without the recogniser"] / rates["vanilla Presidio"], 2),
        "goal": "ratio >= 1", "met": rates["full stack"] >= rates["vanilla Presidio"], "cpus": os.cpu_count(),
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if found["met"] else 1


def _ours(detector: Detector, talks: list[Talk]) -> None:
    pieces = [[Piece(text, role=role) for role, text in talk] for talk in talks]
    detector.look_ahead([p for talk in pieces for p in talk])
    for talk in pieces:
        detector.conversation(talk)


if __name__ == "__main__":
    raise SystemExit(main())
