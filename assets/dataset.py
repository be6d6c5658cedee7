"""The versioned, tamper-evident dataset.

What belongs here: assets of the group `dataset`. What does not: versions and manifests (`flywheel.dataset`).
"""

import dagster as dg
import pyarrow as pa

from assets.ingestion import backfill_start
from assets.partitions import PREVIOUS
from assets.stage import Table, result, stage
from flywheel.dataset import publish_round
from flywheel.rounds import demand_context, standing_preferences
from resources.store import Store


@stage("dataset", deps=[dg.AssetDep("preference_dataset", partition_mapping=PREVIOUS)])
def preference_dataset(context: dg.AssetExecutionContext, store: Store, preferences: pa.Table) -> Table:
    """Adds the round's preferences as a new immutable version. Refuses without a passing agreement verdict for exactly the
    annotations that the preferences came from; a failed or open round is listed as absent."""
    home, round = store.home, context.partition_key
    annotations_sha256 = home.lake.demand("preferences", round).inputs["annotations"]
    verdict = store.verdicts.demand_pass("agreement", round, annotations_sha256)
    asks = {p: store.consent.ask(p) for p in ("training", "evaluation")}
    allowed = standing_preferences(preferences, asks.__getitem__)
    manifest, table = publish_round(
        home, allowed, pinned=demand_context(home, round), verdict=verdict, annotations_sha256=annotations_sha256, now=store.now(),
        backfill=backfill_start(context.run.tags) is not None,
    )  # fmt: skip
    store.provenance.append_once(f"dataset:{manifest.version}", "dataset_published", manifest.model_dump(mode="json"), store.now())
    refused = {f"not_allowed_for_{p}": ask.refused for p, ask in asks.items()}
    facts = {"version": manifest.version, **refused, "consent": {k: v for ask in asks.values() for k, v in ask.facts.items()}}
    return result(
        table, facts, version=manifest.version, rows_in_version=manifest.rows, added=table.num_rows, simulated=manifest.contains_simulated
    )
