"""How an asset of this graph is declared, and the one way in which it returns its table.

What belongs here: defaults that every asset shares (partitions, owners, kinds, column schema). What does not: any single asset.
https://docs.dagster.io/guides/build/assets
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.partitions import weekly
from flywheel.records import RESTRICTED_TABLES, TABLES, TableManifest
from flywheel.storage import arrow_schema
from resources.parquet import FACTS

OWNERS = {
    "ingestion": "team:post-training", "governance": "team:governance", "selection": "team:post-training", "labeling": "team:annotation",
    "quality": "team:annotation", "dataset": "team:governance", "training": "team:post-training", "reporting": "team:post-training",
}  # fmt: skip
Table = dg.MaterializeResult[pa.Table]


def column_schema(table: str) -> dg.TableSchema:
    """The table's columns for the UI; a column's `privacy` tag says what the gateway does with it."""
    columns = []
    for field in arrow_schema(TABLES[table]):
        privacy = (field.metadata or {}).get(b"privacy", b"").decode()
        columns.append(
            dg.TableColumn(
                field.name,
                str(field.type),
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
                tags={"privacy": privacy} if privacy else {},
            )
        )
    return dg.TableSchema(columns=columns)


def stage(
    group: str, *, code_version: str = "1", kinds: set[str] | None = None, reads: Sequence[str] = (), **kwargs: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """`@dg.asset` with what every asset here has. The function's docstring becomes the description; its `pa.Table` parameters are
    recorded as inputs in the lake's manifest, and so are the tables that it `reads` itself (several partitions: see `deps`)."""

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        name = function.__name__
        tables = [p for p, v in inspect.signature(function, eval_str=True).parameters.items() if v.annotation is pa.Table]
        tables += reads
        metadata: dict[str, Any] = {"flywheel/inputs": tables, "flywheel/code_version": code_version}
        if name in TABLES:
            metadata["dagster/column_schema"] = column_schema(name)
        zone = {"restricted"} if name in RESTRICTED_TABLES else set()
        return dg.asset(
            partitions_def=weekly, group_name=group, code_version=code_version, owners=[OWNERS[group]], metadata=metadata,
            kinds=kinds or {"parquet", *zone}, description=inspect.cleandoc(function.__doc__ or ""), **kwargs,
        )(function)  # fmt: skip

    return decorate


def result(table: pa.Table, facts: Mapping[str, Any] | None = None, **metadata: Any) -> Table:
    """`facts` goes into the lake's manifest (data), `metadata` to the UI (numbers become plots there)."""
    table = table.replace_schema_metadata({FACTS: json.dumps(facts or {}, sort_keys=True)})
    return dg.MaterializeResult(value=table, metadata=metadata)


def written(manifest: TableManifest, **metadata: Any) -> dg.MaterializeResult[None]:
    """For an asset that wrote its partition itself: what the IO manager would have said, and the content as data version, so that other
    rows under the same code mark what depends on them stale."""
    said = {"dagster/row_count": manifest.rows, "content_sha256": manifest.sha256, "file": manifest.file, **metadata}
    return dg.MaterializeResult(metadata=said, data_version=dg.DataVersion(manifest.sha256))
