"""Partitions: weekly rounds named by their Monday, and how a round sees the ones before.

What belongs here: partition definitions and mappings. What does not: assets, and the meaning of a round (`flywheel.rounds`).
https://docs.dagster.io/guides/build/partitions-and-backfills
"""

from __future__ import annotations

import dagster as dg

from flywheel.settings import Settings

START = Settings.model_fields["start"].default.isoformat()
weekly = dg.WeeklyPartitionsDefinition(start_date=START, day_offset=1)
PREVIOUS = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def pool_mapping(pool_rounds: int) -> dg.TimeWindowPartitionMapping:
    """The round's own week and the ones before it that are in its pool."""
    return dg.TimeWindowPartitionMapping(start_offset=1 - pool_rounds, end_offset=0)
