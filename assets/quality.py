"""What the labels are worth: raters, agreement, accepted preferences.

What belongs here: assets of the group `quality`. What does not: statistics and gate rules (`flywheel.quality`).
"""

import dagster as dg
import pyarrow as pa

from assets.pictures import picture
from assets.stage import Table, result, stage
from flywheel.governance import redact_text
from flywheel.labeling import load_gold
from flywheel.quality import aggregate_preferences, agreement_table, agreement_verdict
from flywheel.quality import demonstrations as demonstrations_of
from flywheel.quality import rater_quality as judge_raters
from flywheel.reporting import agreement_picture
from flywheel.rounds import conversations, demand_context, expert_raters, published_pairs
from resources.store import Store


@stage("quality")
def rater_quality(context: dg.AssetExecutionContext, store: Store, annotations: pa.Table) -> Table:
    """Each rater's gold accuracy with interval, sequential evidence, side bias, pace and state."""
    table = judge_raters(annotations, round=context.partition_key, settings=store.home.settings.quality)
    states = table["state"].to_pylist()
    return result(table, raters=len(states), paused=states.count("paused"))


@stage("quality")
def agreement(
    context: dg.AssetExecutionContext, store: Store, annotations: pa.Table, rater_quality: pa.Table, labeling_batch: pa.Table
) -> Table:
    """Krippendorff's alpha and company, by segment, with intervals; decides the agreement gate for exactly these annotations."""
    home, round, quality = store.home, context.partition_key, store.home.settings.quality
    table = agreement_table(annotations, rater_quality, round=round, settings=quality, seed=home.settings.seed_for("agreement", round))
    judged = home.lake.demand("annotations", round)
    verdict = store.verdicts.record(agreement_verdict(
        annotations, table, rater_quality, round=round, annotations_sha256=judged.sha256, batch=labeling_batch, settings=quality,
        now=store.now(), withdrawn_tasks=judged.facts.get("withdrawn_tasks", []),
    ))  # fmt: skip
    return result(
        table,
        {"verdict": verdict.model_dump(mode="json", exclude={"decided_at"})},
        state=verdict.state,
        reasons=verdict.reasons,
        picture=picture(agreement_picture(table, floor=quality.alpha_floor), "Krippendorff's alpha by segment"),
    )


@stage("quality", deps=[agreement])
def preferences(
    context: dg.AssetExecutionContext,
    store: Store,
    annotations: pa.Table,
    rater_quality: pa.Table,
    labeling_batch: pa.Table,
    judge_labels: pa.Table,
) -> Table:
    """Accepted pairs with chosen and rejected. Refuses without a passing agreement verdict for exactly its annotations."""
    home, round = store.home, context.partition_key
    store.verdicts.demand_pass("agreement", round, home.lake.demand("annotations", round).sha256)
    pairs, batches, known = published_pairs(home, round)
    table, facts = aggregate_preferences(
        annotations, rater_quality, batches, judge_labels, pairs, round=round, settings=home.settings.quality, exclude_pairs=known,
        experts=expert_raters(home), gold=load_gold(home.gold),
    )  # fmt: skip
    ask = store.consent.ask("labeling")
    allowed = ask(table)
    facts = {**facts, "withdrawn_since": ask.refused, "consent": ask.facts}
    return result(allowed, facts, accepted=allowed.num_rows, details=facts)


@stage("quality", deps=[agreement])
def demonstrations(
    context: dg.AssetExecutionContext,
    store: Store,
    annotations: pa.Table,
    labeling_batch: pa.Table,
    rater_quality: pa.Table,
    response_pairs: pa.Table,
) -> Table:
    """Ideal answers that experts wrote where both responses were bad: supervised fine-tuning data."""
    home, round = store.home, context.partition_key
    demand_context(home, round)
    store.verdicts.demand_pass("agreement", round, home.lake.demand("annotations", round).sha256)
    ask = store.consent.ask("training")
    allowed = ask(response_pairs)
    refused = sorted({*response_pairs["pair_id"].to_pylist()} - {*allowed["pair_id"].to_pylist()})
    with store.vault() as vault:
        table = demonstrations_of(
            annotations, labeling_batch, round=round, redact=lambda text, talk: redact_text(text, conversation_id=talk, vault=vault, settings=home.settings.governance),
            conversations=conversations(allowed), experts=expert_raters(home), rater_quality=rater_quality, exclude_pairs=refused,
        )  # fmt: skip
    return result(table, {"consent": ask.facts}, demonstrations=table.num_rows)
