"""Messages to the text that a language model continues.

A model whose tokenizer has a chat template gets that template, in training and in generation alike; every other model gets the plain
rendering below. Both end where the answer begins, so that the prompt's tokens are a prefix of the tokens of prompt plus answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flywheel.errors import BadInput
from flywheel.records import Message

ANSWER_MARK = "\nReply:\n"
LABELS = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant", "tool": "Tool"}


def render_prompt(messages: Sequence[Message | Mapping[str, Any]]) -> str:
    """Plain text of a conversation, ending with `\\nReply:\\n`.

    One user message becomes its bare content. Anything longer becomes turns with their roles, blank line between, instructions
    (system, developer) first; a tool call shows as `-> name(arguments)`. Raises `BadInput` on an empty conversation.

    >>> render_prompt([{"role": "user", "content": "Where is my order ?"}])
    'Where is my order ?\\nReply:\\n'
    """
    turns = [m if isinstance(m, Message) else Message.model_validate(m) for m in messages]
    if not turns:
        raise BadInput("a prompt needs at least one message")
    if len(turns) == 1 and turns[0].role == "user" and not turns[0].tool_calls:
        return turns[0].content.rstrip() + ANSWER_MARK
    instructions = [t for t in turns if LABELS[t.role] == "System"]
    others = [t for t in turns if LABELS[t.role] != "System"]
    return "\n\n".join(_turn(t) for t in (*instructions, *others)) + ANSWER_MARK


def _turn(message: Message) -> str:
    speaker = LABELS[message.role] + (f" ({message.name})" if message.name else "")
    calls = "".join(f"\n-> {call.name}({call.arguments})" for call in message.tool_calls)
    return f"{speaker}: {message.content.rstrip()}{calls}"


def render_for(tokenizer: Any, messages: Sequence[Message | Mapping[str, Any]]) -> str:
    """The text that this tokenizer's model expects: its chat template where it has one, else `render_prompt`.

    A beginning-of-sequence token that the template writes is taken off when the tokenizer adds its own: a doubled one shifts
    every log-probability without any warning.
    """
    if not getattr(tokenizer, "chat_template", None):
        return render_prompt(messages)
    turns = [m if isinstance(m, Message) else Message.model_validate(m) for m in messages]
    plain = [{"role": m.role, "content": m.content} for m in turns]
    text = str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=True))
    begin = tokenizer.bos_token
    if begin and text.startswith(begin) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]:
        text = text[len(begin) :]
    return text
