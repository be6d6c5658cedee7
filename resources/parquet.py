"""The IO manager: one immutable Parquet partition and one manifest for each asset x round.

What belongs here: moving a table between an asset and the lake, and telling Dagster its row count and hash. What does not: changing
the table. (A nested resource would warn inside Dagster 1.13 itself, so this takes a path.)
https://docs.dagster.io/guides/build/io-managers
"""

from __future__ import annotations

import json
from typing import Any

import dagster as dg
import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.settings import Settings
from flywheel.storage import Home

FACTS = b"flywheel.facts"


class ParquetIOManager(dg.ConfigurableIOManager):
    """Tables in the lake below `path`. An asset hands its facts over in the table's schema metadata (see `assets.stage.result`)."""

    path: str

    def _home(self) -> Home:
        return Home(Settings.load(home=self.path))

    def handle_output(self, context: dg.OutputContext, obj: pa.Table) -> None:
        if len(context.asset_partition_keys) != 1:
            raise BadInput(f"{context.asset_key.to_user_string()}: one round a run; use `flywheel backfill FROM TO` for several")
        name, round = context.asset_key.path[-1], context.asset_partition_keys[0]
        lake = self._home().lake
        inputs: dict[str, str] = {}
        for upstream in (context.definition_metadata or {}).get("flywheel/inputs", []):
            found = lake.manifest(upstream, round)
            if found is not None:
                inputs[upstream] = found.sha256
        facts: dict[str, Any] = json.loads((obj.schema.metadata or {}).get(FACTS, b"{}"))
        code_version = str((context.definition_metadata or {}).get("flywheel/code_version", "1"))
        manifest = lake.write(name, round, obj.replace_schema_metadata(None), inputs=inputs, facts=facts, code_version=code_version)
        context.add_output_metadata({"dagster/row_count": manifest.rows, "content_sha256": manifest.sha256, "file": manifest.file})

    def load_input(self, context: dg.InputContext) -> pa.Table:
        name = context.asset_key.path[-1]
        return self._home().lake.read(name, context.asset_partition_key)
