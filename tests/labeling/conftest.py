"""A small labeling world: pairs, a selection, gold, a guideline, and a batch of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from flywheel.labeling import Journal, build_batch, import_label_files
from flywheel.labeling.import_files import ImportResult
from flywheel.records import (
    Generation,
    GoldItem,
    Guideline,
    JudgeLabel,
    LabelingTask,
    Message,
    Pair,
    Rater,
    Response,
    SelectionPick,
)  # fmt: skip
from flywheel.settings import LabelingSettings
from flywheel.storage import Ids, empty_table, from_table, to_table

ROUND = "2026-01-05"


def response(text: str) -> Response:
    return Response(text=text, generation=Generation(model_id="m"))


def make_pairs(ids: Ids, n: int) -> list[Pair]:
    return [
        Pair(
            round=ROUND, pair_id=ids.make("pair", str(i)), record_id=ids.make("record", str(i)), conversation_id=ids.make("conversation", str(i)),
            subject_id=ids.make("subject", str(i)), domain="code" if i % 3 == 0 else "support", task_type="generation",
            prompt=[Message(role="user", content=f"question {i}" + (" ( high risk )" if i % 5 == 0 else ""))],
            response_a=response(f"first {i}"), response_b=response(f"second {i}"), prompt_sha256=f"{i:064x}", prompt_cluster=f"c{i % 50}",
            redaction_version="r1", second_response="sampled",
        )
        for i in range(n)
    ]  # fmt: skip


def make_gold(n: int, *, kind: str = "gold") -> list[GoldItem]:
    return [
        GoldItem(
            gold_id=f"{kind}-{i:03d}", kind="attention" if kind == "attention" else "gold", domain="code" if i % 2 else "support",
            prompt=[Message(role="user", content=f"known question {kind} {i}")], response_a=response(f"one {kind} {i}"),
            response_b=response(f"two {kind} {i}"), accepted=["b" if i % 2 else "a"], rationale="it is so", origin="expert",
        )
        for i in range(n)
    ]  # fmt: skip


@dataclass
class World:
    """Everything that `build_batch` takes, and what came out."""

    ids: Ids
    pairs: pa.Table
    selection: pa.Table
    judge: pa.Table
    gold: list[GoldItem]
    guideline: Guideline

    def build(self, *, seed: int = 1, revision: int = 1, **changes: Any) -> tuple[pa.Table, dict[str, Any]]:
        given = {
            "selection": self.selection,
            "judge": self.judge,
            "pairs": self.pairs,
            "gold": self.gold,
            "settings": LabelingSettings(),
        } | changes
        return build_batch(
            given["selection"], given["judge"], given["pairs"], round=ROUND, revision=revision, gold=given["gold"], guideline=self.guideline,
            ids=self.ids, settings=given["settings"], seed=seed,
        )  # fmt: skip


def make_world(n: int = 120, gold: int = 60) -> World:
    ids = Ids(b"k" * 32)
    pairs = make_pairs(ids, n)
    arms = ["active"] * 8 + ["random_control", "random_evaluation"]
    picks = [
        SelectionPick(
            round=ROUND,
            pair_id=p.pair_id,
            record_id=p.record_id,
            domain=p.domain,
            rank=i,
            score=1.0,
            reason="x",
            arm=arms[i % 10],
            strategy="s",
            seed=0,
        )
        for i, p in enumerate(pairs)
    ]
    guideline = Guideline(version="v1", sha256="ab" * 32, title="t", text="t", effective_at=datetime(2020, 1, 1, tzinfo=UTC))
    items = make_gold(gold) + make_gold(6, kind="attention")
    return World(ids, to_table(Pair, pairs), to_table(SelectionPick, picks), empty_table(JudgeLabel), items, guideline)


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture
def small_world() -> Callable[..., World]:
    return make_world


class Desk:
    """An inbox, a journal and the tasks of one batch."""

    def __init__(self, folder: Path, world: World) -> None:
        self.world = world
        self.batch, _ = world.build()
        self.tasks = {t.task_id: t for t in from_table(LabelingTask, self.batch)}
        self.inbox = folder / "labels"
        self.inbox.mkdir()
        self.journal = Journal(folder / "restricted" / "journal.sqlite")
        self.raters: dict[str, Rater] = {}
        self.now = datetime(2026, 1, 20, tzinfo=UTC)

    def task(self, kind: str = "natural", *, policy: bool = False) -> LabelingTask:
        return next(t for t in self.tasks.values() if t.kind == kind and t.policy_reference_required == policy)

    def line(self, **fields: Any) -> dict[str, Any]:
        """A good line; None takes a field away."""
        task = fields.pop("task", None) or self.task()
        value = {
            "task_id": task.task_id, "rater": "worker-1", "decision": "a", "guideline_sha256": task.guideline_sha256, "origin": "human",
        } | fields  # fmt: skip
        return {k: v for k, v in value.items() if v is not None}

    def put(self, *lines: dict[str, Any] | str | bytes, file: str = "a.jsonl") -> None:
        def text(line: dict[str, Any] | str | bytes) -> bytes:
            return line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()

        (self.inbox / file).write_bytes(b"".join(text(line) + b"\n" for line in lines))

    def read(self, **changes: Any) -> ImportResult:
        given = {"ids": self.world.ids, "tasks": self.tasks, "raters": self.raters, "now": self.now} | changes
        return import_label_files(self.inbox, self.journal, **given)


@pytest.fixture
def desk(tmp_path: Path, world: World) -> Desk:
    return Desk(tmp_path, world)
