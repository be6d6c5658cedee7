"""Sizes and schedules of the tiny models that this repository trains from nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """Sizes and schedule. Rows are prompt-answer pairs; `accuracy` is how often stage 1 answers as asked."""

    hidden: int = 64
    layers: int = 3
    heads: int = 4
    context: int = 256
    ability_rows: int = 26_000
    ability_epochs: int = 2
    ability_learning_rate: float = 5e-3
    accuracy: float = 0.97
    habit_rows: int = 8_000
    habit_code_share: float = 0.4
    habit_epochs: int = 1
    habit_learning_rate: float = 1.2e-3
    code_share: float = 0.6
    batch: int = 64
    warm_up_steps: int = 40
    gate_prompts: int = 400  # a domain; 0 switches the gate off


RECIPES = {
    "shopforge-tiny": Recipe(),
    # seconds instead of a minute, for tests of what surrounds the model: it writes sentences of the world, mostly wrong ones
    "shopforge-tiny-fast": Recipe(hidden=32, layers=2, ability_rows=2_000, ability_epochs=2, habit_rows=1_000, gate_prompts=0),
}
