"""From redacted records to the pairs worth a person's time.

What belongs here: assets of the group `selection`. What does not: strategies and signals (`flywheel.selection`).
"""

import dagster as dg
import pyarrow as pa

from assets.external import REGISTRY_AS_OF_ROUND
from assets.ingestion import round_context
from assets.partitions import POOL
from assets.pictures import picture
from assets.stage import Table, result, stage
from flywheel.governance import Vault, redact_texts
from flywheel.labeling import check_code_answers
from flywheel.reporting import selection_picture
from flywheel.rounds import (
    calibration_as_of,
    demand_context,
    labelled_vectors,
    of_pairs,
    policy_sampler,
    pool_table,
    scenario_cluster,
    scorer_as_of,
)
from flywheel.selection import Redact, build_pairs, embed_pairs, judge_pairs, load_embedder, select_batch, uncertainty_signals
from flywheel.settings import GovernanceSettings
from resources.store import Store

POOLED_LOGS = dg.AssetDep("redacted_logs", partition_mapping=POOL)


@stage("selection", deps=[POOLED_LOGS, round_context, REGISTRY_AS_OF_ROUND])
def response_pairs(context: dg.AssetExecutionContext, store: Store) -> Table:
    """A prompt and two answers: the second from the log, else sampled from the model as of the round (its text is redacted too)."""
    home, round = store.home, context.partition_key
    ask = store.consent.ask("labeling")
    pool, counts = pool_table(home, round, allowed=ask)
    sample, model_id = policy_sampler(home, demand_context(home, round), log=context.log.info)
    with store.vault() as vault:
        table, stats = build_pairs(
            pool, round=round, ids=home.ids, sample=sample, model_id=model_id, redact=redactor(vault, home.settings.governance),
            settings=home.settings.selection, seed=home.settings.seed_for("pairs", round), prompt_cluster=scenario_cluster,
        )  # fmt: skip
    table, verdicts = check_code_answers(table)
    facts = {"pool": counts, "stats": stats, "sandbox": verdicts, "consent": ask.facts}
    return result(table, facts, **counts, **stats, sandbox=verdicts, model=str(model_id))


def redactor(vault: Vault, settings: GovernanceSettings) -> Redact:
    """An answer that joins a record gets the aliases of the record's own round: numbers differ between rounds."""

    def redact(texts: list[str], conversations: list[str], rounds: list[str]) -> list[str]:
        safe = [""] * len(texts)
        for round in sorted(set(rounds)):
            mine = [n for n, r in enumerate(rounds) if r == round]
            made = redact_texts([texts[n] for n in mine], [conversations[n] for n in mine], vault=vault, settings=settings, round=round)
            for n, text in zip(mine, made, strict=True):
                safe[n] = text
        return safe

    return redact


@stage("selection")
def embeddings(context: dg.AssetExecutionContext, store: Store, response_pairs: pa.Table) -> Table:
    """One unit vector a pair, and groups of near-duplicates (a group costs one label at most)."""
    home = store.home
    name = home.settings.selection.embedder
    table = embed_pairs(
        response_pairs, round=context.partition_key, embed=load_embedder(name), embedder=name, cache=home.cache, settings=home.settings.selection
    )  # fmt: skip
    return result(table, {"embedder": name}, embedder=name, duplicate_groups=len(set(table["duplicate_group"].to_pylist())))


@stage("selection", deps=[REGISTRY_AS_OF_ROUND])
def uncertainty(context: dg.AssetExecutionContext, store: Store, response_pairs: pa.Table, embeddings: pa.Table) -> Table:
    """What the reward model as of the round does not know. No model yet: all null, and the round is a bootstrap."""
    model = scorer_as_of(store.home, demand_context(store.home, context.partition_key))
    table = uncertainty_signals(response_pairs, embeddings, round=context.partition_key, model=model)
    return result(table, {"model_id": model and model.model_id}, model=model.model_id if model else "none (bootstrap)")


@stage("selection")
def selection(
    context: dg.AssetExecutionContext, store: Store, response_pairs: pa.Table, embeddings: pa.Table, uncertainty: pa.Table
) -> Table:
    """The picks: a random arm first, then the strategy within domain floors; each with its score and reason."""
    home, round = store.home, context.partition_key
    ask, labelled = store.consent.ask("labeling"), store.consent.ask("labeling")
    pairs = ask(response_pairs)
    table, facts = select_batch(
        pairs, of_pairs(embeddings, pairs), of_pairs(uncertainty, pairs), round=round,
        labelled=labelled_vectors(home, demand_context(home, round), allowed=labelled),
        settings=home.settings.selection, seed=home.settings.seed_for("selection", round),
    )  # fmt: skip
    shown = picture(selection_picture(table, uncertainty), "picks by arm, and uncertainty")
    return result(table, {**facts, "consent": ask.facts}, picks=table.num_rows, picture=shown, details=facts)


@stage("selection")
def judge_labels(context: dg.AssetExecutionContext, store: Store, selection: pa.Table, response_pairs: pa.Table) -> Table:
    """The first judge's opinion. It keeps a pair from people only where its measured error is bounded."""
    home, pinned = store.home, demand_context(store.home, context.partition_key)
    ask, measured = store.consent.ask("labeling"), store.consent.ask("evaluation")
    picked = of_pairs(response_pairs, selection)
    pairs = ask(picked)
    table = judge_pairs(
        of_pairs(selection, pairs) if ask.refused else selection, pairs, round=context.partition_key, model=scorer_as_of(home, pinned),
        calibration=calibration_as_of(home, pinned, allowed=measured), settings=home.settings.judge,
    )  # fmt: skip
    facts = {"consent": {**ask.facts, **measured.facts}}
    return result(table, facts, kept_by_judge=sum(r == "judge" for r in table["route"].to_pylist()))
