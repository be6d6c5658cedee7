"""Consent and redaction: the two doors between production logs and everybody else.

What belongs here: assets of the group `governance`. What does not: how a name is found (`flywheel.governance`).
"""

from functools import partial

import dagster as dg

from assets.external import consent_ledger
from assets.partitions import POOL
from assets.stage import stage, written
from flywheel.governance import RoundRedaction
from flywheel.ingestion.conversations import assemble_conversations
from flywheel.rounds import earlier_records
from resources.store import Store

# a conversation may have begun in an earlier week of the pool
POOLED_CONSENTED = dg.AssetDep("consented_logs", partition_mapping=POOL)


@stage("governance", deps=["inference_logs", consent_ledger])
def consented_logs(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Records whose subject allows labeling at this moment. Absence of consent is refusal; each loss has a reason."""
    home, round = store.home, context.partition_key
    source = home.lake.demand("inference_logs", round)
    partition = home.lake.writer("consented_logs", round)
    reasons, consent = store.consent.consented(home.lake.batches("inference_logs", round), round, partition)
    facts = {"reasons": reasons, "ledger": store.ledger.head(), "consent": consent}
    manifest = partition.commit(inputs={"inference_logs": source.sha256}, facts=facts)
    return written(manifest, refused=reasons, records=manifest.rows)


@stage("governance", deps=[POOLED_CONSENTED])
def redacted_logs(context: dg.AssetExecutionContext, store: Store) -> dg.MaterializeResult[None]:
    """Aliased text: the first table that may lie in the lake. Personal values go to the vault, aliases such as [PERSON_1] stay. Turns that
    a log left out are put back first, from records that are allowed still: one redaction sees the whole conversation. Killed, it goes on
    where it was."""
    home, round = store.home, context.partition_key
    source = home.lake.demand("consented_logs", round)
    store.verdicts.demand_pass("consent", round, source.sha256)
    ask = store.consent.ask("labeling")
    earlier = partial(earlier_records, home, round, allowed=store.consent.ask("labeling"))
    assemble = partial(assemble_conversations, settings=home.settings.ingestion)
    settings, folder, say = home.settings.governance, home.restricted / "redaction", context.log.info
    with store.vault() as vault, RoundRedaction(folder, round, vault=vault, settings=settings, assemble=assemble, tell=say) as work:
        partition = home.lake.writer("redacted_logs", round)
        found = work.run(ask.batches(home.lake.batches("consented_logs", round)), earlier, rows=source.rows, partition=partition)
        facts = {**found, "withdrawn_since": ask.refused, "consent": ask.facts}
        manifest = partition.commit(inputs={"consented_logs": source.sha256}, facts=facts)
        work.sweep()
    return written(manifest, spans=found["stats"], withdrawn_since=ask.refused, conversations=found["conversations"])
