"""What a prompt is as text: its hash, its normal form, and the cluster that splits are made by.

Two normal forms, for two questions. *Same ticket?* (near-duplicates) keeps every number: "5 days" and "35 days" fall under
different rules. *Same shape?* (clusters, which keep evaluation and training apart) masks numbers too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from flywheel.records import Message, Response
from flywheel.storage import sha256_text

ALIAS = re.compile(r"\[([A-Z]+(?:_[A-Z]+)*)_\d+\]")
NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
SPACE = re.compile(r"\s+")


def prompt_text(messages: Sequence[Message]) -> str:
    """The conversation as text, one turn a paragraph, without system turns (they are the same for a whole workload and would
    drown what the user asked) unless there is nothing else."""
    turns = [m for m in messages if m.role not in ("system", "developer")] or list(messages)
    return "\n".join(part for m in turns for part in (m.content, *(f"{c.name}({c.arguments})" for c in m.tool_calls)) if part)


def response_text(response: Response) -> str:
    """What the assistant said and called."""
    return "\n".join([response.text, *(f"{c.name}({c.arguments})" for c in response.tool_calls)])


def normalise(text: str) -> str:
    """Case, white space and alias numbers do not count; every other character does."""
    return SPACE.sub(" ", ALIAS.sub(lambda m: f"[{m[1]}]", text)).strip().casefold()


def numbers(text: str) -> tuple[str, ...]:
    """The numbers of a text in order, alias numbers aside."""
    return tuple(NUMBER.findall(ALIAS.sub(" ", text)))


def prompt_cluster(messages: Sequence[Message]) -> str:
    """Default cluster: hash of the whole prompt, system turns included, with aliases and numbers masked. 16 hex digits."""
    shape = "\n".join(f"{m.role}: {prompt_text([m])}" for m in messages)
    return sha256_text(NUMBER.sub("0", normalise(shape)))[:16]


def prompt_sha256(messages: Sequence[Message]) -> str:
    """Hash of the exact prompt."""
    return sha256_text(json.dumps([m.model_dump(mode="json") for m in messages], sort_keys=True, ensure_ascii=False))


def response_sha256(response: Response) -> str:
    """Hash of the exact answer; of its text alone where it called no tool."""
    return sha256_text(response_text(response))
