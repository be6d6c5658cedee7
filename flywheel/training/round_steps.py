"""The training steps of one round, from the stores: fine-tune, reward model, DPO, evaluation, closing. Each returns its lake table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pyarrow as pa

from flywheel.errors import GateNotPassed
from flywheel.records import EvaluationRow, ModelManifest, ModelRow, PromotionRow, RegistryEntry, RoundContext, Verdict
from flywheel.settings import EvaluationSettings
from flywheel.storage.arrow import empty_table, to_table
from flywheel.storage.home import Home
from flywheel.training.base import enter_base, is_demo_base
from flywheel.training.evaluation import EvaluationPrompt, Judge, evaluate, judge_from_oracle, judge_from_reward_model
from flywheel.training.jobs import store_reward_model, train_dpo, train_sft
from flywheel.training.promotion import promotion_decision
from flywheel.training.registry import Registry
from flywheel.training.reward_model import train_reward_model
from flywheel.training.store import ModelStore

Allowed = Callable[[pa.Table], pa.Table]
Log = Callable[[str], None]
MINIMUM_JUDGE_ROWS = 20


def register_base(home: Home, log: Log | None = None) -> str:
    """Id of the base model of the settings; trained (the demo world's) or entered into the store at first use."""
    return enter_base(home.settings.training, ModelStore(home.models), home.cache, home.settings.seed, progress=log).model_id


def train_sft_round(home: Home, demonstrations: pa.Table, *, start_model_id: str, pinned: RoundContext, log: Log | None = None) -> pa.Table:
    """One `ModelRow`: the start model fine-tuned on the round's demonstrations, or handed through where they are too few."""
    settings, held_out = home.settings.training, held_out_clusters(home, pinned)
    demonstrations = without_clusters(demonstrations, held_out)
    if demonstrations.num_rows < settings.minimum_demonstrations:
        return _handed_through(pinned, "sft", start_model_id, demonstrations.num_rows)
    made = train_sft(
        demonstrations, parent_model_id=start_model_id, store=ModelStore(home.models), settings=settings,
        seed=home.settings.seed_for("sft", pinned.round), round=pinned.round, held_out_clusters=held_out, progress=log,
    )  # fmt: skip
    return _model_row(pinned, made, demonstrations.num_rows)


def train_reward_round(home: Home, version: str, *, pinned: RoundContext, allowed: Allowed) -> pa.Table:
    """One `ModelRow`: the Bradley-Terry ensemble on the version's training rows; the one as of the round where they are too few."""
    from flywheel.dataset import DatasetStore, training_rows

    store = DatasetStore(home.datasets)
    rows = without_clusters(training_rows(store.rows(version), allowed), held_out_clusters(home, pinned))
    if rows.num_rows < home.settings.training.minimum_pairs:
        return _handed_through(pinned, "reward", pinned.reward_model_id or "none", rows.num_rows)
    made = store_reward_model(
        rows, store=ModelStore(home.models), seed=home.settings.seed_for("reward", pinned.round), round=pinned.round,
        dataset_version=version, dataset_sha256=store.manifest_sha256(version),
    )  # fmt: skip
    return _model_row(pinned, made, rows.num_rows)


def train_dpo_round(
    home: Home, version: str, sft_model: pa.Table, *, pinned: RoundContext, allowed: Allowed, log: Log | None = None
) -> pa.Table:
    """One `ModelRow`: the fine-tuned model after DPO on the rows that this round added to the version (earlier rounds' rows are in the
    start model already); handed through where they are too few."""
    from flywheel.dataset import DatasetStore, training_rows

    start = sft_model["model_id"][0].as_py()
    store, settings = DatasetStore(home.datasets), home.settings.training
    held_out = held_out_clusters(home, pinned)
    rows = without_clusters(training_rows(store.round_rows(version, pinned.round), allowed), held_out)
    if rows.num_rows < settings.minimum_pairs:
        return _handed_through(pinned, "dpo", start, rows.num_rows)
    made = train_dpo(
        rows, parent_model_id=start, store=ModelStore(home.models), settings=settings, seed=home.settings.seed_for("dpo", pinned.round),
        round=pinned.round, dataset_version=version, dataset_sha256=store.manifest_sha256(version),
        held_out_clusters=held_out, progress=log,
    )  # fmt: skip
    return _model_row(pinned, made, rows.num_rows)


def evaluate_round(
    home: Home,
    dpo_model: pa.Table,
    reward_model: pa.Table,
    *,
    incumbent_id: str,
    pinned: RoundContext,
    allowed: Allowed,
    log: Log | None = None,
) -> pa.Table:
    """`EvaluationRow`s of the candidate against the model that serves, on rows whose subjects allow evaluation (`allowed`); no rows where
    there is no new candidate or nothing to judge on (the promotion gate then keeps the model and says so)."""
    candidate_id = dpo_model["model_id"][0].as_py()
    if candidate_id == incumbent_id:
        return empty_table(EvaluationRow)
    found = evaluation_set(home, pinned, allowed=allowed)
    if found is None:
        return empty_table(EvaluationRow)
    prompts, judge = found
    models = ModelStore(home.models)
    return evaluate(
        models.demand_intact(candidate_id), models.demand_intact(incumbent_id), prompts, judge, candidate_id=candidate_id, incumbent_id=incumbent_id,
        training=home.settings.training, settings=home.settings.evaluation, seed=home.settings.seed_for("evaluation", pinned.round),
        round=pinned.round, progress=log,
    )  # fmt: skip


def evaluation_set(home: Home, pinned: RoundContext, *, allowed: Allowed) -> tuple[list[EvaluationPrompt], Judge] | None:
    """Held-out prompts and their judge. The demo world: prompts of clusters that no log contains, judged by its oracle. Elsewhere: the
    random evaluation arm, judged by a reward model trained on the control arm alone, both as far as subjects allow evaluation; None while
    either is too small."""
    if judged_by_oracle(home):
        return _generated_prompts(home, pinned), judge_from_oracle()
    from flywheel.dataset import DatasetStore, control_rows, evaluation_rows

    version = dataset_of_round(home, pinned)
    if version is None:
        return None
    rows = DatasetStore(home.datasets).rows(version)
    control, held_out = allowed(control_rows(rows)), allowed(evaluation_rows(rows))
    if control.num_rows < MINIMUM_JUDGE_ROWS or held_out.num_rows < MINIMUM_JUDGE_ROWS:
        return None
    judge = judge_from_reward_model(train_reward_model(control, seed=home.settings.seed_for("judge", pinned.round)))
    return [EvaluationPrompt(r["domain"], r["prompt_cluster"], r["prompt"]) for r in held_out.to_pylist()], judge


def _generated_prompts(home: Home, pinned: RoundContext) -> list[EvaluationPrompt]:
    """Prompts of the demo world that no log contains: nobody's."""
    from flywheel.shopforge import heldout_prompts, prompt_cluster

    held = heldout_prompts(home.settings.evaluation.prompts_per_domain, home.settings.seed_for("heldout", pinned.round))
    return [EvaluationPrompt(d, prompt_cluster(m) or "", m) for d in sorted(held) for m in held[d]]


def dataset_of_round(home: Home, pinned: RoundContext) -> str | None:
    """The dataset version that the round published, else the one that it was pinned to: a rerun after later rounds judges on the same."""
    published = home.lake.manifest("preference_dataset", pinned.round)
    return str(published.facts["version"]) if published else pinned.dataset_version


def judged_by_oracle(home: Home) -> bool:
    """Whether evaluation takes place in the demo world."""
    judge = home.settings.evaluation.judge
    return judge == "shopforge_oracle" or (judge == "auto" and is_demo_base(home.settings.training))


def without_clusters(rows: pa.Table, clusters: set[str]) -> pa.Table:
    """Rows whose prompt is of none of `clusters`: a scenario that judges models may teach none."""
    import pyarrow.compute as pc

    return rows.filter(pc.invert(pc.is_in(rows["prompt_cluster"], pa.array(sorted(clusters), pa.string()))))


def held_out_clusters(home: Home, pinned: RoundContext) -> set[str]:
    """Prompt clusters that evaluation uses: the demo world's held-out scenarios, elsewhere every cluster of the evaluation arm."""
    from flywheel.dataset import DatasetStore

    if judged_by_oracle(home):
        return {p.cluster for p in _generated_prompts(home, pinned)}
    version = dataset_of_round(home, pinned)
    if version is None:
        return set()
    rows = DatasetStore(home.datasets).rows(version).select(["arm", "prompt_cluster"]).to_pylist()
    return {r["prompt_cluster"] for r in rows if r["arm"] == "random_evaluation"}


def promotion_verdict(evaluation: pa.Table, *, sha256: str, round: str, settings: EvaluationSettings, now: datetime) -> Verdict:
    """The promotion gate on exactly this evaluation: pass promotes, fail keeps the model."""
    promote, reasons = promotion_decision(evaluation, settings)
    thresholds = settings.model_dump(
        include={"win_rate_floor", "non_inferiority", "maximum_length_ratio", "production_temperature", "prompts_per_domain"}
    )
    return Verdict(
        gate="promotion",
        round=round,
        subject_sha256=sha256,
        state="pass" if promote else "fail",
        reasons=reasons,
        thresholds=thresholds,
        decided_at=now,
    )


def close(
    home: Home,
    verdict: Verdict,
    dpo_model: pa.Table,
    reward_model: pa.Table,
    *,
    incumbent_id: str,
    pinned: RoundContext,
    backfill: bool,
    now: datetime,
) -> tuple[RegistryEntry, pa.Table]:
    """Enter the round's outcome into the registry; gives what stands and the `promotion` row. In a backfill the entry takes effect at
    the round's cutoff, so that the next round of the same backfill sees it. Raises `GateNotPassed` on an undecided verdict."""
    if verdict.state not in ("pass", "fail"):
        raise GateNotPassed(f"round {pinned.round}: the promotion verdict is {verdict.state}; rerun `evaluation`")
    candidate = dpo_model["model_id"][0].as_py()
    promoted = verdict.state == "pass" and candidate != incumbent_id
    reward = reward_model["model_id"][0].as_py() if reward_model["trained"][0].as_py() else pinned.reward_model_id
    entry = Registry(home.registry).enter(RegistryEntry(
        round=pinned.round, decision="promoted" if promoted else "kept", model_id=candidate if promoted else incumbent_id, reward_model_id=reward,
        candidate_id=candidate, reasons=verdict.reasons, effective_at=min(now, pinned.cutoff) if backfill else now, recorded_at=now,
    ))  # fmt: skip
    row = PromotionRow(
        round=pinned.round,
        decision=entry.decision,
        candidate_id=candidate,
        model_id=entry.model_id,
        reward_model_id=reward,
        reasons=entry.reasons,
    )
    return entry, to_table(PromotionRow, [row])


def _model_row(pinned: RoundContext, made: ModelManifest, n: int) -> pa.Table:
    return to_table(ModelRow, [ModelRow(
        round=pinned.round, model_id=made.model_id, kind=made.kind, parent_model_id=made.parent_model_id, dataset_version=made.dataset_version,
        trained=True, n_pairs=n, metrics=made.metrics,
    )])  # fmt: skip


def _handed_through(pinned: RoundContext, kind: str, model_id: str, n: int) -> pa.Table:
    return to_table(
        ModelRow, [ModelRow(round=pinned.round, model_id=model_id, kind=kind, trained=False, n_pairs=n, metrics={"reason": "too few rows"})]
    )
