"""What must hold of preference rows before a trainer sees them. Each check is a way in which training goes wrong silently.

TRL 1.16 (measured, facts/training.md): rows with chosen == rejected train at loss .6931; prompts that fill the context are dropped and
longer answers cut without their end-of-sequence token; a prompt whose tokens are no prefix loses its end from the training context.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from flywheel.errors import TrainingFailed

NAMED_AT_MOST = 3


def prompt_key(text: str) -> str:
    """SHA-256 of a rendered prompt: how held-out prompts are named."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_rows(
    rows: Sequence[dict[str, Any]], tokenizer: Any, *, max_length: int, answers: Sequence[str], held_out_clusters: Collection[str] = (),
    held_out_prompts: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Report of the rows (each with id, prompt, cluster and the columns named in `answers`: chosen and rejected, or completion).

    Raises `TrainingFailed` naming rows where: there are none; an answer is empty; chosen equals rejected; the prompt's tokens are no prefix
    of the whole; the whole does not fit `max_length` with its end token; the prompt or its cluster is held out for evaluation.
    """
    if not rows:
        raise TrainingFailed("no rows to train on")
    if tokenizer.eos_token_id is None:
        raise TrainingFailed("the tokenizer has no end-of-sequence token: answers would never end")
    problems: dict[str, list[str]] = {}
    lengths: list[int] = []
    for row in rows:
        name, prompt = str(row["id"]), str(row["prompt"])
        texts = [str(row[a]) for a in answers]
        if any(not t.strip() for t in texts):
            problems.setdefault("an empty answer", []).append(name)
        if len(texts) == 2 and texts[0].strip() == texts[1].strip():
            problems.setdefault("chosen equal to rejected", []).append(name)
        if row.get("cluster") in held_out_clusters or prompt_key(prompt) in held_out_prompts:
            problems.setdefault("a prompt held out for evaluation", []).append(name)
        head = tokenizer(prompt)["input_ids"]
        for text in texts:
            whole = tokenizer(prompt + text + tokenizer.eos_token)["input_ids"]
            if whole[: len(head)] != head:
                problems.setdefault("a prompt whose tokens merge with the answer's", []).append(name)
            if whole[-1] != tokenizer.eos_token_id:
                problems.setdefault("a lost end-of-sequence token", []).append(name)
            if len(whole) > max_length:
                problems.setdefault(f"more than training.max_length = {max_length} tokens", []).append(name)
            lengths.append(len(whole))
    if problems:
        shown = "; ".join(
            f"{len(set(ids))} of {len(rows)} rows with {what} ({', '.join(list(dict.fromkeys(ids))[:NAMED_AT_MOST])})"
            for what, ids in sorted(problems.items())
        )
        raise TrainingFailed(f"preflight refused the training rows: {shown}")
    seen = Counter(tuple(str(row[c]) for c in ("prompt", *answers)) for row in rows)
    contradictions = sum(n for (p, *a), n in seen.items() if len(a) == 2 and (p, a[1], a[0]) in seen)
    return {
        "rows": len(rows), "duplicates": len(rows) - len(seen), "contradictions": contradictions // 2, "truncated": 0,
        "longest_tokens": max(lengths), "mean_tokens": sum(lengths) / len(lengths), "max_length": max_length,
        "clusters": len({row.get("cluster") for row in rows}),
    }  # fmt: skip
