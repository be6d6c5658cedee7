"""Simulated raters."""

import json
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from shopforge_batch import ROUND, make_batch

from flywheel.records import AnnotationEvent, LabelingTask
from flywheel.shopforge import SIMULATED_RATERS, answer_batch, deliver_simulated_labels, gold_items, message_text, utility
from flywheel.storage import from_table, to_table
from flywheel.weeks import round_end

GOOD = {r.rater for r in SIMULATED_RATERS if r.rater.startswith(("sim-expert", "sim-crowd"))}
EXPERTS = {r.rater for r in SIMULATED_RATERS if "expert" in r.expertise}
WEEK_S = 7 * 86_400


@pytest.fixture(scope="module")
def batch():
    return make_batch(400, 30)


@pytest.fixture(scope="module")
def tasks(batch):
    return {t.task_id: t for t in from_table(LabelingTask, batch)}


@pytest.fixture(scope="module")
def events(batch):
    return answer_batch(batch, round=ROUND, seed=1)


@pytest.fixture(scope="module")
def gold_accuracy():
    """Share of right answers on gold, over several seeds so that each rater has enough."""
    accepted = {i.gold_id: i.accepted for i in gold_items(60, 0)}
    batch = make_batch(200, 60)
    tasks = {t.task_id: t for t in from_table(LabelingTask, batch)}
    right = defaultdict(list)
    for seed in range(4):
        for e in answer_batch(batch, round=ROUND, seed=seed):
            gold_id = tasks[e.task_id].gold_id
            if gold_id:
                right[e.rater].append(e.decision in accepted[gold_id])
    return {rater: sum(r) / len(r) for rater, r in right.items()}


def test_every_answer_says_that_it_is_simulated(events):
    assert {e.origin for e in events} == {"simulated"}
    assert {e.timing_source for e in events} == {"simulated"}
    assert {r.origin for r in SIMULATED_RATERS} == {"simulated"}
    assert all(e.rater.startswith("sim-") for e in events)
    assert {e.rater for e in events} == {r.rater for r in SIMULATED_RATERS}


def test_the_same_batch_and_seed_give_the_same_answers(batch, events):
    assert answer_batch(batch, round=ROUND, seed=1) == events
    assert answer_batch(batch, round=ROUND, seed=2) != events


def test_raters_do_not_read_what_kind_of_task_it_is(batch, tasks, events):
    plain = [t.model_copy(update={"kind": "natural", "gold_id": None, "arm": None}) for t in tasks.values()]
    assert answer_batch(to_table(LabelingTask, plain), round=ROUND, seed=1) == events


def test_each_task_gets_its_raters_once_and_of_the_required_expertise(tasks, events):
    expertise = {r.rater: r.expertise for r in SIMULATED_RATERS}
    answers = defaultdict(list)
    for e in events:
        answers[e.task_id].append(e.rater)
        assert tasks[e.task_id].domain in expertise[e.rater]
    assert set(answers) == set(tasks)
    for given in answers.values():
        assert len(given) == len(set(given))
        assert 3 <= len(given) <= 4


def test_full_time_raters_share_the_work_evenly(events):
    first = Counter(e.rater for e in events if e.rater in GOOD - EXPERTS)
    assert max(first.values()) < 1.25 * min(first.values())


def test_a_repeated_pair_goes_to_the_same_raters(tasks):
    task = next(iter(tasks.values()))
    again = task.model_copy(update={"task_id": "again", "presented_left": "b" if task.presented_left == "a" else "a"})
    events = answer_batch(to_table(LabelingTask, [*tasks.values(), again]), round=ROUND, seed=1)
    crowd = {t: {e.rater for e in events if e.task_id == t} - EXPERTS for t in (task.task_id, "again")}
    assert crowd["again"] == crowd[task.task_id] != set()


def test_careful_raters_are_right_on_gold_and_the_others_are_not(gold_accuracy):
    assert all(gold_accuracy[r] >= 0.95 for r in GOOD)
    assert gold_accuracy["sim-spammer"] < 0.6
    assert gold_accuracy["sim-always-left"] < 0.65
    for kind in ("noisy", "length-biased", "drifting"):
        assert gold_accuracy[f"sim-{kind}"] < min(gold_accuracy[r] for r in GOOD)


def test_agreement_on_gold_is_high_without_the_raters_that_gold_exposes(tasks, events):
    exposed = {"sim-spammer", "sim-always-left"}
    gold = defaultdict(list)
    for e in events:
        if tasks[e.task_id].kind == "gold" and e.rater not in exposed:
            gold[e.task_id].append(e.decision)
    assert nominal_alpha(gold.values()) > 0.75


def nominal_alpha(units):
    """Krippendorff's alpha, nominal, from the coincidence counts."""
    units = [Counter(u) for u in units if len(u) > 1]
    total = sum(units, Counter())
    n = sum(total.values())
    disagreement = sum(c[v] * (c.total() - c[v]) / (c.total() - 1) for c in units for v in c) / n
    return 1 - disagreement / (sum(total[v] * (n - total[v]) for v in total) / (n * (n - 1)))


def test_the_bad_ones_have_their_marks(tasks, events):
    mine = defaultdict(list)
    for e in events:
        mine[e.rater].append((e, tasks[e.task_id]))
    left = [e.decision == t.presented_left for e, t in mine["sim-always-left"]]
    assert sum(left) > 0.9 * len(left)
    spam = sorted(e.active_s for e, _ in mine["sim-spammer"])
    careful = sorted(e.active_s for e, _ in mine["sim-crowd-1"])
    assert spam[len(spam) // 2] * 5 < careful[len(careful) // 2]
    longer = [
        (len(t.response_a.text.split()) > len(t.response_b.text.split())) == (e.decision == "a")
        for e, t in mine["sim-length-biased"]
        if e.decision in ("a", "b") and len(t.response_a.text.split()) != len(t.response_b.text.split())
    ]
    assert sum(longer) > 0.65 * len(longer)


def test_the_drifting_rater_gets_worse(gold_accuracy):
    early, late = [], []
    batch = make_batch(0, 60)
    tasks = {t.task_id: t for t in from_table(LabelingTask, batch)}
    accepted = {i.gold_id: i.accepted for i in gold_items(60, 0)}
    for seed in range(8):
        mine = [e for e in answer_batch(batch, round=ROUND, seed=seed) if e.rater == "sim-drifting"]
        right = [e.decision in accepted[tasks[e.task_id].gold_id] for e in mine]
        early += right[: len(right) // 3]
        late += right[-len(right) // 3 :]
    assert sum(early) / len(early) > 0.9
    assert sum(late) / len(late) < 0.75


def test_both_bad_is_explained_and_required_clauses_are_cited(tasks, events):
    bad = [e for e in events if e.decision == "both_bad"]
    assert bad
    assert all(e.rationale for e in bad)
    assert all(e.policy_reference for e in events if tasks[e.task_id].policy_reference_required)
    assert any(e.critique for e in events)


def test_experts_decide_what_was_disputed_and_write_the_right_answer(tasks, events):
    rewritten = [e for e in events if e.rewrite]
    assert len({e.task_id for e in rewritten}) >= 20
    assert {e.rater for e in rewritten} <= EXPERTS
    for e in rewritten:
        assert utility(message_text(tasks[e.task_id].prompt), e.rewrite).ok == 1.0
    bad = {e.task_id for e in events if e.decision == "both_bad" and e.rater not in EXPERTS}
    by_expert = {e.task_id for e in events if e.rater in EXPERTS}
    assert bad <= by_expert


def test_likert_ratings_agree_with_the_decision(events):
    for e in events:
        match e.decision:
            case "a":
                assert e.likert_a > e.likert_b
            case "b":
                assert e.likert_b > e.likert_a
            case "both_bad":
                assert max(e.likert_a, e.likert_b) <= 2
            case _:
                assert e.likert_a == e.likert_b


def test_work_lies_in_the_week_after_the_round_and_one_task_at_a_time(events):
    by_rater = defaultdict(list)
    for e in events:
        by_rater[e.rater].append(e)
        assert (e.started_at - round_end(ROUND)).total_seconds() >= 0
        assert (e.ended_at - round_end(ROUND)).total_seconds() < WEEK_S
        assert 0 < e.active_s <= (e.ended_at - e.started_at).total_seconds() + 1e-3
    for mine in by_rater.values():
        mine.sort(key=lambda e: e.started_at)
        assert all(a.ended_at <= b.started_at for a, b in pairwise(mine))


def test_a_prompt_of_another_world_is_skipped_with_a_reason(tasks):
    task = next(iter(tasks.values()))
    foreign = task.model_copy(update={"prompt": [task.prompt[0].model_copy(update={"content": "What is the capital of France ?"})]})
    events = answer_batch(to_table(LabelingTask, [foreign]), round=ROUND, seed=0)
    assert len(events) == 3
    assert {(e.decision, e.skip_reason) for e in events} == {("skip", "unclear")}


def test_an_empty_batch_has_no_answers(batch):
    assert answer_batch(batch.slice(0, 0), round=ROUND, seed=0) == []


def test_labels_are_delivered_as_a_label_file(batch, events, tmp_path):
    path = deliver_simulated_labels(batch, tmp_path, round=ROUND, seed=1)
    assert path == tmp_path / f"shopforge-{ROUND}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [AnnotationEvent.model_validate_json(json.dumps(r)) for r in rows] == events
    assert all("event_id" not in r and r["origin"] == "simulated" for r in rows)
    assert not any({"kind", "gold_id"} & set(r) for r in rows)
    before = path.read_bytes()
    assert deliver_simulated_labels(batch, tmp_path, round=ROUND, seed=1).read_bytes() == before
