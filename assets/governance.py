"""Consent and redaction: the two doors between production logs and everybody else.

What belongs here: assets of the group `governance`. What does not: how a name is found (`flywheel.governance`).
"""

import dagster as dg
import pyarrow as pa

from assets.external import consent_ledger
from assets.stage import Table, result, stage
from flywheel.governance import allowed_rows, filter_consented, redact_logs
from resources.store import Store


@stage("governance", deps=[consent_ledger])
def consented_logs(context: dg.AssetExecutionContext, store: Store, inference_logs: pa.Table) -> Table:
    """Records whose subject allows labeling at this moment. Absence of consent is refusal; each loss has a reason."""
    table, reasons = filter_consented(inference_logs, store.ledger, now=store.now(), round=context.partition_key)
    return result(table, {"reasons": reasons, "ledger": store.ledger.head()}, refused=reasons, records=table.num_rows)


@stage("governance")
def redacted_logs(context: dg.AssetExecutionContext, store: Store, consented_logs: pa.Table) -> Table:
    """Aliased text: the first table that may lie in the lake. Personal values go to the vault, aliases such as [PERSON_1] stay."""
    home, round = store.home, context.partition_key
    store.verdicts.demand_pass("consent", round, home.lake.demand("consented_logs", round).sha256)
    allowed = allowed_rows(consented_logs, store.ledger, "labeling", store.now())
    with store.vault() as vault:
        table, stats = redact_logs(allowed, vault=vault, settings=home.settings.governance, round=round)
    withdrawn = consented_logs.num_rows - allowed.num_rows
    return result(table, {"stats": stats, "withdrawn_since": withdrawn}, spans=stats, withdrawn_since=withdrawn)
