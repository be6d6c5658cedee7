from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.records import Message
from flywheel.shopforge.world import parse_prompt, sample_prompt
from flywheel.training import render_prompt


def test_one_user_message_is_its_content_and_the_answer_mark() -> None:
    assert render_prompt([Message(role="user", content="Where is my order ?")]) == "Where is my order ?\nReply:\n"


def test_a_conversation_shows_who_said_what_with_instructions_first() -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi", "tool_calls": [{"name": "look_up", "arguments": '{"id": 1}'}]},
        {"role": "tool", "content": "found", "name": "look_up"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "And now?"},
    ]
    assert render_prompt(turns) == (
        'System: Be kind.\n\nUser: Hello\n\nAssistant: Hi\n-> look_up({"id": 1})\n\nTool (look_up): found\n\nUser: And now?\nReply:\n'
    )


def test_an_empty_conversation_is_refused() -> None:
    with pytest.raises(BadInput, match="at least one message"):
        render_prompt([])


def test_a_demo_prompt_renders_to_exactly_the_text_that_the_world_reads() -> None:
    import random

    rng = random.Random(0)
    for _ in range(50):
        prompt = sample_prompt(rng)
        text = render_prompt([Message(role="user", content=prompt.content)])
        assert text == prompt.text
        found = parse_prompt(text)
        assert found is not None
        assert found.slots == prompt.slots


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text()), min_size=1, max_size=4))
def test_every_prompt_ends_where_the_answer_begins(turns: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]
    assert render_prompt(messages).endswith("\nReply:\n")
    assert render_prompt(messages) == render_prompt(messages)
