"""Batches out, answers in.

What belongs here: assets of the group `labeling`. What does not: how a batch is composed or a label file is read (`flywheel.labeling`).
"""

from functools import partial

import dagster as dg
import pyarrow as pa

from assets.external import gold_items, guideline, label_files
from assets.stage import Table, result, stage
from flywheel.governance import redact_text
from flywheel.labeling import build_batch, export_batch, load_gold, load_guideline
from flywheel.rounds import (
    batch_file,
    demand_context,
    export_open_tasks,
    import_labels,
    of_pairs,
    round_state,
    standing_annotations,
    withdrawn_tasks,
)
from resources.store import Store


@stage("labeling", deps=[gold_items, guideline])
def labeling_batch(
    context: dg.AssetExecutionContext, store: Store, selection: pa.Table, judge_labels: pa.Table, response_pairs: pa.Table
) -> Table:
    """The tasks that raters see: picks, gold, attention checks, swapped repeats. Frozen once published: a rerun hands back the
    published batch, whatever the selector says today; but tasks whose subject has withdrawn leave the file that raters get."""
    home, round, ask = store.home, context.partition_key, store.consent.ask("labeling")
    published = home.lake.manifest("labeling_batch", round)
    if published is not None:
        batch = home.lake.read("labeling_batch", round)
        taken_out = export_open_tasks(home, round, batch, withdrawn_tasks(batch, ask))
        return result(batch, published.facts, frozen=True, tasks=published.rows, withdrawn_since=taken_out)
    pairs = ask(of_pairs(response_pairs, selection))
    pinned, labeling = demand_context(home, round), home.settings.labeling
    table, facts = build_batch(
        selection, judge_labels, pairs, round=round, revision=pinned.revision, gold=load_gold(home.gold),
        guideline=load_guideline(home.guidelines, pinned.cutoff), ids=home.ids, settings=labeling, seed=home.settings.seed_for("batch", round),
    )  # fmt: skip
    export_batch(table, batch_file(home, round))
    return result(table, {**facts, "consent": ask.facts}, frozen=False, tasks=table.num_rows, details=facts)


class LabelSource(dg.Config):
    """Who answers. `simulated`: raters of the demo world answer first, through the same inbox; their labels say so for ever."""

    simulated: bool = False


@stage("labeling", deps=[label_files])
def annotations(context: dg.AssetExecutionContext, config: LabelSource, store: Store, labeling_batch: pa.Table) -> Table:
    """Every valid answer to the round's tasks, exactly once; late answers to closed rounds are banked here. Frozen once the round is
    settled. Bad lines go to `label_quarantine` with a reason; answers about a subject that has withdrawn are left out."""
    home, round, ask = store.home, context.partition_key, store.consent.ask("labeling")
    standing = home.lake.manifest("annotations", round)
    if standing is not None and round_state(home, round).settled:  # a later answer is banked in the open round
        return result(home.lake.read("annotations", round), standing.facts, labels=standing.rows, frozen=True)
    if config.simulated:
        from flywheel.shopforge import deliver_simulated_labels

        deliver_simulated_labels(labeling_batch, home.label_inbox, round=round, seed=home.settings.seed_for("raters", round))
    with store.vault() as vault:
        table, facts = import_labels(
            home, round, redact=partial(redact_text, vault=vault, settings=home.settings.governance), now=store.now()
        )
    table, withdrawn = standing_annotations(home, table, round, ask)
    facts = {**facts, "withdrawn_tasks": withdrawn, "consent": ask.facts}
    return result(table, facts, labels=table.num_rows, imported=facts["import"], withdrawn_tasks=len(withdrawn))
