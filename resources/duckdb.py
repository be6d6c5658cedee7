"""dagster-duckdb over the lake: an in-memory database with one view for each open table. Never a shared database file.

What belongs here: the connection. What does not: queries of a stage. https://docs.dagster.io/integrations/libraries/duckdb
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from dagster_duckdb import DuckDBResource

from flywheel.settings import Settings
from flywheel.storage import Home


class LakeDuckDB(DuckDBResource):
    """`with lake_duckdb.views() as connection: ...`; restricted tables are not among the views."""

    path: str
    database: str = ":memory:"

    @contextmanager
    def views(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self.get_connection() as connection:
            Home(Settings.load(home=self.path)).lake.create_views(connection)
            yield connection

    def rows_by_table(self, round: str) -> dict[str, int]:
        """Rows of every open table in one round, by the views that an auditor reads."""
        with self.views() as connection:
            names = [r[0] for r in connection.execute("select view_name from duckdb_views() where not internal order by 1").fetchall()]
            query = 'select count(*) from "{}" where round = cast(? as date)'
            return {n: int(connection.execute(query.format(n), [round]).fetchall()[0][0]) for n in names}
