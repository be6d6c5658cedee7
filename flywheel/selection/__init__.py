"""Selection: which logged answers are worth a person's judgement.

In: redacted records of the pool's rounds, a sampler and a reward model as of the round, vectors of what is labelled. Out: pairs,
embeddings with near-duplicate groups, uncertainty, picks with rank, score and reason, and what the first judge may keep.

Guarantees: deterministic in its arguments (seeds come in, ties go to the lower row, rows are sorted); every record of the pool is a
pair or counted with its reason; the random arm is drawn before anything is scored; a near-duplicate group costs one label at most; a
value that is not finite is an error that names its row, never a silent first pick; random arms always go to people.
"""

from flywheel.selection.budget import arm_of_cluster, select_batch
from flywheel.selection.embedding import DEFAULT_EMBEDDER, Embed, check_packaged_weights, embed_pairs, load_embedder
from flywheel.selection.judge import Calibration, judge_pairs
from flywheel.selection.pairs import Cluster, Redact, Sampler, build_pairs
from flywheel.selection.prompts import prompt_cluster
from flywheel.selection.strategies import STRATEGIES, Parameters, Picks, Pool, Strategy, hybrid_active_select, select
from flywheel.selection.uncertainty import RewardScorer, uncertainty_signals

__all__ = [
    "DEFAULT_EMBEDDER", "STRATEGIES", "Calibration", "Cluster", "Embed", "Parameters", "Picks", "Pool", "Redact", "RewardScorer",
    "Sampler", "Strategy", "arm_of_cluster", "build_pairs", "check_packaged_weights", "embed_pairs", "hybrid_active_select", "judge_pairs", "load_embedder",
    "prompt_cluster", "select", "select_batch", "uncertainty_signals",
]  # fmt: skip
