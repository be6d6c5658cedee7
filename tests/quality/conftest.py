"""Published tables, and a synthetic round: raters of known accuracy answer a batch."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flywheel.records import Annotation, Generation, GoldItem, JudgeLabel, LabelingTask, Message, Pair, Response
from flywheel.storage import empty_table, to_table

sys.path.insert(0, str(Path(__file__).parent))  # published_tables

ROUND = "2026-01-05"
LABELS = ("a", "b", "tie", "both_bad")
START = datetime(2026, 1, 13, 8, tzinfo=UTC)


def _response(text: str) -> Response:
    return Response(text=text, generation=Generation(model_id="m"))


@dataclass
class Round:
    """A batch of natural and gold tasks with their true labels, and the answers that raters gave."""

    tasks: list[LabelingTask]
    pairs: list[Pair]
    truth: dict[str, str]
    rows: list[Annotation] = field(default_factory=list)
    gold: list[GoldItem] = field(default_factory=list)
    judge: pa.Table = field(default_factory=lambda: empty_table(JudgeLabel))

    @property
    def batch(self) -> pa.Table:
        return to_table(LabelingTask, self.tasks)

    @property
    def pair_table(self) -> pa.Table:
        return to_table(Pair, self.pairs)

    @property
    def annotations(self) -> pa.Table:
        return to_table(Annotation, sorted(self.rows, key=lambda a: a.event_id))

    def say(self, task: LabelingTask, rater: str, decision: str, **changes: Any) -> None:
        number = len(self.rows)
        result = None
        if task.gold_id and decision != "skip":
            result = "pass" if decision == self.truth[task.task_id] else "fail"
        told = {
            "round": ROUND, "event_id": f"e{number:06d}", "task_id": task.task_id, "batch_id": task.batch_id, "pair_id": task.pair_id,
            "task_round": task.round, "kind": task.kind, "domain": task.domain, "rater": rater, "decision": decision,
            "presented_left": task.presented_left, "timing_source": "server", "guideline_version": task.guideline_version,
            "guideline_sha256": task.guideline_sha256, "gold_id": task.gold_id, "gold_result": result, "source": "t", "origin": "human",
            "ended_at": START + timedelta(seconds=60 * number), "active_s": 30.0 + number % 7,
        } | changes  # fmt: skip
        self.rows.append(Annotation.model_validate(told))


def _make_round(
    n_natural: int = 200, n_gold: int = 30, n_attention: int = 0, domains: tuple[str, ...] = ("support", "code"), seed: int = 0
) -> Round:
    rng = random.Random(seed)
    tasks, pairs, truth, gold = [], [], {}, []
    kinds = ["natural"] * n_natural + ["gold"] * n_gold + ["attention"] * n_attention
    for i, kind in enumerate(kinds):
        domain = domains[i % len(domains)]
        label = rng.choices(LABELS, (42, 42, 12, 4))[0]
        task = LabelingTask.model_validate({
            "round": ROUND, "task_id": f"t{i:04d}", "batch_id": "b", "pair_id": f"p{i:04d}", "kind": kind, "domain": domain, "task_type": "generation",
            "gold_id": None if kind == "natural" else f"g{i}", "arm": "active" if kind == "natural" else None, "record_id": f"r{i}",
            "prompt": [Message(role="user", content=f"q{i}")], "response_a": _response("x"), "response_b": _response("y"), "prompt_cluster": f"c{i}",
            "presented_left": "ab"[i % 2], "required_expertise": domain, "redundancy": 3, "guideline_version": "v1", "guideline_sha256": "g" * 64,
            "redaction_version": "1",
        })  # fmt: skip
        tasks.append(task)
        truth[task.task_id] = label
        if kind == "natural":
            pairs.append(Pair(
                round=ROUND, pair_id=task.pair_id, record_id=f"r{i}", conversation_id=f"conv{i}", subject_id=f"s{i}", domain=domain,
                task_type="generation", prompt=task.prompt, response_a=task.response_a, response_b=task.response_b, prompt_sha256="0" * 64,
                prompt_cluster=f"c{i}", redaction_version="1", second_response="sampled",
            ))  # fmt: skip
        else:
            gold.append(GoldItem.model_validate({
                "gold_id": f"g{i}", "kind": kind, "domain": domain, "prompt": task.prompt, "response_a": task.response_a,
                "response_b": task.response_b, "accepted": [label], "rationale": "so", "origin": "expert",
            }))  # fmt: skip
    return Round(tasks, pairs, truth, gold=gold)


def _answered(accuracies: dict[str, float], *, redundancy: int = 3, seed: int = 0, **shape: Any) -> Round:
    """Each task answered by `redundancy` raters in turn; a rater is right with the given probability (negative: always left)."""
    made = _make_round(seed=seed, **shape)
    rng = random.Random(seed + 1)
    order = list(accuracies)
    for i, task in enumerate(made.tasks):
        if i % len(order) == 0:
            rng.shuffle(order)
        for k in range(redundancy):
            rater = order[(i * redundancy + k) % len(order)]
            truth = made.truth[task.task_id]
            wrong = rng.choice([x for x in LABELS[:3] if x != truth])
            decision = task.presented_left if accuracies[rater] < 0 else truth if rng.random() < accuracies[rater] else wrong
            made.say(task, rater, decision)
    return made


@pytest.fixture
def make_round() -> Callable[..., Round]:
    return _make_round


@pytest.fixture
def answered() -> Callable[..., Round]:
    return _answered
