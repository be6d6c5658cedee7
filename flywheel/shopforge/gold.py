"""Gold items at the policy's boundaries, attention checks, and the prompts kept for evaluation."""

from __future__ import annotations

import random

from flywheel.records import Generation, GoldItem, Message, Outcome, Response
from flywheel.shopforge.code import COMMENTS, DANGEROUS_LINE, CodeSlots, code_answer, code_body, request
from flywheel.shopforge.code import sample_slots as sample_code_slots
from flywheel.shopforge.oracle import utility
from flywheel.shopforge.support import ACTIONS, NAIVE, SupportSlots, clause, policy, reply, ticket
from flywheel.shopforge.support import sample_slots as sample_support_slots
from flywheel.shopforge.world import DOMAINS, Prompt, ideal_response, message_text, parse_prompt, render, sample_prompt

CLEAR = 1.4  # least utility difference of a gold pair
HOPELESS = -1.5  # most utility of either answer of a both_bad pair
BOTH_BAD_SHARE = 0.10
GOLD_MODEL = "shopforge-gold"
GIBBERISH = {"support": ("...", "Thanks . Thanks . Thanks .", "Lorem ipsum dolor sit amet ."), "code": ("...", "pass pass pass", "TODO")}
# One step off a limit of the policy on either side.
BOUNDARY_DAYS = (13, 14, 15, 27, 28, 29, 35)
BOUNDARY_DOLLARS = (300, 499, 500, 501, 600)


def gold_items(n_per_domain: int, seed: int) -> list[GoldItem]:
    """`n_per_domain` gold items and a sixth as many attention items for each domain, by gold id; origin `simulated`.

    Exactly one outcome is accepted, and the oracle is certain of it: `a` and `b` are equally frequent, a tenth is `both_bad`. The wrong
    answer is as often padded as the right one, so that length does not give it away.
    """
    items = []
    for domain in DOMAINS:
        rng = random.Random(f"shopforge|gold|{seed}|{domain}")
        seen: set[tuple[str, ...]] = set()
        bad = round(n_per_domain * BOTH_BAD_SHARE)
        sides: tuple[Outcome, Outcome] = ("a", "b")
        accepted: list[Outcome] = ["both_bad"] * bad
        accepted += [sides[i % 2] for i in range(n_per_domain - bad)]
        rng.shuffle(accepted)
        items += [_gold(rng, domain, number, outcome, seen) for number, outcome in enumerate(accepted)]
        items += [_attention(rng, domain, number, seen) for number in range(max(1, n_per_domain // 6) if n_per_domain else 0)]
    return sorted(items, key=lambda item: item.gold_id)


def heldout_prompts(n_per_domain: int, seed: int) -> dict[str, list[list[Message]]]:
    """For each domain `n_per_domain` one-turn conversations from the `conf` clusters, which no log and no base model training has."""
    found: dict[str, list[list[Message]]] = {}
    for domain in DOMAINS:
        rng = random.Random(f"shopforge|heldout|{seed}|{domain}")
        prompts: list[list[Message]] = []
        while len(prompts) < n_per_domain:
            prompt = sample_prompt(rng, domain)
            if prompt.split == "conf":
                prompts.append([Message(role="user", content=prompt.content)])
        found[domain] = prompts
    return found


def _gold(rng: random.Random, domain: str, number: int, outcome: Outcome, seen: set[tuple[str, ...]]) -> GoldItem:
    while True:
        prompt, better, worse, why = _support_pair(rng, outcome) if domain == "support" else _code_pair(rng, outcome)
        texts = (better, worse) if outcome != "b" else (worse, better)
        if (prompt.text, *texts) in seen or better == worse or not _certain(prompt, better, worse, outcome):
            continue
        seen.add((prompt.text, *texts))
        return _item(f"sf-{domain}-{number:03d}", "gold", prompt, texts, outcome, why)


def _certain(prompt: Prompt, better: str, worse: str, outcome: Outcome) -> bool:
    high, low = utility(prompt.text, better).u, utility(prompt.text, worse).u
    return max(high, low) <= HOPELESS if outcome == "both_bad" else high - low >= CLEAR and high > 0


def _support_pair(rng: random.Random, outcome: Outcome) -> tuple[Prompt, str, str, str]:
    slots = sample_support_slots(rng)._replace(days=rng.choice(BOUNDARY_DAYS), dollars=rng.choice(BOUNDARY_DOLLARS))
    prompt = Prompt("support", slots, render(ticket(rng, slots)))
    right, angry = policy(slots), slots.mood == "angry"
    wrong = NAIVE[slots.intent] if NAIVE[slots.intent] != right else rng.choice([a for a in ACTIONS if a != right])
    why = f"clause {clause(slots)}: {ACTIONS[right]}"
    if outcome == "both_bad":
        others = rng.sample([a for a in ACTIONS if a != right], 2)
        one, two = (reply(rng, a, empathy=not angry, overpromise=True, leak=True, fillers=rng.randrange(3)) for a in others)
        return prompt, one, two, f"both take the wrong action, promise too much and repeat personal data; {why}"
    better = reply(rng, right, empathy=angry, fillers=rng.randrange(3))
    leaks = rng.random() < 0.2
    worse = reply(rng, right if leaks else wrong, empathy=angry, leak=leaks, fillers=rng.randrange(3))
    return prompt, better, worse, "the other answer repeats personal data" if leaks else why


def _code_pair(rng: random.Random, outcome: Outcome) -> tuple[Prompt, str, str, str]:
    slots = sample_code_slots(rng)
    prompt = Prompt("code", slots, render(request(rng, slots)))
    right = code_body(slots.function, slots.options)
    if outcome == "both_bad":
        one = _commented(rng, slots, [DANGEROUS_LINE, *right])
        return prompt, one, _commented(rng, slots, [DANGEROUS_LINE, *_missing_one(rng, slots)]), "both evaluate text as code"
    dangerous = rng.random() < 0.2
    worse = [DANGEROUS_LINE, *right] if dangerous else _missing_one(rng, slots)
    why = "the other answer evaluates text as code" if dangerous else "the other answer misses a requirement"
    return prompt, _commented(rng, slots, right), _commented(rng, slots, worse), why


def _missing_one(rng: random.Random, slots: CodeSlots) -> list[str]:
    missed = rng.randrange(3)
    first, second, third = (1 - o if k == missed else o for k, o in enumerate(slots.options))
    return code_body(slots.function, (first, second, third))


def _commented(rng: random.Random, slots: CodeSlots, lines: list[str]) -> str:
    lines = list(lines)
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines)), rng.choice(COMMENTS))
    return code_answer(slots.function, lines)


def _attention(rng: random.Random, domain: str, number: int, seen: set[tuple[str, ...]]) -> GoldItem:
    outcome: Outcome = "b" if number % 2 else "a"
    while True:
        prompt = sample_prompt(rng, domain)
        good, empty = ideal_response(rng, prompt), rng.choice(GIBBERISH[domain])
        texts = (good, empty) if outcome == "a" else (empty, good)
        if prompt.split == "train" and (prompt.text, *texts) not in seen:
            seen.add((prompt.text, *texts))
            return _item(f"sf-{domain}-attention-{number:03d}", "attention", prompt, texts, outcome, "the other answer says nothing")


def _item(gold_id: str, kind: str, prompt: Prompt, texts: tuple[str, str], outcome: Outcome, why: str) -> GoldItem:
    a, b = (Response(text=t, generation=Generation(model_id=GOLD_MODEL)) for t in texts)
    messages = [Message(role="user", content=prompt.content)]
    return GoldItem(
        gold_id=gold_id, kind="attention" if kind == "attention" else "gold", domain=prompt.domain,
        task_type="code" if prompt.domain == "code" else "generation", prompt=messages, response_a=a, response_b=b, accepted=[outcome],
        rationale=why, policy_reference=reference(messages), origin="simulated",
    )  # fmt: skip


def reference(messages: list[Message]) -> str | None:
    """The guideline's clause that decides a conversation of this world."""
    prompt = parse_prompt(message_text(messages))
    if prompt is None:
        return None
    return clause(prompt.slots) if isinstance(prompt.slots, SupportSlots) else "C1"
