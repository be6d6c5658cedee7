"""Consent and redaction: the two doors between production logs and everybody else.

What belongs here: assets of the group `governance`. What does not: how a name is found (`flywheel.governance`).
"""

import dagster as dg
import pyarrow as pa

from assets.external import consent_ledger
from assets.partitions import POOL
from assets.stage import Table, result, stage
from flywheel.governance import redact_logs
from flywheel.ingestion.conversations import assemble_conversations
from flywheel.rounds import earlier_records
from resources.store import Store

# a conversation may have begun in an earlier week of the pool
POOLED_CONSENTED = dg.AssetDep("consented_logs", partition_mapping=POOL)


@stage("governance", deps=[consent_ledger])
def consented_logs(context: dg.AssetExecutionContext, store: Store, inference_logs: pa.Table) -> Table:
    """Records whose subject allows labeling at this moment. Absence of consent is refusal; each loss has a reason."""
    table, reasons, consent = store.consent.consented(inference_logs, context.partition_key)
    facts = {"reasons": reasons, "ledger": store.ledger.head(), "consent": consent}
    return result(table, facts, refused=reasons, records=table.num_rows)


@stage("governance", deps=[POOLED_CONSENTED], reads=["consented_logs"])
def redacted_logs(context: dg.AssetExecutionContext, store: Store) -> Table:
    """Aliased text: the first table that may lie in the lake. Personal values go to the vault, aliases such as [PERSON_1] stay. Turns that
    a log left out are put back first, from records that are allowed still: one redaction sees the whole conversation."""
    home, round = store.home, context.partition_key
    store.verdicts.demand_pass("consent", round, home.lake.demand("consented_logs", round).sha256)
    ask = store.consent.ask("labeling")
    allowed = ask(home.lake.read("consented_logs", round))
    earlier = earlier_records(home, round, allowed, allowed=store.consent.ask("labeling"))
    whole, talks = assemble_conversations(allowed, earlier, home.settings.ingestion)
    with store.vault() as vault:
        table, stats = redact_logs(whole, vault=vault, settings=home.settings.governance, round=round)
    facts = {"stats": stats, "withdrawn_since": ask.refused, "consent": ask.facts, "conversations": talks}
    return result(table, facts, spans=stats, withdrawn_since=ask.refused, conversations=talks)
