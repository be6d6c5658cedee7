"""Partitions: weekly rounds named by their Monday, and how a round sees the ones before.

What belongs here: partition definitions and mappings. What does not: assets, and the meaning of a round (`flywheel.rounds`).
https://docs.dagster.io/guides/build/partitions-and-backfills
"""

from __future__ import annotations

import dagster as dg

from flywheel.settings import Settings
from resources.store import default_path

# A code location has one calendar, so this one setting is read when the location is loaded.
SETTINGS = Settings.load(home=default_path())
weekly = dg.WeeklyPartitionsDefinition(start_date=SETTINGS.start.isoformat(), day_offset=1)
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


# The round's own week and the ones before it that are in its pool.
POOL = dg.TimeWindowPartitionMapping(start_offset=1 - SETTINGS.selection.pool_rounds, end_offset=0)
