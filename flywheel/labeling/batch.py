"""Batches: what raters get in a round.

Selected pairs that the judge does not keep, gold items, attention checks, and repeats with sides swapped. What is shown must not tell
what kind of task it is: task ids and order are keyed hashes, sides are balanced within a domain (not within a kind), and whether a
policy reference is required follows from the prompt alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import Arm, GoldItem, Guideline, JudgeLabel, LabelingTask, Message, Pair, Response, SelectionPick, Side, TaskKind
from flywheel.settings import LabelingSettings
from flywheel.storage import Ids, from_table, sha256_text, to_table

GOLD_REDACTION = "gold"  # authored text: nothing of a user went in
OTHER: Mapping[Side, Side] = {"a": "b", "b": "a"}


@dataclass(frozen=True)
class _Draft:
    """A task before it has a place and sides."""

    task_id: str
    pair_id: str
    kind: TaskKind
    domain: str
    task_type: str
    prompt: list[Message]
    response_a: Response
    response_b: Response
    prompt_cluster: str
    redundancy: int
    redaction_version: str
    record_id: str | None = None
    gold_id: str | None = None
    arm: Arm | None = None


def build_batch(
    selection: pa.Table, judge_labels: pa.Table, pairs: pa.Table, *, round: str, revision: int, gold: Sequence[GoldItem], guideline: Guideline,
    ids: Ids, settings: LabelingSettings, seed: int,
) -> tuple[pa.Table, dict[str, Any]]:  # fmt: skip
    """The round's tasks in the order of presentation (`LabelingTask` rows), and facts (counts, shares, shortfalls).

    `gold_share`, `attention_share` and `repeat_share` are shares of the whole batch. Gold is drawn domain by domain in proportion to the
    natural tasks, other gold each round; where a domain has too little, the others fill up and the shortfall is reported. Pairs of the
    random arms always go to people. A picked pair that is not in `pairs` (its consent was withdrawn since) is left out and counted.
    Raises `BadInput` on a pair that is picked twice, and when none of the picks has its pair.
    """
    batch_id = ids.make("batch", round, str(revision))
    natural, kept, gone = _natural(selection, judge_labels, pairs, batch_id, revision, ids, settings)
    total = round_half_up(len(natural) / max(1e-9, 1 - settings.gold_share - settings.attention_share - settings.repeat_share))
    wanted_gold = round_half_up(total * settings.gold_share)
    golds, shortfall = _draw_gold([g for g in gold if g.kind == "gold"], natural, wanted_gold, f"{batch_id}|{seed}", ids)
    attention = _shuffled([g for g in gold if g.kind == "attention"], f"{batch_id}|{seed}", ids)[
        : round_half_up(total * settings.attention_share)
    ]
    drafts = natural + [_gold_draft(g, batch_id, revision, ids, settings) for g in (*golds, *attention)]

    salt = f"{batch_id}|{seed}"
    ordered = sorted(drafts, key=lambda d: ids.make("order", salt, d.task_id))
    sides = _sides(ordered, salt, ids)
    ordered = _with_repeats(ordered, round_half_up(total * settings.repeat_share), batch_id, revision, salt, ids, sides)
    required = re.compile(settings.policy_reference_pattern) if settings.policy_reference_pattern else None
    rows = [_task(d, sides[d.task_id], round, batch_id, revision, guideline, required) for d in ordered]
    return to_table(LabelingTask, rows), _facts(rows, kept, gone, shortfall, wanted_gold)


def round_half_up(value: float) -> int:
    """Nearest whole number; Python's own `round` goes to even."""
    return int(value + 0.5)


def _natural(
    selection: pa.Table, judge_labels: pa.Table, pairs: pa.Table, batch_id: str, revision: int, ids: Ids, settings: LabelingSettings
) -> tuple[list[_Draft], int, int]:
    """Drafts of the picks that go to people; how many the judge keeps; how many pairs are gone."""
    by_id = {p.pair_id: p for p in from_table(Pair, pairs)}
    judged = {j.pair_id for j in from_table(JudgeLabel, judge_labels) if j.route == "judge"}
    drafts: list[_Draft] = []
    kept, gone, seen = 0, 0, set()
    for pick in from_table(SelectionPick, selection):
        if pick.pair_id in seen:
            raise BadInput(f"selection: pair {pick.pair_id} is picked twice; rerun `selection` for the round")
        seen.add(pick.pair_id)
        if pick.arm == "active" and pick.pair_id in judged:
            kept += 1
            continue
        pair = by_id.get(pick.pair_id)
        if pair is None:
            gone += 1
            continue
        drafts.append(
            _Draft(
                task_id=ids.make("task", batch_id, pair.pair_id, str(revision)), pair_id=pair.pair_id, record_id=pair.record_id, kind="natural",
                arm=pick.arm, domain=pair.domain, task_type=pair.task_type, prompt=pair.prompt, response_a=pair.response_a,
                response_b=pair.response_b, prompt_cluster=pair.prompt_cluster, redundancy=settings.redundancy,
                redaction_version=pair.redaction_version,
            )
        )  # fmt: skip
    if gone and gone == len(seen) - kept:
        raise BadInput(
            f"selection: none of the {gone} picks is among the {len(by_id)} response pairs given; rerun `response_pairs` and `selection`"
        )
    return drafts, kept, gone


def _shuffled(items: Sequence[GoldItem], salt: str, ids: Ids) -> list[GoldItem]:
    return sorted(items, key=lambda g: ids.make("draw", salt, g.gold_id))


def _draw_gold(
    gold: Sequence[GoldItem], natural: Sequence[_Draft], wanted: int, salt: str, ids: Ids
) -> tuple[list[GoldItem], dict[str, int]]:
    """`wanted` gold items, spread over the domains as the natural tasks are (largest remainder); and what each domain lacked."""
    domains = Counter(d.domain for d in natural)
    stock = {domain: _shuffled([g for g in gold if g.domain == domain], salt, ids) for domain in sorted(domains)}
    exact = {domain: wanted * n / max(1, len(natural)) for domain, n in sorted(domains.items())}
    quota = {domain: int(share) for domain, share in exact.items()}
    for domain in sorted(exact, key=lambda d: (quota[d] - exact[d], d))[: wanted - sum(quota.values())]:
        quota[domain] += 1
    drawn = [g for domain in quota for g in stock[domain][: quota[domain]]]
    shortfall = {domain: quota[domain] - len(stock[domain]) for domain in quota if len(stock[domain]) < quota[domain]}
    taken = {g.gold_id for g in drawn}
    rest = _shuffled([g for g in gold if g.gold_id not in taken and g.domain in domains], salt, ids)
    return drawn + rest[: wanted - len(drawn)], shortfall


def _gold_draft(item: GoldItem, batch_id: str, revision: int, ids: Ids, settings: LabelingSettings) -> _Draft:
    pair_id = ids.make("pair", f"gold:{item.gold_id}", sha256_text(item.response_a.text), sha256_text(item.response_b.text))
    return _Draft(
        task_id=ids.make("task", batch_id, pair_id, str(revision)), pair_id=pair_id, kind=item.kind, gold_id=item.gold_id, domain=item.domain,
        task_type=item.task_type, prompt=item.prompt, response_a=item.response_a, response_b=item.response_b,
        prompt_cluster=f"gold:{item.gold_id}", redundancy=settings.gold_redundancy, redaction_version=GOLD_REDACTION,
    )  # fmt: skip


def _sides(drafts: Sequence[_Draft], salt: str, ids: Ids) -> dict[str, Side]:
    """Half of each domain's tasks show `a` on the left (an odd one out falls to either side by hash)."""
    sides: dict[str, Side] = {}
    for domain in sorted({d.domain for d in drafts}):
        members = sorted((d.task_id for d in drafts if d.domain == domain), key=lambda t: ids.make("side", salt, t))
        first: Side = "a" if int(ids.make("side-first", salt, domain)[-1], 16) % 2 else "b"
        for position, task_id in enumerate(members):
            sides[task_id] = first if position % 2 == 0 else OTHER[first]
    return sides


def _with_repeats(
    ordered: list[_Draft], wanted: int, batch_id: str, revision: int, salt: str, ids: Ids, sides: dict[str, Side]
) -> list[_Draft]:
    """Add repeats of natural tasks of the first third, with sides swapped, at random places of the last third. Fills in `sides`."""
    originals = [d for d in ordered[: (len(ordered) + 2) // 3] if d.kind == "natural"]
    chosen = sorted(originals, key=lambda d: ids.make("repeat", salt, d.task_id))[:wanted]
    repeats = []
    for draft in chosen:
        task_id = ids.make("task", batch_id, draft.pair_id, str(revision), "again")
        sides[task_id] = OTHER[sides[draft.task_id]]
        repeats.append(_Draft(**{**draft.__dict__, "task_id": task_id, "kind": "repeat"}))
    cut = 2 * len(ordered) // 3
    tail = sorted(ordered[cut:] + repeats, key=lambda d: ids.make("order", salt, d.task_id))
    return ordered[:cut] + tail


def _task(
    draft: _Draft, left: Side, round: str, batch_id: str, revision: int, guideline: Guideline, required: re.Pattern[str] | None
) -> LabelingTask:
    asked = "\n".join(m.content for m in draft.prompt)
    return LabelingTask(
        round=round, task_id=draft.task_id, batch_id=batch_id, pair_id=draft.pair_id, record_id=draft.record_id, revision=revision,
        kind=draft.kind, gold_id=draft.gold_id, arm=draft.arm, domain=draft.domain, task_type=draft.task_type, prompt=draft.prompt,
        response_a=draft.response_a, response_b=draft.response_b, prompt_cluster=draft.prompt_cluster, presented_left=left,
        required_expertise=draft.domain, policy_reference_required=bool(required and required.search(asked)), redundancy=draft.redundancy,
        guideline_version=guideline.version, guideline_sha256=guideline.sha256, redaction_version=draft.redaction_version,
    )  # fmt: skip


def _facts(rows: Sequence[LabelingTask], kept: int, gone: int, shortfall: dict[str, int], wanted_gold: int) -> dict[str, Any]:
    kinds = Counter(r.kind for r in rows)
    countable = len(rows) - kinds["attention"]
    return {
        "tasks": len(rows),
        "tasks_by_kind": dict(sorted(kinds.items())),
        "natural_by_domain": dict(sorted(Counter(r.domain for r in rows if r.kind == "natural").items())),
        "gold_by_domain": dict(sorted(Counter(r.domain for r in rows if r.kind == "gold").items())),
        "arms": dict(sorted(Counter(r.arm for r in rows if r.kind == "natural" and r.arm).items())),
        "annotations_asked": sum(r.redundancy for r in rows),
        "judge_kept": kept,
        "pairs_gone": gone,
        "honeypot_share": kinds["gold"] / countable if countable else 0.0,
        "gold_wanted": wanted_gold,
        "gold_shortfall": max(0, wanted_gold - kinds["gold"]),
        "gold_shortfall_by_domain": shortfall,
        "policy_reference_required": sum(r.policy_reference_required for r in rows),
        "left_is_a": sum(r.presented_left == "a" for r in rows),
    }
