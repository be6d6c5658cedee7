"""From labels to preferences: what the crowd is sure of, what experts decide, and what is left out, each counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flywheel.quality import aggregate_preferences, demonstrations, rater_quality
from flywheel.records import Demonstration, JudgeLabel, Preference
from flywheel.settings import QualitySettings
from flywheel.storage import from_table, to_table

ROUND = "2026-01-05"
GOOD = {f"r{i}": 0.95 for i in range(9)}


def preferences(made: Any, **changes: Any) -> tuple[dict[str, Preference], dict[str, Any]]:
    settings = changes.pop("settings", QualitySettings())
    quality = rater_quality(made.annotations, round=ROUND, settings=settings)
    pairs = changes.pop("pairs", made.pair_table)
    table, facts = aggregate_preferences(
        made.annotations, quality, made.batch, changes.pop("judge", made.judge), pairs, round=ROUND, settings=settings, **changes
    )
    return {p.pair_id: p for p in from_table(Preference, table)}, facts


def judged(pair: Any, **changes: Any) -> JudgeLabel:
    told = {
        "round": ROUND, "pair_id": pair.pair_id, "record_id": pair.record_id, "judge_id": "reward-1", "p_a": 0.03, "decision": "b", "confidence": 0.97,
        "route": "judge", "reason": "sure",
    } | changes  # fmt: skip
    return JudgeLabel.model_validate(told)


def test_most_pairs_get_their_true_label_and_every_pair_has_a_fate(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=300, n_gold=30)
    rows, facts = preferences(made)
    by_pair = {t.pair_id: made.truth[t.task_id] for t in made.tasks}
    assert sum(r.outcome == by_pair[r.pair_id] for r in rows.values()) / len(rows) > 0.97
    assert sum(facts["fate"].values()) == facts["pairs"] == 300
    assert facts["accepted"] == len(rows) == facts["fate"]["crowd"]
    assert all(r.posterior >= 0.8 and r.tier == "crowd" and r.origin == "human" for r in rows.values())
    assert list(rows) == sorted(rows)


def test_chosen_and_rejected_follow_the_outcome_and_ids_come_from_the_pair(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=300, n_gold=30)
    rows, _ = preferences(made)
    assert {r.outcome for r in rows.values()} >= {"a", "b", "tie"}
    for r in rows.values():
        assert (r.chosen, r.rejected) == {"a": ("a", "b"), "b": ("b", "a")}.get(r.outcome, (None, None))
        assert (r.conversation_id, r.subject_id) == (f"conv{int(r.pair_id[1:])}", f"s{int(r.pair_id[1:])}")


def test_gold_attention_and_repeat_tasks_never_become_preferences(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=60, n_gold=30, n_attention=5)
    again = made.tasks[0].model_copy(update={"task_id": "again", "kind": "repeat"})
    made.tasks.append(again)
    made.say(again, "r0", "b")
    rows, _ = preferences(made)
    natural = {t.pair_id for t in made.tasks if t.kind == "natural"}
    assert set(rows) <= natural
    assert all("again" not in r.event_ids for r in rows.values())
    assert rows[made.tasks[0].pair_id].n_annotations == 3


def test_doubt_and_both_bad_go_to_experts_whose_word_then_decides(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=4, n_gold=0)
    split, bad, split_expert, bad_expert = made.tasks
    for task, labels in (
        (split, ("a", "b", "tie")),
        (bad, ("both_bad",) * 3),
        (split_expert, ("a", "a", "b")),
        (bad_expert, ("both_bad",) * 3),
    ):
        for i, decision in enumerate(labels):
            made.say(task, f"r{i}", decision, rationale="why" if decision == "both_bad" else None)
    made.say(split_expert, "sage", "b", origin="expert")
    made.say(bad_expert, "sage2", "both_bad", rationale="both leak")
    rows, facts = preferences(made, experts={"sage2"})
    assert facts["fate"] == {"expert": 2, "to_expert": 2}
    assert (rows[split_expert.pair_id].outcome, rows[split_expert.pair_id].tier, rows[split_expert.pair_id].origin) == (
        "b",
        "expert",
        "expert",
    )
    assert (rows[bad_expert.pair_id].outcome, rows[bad_expert.pair_id].chosen) == ("both_bad", None)
    assert rows[bad_expert.pair_id].rationales == ["why"] * 3 + ["both leak"]
    assert 0.8 < rows[bad_expert.pair_id].posterior < 1


def test_one_persons_word_is_not_the_crowds(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=2, n_gold=0)
    one, two = made.tasks
    for task, raters in ((one, ["r1"]), (two, ["r1", "r2"])):
        for rater in raters:
            made.say(task, rater, "a")
    rows, facts = preferences(made)
    assert set(rows) == {two.pair_id}
    assert facts["fate"] == {"crowd": 1, "to_expert": 1}
    assert set(preferences(made, settings=QualitySettings(minimum_labels=1))[0]) == {one.pair_id, two.pair_id}


def test_labels_of_paused_raters_and_skips_count_nowhere(answered: Callable[..., Any]) -> None:
    made = answered(GOOD | {"spam": 0.25}, n_natural=300, n_gold=60)
    made.say(made.tasks[0], "r8x", "skip", skip_reason="unclear")
    rows, facts = preferences(made)
    spam = {a.event_id for a in made.rows if a.rater == "spam" or a.decision == "skip"}
    assert facts["labels_of_paused_raters"] > 50
    assert not any(spam & set(r.event_ids) for r in rows.values())


def test_one_simulated_label_marks_the_row_for_ever(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=2, n_gold=0)
    for task in made.tasks:
        for rater in ("r1", "r2", "r3"):
            made.say(task, rater, "a")
    made.rows[0] = made.rows[0].model_copy(update={"origin": "simulated", "rater": "sim-1"})
    rows, facts = preferences(made)
    assert sorted(r.origin for r in rows.values()) == ["human", "simulated"]
    assert facts["origins"] == {"human": 1, "simulated": 1}


def test_the_random_arm_goes_through_with_its_name(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=30, n_gold=0)
    made.tasks = [t.model_copy(update={"arm": ("active", "random_evaluation", "random_control")[i % 3]}) for i, t in enumerate(made.tasks)]
    rows, _ = preferences(made)
    arm = {t.pair_id: t.arm for t in made.tasks}
    assert {r.arm for r in rows.values()} == {"active", "random_evaluation", "random_control"}
    assert all(r.arm == arm[r.pair_id] for r in rows.values())


def test_excluded_gone_and_unlabelled_pairs_are_left_out_and_counted(answered: Callable[..., Any], make_round: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=20, n_gold=0)
    rows, facts = preferences(made, exclude_pairs={"p0000", "p0001"}, pairs=made.pair_table.slice(0, 19))
    assert not {"p0000", "p0001", "p0019"} & set(rows)
    assert (facts["fate"]["excluded"], facts["fate"]["pair_gone"]) == (2, 1)
    assert preferences(make_round(n_natural=5, n_gold=2))[1]["fate"] == {"unlabelled": 5}


def test_pairs_that_the_judge_kept_enter_as_the_judges(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=20, n_gold=0)
    kept = [p.model_copy(update={"pair_id": f"k{i}"}) for i, p in enumerate(made.pairs[:4])]
    judge = to_table(JudgeLabel, [
        judged(kept[0]), judged(kept[1], decision="both_bad"), judged(kept[2], route="human"), judged(made.pairs[0]), judged(kept[3]),
    ])  # fmt: skip
    made.pairs += kept
    rows, facts = preferences(made, judge=judge, exclude_pairs={"k3"})
    assert {p for p in rows if p.startswith("k")} == {"k0"}
    row = rows["k0"]
    assert (row.outcome, row.tier, row.origin, row.posterior, row.aggregator, row.n_annotations) == (
        "b",
        "judge",
        "judge",
        0.97,
        "reward-1",
        0,
    )
    without = preferences(made)[1]["fate"]
    assert (facts["fate"]["judge"], facts["fate"]["excluded"]) == (1, 1)
    assert facts["fate"]["to_expert"] - without.get("to_expert", 0) == 1
    assert rows["p0000"].origin == "human"  # in the batch: people decide


def test_late_answers_bring_in_pairs_of_an_earlier_batch(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=3, n_gold=0)
    made.tasks = [t.model_copy(update={"round": "2025-12-29"}) for t in made.tasks[:2]] + made.tasks[2:]
    late, silent, own = made.tasks
    for rater in ("r1", "r2", "r3"):
        made.say(late, rater, "a", status="banked")
        made.say(own, rater, "b")
    rows, facts = preferences(made)
    assert {p: r.outcome for p, r in rows.items()} == {late.pair_id: "a", own.pair_id: "b"}
    assert facts["banked"] == 3
    assert silent.pair_id not in rows
    assert set(preferences(made, exclude_pairs={late.pair_id})[0]) == {own.pair_id}


def test_a_pair_too_close_to_call_is_not_decided_by_the_order_of_labels(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=1, n_gold=0)
    made.say(made.tasks[0], "r1", "a")
    made.say(made.tasks[0], "r2", "b")
    assert preferences(made, settings=QualitySettings(posterior_floor=0.5))[0] == {}


def test_the_same_answers_in_any_order_give_the_same_table(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=60, n_gold=30)
    first = preferences(made)
    made.rows.reverse()
    made.tasks.reverse()
    made.pairs.reverse()
    assert preferences(made) == first


def test_exact_gold_and_gold_results_tell_the_same(answered: Callable[..., Any]) -> None:
    made = answered(GOOD, n_natural=100, n_gold=40)
    without, with_gold = preferences(made)[1], preferences(made, gold=made.gold)[1]
    assert with_gold["gold_items"] == 40
    assert with_gold["aggregator"] == without["aggregator"]
    assert with_gold["gold_log_loss"]["majority"] == pytest.approx(without["gold_log_loss"]["majority"], abs=0.1)


def test_demonstrations_are_rewrites_by_experts_redacted(make_round: Callable[..., Any]) -> None:
    made = make_round(n_natural=6, n_gold=2)
    made.tasks[4] = made.tasks[4].model_copy(update={"arm": "random_evaluation"})
    wrote = {"decision": "both_bad", "rationale": "x", "rewrite": "Dear Jane"}
    for i, (rater, origin) in enumerate(
        [("sage", "expert"), ("sim-1", "simulated"), ("crowd", "human"), ("named", "human"), ("sage", "expert")]
    ):
        made.say(made.tasks[i], rater, origin=origin, **wrote)
    made.say(made.tasks[6], "sage", origin="expert", **wrote)  # gold
    made.say(made.tasks[5], "sage", "tie", origin="expert", rewrite="  ")
    conversations = {p.pair_id: p.conversation_id for p in made.pairs}
    table = demonstrations(
        made.annotations, made.batch, round=ROUND, redact=lambda text, conversation: f"{text.replace('Jane', '[PERSON_1]')}|{conversation}",
        conversations=conversations, experts={"named"},
    )  # fmt: skip
    rows = from_table(Demonstration, table)
    assert [(d.pair_id, d.author) for d in rows] == [("p0000", "sage"), ("p0001", "sim-1"), ("p0003", "named")]
    assert rows[0].response == "Dear [PERSON_1]|conv0"
    left = demonstrations(made.annotations, made.batch, round=ROUND, redact=lambda t, c: t, exclude_pairs={"p0000", "p0001"})
    assert left.num_rows == 0
