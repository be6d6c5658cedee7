"""Rankings of more than two responses, as the pairs that they imply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flywheel.records import Message, Outcome, Pair, Ranking
from flywheel.storage import Ids, sha256_text


def decompose_ranking(
    ranking: Ranking, ids: Ids, *, prompt_cluster: Callable[[list[Message]], str] | None = None
) -> list[tuple[dict[str, Any], Outcome]]:
    """Every pair of the ranking's responses (fields of a `Pair`) with its outcome: `a` or `b` from the tiers' order, `tie` within one.

    All pairs share one prompt cluster (default: hash of the prompt), so that an interval counts the ranking once: n (n - 1) / 2 pairs of
    one rater are not that many opinions (InstructGPT, section 3.5). Responses of the same text make no pair."""
    tier = {index: place for place, members in enumerate(ranking.order) for index in members}
    prompt_text = "\n".join(f"{m.role}: {m.content}" for m in ranking.prompt)
    cluster = prompt_cluster(ranking.prompt) if prompt_cluster else f"prompt:{sha256_text(prompt_text)[:16]}"
    found: list[tuple[dict[str, Any], Outcome]] = []
    for first in range(len(ranking.responses)):
        for second in range(first + 1, len(ranking.responses)):
            a, b = ranking.responses[first], ranking.responses[second]
            if a.text == b.text:
                continue
            outcome: Outcome = "tie" if tier[first] == tier[second] else "a" if tier[first] < tier[second] else "b"
            pair = Pair(
                round=ranking.round, pair_id=ids.make("pair", ranking.record_id, sha256_text(a.text), sha256_text(b.text)),
                record_id=ranking.record_id, conversation_id=ranking.conversation_id, subject_id=ranking.subject_id, domain=ranking.domain,
                task_type=ranking.task_type, prompt=ranking.prompt, response_a=a, response_b=b, prompt_sha256=sha256_text(prompt_text),
                prompt_cluster=cluster, redaction_version=ranking.redaction_version, second_response="ranking",
            )  # fmt: skip
            found.append((pair.model_dump(), outcome))
    return found
