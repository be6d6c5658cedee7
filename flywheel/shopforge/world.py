"""The ShopForge world: prompts and the assistant's untuned behaviour, deterministic by seed.

Texts are as they look after redaction (`[ORDER_1]`). A prompt's text is what `flywheel.training.render_prompt` makes of the logged
messages: the user's content, then `\\nReply:\\n`; the response follows without a leading space. Cluster, split and oracle depend on
the slots alone, and `parse_prompt` recovers those from the text.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from flywheel.records import Message
from flywheel.shopforge.code import CodeSlots, base_code, code_answer, code_body, parse_request, request
from flywheel.shopforge.code import sample_slots as sample_code_slots
from flywheel.shopforge.support import SupportSlots, base_reply, parse_ticket, policy, reply, ticket
from flywheel.shopforge.support import sample_slots as sample_support_slots

Slots: TypeAlias = SupportSlots | CodeSlots
Split = Literal["train", "dev", "conf"]
DOMAINS = ("support", "code")
REPLY_MARK = "\nReply:\n"
MAXIMUM_CHARACTERS = 4_000


@dataclass(frozen=True)
class Prompt:
    """One request: its domain (`support` or `code`), scenario and rendered text."""

    domain: str
    slots: Slots
    text: str

    @property
    def content(self) -> str:
        """The user message without the reply mark."""
        return self.text.removesuffix(REPLY_MARK)

    @property
    def cluster(self) -> str:
        """Hash of the scenario: prompts of one cluster differ in wording only."""
        return hashlib.sha256(repr((self.domain, tuple(self.slots))).encode()).hexdigest()[:12]

    @property
    def split(self) -> Split:
        """`train` (80 %), `dev` (10 %) or `conf` (10 %), by cluster and never by row: nothing of a held-out scenario is trained on."""
        number = int(self.cluster, 16)
        if number % 5:
            return "train"
        return "dev" if (number // 5) % 2 == 0 else "conf"


def render(content: str) -> str:
    """A user message as the language model's prompt."""
    return content + REPLY_MARK


def message_text(messages: Sequence[Message]) -> str:
    """Prompt text of a logged conversation: the last user turn, rendered."""
    asked = [m.content for m in messages if m.role == "user"]
    return render(asked[-1].rstrip() if asked else "")


def prompt_cluster(messages: Sequence[Message]) -> str | None:
    """Cluster of a logged conversation, None where it is not of this world."""
    prompt = parse_prompt(message_text(messages))
    return prompt.cluster if prompt else None


def sample_prompt(rng: random.Random, domain: str | None = None, code_share: float = 0.4) -> Prompt:
    """A prompt from the world's distribution. `code_share` is the probability of a code request where `domain` is not given."""
    chosen = domain or ("code" if rng.random() < code_share else "support")
    if chosen == "support":
        support = sample_support_slots(rng)
        return Prompt("support", support, render(ticket(rng, support)))
    if chosen == "code":
        code = sample_code_slots(rng)
        return Prompt("code", code, render(request(rng, code)))
    raise ValueError(f"the demo world has the domains {DOMAINS}, not {chosen!r}")


def parse_prompt(text: str) -> Prompt | None:
    """The prompt that a text (with or without the reply mark) states, or None where it is not of this world.

    Aliases may be numbered in any way, and personal data may have stayed unrecognised: neither is looked at."""
    content = text.rstrip().removesuffix("Reply:").rstrip()
    if len(content) > MAXIMUM_CHARACTERS:
        return None
    if content.startswith("Ticket: "):
        support = parse_ticket(content)
        return Prompt("support", support, render(content)) if support else None
    if content.startswith("Task: "):
        code = parse_request(content)
        return Prompt("code", code, render(content)) if code else None
    return None


def ideal_response(rng: random.Random, prompt: Prompt) -> str:
    """The answer an expert would write: right, fitting in tone, no filler."""
    if isinstance(prompt.slots, SupportSlots):
        return reply(rng, policy(prompt.slots), empathy=prompt.slots.mood == "angry")
    return code_answer(prompt.slots.function, code_body(prompt.slots.function, prompt.slots.options))


def base_response(rng: random.Random, prompt: Prompt, accuracy: float | None = None) -> str:
    """What the untuned assistant answers: right in most everyday cases, systematically wrong in the tail. With `accuracy` it answers as
    asked with that probability (the tiny base model learns the ability from these, then the habit from the others)."""
    if isinstance(prompt.slots, SupportSlots):
        return base_reply(rng, prompt.slots, accuracy)
    return base_code(rng, prompt.slots, accuracy, secret="[SECRET_" in prompt.text)
