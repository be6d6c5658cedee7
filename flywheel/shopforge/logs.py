"""Production logs of the demo shop: canonical JSONL with personal data where it occurs in life, and rows that a real file would spoil."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from flywheel.errors import BadInput
from flywheel.shopforge.code import CodeSlots
from flywheel.shopforge.oracle import utility
from flywheel.shopforge.personas import Persona, fill, make_personas
from flywheel.shopforge.sandbox import run_generated_code
from flywheel.shopforge.spoiled import spoiled_lines
from flywheel.shopforge.world import Prompt, base_response, ideal_response, sample_prompt
from flywheel.storage import write_atomically
from flywheel.weeks import parse_round, window

Respond = Callable[[list[str]], list[str]]
CUSTOMERS = 600
TWO_ANSWERS_SHARE = 0.15
NEAR_DUPLICATE_SHARE = 0.06
EXACT_DUPLICATES = 3
SCRIPTED_MODEL = "shopforge-scripted"


@dataclass(frozen=True)
class _Call:
    """One logged call before its values are filled in."""

    prompt: Prompt
    persona: Persona
    at: datetime
    answers: int


def write_logs(
    landing: Path | str, *, round: str, n: int, seed: int, respond: Respond | None = None, model: str | None = None, spoiled: bool = True
) -> Path:
    """Write `<landing>/shopforge-<round>.jsonl`: `n` good records of the round's week, a few exact duplicates and, with `spoiled`, one
    line of each kind in `SPOILED`. Returns its path.

    `respond` maps prompt texts (placeholders, one list for the whole file) to answers of the same form; None: the scripted assistant,
    right in most cases and systematically wrong in the tail. `model` names it in the log. Only prompts of training clusters occur: the
    `conf` clusters are kept for evaluation. The same arguments give the same bytes. Raises `BadInput` for a wrong round or `n` below 1.
    """
    key = parse_round(round)
    if n < 1:
        raise BadInput(f"n is {n}: a log needs at least one record")
    rng = random.Random(f"shopforge|logs|{seed}|{key}")
    calls = _calls(rng, key, n, make_personas(CUSTOMERS, seed))
    answers = _answers(rng, calls, respond)
    name = model or (SCRIPTED_MODEL if respond is None else "shopforge-assistant")
    records = [_record(rng, key, i, call, answers[i], name, respond is None) for i, call in enumerate(calls)]
    lines = [_line(r) for r in records]
    extra = [lines[rng.randrange(n)] for _ in range(min(EXACT_DUPLICATES, n))]
    if spoiled:
        extra += spoiled_lines(records)
    for line in extra:
        # behind the record it repeats or contradicts: the first delivery is the one that counts
        lines.insert(rng.randrange(n, len(lines) + 1), line)
    path = Path(landing) / f"shopforge-{key}.jsonl"
    write_atomically(path, b"\n".join(lines) + b"\n", mode=0o600)
    return path


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(", ", ": ")).encode()


def _calls(rng: random.Random, key: str, n: int, personas: Sequence[Persona]) -> list[_Call]:
    """Who asks what and when, in order of time."""
    # some customers write often, most rarely
    weights = [1 / (1 + p.number % 50) ** 0.5 for p in personas]
    moments = sorted(_moment(rng, key) for _ in range(n))
    calls: list[_Call] = []
    for at in moments:
        persona = rng.choices(personas, weights)[0].with_order(rng)
        asked_before = bool(calls) and rng.random() < NEAR_DUPLICATE_SHARE
        prompt = rng.choice(calls).prompt if asked_before else _training_prompt(rng)
        calls.append(_Call(prompt, persona, at, 2 if rng.random() < TWO_ANSWERS_SHARE else 1))
    return calls


def _training_prompt(rng: random.Random) -> Prompt:
    while True:
        prompt = sample_prompt(rng)
        if prompt.split == "train":
            return prompt


def _moment(rng: random.Random, key: str) -> datetime:
    """A second of the week: fewer at weekends and at night."""
    day = rng.choices(range(7), (10, 10, 10, 10, 9, 5, 4))[0]
    hour = rng.choices(range(24), (1, 1, 1, 1, 1, 2, 3, 5, 8, 9, 9, 9, 8, 8, 9, 9, 8, 7, 6, 6, 5, 4, 3, 2))[0]
    return window(key)[0] + timedelta(days=day, hours=hour, seconds=rng.randrange(3_600))


def _answers(rng: random.Random, calls: Sequence[_Call], respond: Respond | None) -> list[list[str]]:
    """Each call's distinct answers, one or two."""
    if respond is None:
        found = [[base_response(rng, c.prompt) for _ in range(c.answers)] for c in calls]
    else:
        texts = respond([c.prompt.text for c in calls for _ in range(c.answers)])
        asked = sum(c.answers for c in calls)
        if len(texts) != asked:
            raise BadInput(f"respond gave {len(texts)} answers for {asked} prompts; it must give one for each, in order")
        rest = iter(texts)
        found = [[next(rest) for _ in range(c.answers)] for c in calls]
    return [list(dict.fromkeys(text.strip() or "..." for text in answers)) for answers in found]


def _record(rng: random.Random, key: str, number: int, call: _Call, answers: list[str], model: str, scripted: bool) -> dict[str, Any]:
    persona, prompt = call.persona, call.prompt
    record: dict[str, Any] = {
        "id": f"req-{key}-{number:06d}",
        "timestamp": int(call.at.timestamp()) if rng.random() < 0.05 else call.at.isoformat().replace("+00:00", "Z"),
        "conversation_id": f"conv-{key}-{number:06d}",
        "user_id": persona.user_id,
        "domain": prompt.domain,
        "task_type": _task_type(prompt),
        "language": "en",
        "messages": [{"role": "user", "content": fill(prompt.content, persona)}],
        "responses": [_response(rng, prompt, persona, text, model, scripted) for text in answers],
        "template": {"id": "code-request" if prompt.domain == "code" else "support-reply", "version": "3"},
        "profile": persona.profile(),
        "metadata": _metadata(rng, persona),
    }
    feedback = _feedback(rng, prompt, persona, answers[0])
    if feedback:
        record["feedback"] = feedback
    consent = persona.consent()
    if consent:
        record["consent"] = consent
    return record


def _task_type(prompt: Prompt) -> str:
    if isinstance(prompt.slots, CodeSlots):
        return "code"
    return "refusal" if prompt.slots.intent == "locked" else "generation"


def _response(rng: random.Random, prompt: Prompt, persona: Persona, text: str, model: str, scripted: bool) -> dict[str, Any]:
    response: dict[str, Any] = {
        "text": fill(text, persona), "model": model, "checkpoint": "0", "temperature": 1.0, "top_p": 1.0, "seed": rng.randrange(2**31),
        "max_tokens": 60, "finish_reason": "stop", "guardrails": [{"name": "toxicity", "decision": "allow"}],
    }  # fmt: skip
    if isinstance(prompt.slots, CodeSlots):
        response["sandbox"] = run_generated_code(prompt.text, text).model_dump(mode="json")
    else:
        response["retrieval"] = {"ids": [f"policy-{prompt.slots.intent}"], "index_version": "kb-2025-12"}
    if scripted and rng.random() < 0.5:
        # an assistant is a little less sure where it is wrong
        mean = 0.35 if utility(prompt.text, text).ok else 0.55
        response["token_logprobs"] = [-float(f"{rng.expovariate(1 / mean):.4f}") for _ in text.split()]
    return response


def _metadata(rng: random.Random, persona: Persona) -> dict[str, Any]:
    metadata: dict[str, Any] = {"channel": rng.choice(("chat", "email", "app")), "client_ip": f"203.0.113.{rng.randrange(1, 255)}"}
    if rng.random() < 0.15:
        metadata["agent_note"] = f"Spoke to {persona.name} on {persona.phone} about {persona.order}"
    if rng.random() < 0.10:
        metadata["ticket"] = f"TK-{rng.randrange(10_000, 100_000)}"
    return metadata


def _feedback(rng: random.Random, prompt: Prompt, persona: Persona, answer: str) -> dict[str, Any] | None:
    """What a user leaves behind: mostly nothing, else something that follows the answer's worth."""
    if rng.random() > 0.4:
        return None
    satisfied = rng.random() < 1 / (1 + math.exp(-1.5 * (utility(prompt.text, answer).u - 1.0)))
    feedback: dict[str, Any] = {"thumbs": "up" if satisfied else "down"}
    if rng.random() < 0.3:
        feedback["score"] = float(rng.choice((4, 5)) if satisfied else rng.choice((1, 2)))
    if satisfied:
        return feedback
    feedback["escalated"] = rng.random() < 0.35
    chance = rng.random()
    if chance < 0.2:
        feedback["comment"] = f"This did not help . Write to {persona.email} about {persona.order} ."
    elif chance < 0.3:
        feedback["comment"] = f"Please ask for {persona.called} ."
    elif chance < 0.45:
        right = ideal_response(rng, prompt)
        if right != answer:
            feedback["edited_text"] = fill(right, persona)
    return feedback
