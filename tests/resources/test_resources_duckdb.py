"""dagster-duckdb over the lake: what an asset counts through the views is what lies in the partitions."""

from __future__ import annotations

from flywheel.records import TABLES
from flywheel.storage import Home
from resources.duckdb import LakeDuckDB
from tests.small_rounds import R1, R2


def test_rows_of_a_round_by_table_are_those_of_its_manifests(small_home: Home) -> None:
    for round in (R1, R2):
        counted = LakeDuckDB(path=str(small_home.root)).rows_by_table(round)
        stored = {t: m.rows for t in counted if (m := small_home.lake.manifest(t, round)) is not None}
        assert {t: n for t, n in counted.items() if n} == {t: n for t, n in stored.items() if n}
    assert "annotations" in counted
    assert "inference_logs" not in counted, "restricted"
    assert set(counted) < set(TABLES)
