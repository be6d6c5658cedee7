"""Cost per accepted pair and label efficiency, tickets and code apart (source: SOURCE.md, "Track always")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from flywheel.storage import Home

ALL = "all"


@dataclass(frozen=True)
class PairCost:
    """What the accepted pairs of one domain (or `all`) cost. Accepted: decided for one response. `usd_per_pair` is None without any."""

    domain: str
    accepted_pairs: int
    kept_by_judge: int
    labels: int
    labels_per_pair: float | None
    labeling_usd: float
    shared_usd: float
    usd_per_pair: float | None

    @property
    def total_usd(self) -> float:
        return self.labeling_usd + self.shared_usd


@dataclass(frozen=True)
class LabelEfficiency:
    """Labels bought for each .01 of reward-model accuracy; None, with why, where it is not known."""

    domain: str
    labels: int
    accuracy_before: float | None
    accuracy_after: float | None
    labels_per_point: float | None
    explanation: str


def cost_per_pair(costs: pa.Table, preferences: pa.Table) -> list[PairCost]:
    """Rows `all`, then each domain. All labels count, those of gold, attention and repeat tasks too. What has no domain (texts,
    responses) is shared out in proportion to each domain's labeling cost, or to its pairs where nobody labelled."""
    priced = costs.to_pylist()
    decided = [r for r in preferences.select(["domain", "outcome", "origin"]).to_pylist() if r["outcome"] in ("a", "b")]
    domains = sorted({r["domain"] for r in decided} | {r["domain"] for r in priced if r["domain"]})
    shared = sum(r["amount_usd"] for r in priced if r["domain"] is None)
    labeling = {d: sum(r["amount_usd"] for r in priced if r["domain"] == d) for d in domains}
    pairs = {d: [r for r in decided if r["domain"] == d] for d in domains}
    labels = {d: sum(int(r["quantity"]) for r in priced if r["domain"] == d) for d in domains}
    weights = labeling if sum(labeling.values()) else {d: float(len(pairs[d])) for d in domains}
    whole = sum(weights.values())
    rows = [_pair_cost(ALL, decided, sum(labels.values()), sum(labeling.values()), shared)]
    for d in domains:
        rows.append(_pair_cost(d, pairs[d], labels[d], labeling[d], shared * weights[d] / whole if whole else 0.0))
    return rows


def _pair_cost(domain: str, pairs: list[dict[str, Any]], labels: int, labeling_usd: float, shared_usd: float) -> PairCost:
    n = len(pairs)
    return PairCost(
        domain, n, sum(r["origin"] == "judge" for r in pairs), labels, labels / n if n else None, labeling_usd, shared_usd,
        (labeling_usd + shared_usd) / n if n else None,
    )  # fmt: skip


def random_share(selection: pa.Table) -> float | None:
    """Share of the picks that the random arms hold: what an unbiased measurement costs. None without picks."""
    arms = selection["arm"].to_pylist()
    return sum(arm != "active" for arm in arms) / len(arms) if arms else None


def label_efficiency(home: Home, round: str) -> list[LabelEfficiency]:
    """Rows `all`, then each domain: labels of this round for each .01 of out-of-fold accuracy that the reward model gained over that
    of the newest earlier round. Empty before the round has a trained reward model."""
    now = _reward_metrics(home, round)
    if now is None:
        return []
    earlier = [m for r in home.lake.rounds("reward_model") if r < round and (m := _reward_metrics(home, r))]
    before = earlier[-1] if earlier else None
    costs = home.lake.read_rounds("cost_events", [round]).to_pylist()
    rows = []
    for domain in sorted(now, key=lambda d: (d != ALL, d)):
        labels = sum(int(r["quantity"]) for r in costs if r["domain"] and domain in (ALL, r["domain"]))
        rows.append(_efficiency(domain, labels, (before or {}).get(domain), now[domain]))
    return rows


def _efficiency(domain: str, labels: int, before: float | None, after: float) -> LabelEfficiency:
    if before is None:
        return LabelEfficiency(domain, labels, None, after, None, "not yet known: needs the reward models of two rounds")
    points = (after - before) / 0.01
    if points <= 0:
        return LabelEfficiency(domain, labels, before, after, None, "accuracy did not rise")
    return LabelEfficiency(domain, labels, before, after, labels / points, "")


def _reward_metrics(home: Home, round: str) -> dict[str, float] | None:
    """Domain (or `all`) to accuracy of the reward model that a round trained; None where there is none."""
    if home.lake.manifest("reward_model", round) is None:
        return None
    from flywheel.records import ModelRow
    from flywheel.storage import from_table

    trained = [row for row in from_table(ModelRow, home.lake.read("reward_model", round)) if row.trained]
    if not trained:
        return None
    by_domain = {d: m for d, m in trained[0].metrics.items() if isinstance(m, dict)}
    return {d: float(m["accuracy"]) for d, m in by_domain.items() if isinstance(m.get("accuracy"), int | float)} or None
