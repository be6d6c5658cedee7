"""A ranking of n responses is n (n - 1) / 2 pairs that agree with it and share one prompt cluster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flywheel.labeling import decompose_ranking
from flywheel.records import Generation, Message, Pair, Ranking, Response
from flywheel.storage import Ids

IDS = Ids(b"k" * 32)


def ranking(texts: list[str], order: list[list[int]]) -> Ranking:
    return Ranking(
        round="2026-01-05", ranking_id="k", record_id="r", conversation_id="c", subject_id="s", domain="support", task_type="generation",
        prompt=[Message(role="user", content="late")], responses=[Response(text=t, generation=Generation(model_id="m")) for t in texts], order=order,
        rater="x", redaction_version="1", origin="human", guideline_version="v1", guideline_sha256="g",
    )  # fmt: skip


@st.composite
def rankings(draw: st.DrawFn) -> Ranking:
    n = draw(st.integers(2, 7))
    tiers = draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    order = [[i for i in range(n) if tiers[i] == t] for t in sorted(set(tiers))]
    texts = draw(st.lists(st.text(min_size=1, max_size=3), min_size=n, max_size=n))
    return ranking(texts, order)


@given(rankings())
def test_every_pair_of_different_texts_agrees_with_the_order(ranked: Ranking) -> None:
    tier = {i: t for t, members in enumerate(ranked.order) for i in members}
    n = len(ranked.responses)
    expected = [
        (ranked.responses[i].text, ranked.responses[j].text, "tie" if tier[i] == tier[j] else "a" if tier[i] < tier[j] else "b")
        for i in range(n) for j in range(i + 1, n) if ranked.responses[i].text != ranked.responses[j].text
    ]  # fmt: skip
    found = decompose_ranking(ranked, IDS)
    assert [(p["response_a"]["text"], p["response_b"]["text"], outcome) for p, outcome in found] == expected
    assert len({p["prompt_cluster"] for p, _ in found}) <= 1
    for pair, _ in found:
        assert Pair.model_validate(pair).second_response == "ranking"


def test_pairs_of_a_ranking_take_the_cluster_of_their_prompt() -> None:
    found = decompose_ranking(ranking(["x", "y", "z"], [[2], [0, 1]]), IDS, prompt_cluster=lambda messages: messages[0].content)
    assert [(p["prompt_cluster"], outcome) for p, outcome in found] == [("late", "tie"), ("late", "b"), ("late", "b")]
