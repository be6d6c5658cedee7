"""A code answer carries what ran and what it showed; anything that may not run says so."""

from __future__ import annotations

import random

from flywheel.labeling import check_code_answers
from flywheel.records import Generation, Message, Pair, Response
from flywheel.shopforge import base_response, sample_prompt
from flywheel.storage import from_table, to_table


def pair(prompt: str, a: str, b: str, domain: str = "code") -> Pair:
    return Pair(
        round="2026-01-05", pair_id=a[:8] + b[:8], record_id="r", conversation_id="c", subject_id="s", domain=domain, task_type="code",
        prompt=[Message(role="user", content=prompt)], response_a=Response(text=a, generation=Generation(model_id="m")),
        response_b=Response(text=b, generation=Generation(model_id="m")), prompt_sha256="x", prompt_cluster="k", redaction_version="1",
        second_response="sampled",
    )  # fmt: skip


def verdicts(*pairs: Pair) -> list[tuple[str | None, str | None]]:
    table, _ = check_code_answers(to_table(Pair, pairs))
    shown = [(p.response_a.generation.sandbox, p.response_b.generation.sandbox) for p in from_table(Pair, table)]
    return [(a.verdict if a else None, b.verdict if b else None) for a, b in shown]


def test_generated_code_is_tested_against_what_was_asked() -> None:
    rng = random.Random(3)
    prompt = sample_prompt(rng, "code")
    right = base_response(rng, prompt, accuracy=1.0)
    wrong = right.replace("return ", "return 7 + ", 1)
    assert verdicts(pair(prompt.content, right, wrong))[0][0] == "passed"
    assert verdicts(pair(prompt.content, right, wrong))[0][1] in ("failed", "error", "not_run")


def test_code_from_elsewhere_is_not_run_and_says_why() -> None:
    table, counts = check_code_answers(to_table(Pair, [pair("Write a quicksort.", "import os; os.system('true')", "def f(): pass")]))
    found = from_table(Pair, table)[0].response_a.generation.sandbox
    assert found is not None
    assert found.verdict == "not_run"
    assert found.reason
    assert counts == {"not_run": 2}


def test_text_answers_and_results_that_the_log_had_stay_as_they_are() -> None:
    support = pair("Where is my order?", "On its way.", "Lost.", domain="support")
    assert verdicts(support) == [(None, None)]
    tested, _ = check_code_answers(to_table(Pair, [pair("Write a quicksort.", "a = 1", "b = 2")]))
    assert check_code_answers(tested)[0].equals(tested)
