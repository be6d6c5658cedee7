"""Gold items, attention checks, held-out prompts."""

from collections import Counter

import pytest

from flywheel.labeling import load_gold
from flywheel.shopforge import DOMAINS, gold_items, heldout_prompts, message_text, parse_prompt, utility

ITEMS = gold_items(60, 0)


def scores(item):
    text = message_text(item.prompt)
    return utility(text, item.response_a.text).u, utility(text, item.response_b.text).u


def test_the_same_seed_gives_the_same_items():
    assert gold_items(60, 0) == ITEMS
    assert gold_items(60, 1) != ITEMS
    assert gold_items(0, 0) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_has_its_items_with_balanced_outcomes(domain):
    gold = Counter(i.accepted[0] for i in ITEMS if i.domain == domain and i.kind == "gold")
    attention = Counter(i.accepted[0] for i in ITEMS if i.domain == domain and i.kind == "attention")
    assert gold == {"a": 27, "b": 27, "both_bad": 6}
    assert attention == {"a": 5, "b": 5}


def test_exactly_one_outcome_is_accepted_and_certain():
    for item in ITEMS:
        a, b = scores(item)
        assert len(item.accepted) == 1
        match item.accepted[0]:
            case "a":
                assert a - b >= 1.4
            case "b":
                assert b - a >= 1.4
            case "both_bad":
                assert max(a, b) <= -1.5
            case other:
                pytest.fail(f"{other} is never certain")


def test_items_are_distinct_marked_simulated_and_cite_a_clause():
    assert len({i.gold_id for i in ITEMS}) == len(ITEMS)
    assert len({(i.prompt[0].content, i.response_a.text, i.response_b.text) for i in ITEMS}) == len(ITEMS)
    assert {i.origin for i in ITEMS} == {"simulated"}
    assert all(i.response_a.text != i.response_b.text and i.policy_reference and i.rationale for i in ITEMS)


def test_the_policys_limits_are_covered_from_both_sides():
    slots = [parse_prompt(message_text(i.prompt)).slots for i in ITEMS if i.domain == "support" and i.kind == "gold"]
    assert {28, 29} <= {s.days for s in slots}
    assert {500, 501} <= {s.dollars for s in slots}
    assert {s.risk for s in slots} == {"low", "high"}


def test_length_does_not_give_the_answer_away():
    longer_wins = [
        (len(i.response_a.text.split()) > len(i.response_b.text.split())) == (i.accepted == ["a"])
        for i in ITEMS
        if i.kind == "gold" and i.accepted != ["both_bad"]
    ]
    assert 0.25 < sum(longer_wins) / len(longer_wins) < 0.75


def test_the_labeling_stage_loads_them(tmp_path):
    (tmp_path / "gold.jsonl").write_text("".join(i.model_dump_json() + "\n" for i in ITEMS))
    assert load_gold(tmp_path) == ITEMS


def test_held_out_prompts_are_of_clusters_that_nothing_else_uses():
    held_out = heldout_prompts(200, 0)
    assert {d: len(p) for d, p in held_out.items()} == {"support": 200, "code": 200}
    for domain, prompts in held_out.items():
        parsed = [parse_prompt(message_text(p)) for p in prompts]
        assert all(p.domain == domain and p.split == "conf" for p in parsed)
    assert heldout_prompts(200, 0) == held_out
