"""A batch: natural, gold, attention and repeat tasks, in an order and on sides that tell nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from flywheel.errors import BadInput
from flywheel.records import JudgeLabel, LabelingTask, Pair
from flywheel.settings import LabelingSettings
from flywheel.storage import from_table, to_table

ROUND = "2026-01-05"


def tasks(table: pa.Table) -> list[LabelingTask]:
    return from_table(LabelingTask, table)


def judged(pair: Pair) -> dict[str, Any]:
    return {
        "round": ROUND, "pair_id": pair.pair_id, "record_id": pair.record_id, "judge_id": "j", "p_a": 0.99, "decision": "a", "confidence": 0.99,
        "route": "judge", "reason": "sure",
    }  # fmt: skip


def test_shares_are_those_of_the_settings(world: Any) -> None:
    batch, facts = world.build()
    kinds = Counter(t.kind for t in tasks(batch))
    assert kinds["natural"] == 120
    assert facts["tasks_by_kind"] == dict(sorted(kinds.items()))
    assert kinds["gold"] == round(0.10 * len(tasks(batch)))
    assert 0.05 <= facts["honeypot_share"] <= 0.15
    assert facts["annotations_asked"] == 3 * batch.num_rows
    assert facts["gold_shortfall"] == 0


def test_gold_redundancy_is_its_own_setting(world: Any) -> None:
    batch, _ = world.build(settings=LabelingSettings(redundancy=2, gold_redundancy=5))
    assert {(t.kind in ("gold", "attention"), t.redundancy) for t in tasks(batch)} == {(True, 5), (False, 2)}


def test_gold_is_spread_over_the_domains_and_a_shortfall_is_said(world: Any) -> None:
    batch, _ = world.build()
    natural, gold = (Counter(t.domain for t in tasks(batch) if t.kind == k) for k in ("natural", "gold"))
    assert abs(gold["code"] / gold.total() - natural["code"] / natural.total()) < 0.08
    _, facts = world.build(gold=[g for g in world.gold if g.domain == "support"])
    assert facts["gold_shortfall_by_domain"] == {"code": gold["code"]}
    assert facts["gold_by_domain"] == {"support": gold.total()}
    _, facts = world.build(gold=[])
    assert facts["gold_shortfall"] == gold.total()


def test_another_round_draws_other_gold(world: Any) -> None:
    first, second = ({t.gold_id for t in tasks(world.build(revision=r)[0]) if t.kind == "gold"} for r in (1, 2))
    assert first != second


def test_what_the_judge_keeps_is_left_out_but_random_arms_always_go_to_people(world: Any) -> None:
    every = to_table(JudgeLabel, [judged(p) for p in from_table(Pair, world.pairs)])
    batch, facts = world.build(judge=every)
    assert {t.arm for t in tasks(batch) if t.kind == "natural"} == {"random_control", "random_evaluation"}
    assert facts["judge_kept"] == 96


def test_sides_are_balanced_in_each_domain_and_repeats_are_swapped(world: Any) -> None:
    shown = tasks(world.build()[0])
    for domain in ("code", "support"):
        left = Counter(t.presented_left for t in shown if t.domain == domain and t.kind != "repeat")
        assert abs(left["a"] - left["b"]) <= 1
    by_pair = {t.pair_id: t for t in shown if t.kind == "natural"}
    repeats = [t for t in shown if t.kind == "repeat"]
    assert repeats
    assert all(t.presented_left != by_pair[t.pair_id].presented_left and t.task_id != by_pair[t.pair_id].task_id for t in repeats)


def test_repeats_come_long_after_their_first_showing(world: Any) -> None:
    shown = tasks(world.build()[0])
    place = {(t.pair_id, t.kind): i for i, t in enumerate(shown)}
    for t in shown:
        if t.kind == "repeat":
            assert place[t.pair_id, "repeat"] - place[t.pair_id, "natural"] >= len(shown) // 4


def test_order_and_ids_do_not_depend_on_kind(world: Any) -> None:
    """The same items asked for as gold and as attention checks get the same ids and the same places."""
    as_gold = LabelingSettings(gold_share=0.1, attention_share=0, repeat_share=0)
    as_attention = LabelingSettings(gold_share=0, attention_share=0.1, repeat_share=0)
    only_gold = [g for g in world.gold if g.kind == "gold"][:10]
    renamed = [g.model_copy(update={"kind": "attention"}) for g in only_gold]
    one = tasks(world.build(gold=only_gold, settings=as_gold)[0])
    other = tasks(world.build(gold=renamed, settings=as_attention)[0])
    assert [(t.task_id, t.presented_left, t.policy_reference_required) for t in one] == [
        (t.task_id, t.presented_left, t.policy_reference_required) for t in other
    ]


def test_gold_lies_anywhere_in_the_order(world: Any) -> None:
    shown = tasks(world.build()[0])
    places = [i / len(shown) for i, t in enumerate(shown) if t.kind == "gold"]
    assert min(places) < 0.35
    assert max(places) > 0.65


def test_the_same_input_in_any_row_order_gives_the_same_batch(world: Any) -> None:
    batch, facts = world.build()
    order = pa.array(list(range(world.pairs.num_rows))[::-1])
    turned, turned_facts = world.build(pairs=world.pairs.take(order), selection=world.selection.take(order), gold=world.gold[::-1])
    assert batch.equals(turned)
    assert facts == turned_facts
    assert not batch.equals(world.build(seed=2)[0])


def test_difficult_tickets_need_a_policy_reference_by_their_prompt_alone(world: Any) -> None:
    for t in tasks(world.build()[0]):
        assert t.policy_reference_required == ("high risk" in t.prompt[0].content)


def test_a_pick_whose_pair_is_gone_is_left_out_and_counted(world: Any) -> None:
    batch, facts = world.build(pairs=world.pairs.slice(1))
    assert facts["pairs_gone"] == 1
    assert facts["tasks_by_kind"]["natural"] == 119
    assert world.pairs["pair_id"][0].as_py() not in batch["pair_id"].to_pylist()


def test_a_selection_that_does_not_belong_to_the_pairs_is_refused(world: Any) -> None:
    with pytest.raises(BadInput, match="none of the 120 picks is among the 0 response pairs"):
        world.build(pairs=world.pairs.slice(0, 0))
    with pytest.raises(BadInput, match="picked twice"):
        world.build(selection=pa.concat_tables([world.selection, world.selection.slice(0, 1)]))
