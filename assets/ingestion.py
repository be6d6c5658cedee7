"""Opening a round and taking in its logs.

What belongs here: assets of the group `ingestion`. What does not: parsing (`flywheel.ingestion`) and what a round is (`flywheel.rounds`).
"""

from collections.abc import Mapping

import dagster as dg

from assets.external import REGISTRY_AS_OF_ROUND, consent_ledger, gold_items, guideline, log_files
from assets.partitions import SETTINGS, weekly
from assets.stage import stage, written
from flywheel.ingestion import open_landing, quarantined_elsewhere
from flywheel.ingestion.taxonomy_coverage import COVERAGE_COLUMNS, coverage_markdown, coverage_table
from flywheel.rounds import code_version, open_context, pool_rounds
from resources.store import Store

BACKFILL_TAG = "flywheel/backfill"
REPIN_TAG = "flywheel/repin"


@dg.asset(
    partitions_def=weekly, group_name="ingestion", code_version="1", owners=["team:post-training"], kinds={"json"},
    deps=[REGISTRY_AS_OF_ROUND, gold_items, guideline],
)  # fmt: skip
def round_context(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """The pin of the round: model, labelled set, guideline and settings as of its end. Every rerun and backfill replays it."""
    pinned = open_context(
        store.home, context.partition_key, now=store.now(), code_version=code_version(),
        backfill_from=backfill_start(context.run.tags), repin_reason=context.run.tags.get(REPIN_TAG),
    )  # fmt: skip
    store.provenance.append_once(
        f"pinned:{pinned.round}:{pinned.revision}", "round_pinned", pinned.model_dump(mode="json"), pinned.pinned_at
    )
    shown = {k: v for k, v in pinned.model_dump(mode="json").items() if v is not None}
    return dg.MaterializeResult(metadata=shown, data_version=dg.DataVersion(f"{pinned.round}.{pinned.revision}"))


def backfill_start(tags: Mapping[str, str]) -> str | None:
    """First round of the backfill that a run belongs to, None outside of one. A backfill from the UI does not tell its first round:
    there every round but the first of all must find its predecessor settled."""
    return tags.get(BACKFILL_TAG) or (SETTINGS.start.isoformat() if "dagster/backfill" in tags else None)


@stage("ingestion", code_version="2", deps=[round_context, log_files, consent_ledger])
def inference_logs(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Canonical records of the week's requests. Bad rows go to `quarantine` with a reason; reading a file twice changes nothing. Writes its
    partition itself, part by part: a week of logs does not fit into memory."""
    home, round = store.home, context.partition_key
    partition, quarantine = home.lake.writer("inference_logs", round), home.lake.writer("quarantine", round)
    elsewhere, watch = quarantined_elsewhere(home, round), pool_rounds(home, round)
    kept, settings = home.restricted / "ingestion", home.settings.ingestion
    with open_landing(home.landing, ids=home.ids, settings=settings, now=store.now(), store=kept) as opened, store.vault() as vault:
        found = opened.take(round, quarantined_elsewhere=elsewhere, partition=partition, quarantine=quarantine, watch=watch)
        found.tell(store.ledger, vault)
    quarantine.commit()
    coverage = [{"domain": d, "task_type": t, "records": n} for (d, t), n in found.coverage.items()]
    facts = {
        "counts": found.counts,
        "losses": found.losses,
        "quarantine": found.reasons,
        "weeks": found.weeks,
        "digests": found.digests,
        "revision": found.revision,
        "skipped": found.skipped,
        "coverage": coverage,
    }
    manifest = partition.commit(facts=facts, code_version="2")
    diversity = coverage_markdown(coverage_table(home.lake.batches("inference_logs", round, COVERAGE_COLUMNS)))
    return written(
        manifest, **found.counts, quarantine_reasons=found.reasons, losses=found.losses, coverage=coverage, prompt_diversity=dg.MetadataValue.md(diversity)
    )  # fmt: skip
