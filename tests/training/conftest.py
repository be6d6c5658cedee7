"""Shared material: preference rows of the demo world, small enough for fast tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from flywheel.records import Message, Preference
from flywheel.shopforge.oracle import utility
from flywheel.shopforge.world import base_response, sample_prompt
from flywheel.storage.arrow import to_table

ROUND = "2026-01-05"


def preference(number: int, prompt: str, a: str, b: str, outcome: str, **fields: Any) -> Preference:
    response = {"generation": {"model_id": "test"}}
    directed = outcome in ("a", "b")
    return Preference.model_validate(
        {
            "round": ROUND, "pair_id": f"{number:032x}", "domain": "support", "task_type": "generation",
            "prompt": [Message(role="user", content=prompt)], "response_a": {"text": a, **response}, "response_b": {"text": b, **response},
            "outcome": outcome, "chosen": outcome if directed else None, "rejected": {"a": "b", "b": "a"}.get(outcome), "posterior": 0.95,
            "n_annotations": 3, "aggregator": "majority", "tier": "crowd", "origin": "simulated", "arm": "active", "prompt_sha256": "0",
            "prompt_cluster": f"c{number}", "batch_id": "0", "guideline_version": "1", "guideline_sha256": "0", "redaction_version": "1",
            **fields,
        }
    )  # fmt: skip


def world_preferences(n: int, seed: int = 0) -> pa.Table:
    """Pairs of the untuned assistant's answers, decided by the oracle without noise."""
    rng, rows = random.Random(seed), []
    while len(rows) < n:
        prompt = sample_prompt(rng)
        a, b = base_response(rng, prompt), base_response(rng, prompt)
        gap = utility(prompt.text, a).u - utility(prompt.text, b).u
        if prompt.split == "train" and abs(gap) > 0.3:
            outcome = "a" if gap > 0 else "b"
            rows.append(preference(len(rows), prompt.content, a, b, outcome, domain=prompt.domain, prompt_cluster=prompt.cluster))
    return to_table(Preference, rows)


@pytest.fixture(scope="session")
def preferences() -> pa.Table:
    return world_preferences(160)


@pytest.fixture(scope="session")
def make_preference() -> Callable[..., Preference]:
    return preference
