"""Checks that follow from a table's schema: its key is unique.

What belongs here: a factory and the list of keys. What does not: rules of one stage. https://docs.dagster.io/guides/test/asset-checks
"""

import dagster as dg

from assets.checks.gates import gate
from resources.store import Store

KEYS = {
    "inference_logs": "record_id", "response_pairs": "pair_id", "selection": "pair_id", "labeling_batch": "task_id", "annotations": "event_id",
    "preferences": "pair_id",
}  # fmt: skip


def unique_key_check(table: str, key: str) -> dg.AssetChecksDefinition:
    """No two rows of `table` share `key`."""

    def check(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
        column = store.home.lake.read(table, context.partition_key, [key])[key]
        distinct = len(column.unique())
        return dg.AssetCheckResult(passed=distinct == len(column), metadata={"rows": len(column), "distinct": distinct})

    check.__name__ = f"{table}_{key}_is_unique"
    checked: dg.AssetChecksDefinition = gate(table, f"No two rows share `{key}`.")(check)
    return checked


TABLE_CHECKS = [unique_key_check(table, key) for table, key in KEYS.items()]
