"""Opening a round and taking in its logs.

What belongs here: assets of the group `ingestion`. What does not: parsing (`flywheel.ingestion`) and what a round is (`flywheel.rounds`).
"""

from collections.abc import Mapping

import dagster as dg

from assets.external import REGISTRY_AS_OF_ROUND, consent_ledger, gold_items, guideline, log_files
from assets.partitions import SETTINGS, weekly
from assets.stage import Table, result, stage
from flywheel.ingestion import import_landing, quarantine_reasons, quarantined_elsewhere
from flywheel.rounds import code_version, open_context
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


@stage("ingestion", deps=[round_context, log_files, consent_ledger])
def inference_logs(context: dg.AssetExecutionContext, store: Store) -> Table:
    """Canonical records of the week's requests. Bad rows go to `quarantine` with a reason; reading a file twice changes nothing."""
    home, round = store.home, context.partition_key
    found = import_landing(
        home.landing, round=round, ids=home.ids, settings=home.settings.ingestion, now=store.now(),
        quarantined_elsewhere=quarantined_elsewhere(home, round),
    )  # fmt: skip
    store.ledger.append(found.consent_events)
    with store.vault() as vault:
        vault.remember(found.identities)
    home.lake.write("quarantine", round, found.quarantine)
    reasons = quarantine_reasons(found.quarantine)
    return result(
        found.records,
        {"counts": found.counts, "losses": found.losses, "quarantine": reasons, "weeks": found.weeks},
        **found.counts,
        quarantine_reasons=reasons,
    )
