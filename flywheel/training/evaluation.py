"""Candidate against incumbent on held-out prompts: win rate with an interval that respects prompt clusters.

Both models answer every prompt with the same decoding and the same random numbers; a judge gives each answer a utility. Prompts of one
cluster are one scenario in other words, so the bootstrap draws clusters, not prompts (an interval over prompts is too narrow: facts).
Greedy decoding is always looked at beside the production temperature: sharpening alone wins at temperature 1 (training.md, world 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from flywheel.records import EvaluationRow, Message
from flywheel.settings import EvaluationSettings, TrainingSettings
from flywheel.storage.arrow import to_table
from flywheel.training.generation import load_generator
from flywheel.training.prompts import render_prompt
from flywheel.training.reward_model import RewardModel

TIE = 1e-9
ALL = "all"
GREEDY = "greedy"


class Judge(Protocol):
    """`name` goes into every row; calling it gives the utility of each response, float64 (n,); `ok`, where the judge knows it, whether each
    response is simply right."""

    @property
    def name(self) -> str: ...

    @property
    def ok(self) -> Callable[[Sequence[str], Sequence[str]], np.ndarray] | None: ...

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray: ...


@dataclass(frozen=True)
class FunctionJudge:
    """A judge from functions of (rendered prompts, responses)."""

    name: str
    utility: Callable[[Sequence[str], Sequence[str]], np.ndarray]
    ok: Callable[[Sequence[str], Sequence[str]], np.ndarray] | None = None

    def __call__(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        return np.asarray(self.utility(prompts, responses), dtype=np.float64)


@dataclass(frozen=True)
class EvaluationPrompt:
    """A held-out conversation; `cluster` groups prompts of one scenario."""

    domain: str
    cluster: str
    messages: Sequence[Message]


def judge_from_oracle() -> Judge:
    """The demo world's hidden oracle. Raises `BadInput` on prompts from elsewhere."""
    from flywheel.shopforge.oracle import utility

    return FunctionJudge(
        "shopforge_oracle",
        lambda prompts, responses: np.array([utility(p, r).u for p, r in zip(prompts, responses, strict=True)], dtype=np.float64),
        lambda prompts, responses: np.array([float(utility(p, r).ok) for p, r in zip(prompts, responses, strict=True)], dtype=np.float64),
    )


def judge_from_reward_model(model: RewardModel) -> Judge:
    """A reward model; it must have been trained on other rows than the candidate (the control arm), or it judges its own pupil."""
    return FunctionJudge(f"reward_model:{model.model_id}", model.utilities)


def evaluate(
    candidate: Path, incumbent: Path, prompts: Sequence[EvaluationPrompt], judge: Judge, *, candidate_id: str, incumbent_id: str,
    training: TrainingSettings, settings: EvaluationSettings, seed: int, round: str, progress: Callable[[str], None] | None = None,
) -> pa.Table:  # fmt: skip
    """Rows of `EvaluationRow` for every domain and `all`, for greedy and production decoding: `win_rate` (ties .5) and `length_ratio`
    (mean words of the candidate over the incumbent's) with 95 % cluster-bootstrap intervals, and `ok_candidate`, `ok_incumbent` where the
    judge knows what is right. Sorted; the same input gives the same bytes."""
    plain = [render_prompt(p.messages) for p in prompts]
    decodings = {GREEDY: 0.0, f"temperature_{settings.production_temperature:g}": settings.production_temperature}
    answers: dict[tuple[str, str], list[str]] = {}
    for role, folder in (("candidate", candidate), ("incumbent", incumbent)):
        generator = load_generator(folder, training)
        texts = [generator.render(p.messages) for p in prompts]
        for decoding, temperature in decodings.items():
            answers[role, decoding] = [a[0] for a in generator.generate(texts, temperature=temperature, seed=seed)]
            if progress:
                progress(f"evaluation: {role}, {decoding}, {len(prompts)} prompts")
    rows: list[EvaluationRow] = []
    domains = np.array([p.domain for p in prompts])
    clusters = np.array([f"{p.domain} {p.cluster}" for p in prompts])
    for decoding in decodings:
        mine, theirs = answers["candidate", decoding], answers["incumbent", decoding]
        measures = compare(judge(plain, mine), judge(plain, theirs), mine, theirs)
        if judge.ok is not None:
            measures["ok_candidate"] = (judge.ok(plain, mine), np.ones(len(prompts)))
            measures["ok_incumbent"] = (judge.ok(plain, theirs), np.ones(len(prompts)))
        for domain in (*sorted(set(domains.tolist())), ALL):
            at = np.flatnonzero((domains == domain) | (domain == ALL))
            for metric, (top, bottom) in sorted(measures.items()):
                value, low, high = cluster_bootstrap(
                    top[at], bottom[at], clusters[at], replicates=settings.bootstrap_replicates, seed=[seed, len(metric), len(domain)]
                )
                rows.append(
                    EvaluationRow(
                        round=round, candidate_id=candidate_id, incumbent_id=incumbent_id, domain=domain, decoding=decoding, metric=metric,
                        value=value, low=low, high=high, n_prompts=len(at), n_clusters=len(set(clusters[at].tolist())), judge=judge.name,
                    )
                )  # fmt: skip
    rows.sort(key=lambda r: (r.domain, r.decoding, r.metric))
    return to_table(EvaluationRow, rows)


def compare(
    mine: np.ndarray, theirs: np.ndarray, my_texts: Sequence[str], their_texts: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each metric as (numerator, denominator) a prompt."""
    difference = mine - theirs
    wins = np.where(np.abs(difference) < TIE, 0.5, (difference > 0).astype(np.float64))
    words, their_words = (np.array([len(t.split()) for t in texts], dtype=np.float64) for texts in (my_texts, their_texts))
    return {"win_rate": (wins, np.ones(len(wins))), "length_ratio": (words, their_words)}


def cluster_bootstrap(
    top: np.ndarray, bottom: np.ndarray, clusters: np.ndarray, *, replicates: int, seed: int | Sequence[int], level: float = 0.95
) -> tuple[float, float, float]:
    """Ratio sum(top) / sum(bottom) with its percentile interval over resampled clusters (Davison & Hinkley 1997, 3.8)."""
    names, inverse = np.unique(clusters, return_inverse=True)
    tops, bottoms = np.bincount(inverse, top, minlength=len(names)), np.bincount(inverse, bottom, minlength=len(names))
    if not bottoms.sum() > 0:
        return 0.0, 0.0, 0.0
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    down = weights @ bottoms
    draws = (weights @ tops)[down > 0] / down[down > 0]
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(tops.sum() / bottoms.sum()), float(low), float(high)
