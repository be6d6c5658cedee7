"""From the dataset to the model that serves next.

What belongs here: assets of the group `training`. What does not: training itself, which runs in a subprocess (`flywheel.training`), so
that the code server never imports torch.
"""

import dagster as dg
import pyarrow as pa

from assets.external import REGISTRY_AS_OF_ROUND, model_registry
from assets.ingestion import backfill_start
from assets.pictures import picture
from assets.stage import Table, result, stage
from flywheel.reporting import evaluation_picture
from flywheel.rounds import demand_context, policy_model_id, standing_demonstrations
from flywheel.training import close, evaluate_round, train_dpo_round, train_reward_round, train_sft_round
from resources.store import Store


@stage("training", kinds={"parquet", "pytorch"}, deps=[REGISTRY_AS_OF_ROUND, "preference_dataset"])
def sft_model(context: dg.AssetExecutionContext, store: Store, demonstrations: pa.Table) -> Table:
    """The model as of the round, fine-tuned on expert demonstrations; handed through unchanged where there are too few."""
    home, pinned = store.home, demand_context(store.home, context.partition_key)
    start, ask = policy_model_id(home, pinned, context.log.info), store.consent.ask("training")
    allowed = standing_demonstrations(home, demonstrations, context.partition_key, ask)
    table = train_sft_round(home, allowed, start_model_id=start, pinned=pinned, log=context.log.info)
    return result(table, {"consent": ask.facts}, **table.to_pylist()[0])


@stage("training", kinds={"parquet", "scikitlearn"}, deps=["preference_dataset"])
def reward_model(context: dg.AssetExecutionContext, store: Store, preference_dataset: pa.Table) -> Table:
    """Bradley-Terry ensemble on the whole dataset version: next round's uncertainty comes from it."""
    home, version = store.home, store.home.lake.demand("preference_dataset", context.partition_key).facts["version"]
    ask = store.consent.ask("training")
    table = train_reward_round(home, version, pinned=demand_context(home, context.partition_key), allowed=ask)
    return result(table, {"consent": ask.facts}, **table.to_pylist()[0])


@stage("training", kinds={"parquet", "pytorch"}, deps=[REGISTRY_AS_OF_ROUND])
def dpo_model(context: dg.AssetExecutionContext, store: Store, preference_dataset: pa.Table, sft_model: pa.Table) -> Table:
    """Direct preference optimisation (TRL, in a subprocess) of the fine-tuned model on the dataset version."""
    home, version = store.home, store.home.lake.demand("preference_dataset", context.partition_key).facts["version"]
    ask = store.consent.ask("training")
    table = train_dpo_round(home, version, sft_model, pinned=demand_context(home, context.partition_key), log=context.log.info, allowed=ask)
    return result(table, {"consent": ask.facts}, **table.to_pylist()[0])


@stage("training", kinds={"parquet"})
def evaluation(context: dg.AssetExecutionContext, store: Store, dpo_model: pa.Table, reward_model: pa.Table) -> Table:
    """The candidate against what serves now, on held-out prompts: win rates with intervals by domain and decoding, length drift."""
    home, pinned = store.home, demand_context(store.home, context.partition_key)
    incumbent = policy_model_id(home, pinned, context.log.info)
    ask = store.consent.ask("evaluation")
    table = evaluate_round(home, dpo_model, reward_model, incumbent_id=incumbent, pinned=pinned, allowed=ask, log=context.log.info)
    wins = {f"win_rate_{r['domain']}_{r['decoding']}": r["value"] for r in table.to_pylist() if r["metric"] == "win_rate"}
    shown = picture(evaluation_picture(table, floor=home.settings.evaluation.non_inferiority), "win rates of the candidate")
    return result(table, {"consent": ask.facts}, picture=shown, **wins)


@stage("training", deps=["evaluation"])
def promotion(context: dg.AssetExecutionContext, store: Store, evaluation: pa.Table, dpo_model: pa.Table, reward_model: pa.Table) -> Table:
    """Closes the round: the candidate serves from the next one on, or the model stays. Demands the promotion verdict for exactly
    this evaluation, and reports the round's partition of the model registry."""
    home, round, backfill = store.home, context.partition_key, backfill_start(context.run.tags) is not None
    pinned = demand_context(home, round)
    sha256 = home.lake.demand("evaluation", round).sha256
    verdict = store.verdicts.demand_decided("promotion", round, sha256)
    entry, table = close(
        home, verdict, dpo_model, reward_model, incumbent_id=policy_model_id(home, pinned), pinned=pinned, backfill=backfill, now=store.now()
    )  # fmt: skip
    store.provenance.append_once(f"closed:{round}:{entry.model_id}", "round_closed", entry.model_dump(mode="json"), store.now())
    context.log_event(
        dg.AssetMaterialization(model_registry.key, partition=round, metadata={"decision": entry.decision, "model": str(entry.model_id)})
    )
    return result(table, decision=entry.decision, model=str(entry.model_id), reasons=entry.reasons)
