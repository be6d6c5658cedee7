"""The hidden oracle."""

import random

import pytest

from flywheel.errors import BadInput
from flywheel.shopforge import sample_prompt, utility

TICKET = "Ticket: Please refund order [ORDER_1] . ( 35 days , 20 dollars , basic member , low risk )\nReply:\n"
ANGRY = TICKET.replace("[ORDER_1] .", "[ORDER_1] !!")
OPEN, CLOSE = "Thanks for writing to us .", "Is there anything else ?"
RIGHT = f"{OPEN} I am not able to refund this order under our policy . {CLOSE}"


def u(answer, ticket=TICKET):
    return utility(ticket, answer).u


def test_the_right_action_in_the_right_tone_is_best():
    score = utility(TICKET, RIGHT)
    assert (score.ok, score.tone, score.violation, score.filler) == (1.0, 1.0, 0.0, 0)
    assert score.n_words == len(RIGHT.split())


@pytest.mark.parametrize(
    ("worse", "least"),
    [
        (f"{OPEN} I have added store credit to your account . {CLOSE}", 1.5),
        (f"{OPEN} {CLOSE}", 2.5),
        (f"{RIGHT} Your card on file is [CARD_1] .", 1.4),
        (f"{RIGHT} We have your address as [LOCATION_7] .", 1.4),
        (f"{RIGHT} I promise this will never happen again .", 0.9),
        (f"I am so sorry about this . {RIGHT}", 0.6),
        ("", 2.5),
    ],
)
def test_what_costs(worse, least):
    assert u(RIGHT) - u(worse) >= least


def test_length_itself_is_a_nuisance_of_little_weight():
    padded = RIGHT.replace(CLOSE, "We value your business . You are important to us . " + CLOSE)
    assert 0 < u(RIGHT) - u(padded) < 0.5
    assert utility(TICKET, padded).filler == 2


def test_an_angry_customer_wants_empathy():
    assert u(RIGHT.replace(OPEN, "I am so sorry about this ."), ANGRY) > u(RIGHT, ANGRY)


def test_two_actions_at_once_are_not_right():
    assert utility(TICKET, RIGHT + " I have added store credit to your account .").ok == 0.0


def test_repeating_a_secret_in_code_is_a_violation():
    rng = random.Random(0)
    prompt = next(p for p in (sample_prompt(rng, "code") for _ in range(500)) if "[SECRET_1]" in p.text)
    from flywheel.shopforge import ideal_response

    clean = ideal_response(rng, prompt)
    leaked = clean.replace("\n", "\n    # key [SECRET_1]\n", 1)
    assert utility(prompt.text, clean).violation == 0.0
    assert utility(prompt.text, leaked).violation == 1.0
    assert utility(prompt.text, clean).u - utility(prompt.text, leaked).u > 1.4


def test_a_prompt_of_another_world_is_refused():
    with pytest.raises(BadInput, match="demo world only"):
        utility("What is the capital of France ?", "Paris")
