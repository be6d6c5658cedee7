"""Bradley-Terry reward model: P(a preferred) = sigmoid(r(a) - r(b)), r linear in hashed features (Bradley & Terry 1952).

An ensemble over bootstrap samples of prompt clusters gives epistemic uncertainty; one temperature a domain, fitted on out-of-fold
predictions (Guo et al. 2017, arXiv:1706.04599), calibrates it. Everything is measured by cross-validation over prompt clusters: rows
of one cluster never lie on both sides.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadInput, NotFound
from flywheel.storage.files import write_atomically, write_json
from flywheel.training.prompts import render_prompt
from flywheel.training.reward_features import WIDTH, features

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MEMBERS = 7
FOLDS = 5
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # inverse regularisation C
ANY_DOMAIN = ""
MINIMUM_ROWS = 10
WEIGHTS_FILE, FACTS_FILE = "reward.npz", "reward.json"


@dataclass(frozen=True)
class RewardModel:
    """`weights` (members, WIDTH + 1); `temperatures` by domain, `""` for a domain never seen. `metrics` by domain (and `all`):
    accuracy, nll, ece, n out of fold."""

    weights: np.ndarray
    temperatures: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    strength: float = 0.1
    model_id: str = "not stored"

    def predict(self, pairs: pa.Table) -> np.ndarray:
        """P(a preferred), calibrated, float64 (members, n), from the columns prompt, response_a, response_b, domain."""
        prompts, a, b = texts_of(pairs)
        scores = np.asarray((features(prompts, a) - features(prompts, b)) @ self.weights.T).T
        return np.asarray(_sigmoid(scores / self._temperature(pairs["domain"].to_pylist())))

    def utilities(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        """Reward of each response, mean over members, float64 (n,): a judge for evaluation."""
        return np.asarray((features(prompts, responses) @ self.weights.T).mean(axis=1))

    def _temperature(self, domains: Sequence[str]) -> np.ndarray:
        return np.array([self.temperatures.get(d, self.temperatures[ANY_DOMAIN]) for d in domains], dtype=np.float64)

    def save(self, folder: Path) -> None:
        """`reward.npz` and `reward.json`: no pickle, the same model gives the same bytes."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, weights=self.weights)
        write_atomically(folder / WEIGHTS_FILE, buffer.getvalue())
        write_json(
            folder / FACTS_FILE,
            {"temperatures": dict(self.temperatures), "metrics": {k: dict(v) for k, v in self.metrics.items()}, "strength": self.strength},
        )

    @classmethod
    def load(cls, folder: Path) -> RewardModel:
        """Read a saved model; a folder of the model store names it. Raises `NotFound`."""
        try:
            facts = json.loads((folder / FACTS_FILE).read_bytes())
            with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as arrays:
                weights = arrays["weights"]
        except FileNotFoundError as error:
            raise NotFound(f"{folder} holds no reward model: {error.filename} is missing") from None
        return cls(weights, facts["temperatures"], facts["metrics"], facts["strength"], model_id=folder.name)


def train_reward_model(rows: pa.Table, *, seed: int, members: int = MEMBERS) -> RewardModel:
    """Fit on `Preference` rows (`tie`, `both_bad` carry no direction and are left out). A row's posterior is its label's weight.
    Raises `BadInput` when fewer than 10 directed rows, or only one prompt cluster, remain."""
    directed = rows.filter(pa.array([o in ("a", "b") for o in rows["outcome"].to_pylist()], type=pa.bool_()))
    groups = np.unique(np.array(directed["prompt_cluster"].to_pylist(), dtype=object).astype(str), return_inverse=True)[1]
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    if directed.num_rows < MINIMUM_ROWS or n_groups < 2:
        raise BadInput(
            f"a reward model needs {MINIMUM_ROWS} directed preferences of 2 prompt clusters, got {directed.num_rows} of {n_groups}"
        )
    order = np.argsort(np.array(directed["pair_id"].to_pylist(), dtype=str), kind="stable")
    directed, groups = directed.take(pa.array(order)), groups[order]
    prompts, a, b = texts_of(directed)
    x = (features(prompts, a) - features(prompts, b)).tocsr()
    y = np.array([o == "a" for o in directed["outcome"].to_pylist()], dtype=np.float64)
    target = np.where(y == 1, 1.0, -1.0) * (2 * np.clip(np.array(directed["posterior"].to_pylist()), 0.5, 1.0) - 1)
    soft = (1 + target) / 2  # P(a) as the raters left it
    domains = directed["domain"].to_pylist()

    rng = np.random.default_rng(seed)
    fold_of_group = rng.permutation(n_groups) % min(FOLDS, n_groups)
    fold = fold_of_group[groups]
    losses = {c: _nll(_sigmoid(_out_of_fold(x, soft, fold, c)), soft) for c in STRENGTHS}
    strength = min(losses, key=lambda c: (losses[c], c))
    held_out = _out_of_fold(x, soft, fold, strength, groups=groups, members=members, seed=seed)  # logits of the ensemble's mean
    temperatures = {ANY_DOMAIN: _fit_temperature(held_out, soft)}
    for domain in sorted(set(domains)):
        at = np.array([d == domain for d in domains])
        enough = at.sum() >= 30
        temperatures[domain] = _fit_temperature(held_out[at], soft[at]) if enough else temperatures[ANY_DOMAIN]
    scale = np.array([temperatures[d] for d in domains])
    calibrated = _sigmoid(held_out / scale)
    metrics = {"all": _metrics(calibrated, y)}
    for domain in sorted(set(domains)):
        at = np.array([d == domain for d in domains])
        metrics[domain] = _metrics(calibrated[at], y[at])
    weights = np.stack([_fit(x[rows_], soft[rows_], strength) for rows_ in _bootstraps(groups, members, seed)])
    return RewardModel(weights, temperatures, metrics, strength)


def texts_of(pairs: pa.Table) -> tuple[list[str], list[str], list[str]]:
    """Rendered prompts and the texts of both responses of a table of pairs."""
    prompts = [render_prompt(p) for p in pairs["prompt"].to_pylist()]
    a, b = ([r["text"] for r in pairs[name].to_pylist()] for name in ("response_a", "response_b"))
    return prompts, a, b


def with_id(model: RewardModel, model_id: str) -> RewardModel:
    """The same model under the store's name."""
    return replace(model, model_id=model_id)


def _fit(x: csr_matrix, soft: np.ndarray, strength: float) -> np.ndarray:
    """Weights (WIDTH + 1,). Each pair enters in both directions, so that no side is preferred and no intercept is needed."""
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    used = np.unique(x.indices)
    compact = x[:, used]
    both = vstack([compact, -compact, compact, -compact]).tocsr()
    labels = np.r_[np.ones(len(soft)), np.zeros(len(soft)), np.zeros(len(soft)), np.ones(len(soft))]
    weight = np.r_[soft, soft, 1 - soft, 1 - soft] / 2
    kept = weight > 0
    model: Any = LogisticRegression(C=strength, fit_intercept=False, max_iter=1_000, tol=1e-6)
    model.fit(both[kept], labels[kept], sample_weight=weight[kept])
    weights = np.zeros(WIDTH + 1)
    weights[used] = model.coef_[0]
    return weights


def _bootstraps(groups: np.ndarray, members: int, seed: int) -> list[np.ndarray]:
    """Row indices of `members` bootstrap samples of whole prompt clusters."""
    rng = np.random.default_rng([seed, 1])
    by_group = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    return [np.concatenate([by_group[g] for g in rng.integers(0, len(by_group), len(by_group))]) for _ in range(members)]


def _out_of_fold(
    x: csr_matrix, soft: np.ndarray, fold: np.ndarray, strength: float, *, groups: np.ndarray | None = None, members: int = 0, seed: int = 0
) -> np.ndarray:
    """Logit of P(a) for each row from a model that saw no row of its fold; of the ensemble's mean P where `members` is given."""
    logits = np.zeros(len(soft))
    for f in np.unique(fold):
        inside, outside = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
        if members and groups is not None:
            p = np.mean(
                [
                    _sigmoid(np.asarray(x[outside] @ _fit(x[inside][rows], soft[inside][rows], strength)))
                    for rows in _bootstraps(groups[inside], members, seed)
                ],
                axis=0,
            )
            p = np.clip(p, 1e-9, 1 - 1e-9)
            logits[outside] = np.log(p / (1 - p))
        else:
            logits[outside] = np.asarray(x[outside] @ _fit(x[inside], soft[inside], strength))
    return logits


def _fit_temperature(logits: np.ndarray, soft: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda t: _nll(_sigmoid(logits / np.exp(t)), soft), bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -60, 60))))


def _nll(p: np.ndarray, soft: np.ndarray) -> float:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return float(-np.mean(soft * np.log(p) + (1 - soft) * np.log(1 - p)))


def _metrics(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return {"accuracy": float(np.mean((p > 0.5) == (y == 1))), "nll": _nll(p, y), "ece": expected_calibration_error(p, y), "n": len(y)}


def expected_calibration_error(p: np.ndarray, y: np.ndarray, bins: int = 10) -> float:
    """Mean gap between confidence max(p, 1 - p) and accuracy, over equal-width bins of [0.5, 1], weighted by their rows."""
    confidence, right = np.maximum(p, 1 - p), (p > 0.5) == (y == 1)
    at = np.clip(((confidence - 0.5) * 2 * bins).astype(int), 0, bins - 1)
    count = np.bincount(at, minlength=bins)
    gap = np.abs(np.bincount(at, right, minlength=bins) - np.bincount(at, confidence, minlength=bins))
    return float(gap.sum() / count.sum()) if count.sum() else 0.0
