"""Records of earlier weeks that a week's conversations go on from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flywheel.rounds.context import pool_rounds
from flywheel.storage.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ["record_id", "conversation_id", "subject_id", "timestamp"]


def earlier_records(home: Home, round: str, records: pa.Table, *, allowed: Callable[[pa.Table], pa.Table]) -> pa.Table | None:
    """Consented records of the weeks before `round` in its pool whose conversation has a record in `records`, as far as their subjects
    allow it still (`allowed` gives those rows: who has withdrawn since must not come back as history). None where there are none.

    Of a week in which no conversation goes on only the ids are read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pc.unique(records["conversation_id"])
    parts = []
    for key in pool_rounds(home, round)[:-1]:
        if home.lake.manifest("consented_logs", key) is None or not len(wanted):
            continue
        ids = home.lake.read("consented_logs", key, IDS)
        goes_on = pc.is_in(ids["conversation_id"], value_set=wanted)
        if pc.any(goes_on).as_py():
            rows = home.lake.read("consented_logs", key, [*IDS, "messages", "responses"]).filter(goes_on)
            parts.append(allowed(rows))
    return pa.concat_tables(parts) if parts else None
