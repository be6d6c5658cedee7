"""Prompts, policy and the untuned assistant."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.records import Message
from flywheel.shopforge import (
    DOMAINS,
    base_response,
    ideal_response,
    make_personas,
    message_text,
    parse_prompt,
    prompt_cluster,
    render,
    sample_prompt,
    utility,
)
from flywheel.shopforge.personas import ALIAS, fill
from flywheel.shopforge.support import SupportSlots, policy
from flywheel.training.prompts import render_prompt

PERSONAS = make_personas(60, 0)


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_prompt_is_recovered_from_its_text(seed):
    prompt = sample_prompt(random.Random(seed))
    assert parse_prompt(prompt.text) == prompt
    assert parse_prompt(prompt.content) == prompt


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(2, 40))
def test_the_scenario_is_recovered_whatever_the_aliases_are_called(seed, number):
    prompt = sample_prompt(random.Random(seed))
    renumbered = ALIAS.sub(lambda m: f"[{m[1]}_{number}]", prompt.text)
    retyped = ALIAS.sub("[LOCATION_1]", prompt.text)
    assert {parse_prompt(t).slots for t in (renumbered, retyped)} == {prompt.slots}


@settings(deadline=None)
@given(st.integers(0, 10**9), st.sampled_from(PERSONAS))
def test_the_scenario_is_recovered_where_no_personal_data_was_recognised(seed, persona):
    prompt = sample_prompt(random.Random(seed))
    assert parse_prompt(fill(prompt.text, persona)).slots == prompt.slots


@pytest.mark.parametrize(
    "text",
    ["", "Hello", "Ticket: hello", "Ticket: Please refund order [ORDER_1] .", "Task: Write eval(x) for the plain job : a .", "Task: ",
     "Ticket: Please refund order [ORDER_1] . ( 5 days , 20 dollars , silver member , low risk )",
     "Ticket: Refund request for X . Double charge on X . ( 5 days , 20 dollars , gold member , low risk )",
     "Ticket: Please refund order X . ( 5 days , 6 days , 20 dollars , gold member , low risk )",
     "Task: Write restock(stock, sold, floor) for the plain job : stop at the floor ; return an int .",
     "Task: Write restock(stock, sold, floor) for the plain job : " + " " * 3_000, "Ticket: " + "(" * 3_000, "Ticket: " + "x" * 1_000_000],
)  # fmt: skip
def test_any_other_text_is_no_prompt_of_this_world(text):
    assert parse_prompt(text) is None
    assert prompt_cluster([Message(role="user", content=text)]) is None


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_the_text_is_what_the_training_stage_renders(seed):
    prompt = sample_prompt(random.Random(seed))
    messages = [Message(role="user", content=prompt.content)]
    assert render_prompt(messages) == prompt.text == render(prompt.content) == message_text(messages)
    assert prompt_cluster(messages) == prompt.cluster


def test_an_unknown_domain_is_refused_by_name():
    with pytest.raises(ValueError, match="poetry"):
        sample_prompt(random.Random(0), "poetry")


@pytest.mark.parametrize(
    ("slots", "action"),
    [
        (("refund", 28, 500, "basic", "calm", "low"), "refund"),
        (("refund", 29, 500, "basic", "calm", "low"), "decline"),
        (("refund", 29, 500, "gold", "calm", "low"), "credit"),
        (("refund", 2, 501, "gold", "calm", "low"), "supervisor"),
        (("damaged", 28, 900, "basic", "angry", "low"), "replace"),
        (("damaged", 35, 900, "basic", "angry", "low"), "credit"),
        (("late", 14, 20, "basic", "calm", "low"), "track"),
        (("late", 15, 20, "basic", "calm", "low"), "reship"),
        (("duplicate", 60, 900, "basic", "calm", "low"), "refund"),
        (("locked", 60, 900, "basic", "calm", "low"), "verify"),
        (("locked", 2, 20, "gold", "calm", "high"), "fraud"),
        (("refund", 2, 20, "gold", "calm", "high"), "fraud"),
    ],
)
def test_the_policy(slots, action):
    assert policy(SupportSlots(*slots)) == action


def test_splits_follow_clusters_and_have_their_shares():
    rng = random.Random(1)
    prompts = [sample_prompt(rng) for _ in range(6_000)]
    assert len({(p.cluster, p.split) for p in prompts}) == len({p.cluster for p in prompts})
    shares = Counter(p.split for p in prompts)
    assert 0.75 < shares["train"] / len(prompts) < 0.85
    for domain in DOMAINS:
        assert len({p.cluster for p in prompts if p.domain == domain and p.split == "conf"}) >= 40


def test_intents_are_long_tailed_and_scenarios_repeat():
    rng = random.Random(2)
    support = [sample_prompt(rng, "support") for _ in range(3_000)]
    intents = Counter(p.slots.intent for p in support).most_common()
    assert intents[0][1] > 5 * intents[-1][1]
    assert len({p.cluster for p in support}) < 0.6 * len(support)


def _modal_answer_is_right(domain):
    """For each of many prompts: is the most frequent action (support) or body (code) of the untuned assistant right?"""
    rng = random.Random(3)
    right = []
    for _ in range(60):
        prompt = sample_prompt(rng, domain)
        answers = [base_response(rng, prompt) for _ in range(40)]
        scored = Counter(_decisive_part(a) for a in answers)
        mode = scored.most_common(1)[0][0]
        example = next(a for a in answers if _decisive_part(a) == mode)
        right.append((mode == _decisive_part(ideal_response(rng, prompt)), prompt, example))
    return right


def _decisive_part(answer):
    if not answer.startswith("def "):
        return tuple(s for s in answer.split(" . ") if s.startswith(("I have", "I am not", "I am sen", "I am ship", "I am pass", "Please")))
    return tuple(line for line in answer.splitlines() if "#" not in line and "eval" not in line)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_assistant_is_systematically_wrong_in_the_tail(domain):
    modes = [right for right, _, _ in _modal_answer_is_right(domain)]
    assert 0.05 < sum(modes) / len(modes) < 0.7


def test_most_everyday_tickets_are_handled_well():
    easy = [
        right
        for right, p, _ in _modal_answer_is_right("support")
        if p.slots.risk == "low" and p.slots.days <= 14 and p.slots.dollars <= 300
    ]
    assert len(easy) > 5
    assert all(easy)


@pytest.mark.parametrize("domain", DOMAINS)
def test_with_accuracy_one_the_assistant_does_what_is_asked(domain):
    rng = random.Random(4)
    for _ in range(200):
        prompt = sample_prompt(rng, domain)
        answer = base_response(rng, prompt, accuracy=1.0).replace("    log = eval(str(1))\n", "")
        assert utility(prompt.text, answer).ok == 1.0
    # and ability is really conditional: without it the answers are worse
    prompts = [sample_prompt(rng, domain) for _ in range(300)]
    assert sum(utility(p.text, base_response(rng, p)).ok for p in prompts) < 0.75 * len(prompts)


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_the_ideal_answer_has_no_fault(seed):
    rng = random.Random(seed)
    prompt = sample_prompt(rng)
    score = utility(prompt.text, ideal_response(rng, prompt))
    assert (score.ok, score.tone, score.violation, score.filler) == (1.0, 1.0, 0.0, 0)


def test_the_same_seed_gives_the_same_world():
    def draw():
        rng = random.Random(9)
        return [(p.text, base_response(rng, p), ideal_response(rng, p)) for p in (sample_prompt(rng) for _ in range(50))]

    assert draw() == draw()
