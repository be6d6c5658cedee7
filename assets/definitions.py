"""The code location. Wiring only: `build_defs` lets tests and the command line swap resources and loggers.

What belongs here: one `Definitions`. What does not: any definition. https://docs.dagster.io/guides/build/projects-and-components
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import dataset, governance, ingestion, labeling, quality, reporting, selection, training
from assets.checks.gates import GATES
from assets.checks.tables import TABLE_CHECKS
from assets.external import EXTERNAL
from assets.jobs import JOBS
from assets.schedules import monday_morning
from assets.sensors import SENSORS
from resources.duckdb import LakeDuckDB
from resources.parquet import ParquetIOManager
from resources.store import Store, default_path

STAGES = [ingestion, governance, selection, labeling, quality, dataset, training, reporting]


def build_defs(
    *,
    path: str | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
) -> dg.Definitions:
    """Everything wired to the run state below `path` (default: `FLYWHEEL_HOME`, else `data`)."""
    root = path or default_path()
    resources = {"store": Store(path=root), "io_manager": ParquetIOManager(path=root), "lake_duckdb": LakeDuckDB(path=root)}
    return dg.Definitions(
        assets=[*dg.load_assets_from_modules(STAGES), *EXTERNAL],
        asset_checks=[*GATES, *TABLE_CHECKS],
        jobs=JOBS,
        schedules=[monday_morning],
        sensors=SENSORS,
        resources={**resources, **(resource_overrides or {})},
        executor=dg.in_process_executor,
        loggers=dict(loggers) if loggers else None,
    )


defs = build_defs()
