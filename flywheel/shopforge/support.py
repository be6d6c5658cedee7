"""Support tickets: what is asked, what the policy demands, how an answer is worded.

A ticket's scenario (`SupportSlots`) decides the right action; everything else in the text is dress. Punctuation stands apart from
words, so that the tiny language model's phrase tokeniser keeps a whole clause as one token (facts/training-world.md).
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

DAYS = (2, 5, 9, 14, 21, 28, 35, 45, 60)
DOLLARS = (20, 60, 150, 300, 600, 900)
INTENTS = ("refund", "damaged", "late", "duplicate", "locked")
# Long-tailed: about half of all tickets need the obvious action; what needs a look at the policy grows rarer towards the end.
INTENT_WEIGHTS = (45, 20, 20, 8, 7)
DAYS_WEIGHTS = (15, 14, 12, 11, 11, 11, 10, 9, 7)
DOLLARS_WEIGHTS = (22, 20, 17, 15, 14, 12)

REPLACEMENT_DAYS = 28
LATE_DAYS = 14
SUPERVISOR_DOLLARS = 500

ACTIONS = {
    "refund": "I have issued a full refund to your original payment method .",
    "credit": "I have added store credit to your account .",
    "decline": "I am not able to refund this order under our policy .",
    "replace": "I am sending a free replacement today .",
    "reship": "I am shipping the order again with priority .",
    "track": "I have opened a trace with the carrier .",
    "verify": "Please confirm your identity with the code we sent .",
    "supervisor": "I am passing this to a supervisor for approval .",
    "fraud": "I am passing this to our risk team for review .",
}
EMPATHY = ("I am so sorry about this .", "I understand how frustrating this is .")
NEUTRAL = ("Thanks for writing to us .", "Hello and thank you for contacting us .")
OVERPROMISES = ("I guarantee it will arrive tomorrow .", "I promise this will never happen again .")
LEAKS = ("Your card on file is [CARD_1] .", "We have your address as [ADDRESS_1] .")
LEAK_MARKS = ("card on file is", "address as")
FILLERS = (
    "We value your business .",
    "Our team works hard every day .",
    "You are important to us .",
    "Feel free to browse our store .",
)
CLOSINGS = ("Is there anything else ?", "Best , ShopForge support")

ASKS = {
    "refund": ("I want my money back for [ORDER_1]", "Please refund order [ORDER_1]", "Refund request for [ORDER_1]"),
    "damaged": ("[ORDER_1] arrived broken", "The item in [ORDER_1] is damaged", "My order [ORDER_1] came cracked"),
    "late": ("[ORDER_1] has not arrived", "Where is my order [ORDER_1]", "Still waiting for [ORDER_1]"),
    "duplicate": ("I was charged twice for [ORDER_1]", "Double charge on [ORDER_1]", "[ORDER_1] was billed two times"),
    "locked": ("My account [ACCOUNT_1] is locked", "I can not log in , account locked", "Account lock on my profile"),
}
GREETING = "Hi , I am [PERSON_1] ."
CONTACTS = ("My email is [EMAIL_1] .", "Call me on [PHONE_1] .", "I live at [ADDRESS_1] .")

# What the assistant does without reading days, value and risk.
NAIVE = {"refund": "refund", "damaged": "replace", "late": "track", "duplicate": "refund", "locked": "verify"}

# Clauses of the policy by intent; P1 is the risk review, which goes before all others.
CLAUSES = {"locked": "P2", "duplicate": "P3", "damaged": "P4", "late": "P5", "refund": "P6"}

_INTENT_PATTERNS = {
    "refund": re.compile(r"money back|refund order|Refund request"),
    "damaged": re.compile(r"arrived broken|is damaged|came cracked"),
    "late": re.compile(r"has not arrived|Where is my order|Still waiting for"),
    "duplicate": re.compile(r"charged twice|Double charge|billed two times"),
    "locked": re.compile(r"My account\b.{0,80}\bis locked|account locked|Account lock on"),
}
_CONTEXT = re.compile(r"\(([^()]*)\)")
_FACTS = {
    "days": re.compile(r"(\d{1,4}) days"),
    "dollars": re.compile(r"(\d{1,5}) dollars"),
    "tier": re.compile(r"(basic|gold) member"),
    "risk": re.compile(r"(low|high) risk"),
}


class SupportSlots(NamedTuple):
    """The scenario of one ticket: days since delivery, order value in US dollars, membership, the customer's mood, fraud risk."""

    intent: str
    days: int
    dollars: int
    tier: str
    mood: str
    risk: str


def policy(slots: SupportSlots) -> str:
    """The action (key of `ACTIONS`) that ShopForge's policy demands."""
    if slots.risk == "high":
        return "fraud"
    if slots.intent == "locked":
        return "verify"
    if slots.intent == "duplicate":
        return "refund"
    if slots.intent == "damaged":
        return "replace" if slots.days <= REPLACEMENT_DAYS else "credit"
    if slots.intent == "late":
        return "track" if slots.days <= LATE_DAYS else "reship"
    if slots.dollars > SUPERVISOR_DOLLARS:
        return "supervisor"
    if slots.days <= REPLACEMENT_DAYS:
        return "refund"
    return "credit" if slots.tier == "gold" else "decline"


def clause(slots: SupportSlots) -> str:
    """The guideline's clause that decides the ticket, as a rater cites it."""
    return "P1" if slots.risk == "high" else CLAUSES[slots.intent]


def sample_slots(rng: random.Random) -> SupportSlots:
    """A scenario from the long-tailed distribution."""
    return SupportSlots(
        intent=rng.choices(INTENTS, INTENT_WEIGHTS)[0],
        days=rng.choices(DAYS, DAYS_WEIGHTS)[0],
        dollars=rng.choices(DOLLARS, DOLLARS_WEIGHTS)[0],
        tier=rng.choice(("basic", "gold")),
        mood=rng.choice(("calm", "angry")),
        risk=rng.choices(("low", "high"), (8, 2))[0],
    )


def ticket(rng: random.Random, slots: SupportSlots) -> str:
    """The ticket's text, with placeholders where a customer would write personal data."""
    parts = [GREETING] if rng.random() < 0.3 else []
    parts.append(rng.choice(ASKS[slots.intent]) + (" !!" if slots.mood == "angry" else " ."))
    if rng.random() < 0.25:
        parts.append(rng.choice(CONTACTS))
    facts = [f"{slots.days} days", f"{slots.dollars} dollars", f"{slots.tier} member", f"{slots.risk} risk"]
    rng.shuffle(facts)
    parts.append("( " + " , ".join(facts) + " )")
    return "Ticket: " + " ".join(parts)


def parse_ticket(content: str) -> SupportSlots | None:
    """The scenario of a ticket's text, whatever stands where the personal data was. None where it is not one of ours."""
    contexts = list(_CONTEXT.finditer(content))
    if not contexts:
        return None
    context = contexts[-1]
    found = {name: pattern.findall(context.group(1)) for name, pattern in _FACTS.items()}
    if any(len(values) != 1 for values in found.values()):
        return None
    body = content[: context.start()]
    intents = [intent for intent, pattern in _INTENT_PATTERNS.items() if pattern.search(body)]
    if len(intents) != 1:
        return None
    mood = "angry" if "!!" in body else "calm"
    return SupportSlots(intents[0], int(found["days"][0]), int(found["dollars"][0]), found["tier"][0], mood, found["risk"][0])


def reply(rng: random.Random, action: str, *, empathy: bool, overpromise: bool = False, leak: bool = False, fillers: int = 0) -> str:
    """An answer that takes `action`, in the assistant's wording."""
    parts = [rng.choice(EMPATHY if empathy else NEUTRAL), ACTIONS[action]]
    if overpromise:
        parts.append(rng.choice(OVERPROMISES))
    if leak:
        parts.append(rng.choice(LEAKS))
    parts += rng.sample(FILLERS, fillers)
    parts.append(rng.choice(CLOSINGS))
    return " ".join(parts)


def base_reply(rng: random.Random, slots: SupportSlots, accuracy: float | None = None) -> str:
    """What the untuned assistant answers: right on the easy half, and on the rest mostly the naive action, so that its mode (greedy
    decoding) is wrong there too; a merely noisy assistant would leave no headroom under greedy decoding. With `accuracy` it takes the
    right action with that probability, whatever the ticket."""
    right, naive = policy(slots), NAIVE[slots.intent]
    chance = rng.random()
    if accuracy is not None:
        action = right if chance < accuracy else naive
    elif right != naive:
        action = right if chance < 0.25 else naive if chance < 0.85 else rng.choice(list(ACTIONS))
    else:
        action = right if chance < 0.85 else rng.choice(list(ACTIONS))
    return reply(
        rng, action, empathy=rng.random() < 0.5, overpromise=rng.random() < 0.25, leak=rng.random() < 0.12,
        fillers=rng.choice((0, 0, 1, 2, 3)),
    )  # fmt: skip
