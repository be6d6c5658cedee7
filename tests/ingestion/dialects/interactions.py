"""The interactions that every dialect is asked to tell: one table, in the canonical form, and what of it a dialect has no place for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
BEGAN = datetime(2026, 1, 6, 10, 0, 0, tzinfo=UTC)
MODEL, ASKED_OF = "gpt-4o-mini-2024-07-18", "gpt-4o-mini"


@dataclass(frozen=True)
class Interaction:
    """One model call. `answers` hold text, tool_calls, finish_reason, token_logprobs. `arguments` of tool calls are JSON text."""

    name: str
    messages: list[Json]
    answers: list[Json]
    number: int = 0
    images: int = 0  # how many images lie in the user's turn, between its lines
    parameters: Json = field(default_factory=lambda: {"temperature": 0.2, "top_p": 0.9, "seed": 7, "max_tokens": 64})
    tokens: tuple[int, int] = (23, 9)
    feedback: Json = field(default_factory=dict)
    template: Json = field(default_factory=dict)
    documents: list[str] = field(default_factory=list)
    guardrail: Json = field(default_factory=dict)
    failed: str = ""

    @property
    def id(self) -> str:
        """The provider's id of the response."""
        return f"chatcmpl-{self.name}"

    @property
    def conversation(self) -> str:
        return f"conv-{self.name}"

    @property
    def user(self) -> str:
        return f"u-{self.number}"

    @property
    def seconds(self) -> int:
        """When it began, since 1970."""
        return int(BEGAN.timestamp()) + 60 * self.number

    @property
    def began(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def trace(self) -> str:
        return f"5b8efff798038103d269b6338{self.number:07x}"

    def span(self, which: int = 1) -> str:
        return f"eee19b7ec3{self.number:04x}{which:02x}"

    def answers_of_calls(self) -> bool:
        return any(a.get("tool_calls") for a in self.answers)


def call(name: str, id: str, **arguments: Any) -> Json:
    return {"id": id, "name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}


SYSTEM = {"role": "system", "content": "You are ShopForge support."}
TRACK, STOCK = call("track", "call_1", order="A102"), call("stock", "call_2", article="Tasse", shops=["Köln", "Bonn"])
TABLE = [
    Interaction("plain", [{"role": "user", "content": "Where is my parcel?"}], [{"text": "It arrives on Monday.", "finish_reason": "stop"}]),
    Interaction("system", [SYSTEM, {"role": "user", "content": "Refund for A102?"}], [{"text": "In 5 days.", "finish_reason": "stop"}]),
    Interaction(
        "calls", [SYSTEM, {"role": "user", "content": "Track A102, and is the mug there?"}],
        [{"text": "", "tool_calls": [TRACK, STOCK], "finish_reason": "tool_calls"}],
    ),
    Interaction(
        "tools",
        [SYSTEM, {"role": "user", "content": "Track A102, and is the mug there?"}, {"role": "assistant", "content": "", "tool_calls": [TRACK, STOCK]},
         {"role": "tool", "content": '{"status": "in transit"}', "tool_call_id": "call_1"}, {"role": "tool", "content": "none left", "tool_call_id": "call_2"}],
        [{"text": "In transit; no mugs left.", "finish_reason": "stop"}],
    ),
    Interaction(
        "talking_and_calling", [{"role": "user", "content": "Track A102"}],
        [{"text": "One moment.", "tool_calls": [TRACK], "finish_reason": "tool_calls"}],
    ),
    Interaction(
        "multi_turn",
        [SYSTEM, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, how can I help?"}, {"role": "user", "content": "Cancel A102"}],
        [{"text": "Done.", "finish_reason": "stop"}],
    ),
    Interaction(
        "two_answers", [{"role": "user", "content": "A name for a cat?"}],
        [{"text": "Tom", "finish_reason": "stop"}, {"text": "Minka, or", "finish_reason": "length"}],
    ),
    Interaction(
        "logprobs", [{"role": "user", "content": "Yes or no?"}], [{"text": "Yes.", "finish_reason": "stop", "token_logprobs": [-0.11, -2.5]}]
    ),
    Interaction("refusal", [{"role": "user", "content": "How do I pick a lock?"}], [{"text": "I can't help with that.", "finish_reason": "stop"}]),
    Interaction(
        "unicode", [{"role": "user", "content": "Grüße 👩‍👩‍👧 — \u2028 \"q\" \\ \n\t日本語 🏳️‍🌈"}],
        [{"text": "¡Olé! \u0000 \u2029 𝒳 {\"a\": [1]}".replace("\u0000", ""), "finish_reason": "stop"}],
    ),
    Interaction("images", [{"role": "user", "content": "What is this?\nAnd that?"}], [{"text": "A mug.", "finish_reason": "stop"}], images=1),
    Interaction(
        "judged", [{"role": "user", "content": "Is it open?"}], [{"text": "Yes.", "finish_reason": "stop"}],
        feedback={"thumbs": "down", "score": 2.0, "comment": "no, it is not", "edited_text": "No, it closed at 6."},
    ),
    Interaction(
        "template", [SYSTEM, {"role": "user", "content": "Hi"}], [{"text": "Hello.", "finish_reason": "stop"}], template={"id": "greet", "version": "3"}
    ),
    Interaction(
        "grounded", [{"role": "user", "content": "How long is the warranty?"}], [{"text": "Two years.", "finish_reason": "stop"}],
        documents=["doc-7", "doc-9"], guardrail={"name": "toxicity", "decision": "allow"},
    ),
    Interaction("failed", [{"role": "user", "content": "Hi"}], [], failed="rate_limit_exceeded"),
]  # fmt: skip
INTERACTIONS = {one.name: one for one in (replace(each, number=number) for number, each in enumerate(TABLE, 1))}


def canonical(one: Interaction, without: frozenset[str] = frozenset()) -> Json:
    """The canonical row; `without` names what a dialect cannot say."""
    shared: Json = {"model": MODEL, "prompt_tokens": one.tokens[0], **one.parameters}
    if len(one.answers) == 1:
        shared["completion_tokens"] = one.tokens[1]
    if one.documents:
        shared["retrieval"] = {"ids": one.documents}
    if one.guardrail:
        shared["guardrails"] = [one.guardrail]
    row: Json = {
        "id": one.id, "timestamp": one.began.isoformat(), "conversation_id": one.conversation, "user_id": one.user, "messages": one.messages,
        "responses": [{k: v for k, v in {**answer, **shared}.items() if k not in without} for answer in one.answers],
    }  # fmt: skip
    feedback = {k: v for k, v in one.feedback.items() if k not in without}
    for name, value in (("feedback", feedback), ("template", one.template)):
        if value:
            row[name] = value
    return {k: v for k, v in row.items() if k not in without}


def comparable(row: Json) -> Json:
    """A canonical row with what may differ between loggers made equal: arguments by value, times by moment, no metadata."""
    from flywheel.ingestion.timestamps import parse_timestamp

    made = json.loads(json.dumps({k: v for k, v in row.items() if k != "metadata" and v is not None}))
    for turn in (*made["messages"], *made["responses"]):
        for key in [k for k, v in turn.items() if v is None or v == []]:
            del turn[key]
        for called in turn.get("tool_calls", ()):
            called["arguments"] = json.loads(called["arguments"])
    if made.get("feedback", {}).get("escalated") is False:  # the default
        del made["feedback"]["escalated"]
    made["timestamp"] = parse_timestamp(made["timestamp"])[0].isoformat()
    return made
