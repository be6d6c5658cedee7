"""Uncertainty: what the reward model as of the round does not know about a pair."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import Pair, UncertaintyRow
from flywheel.storage import from_table, to_table

Floats = npt.NDArray[np.float64]


class RewardScorer(Protocol):
    """A reward model, or several: an ensemble's members give one row each."""

    @property
    def model_id(self) -> str: ...

    def predict(self, pairs: pa.Table) -> npt.NDArray[np.floating]:
        """Calibrated probabilities (n_members, n_pairs) that response A is preferred, in the table's order."""


def uncertainty_signals(pairs: pa.Table, embeddings: pa.Table, *, round: str, model: RewardScorer | None) -> pa.Table:
    """A row of `uncertainty` for each pair, sorted by pair_id. Without a model (bootstrap) every signal is null.

    With p the members' mean: entropy H(p) = -p ln p - (1-p) ln(1-p), margin 1 - |2p - 1|, least confidence 1 - max(p, 1-p),
    epistemic = H(p) - mean H(p_m) (BALD: Houlsby et al. 2011, arXiv 1112.5745; 0 for a single member), mean token log-probability
    over the responses that carry one, and `uncertainty` = H(p) / ln 2 in [0, 1]. Raises `BadInput` when a probability is missing,
    not finite or outside [0, 1], naming the pair, or when a pair has no embedding.
    """
    pairs = pairs.sort_by("pair_id")
    rows = from_table(Pair, pairs)
    absent = {p.pair_id for p in rows} - set(embeddings["pair_id"].to_pylist())
    if absent:
        raise BadInput(f"round {round}: {len(absent)} pairs have no embedding (first: {min(absent)}); materialize `embeddings` again")
    if model is None:
        return to_table(UncertaintyRow, [UncertaintyRow(round=round, pair_id=p.pair_id, record_id=p.record_id) for p in rows])
    p_m = member_probabilities(model, pairs)
    p = p_m.mean(axis=0) if len(rows) else np.zeros(0)
    entropy = binary_entropy(p)
    epistemic = np.maximum(entropy - binary_entropy(p_m).mean(axis=0), 0.0) if len(rows) else p
    return to_table(
        UncertaintyRow,
        [
            UncertaintyRow(
                round=round, pair_id=pair.pair_id, record_id=pair.record_id, p_a=float(p[i]), entropy=float(entropy[i]),
                margin=float(1 - abs(2 * p[i] - 1)), least_confidence=float(1 - max(p[i], 1 - p[i])), epistemic=float(epistemic[i]),
                mean_token_logprob=_mean_token_logprob(pair), uncertainty=float(min(entropy[i] / np.log(2), 1.0)), model_id=model.model_id,
            )
            for i, pair in enumerate(rows)
        ],
    )  # fmt: skip


def member_probabilities(model: RewardScorer, pairs: pa.Table) -> Floats:
    """The model's checked answer (n_members, n_pairs). Raises `BadInput` naming the model and the first bad pair."""
    p = np.asarray(model.predict(pairs), dtype=np.float64)
    if p.ndim != 2 or p.shape[1] != pairs.num_rows or p.shape[0] == 0:
        raise BadInput(f"reward model {model.model_id} returned shape {p.shape} for {pairs.num_rows} pairs; needs (members, pairs)")
    bad = ~((p >= 0) & (p <= 1)).all(axis=0)
    if bad.any():
        at = int(bad.argmax())
        raise BadInput(
            f"reward model {model.model_id}: pair {pairs['pair_id'][at].as_py()} has probabilities {p[:, at].tolist()}; train it again"
        )
    return p


def binary_entropy(p: Floats) -> Floats:
    """Entropy in nats of a yes-or-no outcome with probability p; 0 at 0 and 1."""
    q = 1.0 - p
    logs = np.where(p > 0, p, 1.0), np.where(q > 0, q, 1.0)
    entropy: Floats = -(p * np.log(logs[0]) + q * np.log(logs[1]))
    return np.abs(entropy)  # turns -0.0 into 0.0


def _mean_token_logprob(pair: Pair) -> float | None:
    tokens = [value for r in (pair.response_a, pair.response_b) for value in r.generation.token_logprobs or []]
    return sum(tokens) / len(tokens) if tokens else None
