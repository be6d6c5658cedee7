"""Simulated raters of several kinds. They answer through the same label files as people, and every answer says `simulated`.

A rater sees texts alone: `kind`, `gold_id` and `arm` are taken off a task before anyone looks at it. Choice follows a random-utility
model (Bradley-Terry: logistic difference of two Gumbel-disturbed utilities, with a tie threshold); the kinds differ in noise and bias.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import AnnotationEvent, Decision, LabelingTask, Rater
from flywheel.shopforge.gold import reference
from flywheel.shopforge.oracle import Score, utility
from flywheel.shopforge.remarks import critique_of, reason_of
from flywheel.shopforge.world import ideal_response, message_text, parse_prompt
from flywheel.storage import from_table, write_atomically
from flywheel.weeks import parse_round, round_end

Kind = Literal["expert", "careful", "noisy", "spammer", "always_left", "length_biased", "drifting"]
HIDDEN = ("kind", "gold_id", "arm")
TIE = 0.3  # perceived utilities closer than this: a tie
BAD = -0.4  # both below this: both bad
SLIPS = {"expert": 0.005, "careful": 0.015, "drifting": 0.015}  # the finger on the wrong key, whatever was seen
SOURCE = "shopforge"


@dataclass(frozen=True)
class Behaviour:
    """How one rater works. `noise`: scale of the Gumbel disturbance, in units of utility; `pace_s`: active seconds a word;
    `load`: share of work against a full-time rater; `domains`: expertise."""

    kind: Kind
    noise: float
    pace_s: float
    load: float = 1.0
    domains: tuple[str, ...] = ("support", "code")
    geography: str = "eu"
    education: str = "degree"


BEHAVIOURS: dict[str, Behaviour] = {
    "sim-expert-1": Behaviour("expert", 0.12, 0.55),
    "sim-expert-2": Behaviour("expert", 0.12, 0.60, geography="na"),
    "sim-expert-3": Behaviour("expert", 0.14, 0.50, geography="apac"),
    "sim-crowd-1": Behaviour("careful", 0.15, 0.45),
    "sim-crowd-2": Behaviour("careful", 0.18, 0.40, education="school"),
    "sim-crowd-3": Behaviour("careful", 0.18, 0.50, geography="na", education="school"),
    "sim-crowd-4": Behaviour("careful", 0.22, 0.35, domains=("support",), geography="na"),
    "sim-crowd-5": Behaviour("careful", 0.22, 0.40, domains=("code",), geography="apac"),
    "sim-noisy": Behaviour("noisy", 1.6, 0.30, load=0.6),
    "sim-spammer": Behaviour("spammer", 0.0, 0.03, load=0.6, geography="apac", education="school"),
    "sim-always-left": Behaviour("always_left", 0.0, 0.08, load=0.6, geography="na", education="school"),
    "sim-length-biased": Behaviour("length_biased", 0.5, 0.25, load=0.6),
    "sim-drifting": Behaviour("drifting", 0.15, 0.40, load=0.6, geography="na"),
}
SIMULATED_RATERS: list[Rater] = [
    Rater(
        rater=name, origin="simulated", expertise=[*b.domains, *(["expert"] if b.kind == "expert" else [])], languages=["en"],
        geography=b.geography, education=b.education, cohort=f"{b.geography}-en-{b.education}",
    )
    for name, b in BEHAVIOURS.items()
]  # fmt: skip


@dataclass(frozen=True)
class _Sight:
    """A task as a rater perceives it."""

    task: LabelingTask
    prompt_text: str
    a: Score
    b: Score


def answer_batch(batch: pa.Table, *, round: str, seed: int) -> list[AnnotationEvent]:
    """Answers to a batch (`LabelingTask` rows) by time, then rater and task; `event_id` is left to the import.

    Each task gets `redundancy` raters of the required expertise (all raters where nobody has it), the load balanced; a pair that comes
    again goes to the same raters. Then an expert who has not seen the task decides each one that was called both bad or disputed, with
    a rewrite where neither answer is right. Work starts after the round's week and ends within seven days.
    """
    key = parse_round(round)
    hidden = [name for name in HIDDEN if name in batch.column_names]
    blind = batch.drop_columns(hidden).append_column("kind", pa.array(["natural"] * batch.num_rows, pa.string()))
    sights = {t.task_id: sight for t in from_table(LabelingTask, blind) if (sight := _look(t))}
    tasks = from_table(LabelingTask, blind)
    queues = _assign(tasks, seed, key)
    events: list[AnnotationEvent] = []
    for name in BEHAVIOURS:
        events += _work(name, queues[name], sights, round_end(key) + timedelta(hours=2), seed, key)
    contested = _contested(tasks, events)
    for name, queue in _second_opinions(contested, events).items():
        events += _work(name, queue, sights, round_end(key) + timedelta(days=3), seed, f"{key}|second", expert_pass=True)
    return sorted(events, key=lambda e: (e.started_at or round_end(key), e.rater, e.task_id))


def deliver_simulated_labels(batch: pa.Table, inbox: Path, *, round: str, seed: int) -> Path:
    """Put the raters' answers into the label inbox as one file, `shopforge-<round>.jsonl`; the same batch and seed give the same bytes."""
    events = answer_batch(batch, round=round, seed=seed)
    if any(e.origin != "simulated" for e in events):
        raise BadInput("a simulated rater's answer must say so")
    path = inbox / f"shopforge-{parse_round(round)}.jsonl"
    write_atomically(path, "".join(e.model_dump_json(exclude={"event_id"}, exclude_none=True) + "\n" for e in events).encode())
    return path


def _look(task: LabelingTask) -> _Sight | None:
    """None where the prompt is not of this world: nobody here can judge it."""
    text = message_text(task.prompt)
    if parse_prompt(text) is None:
        return None
    return _Sight(task, text, utility(text, task.response_a.text), utility(text, task.response_b.text))


def _assign(tasks: Sequence[LabelingTask], seed: int, key: str) -> dict[str, list[LabelingTask]]:
    """Each rater's queue, in the batch's order."""
    load: dict[str, float] = dict.fromkeys(BEHAVIOURS, 0.0)
    queues: dict[str, list[LabelingTask]] = {name: [] for name in BEHAVIOURS}
    by_pair: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        rng = random.Random(f"assign|{seed}|{key}|{task.task_id}")
        able = [n for n, b in BEHAVIOURS.items() if task.required_expertise in (*b.domains, b.kind)] or list(BEHAVIOURS)
        before = by_pair[task.pair_id]
        order = sorted(able, key=lambda n: (n not in before, load[n] / BEHAVIOURS[n].load + 4 * rng.random()))
        for name in order[: task.redundancy]:
            load[name] += 1
            queues[name].append(task)
            before.append(name)
    return queues


def _work(
    name: str, queue: Sequence[LabelingTask], sights: dict[str, _Sight], opens: datetime, seed: int, salt: str, *, expert_pass: bool = False
) -> list[AnnotationEvent]:
    behaviour = BEHAVIOURS[name]
    day = random.Random(f"day|{seed}|{salt}|{name}")
    clock = opens + timedelta(seconds=day.randrange(20 * 3_600))
    events = []
    for position, task in enumerate(queue):
        rng = random.Random(f"answer|{seed}|{salt}|{name}|{task.task_id}")
        words = sum(len(m.content.split()) for m in task.prompt) + len(f"{task.response_a.text} {task.response_b.text}".split())
        active_s = max(1.0, words * behaviour.pace_s * rng.lognormvariate(0, 0.3))
        ends = clock + timedelta(seconds=active_s + rng.expovariate(1 / 4))
        sight = sights.get(task.task_id)
        fields = _skip() if sight is None else _answer(rng, behaviour, sight, position / len(queue), expert_pass)
        told = {
            **fields, "task_id": task.task_id, "rater": name, "started_at": clock, "ended_at": ends, "active_s": active_s,
            "timing_source": "simulated", "guideline_sha256": task.guideline_sha256, "source": SOURCE, "origin": "simulated",
        }  # fmt: skip
        events.append(AnnotationEvent.model_validate(told))
        clock = ends + timedelta(seconds=rng.uniform(2, 12))
    return events


def _skip() -> dict[str, object]:
    return {"decision": "skip", "skip_reason": "unclear"}


def _answer(rng: random.Random, behaviour: Behaviour, sight: _Sight, progress: float, expert_pass: bool) -> dict[str, object]:
    va, vb = (s.u + behaviour.noise * _gumbel(rng) for s in (sight.a, sight.b))
    decision = _decide(rng, behaviour, sight, va, vb, progress)
    attentive = behaviour.kind in ("expert", "careful", "drifting", "noisy")
    fields: dict[str, object] = {"decision": decision, **_likert(rng, decision, va, vb, attentive)}
    if sight.task.policy_reference_required:
        fields["policy_reference"] = reference(sight.task.prompt) if attentive else "P1"
    if decision == "both_bad":
        fields["rationale"] = reason_of(sight.task.domain, sight.a, sight.b) if attentive else "Both are bad ."
    elif attentive and rng.random() < 0.5:
        fields["critique"] = critique_of(sight.task.domain, decision, sight.a, sight.b)
    neither_right = not sight.a.ok and not sight.b.ok
    if behaviour.kind == "expert" and (decision == "both_bad" or (neither_right and (expert_pass or rng.random() < 0.5))):
        prompt = parse_prompt(sight.prompt_text)
        if prompt is not None:
            fields["rewrite"] = ideal_response(rng, prompt)
    return fields


def _decide(rng: random.Random, behaviour: Behaviour, sight: _Sight, va: float, vb: float, progress: float) -> Decision:
    outcomes: tuple[Decision, ...] = ("a", "b", "tie")
    careless = rng.choices(outcomes, (45, 45, 10))[0]
    match behaviour.kind:
        case "spammer":
            return careless
        case "always_left":
            return sight.task.presented_left if rng.random() < 0.95 else "tie"
        case "drifting" if rng.random() < max(0.0, progress - 0.3) * 1.5:
            return careless
        case "length_biased":
            longer = 0.12 * (sight.a.n_words - sight.b.n_words)
            return "a" if 0.35 * (va - vb) + longer > 0 else "b"
    if rng.random() < SLIPS.get(behaviour.kind, 0.0):
        return careless
    if max(va, vb) < BAD:
        return "both_bad"
    if abs(va - vb) < TIE:
        return "tie"
    return "a" if va > vb else "b"


def _gumbel(rng: random.Random) -> float:
    """Standard Gumbel, centred: the difference of two is standard logistic."""
    return -math.log(-math.log(rng.random() + 1e-12) + 1e-12) - 0.5772


def _likert(rng: random.Random, decision: Decision, va: float, vb: float, attentive: bool) -> dict[str, int]:
    """1 to 5 for each answer, in line with the decision."""
    if not attentive:
        return {"likert_a": 4 if decision == "a" else 3, "likert_b": 4 if decision == "b" else 3}
    a, b = (min(5, max(1, round(2.4 + v))) for v in (va, vb))
    if decision == "both_bad":
        a, b = min(a, 2), min(b, 2)
    elif decision == "tie":
        a = b = max(a, b)
    elif (a <= b) if decision == "a" else (b <= a):
        low = min(4, a, b)
        a, b = (low + 1, low) if decision == "a" else (low, low + 1)
    return {"likert_a": a, "likert_b": b}


def _contested(tasks: Sequence[LabelingTask], events: Sequence[AnnotationEvent]) -> list[LabelingTask]:
    """Tasks that someone called both bad, or whose answers have no majority."""
    decisions: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.decision != "skip":
            decisions[event.task_id].append(event.decision)
    found = []
    for task in tasks:
        given = decisions[task.task_id]
        majority = max((given.count(d) for d in given), default=0)
        if given and ("both_bad" in given or 2 * majority <= len(given)):
            found.append(task)
    return found


def _second_opinions(contested: Sequence[LabelingTask], events: Sequence[AnnotationEvent]) -> dict[str, list[LabelingTask]]:
    """For each expert the contested tasks that the expert has not answered, spread evenly."""
    experts = [name for name, b in BEHAVIOURS.items() if b.kind == "expert"]
    seen = {(e.rater, e.task_id) for e in events}
    queues: dict[str, list[LabelingTask]] = {name: [] for name in experts}
    for task in contested:
        free = [name for name in experts if (name, task.task_id) not in seen]
        if free:
            queues[min(free, key=lambda n: len(queues[n]))].append(task)
    return queues
