"""What a round's pin gives the stages: the model that samples, the model that scores, and what was labelled by then."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from flywheel.records import Message, RoundContext
from flywheel.storage.home import Home

if TYPE_CHECKING:
    from flywheel.selection import Calibration
    from flywheel.training import RewardModel

Sampler = Callable[[list[list[Message]], int, int], list[list[str]]]


def policy_model_id(home: Home, pinned: RoundContext, log: Callable[[str], None] = lambda _: None) -> str:
    """Id of the language model as of the round: the promoted one, else the base (made or registered on first use)."""
    if pinned.model_id is not None:
        return pinned.model_id
    from flywheel.training import register_base

    return register_base(home, log=log)


def policy_sampler(home: Home, pinned: RoundContext, log: Callable[[str], None] = lambda _: None) -> tuple[Sampler, str]:
    """A sampler of the model as of the round (loaded when first called), and its id."""
    from flywheel.training import ModelStore, load_sampler

    model_id = policy_model_id(home, pinned, log)

    def sample(prompts: list[list[Message]], n: int, seed: int) -> list[list[str]]:
        return load_sampler(ModelStore(home.models).path(model_id), home.settings.training)(prompts, n, seed)

    return sample, model_id


def scenario_cluster(prompt: list[Message]) -> str:
    """Which prompts are of one shape: the demo world knows its scenarios; elsewhere prompts with aliases and numbers masked."""
    from flywheel.selection import prompt_cluster as shape
    from flywheel.shopforge import prompt_cluster as scenario

    return scenario(prompt) or shape(prompt)


def scorer_as_of(home: Home, pinned: RoundContext) -> RewardModel | None:
    """The reward model as of the round; None in a bootstrap round."""
    if pinned.reward_model_id is None:
        return None
    from flywheel.training import ModelStore, RewardModel

    return RewardModel.load(ModelStore(home.models).path(pinned.reward_model_id))


def labelled_vectors(home: Home, pinned: RoundContext, *, allowed: Callable[[pa.Table], pa.Table]) -> np.ndarray | None:
    """(n, d) float32 vectors of the pairs in the dataset version as of the round, in the version's order, as far as their subjects allow
    labeling still (`allowed`); None where there is none (or where they were embedded with another embedder)."""
    if pinned.dataset_version is None:
        return None
    from flywheel.dataset import DatasetStore

    wanted = allowed(DatasetStore(home.datasets).rows(pinned.dataset_version))["pair_id"].to_pylist()
    found: dict[str, list[float]] = {}
    for round in home.lake.rounds("embeddings"):
        if round >= pinned.round:
            continue
        table = home.lake.read("embeddings", round, ["pair_id", "vector", "embedder"])
        if table.num_rows and table["embedder"][0].as_py() == home.settings.selection.embedder:
            found |= dict(zip(table["pair_id"].to_pylist(), table["vector"].to_pylist(), strict=True))
    vectors = [found[p] for p in wanted if p in found]
    return np.array(vectors, np.float32) if vectors else None


def calibration_as_of(home: Home, pinned: RoundContext, *, allowed: Callable[[pa.Table], pa.Table]) -> Calibration | None:
    """How the scoring model did on labels that it never saw: the evaluation arm of earlier rounds, which no model trains on; rows whose
    subjects allow evaluation (`allowed`)."""
    model = scorer_as_of(home, pinned)
    if model is None or pinned.dataset_version is None:
        return None
    import pyarrow.compute as pc

    from flywheel.dataset import DatasetStore
    from flywheel.selection import Calibration

    rows = DatasetStore(home.datasets).rows(pinned.dataset_version)
    unseen = allowed(rows.filter(pc.and_(pc.equal(rows["arm"], "random_evaluation"), pc.not_equal(rows["origin"], "judge"))))
    if unseen.num_rows == 0:
        return None
    return Calibration(p_a=model.predict(unseen).mean(axis=0), outcome=unseen["outcome"].to_pylist())
