"""Records of earlier weeks that a week's conversations go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flywheel.rounds.context import pool_rounds
from flywheel.storage.home import Home

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ["record_id", "conversation_id", "subject_id", "timestamp"]


def earlier_records(
    home: Home, round: str, goes_on: Callable[[pa.Array], pa.BooleanArray], *, allowed: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.Table]:
    """Consented records of the weeks before `round` in its pool whose conversation goes on in it (`goes_on` tells of conversation ids), as
    far as their subjects allow it still (`allowed` gives those rows: who has withdrawn since must not come back as history). A few at a time.

    Of a week in which no conversation goes on only the ids are read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for key in pool_rounds(home, round)[:-1]:
        if home.lake.manifest("consented_logs", key) is None:
            continue
        ids = home.lake.batches("consented_logs", key, ["conversation_id"])
        if not any(pc.any(goes_on(batch.column("conversation_id"))).as_py() for batch in ids):
            continue
        for batch in home.lake.batches("consented_logs", key, [*IDS, "messages", "responses"]):
            rows = pa.Table.from_batches([batch]).filter(goes_on(batch.column("conversation_id")))
            if rows.num_rows:
                yield allowed(rows)
