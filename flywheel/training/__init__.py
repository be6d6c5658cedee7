"""Training: preferences and demonstrations in, models with manifests out, and the decision which of them serves.

In: `Preference` and `Demonstration` tables, a parent model of the store, settings, a seed. Out: models in the `ModelStore` (content-addressed,
immutable), `EvaluationRow` tables, registry entries.

Guarantees: torch, transformers and trl are imported inside functions or in a subprocess only; the same inputs give the same weights (one
thread) and are never trained twice; rows that would train wrongly are refused by name (`preflight.py`); the reference of DPO is proven to be
the parent (first margin 0); held-out clusters never enter training; a killed run leaves nothing half.
"""

from flywheel.training.base import ensure_base, enter_base, is_demo_base
from flywheel.training.evaluation import (
    EvaluationPrompt,
    FunctionJudge,
    Judge,
    evaluate,
    judge_from_oracle,
    judge_from_reward_model,
)
from flywheel.training.generation import Generator, Sampler, load_generator, load_sampler
from flywheel.training.jobs import store_reward_model, train_dpo, train_sft
from flywheel.training.preflight import prompt_key
from flywheel.training.promotion import promotion_decision
from flywheel.training.prompts import render_prompt
from flywheel.training.registry import Registry
from flywheel.training.reward_model import RewardModel, train_reward_model
from flywheel.training.round_steps import (
    close,
    evaluate_round,
    promotion_verdict,
    register_base,
    train_dpo_round,
    train_reward_round,
    train_sft_round,
)
from flywheel.training.store import ModelStore

__all__ = [
    "EvaluationPrompt",
    "FunctionJudge",
    "Generator",
    "Judge",
    "ModelStore",
    "Registry",
    "RewardModel",
    "Sampler",
    "close",
    "ensure_base",
    "enter_base",
    "evaluate",
    "evaluate_round",
    "is_demo_base",
    "judge_from_oracle",
    "judge_from_reward_model",
    "load_generator",
    "load_sampler",
    "promotion_decision",
    "promotion_verdict",
    "prompt_key",
    "register_base",
    "render_prompt",
    "store_reward_model",
    "train_dpo",
    "train_dpo_round",
    "train_reward_model",
    "train_reward_round",
    "train_sft",
    "train_sft_round",
]  # fmt: skip
