"""The budget of a round: random arms first, then the domains' floors, then the strategy over the rest."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import SelectionPick
from flywheel.selection.candidates import Candidates, join_candidates
from flywheel.selection.seeds import derive_seed
from flywheel.selection.strategies import NEED_UNCERTAINTY, Parameters, demand_strategy
from flywheel.selection.strategies.interface import Floats, Pool, Vectors, checked_pool
from flywheel.settings import SelectionSettings
from flywheel.storage import sha256_text, to_table

Arm = Literal["active", "random_evaluation", "random_control"]


def select_batch(
    pairs: pa.Table, embeddings: pa.Table, uncertainty: pa.Table, *, round: str, labelled: np.ndarray[Any, Any] | None,
    settings: SelectionSettings, seed: int,
) -> tuple[pa.Table, dict[str, Any]]:  # fmt: skip
    """The picks of a round (`selection`, by rank) and the facts that its manifest keeps.

    1. Random arm: `random_share` of the budget, drawn uniformly over records before anything is scored, so that it stays a sample of
       the traffic; a prompt cluster's hash decides between evaluation (never trains) and control, for all rounds alike.
    2. Floors: each domain is brought to `domain_floor` of the budget as far as it has pairs, by the strategy within it.
    3. The strategy over the rest. Centres are the vectors of `labelled` (L, D) pairs and the active picks so far.

    A near-duplicate group costs one label at most. Without uncertainty a strategy that needs it becomes `bootstrap`. An empty pool
    gives no picks; a budget beyond the pool picks one of every group. Raises `BadInput` on tables that do not fit together and
    on values that are not finite.
    """
    demand_strategy(settings.strategy)
    pool = join_candidates(pairs, embeddings, uncertainty, round=round)
    known = _labelled(labelled, pool)
    batch = _Batch(pool, round, seed)
    budget = min(settings.budget, len(set(pool.group)))
    _draw_random_arm(batch, math.floor(budget * settings.random_share + 0.5))
    strategy = settings.strategy
    if pool.uncertainty is None and strategy in NEED_UNCERTAINTY:
        strategy = "bootstrap"
    parameters = Parameters(settings.w_uncertainty)
    floors = _floors(batch, budget, settings.domain_floor)
    for domain, missing in floors.items():
        _pick(batch, strategy, missing, known, parameters, domain)
    _pick(batch, strategy, budget - len(batch.rows), known, parameters, None)
    facts = {
        "strategy": strategy,
        "strategy_asked": settings.strategy,
        "parameters": asdict(parameters),
        "seed": seed,
        "budget": settings.budget,
        "picked": len(batch.rows),
        "pool_pairs": len(pool),
        "pool_records": len(set(pool.record_id)),
        "pool_groups": len(set(pool.group)),
        "pool_sha256": pool.sha256,
        "zero_vectors": int((~pool.vectors.any(axis=1)).sum()) if len(pool) else 0,
        "embedder": pool.embedder,
        "uncertainty_model": pool.model_id,
        "labelled": 0 if known is None else len(known),
        "floor_picks": floors,
        "by_arm": dict(sorted(Counter(row["arm"] for row in batch.rows).items())),
        "by_domain": dict(sorted(Counter(row["domain"] for row in batch.rows).items())),
        "evaluation_clusters": len(batch.evaluation_clusters),
        "active_picks_in_evaluation_clusters": sum(pool.cluster[i] in batch.evaluation_clusters for i in batch.active),
    }
    return to_table(SelectionPick, batch.rows), facts


def arm_of_cluster(prompt_cluster: str) -> Literal["random_evaluation", "random_control"]:
    """The half of the random arm that a prompt cluster belongs to: a property of the cluster, the same in every round, so that no
    prompt shape is on both sides."""
    return "random_evaluation" if int(sha256_text(f"random arm:{prompt_cluster}")[:8], 16) % 2 == 0 else "random_control"


@dataclass
class _Batch:
    """What is picked so far."""

    pool: Candidates
    round: str
    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)
    active: list[int] = field(default_factory=list)
    evaluation_clusters: set[str] = field(default_factory=set)

    def add(self, at: int, *, arm: Arm, strategy: str, score: float, distance: float | None, reason: str) -> None:
        pool = self.pool
        self.groups.add(pool.group[at])
        if arm == "active":
            self.active.append(at)
        elif arm == "random_evaluation":
            self.evaluation_clusters.add(pool.cluster[at])
        self.rows.append(
            {
                "round": self.round, "pair_id": pool.pair_id[at], "record_id": pool.record_id[at], "domain": pool.domain[at],
                "rank": len(self.rows) + 1, "score": score, "uncertainty": None if pool.uncertainty is None else float(pool.uncertainty[at]),
                "distance": distance, "reason": reason, "arm": arm, "strategy": strategy, "seed": self.seed,
            }
        )  # fmt: skip


def _draw_random_arm(batch: _Batch, n: int) -> None:
    """Uniform over records; a record whose group is drawn already is passed over, so a group's chance grows with its size, as in the
    traffic. The score is the share of the records that is drawn."""
    pool = batch.pool
    first: dict[str, int] = {}
    for i, record in enumerate(pool.record_id):
        first.setdefault(record, i)
    rows = sorted(first.values())
    generator = np.random.default_rng(derive_seed(batch.seed, batch.round, "random_arm"))
    for i in generator.permutation(len(rows)).tolist():
        if len(batch.rows) >= n:
            break
        at = rows[i]
        if pool.group[at] in batch.groups:
            continue
        reason = f"random: draw {len(batch.rows) + 1} of {n} from {len(rows)} records"
        batch.add(at, arm=arm_of_cluster(pool.cluster[at]), strategy="random", score=n / len(rows), distance=None, reason=reason)


def _floors(batch: _Batch, budget: int, share: float) -> dict[str, int]:
    """How many active picks each domain lacks to its floor. Floors that exceed the budget together are lowered evenly."""
    pool = batch.pool
    domains = sorted(set(pool.domain))
    if not domains:
        return {}
    floor = min(math.ceil(share * budget), budget // len(domains))
    picked = Counter(row["domain"] for row in batch.rows)
    missing = {d: min(max(floor - picked[d], 0), len(pool.representatives(batch.groups, d))) for d in domains}
    while sum(missing.values()) > budget - len(batch.rows):
        largest = max(domains, key=lambda d: missing[d])
        missing[largest] -= 1
    return missing


def _pick(batch: _Batch, name: str, n: int, labelled: Vectors | None, parameters: Parameters, domain: str | None) -> None:
    pool = batch.pool
    rows = pool.representatives(batch.groups, domain)
    if n <= 0 or len(rows) == 0:
        return
    centres = [v for v in (labelled, pool.vectors[batch.active] if batch.active else None) if v is not None]
    within = Pool(
        pool.vectors[rows],
        None if pool.uncertainty is None else pool.uncertainty[rows],
        np.concatenate(centres) if centres else None,
    )
    seed = derive_seed(batch.seed, batch.round, f"{name}:{domain or ''}")
    picks = demand_strategy(name)(within, n, seed=seed, parameters=parameters)
    _demand_finite(picks.score, pool, rows[picks.indices])
    floor = f" (floor of {domain})" if domain else ""
    for at, score, raw in zip(rows[picks.indices].tolist(), picks.score.tolist(), picks.distance.tolist(), strict=True):
        distance = None if math.isnan(raw) else raw
        signal = None if pool.uncertainty is None else float(pool.uncertainty[at])
        reason = f"{name}: {_because(signal, distance)}{floor}"
        batch.add(at, arm="active", strategy=name, score=score, distance=distance, reason=reason)


def _demand_finite(score: Floats, pool: Candidates, rows: np.ndarray[Any, Any]) -> None:
    bad = ~np.isfinite(score)
    if bad.any():
        raise BadInput(f"pair {pool.pair_id[int(rows[int(bad.argmax())])]} got a score that is not finite; nothing was selected")


def _because(uncertainty: float | None, distance: float | None) -> str:
    parts = [f"{name} {_short(value)}" for name, value in (("uncertainty", uncertainty), ("distance", distance)) if value is not None]
    return ", ".join(parts) or "first of the pool"


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if 0 <= value < 0.995 else f"{value:.2f}"


def _labelled(labelled: np.ndarray[Any, Any] | None, pool: Candidates) -> Vectors | None:
    if labelled is None or len(pool) == 0:
        return None
    return checked_pool(pool.vectors, labelled=labelled).labelled
