"""What a round cost and what it brought.

What belongs here: assets of the group `reporting`. What does not: figures and pages (`flywheel.reporting`). The report reads stored
manifests and verdicts, so that it can also tell of a round whose gate failed; its one lineage edge is to `inference_logs`.
"""

import dagster as dg

from assets.partitions import weekly
from assets.stage import Table, result, stage
from flywheel.reporting import funnel, render_report, round_costs
from resources.duckdb import LakeDuckDB
from resources.store import Store


@stage("reporting", deps=["inference_logs"])
def cost_events(context: dg.AssetExecutionContext, store: Store) -> Table:
    """What the round has cost so far: labels by tier, generated and embedded texts, at the configured prices."""
    table = round_costs(store.home, context.partition_key)
    return result(table, total_usd=float(sum(table["amount_usd"].to_pylist())))


@dg.asset(
    partitions_def=weekly, group_name="reporting", code_version="1", owners=["team:post-training"], kinds={"html"}, deps=["inference_logs", cost_events]
)  # fmt: skip
def round_report(context: dg.AssetExecutionContext, store: Store, lake_duckdb: LakeDuckDB) -> dg.MaterializeResult[None]:
    """One self-contained HTML page: funnel, agreement, raters, dataset, models, money. Also for a round that failed or is open."""
    path = render_report(store.home, context.partition_key, now=store.now())
    steps = {f"funnel_{s.name.replace(' ', '_')}": s.count for s in funnel(store.home, context.partition_key) if s.count is not None}
    rows = lake_duckdb.rows_by_table(context.partition_key)
    tables = dg.MetadataValue.table([dg.TableRecord({"table": t, "rows": n}) for t, n in rows.items()])
    page = {"page": dg.MetadataValue.path(str(path)), "uri": dg.MetadataValue.url(path.resolve().as_uri())}
    return dg.MaterializeResult(metadata={**page, "tables": tables, **steps})
