"""`flywheel sql` and `flywheel schema`."""

from __future__ import annotations

import getpass
import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from flywheel.errors import AccessRefused, BadInput
from flywheel.output import frame, print_frame, print_table, say
from flywheel.records import RESTRICTED_TABLES, json_schema
from flywheel.settings import Settings
from flywheel.storage.home import Home
from flywheel.storage.ids import sha256_text

if TYPE_CHECKING:
    import duckdb


def sql(
    query: str = typer.Argument("", help="One statement. Left out: a shell that reads statements ending in ;"),
    restricted: str = typer.Option(
        "",
        "--restricted",
        metavar="REASON",
        help="Also show restricted tables (raw logs, quarantine). Needs a reason; each query is audited.",
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
) -> None:
    """Query the lake with DuckDB: one view a table (`inference_logs`, ... need --restricted). Reads never wait for a running round.

    Example: flywheel sql "select round, arm, count(*) from selection group by all order by all"
    """
    if restricted and not restricted.strip():
        raise AccessRefused("a blank is no reason: --restricted REASON (the query is audited)")
    home = Home(Settings.load())
    connection = open_connection(home, restricted=restricted)
    if query:
        columns, rows = run_query(home, connection, query, restricted)
        if as_json:
            print_frame(
                frame("sql", input={"query": query}, counts={"rows": len(rows)}, result=[dict(zip(columns, r, strict=True)) for r in rows])
            )
        else:
            print_table("", columns, rows, empty="No rows.")
        return
    _shell(home, connection, restricted)


def open_connection(home: Home, *, restricted: str = "") -> duckdb.DuckDBPyConnection:
    """An in-memory database with a view a table. It can read nothing but the lake's own files: without `restricted` (the reason) not
    even by naming a file of the restricted zone."""
    import duckdb

    connection = duckdb.connect(":memory:")
    home.lake.create_views(connection, restricted=bool(restricted))
    tables = [t for t in (m.table for m in home.lake.manifests()) if restricted or t not in RESTRICTED_TABLES]
    folders = sorted({home.lake.zone(t).address(t) for t in tables})
    connection.execute("set allowed_directories = ?", [folders])
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def run_query(
    home: Home, connection: duckdb.DuckDBPyConnection, query: str, restricted: str = ""
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Column names and rows. With a reason, the read is on record before it runs: the hash of the query in the
    provenance log, its text in `restricted/reads.jsonl`. Raises `BadInput` on what DuckDB
    refuses, `AccessRefused` on a restricted table without a reason."""
    import duckdb

    if restricted:
        from flywheel.governance import ProvenanceLog, provenance_log

        # the query may name a person, and the provenance log lies open: its text goes into a log of the restricted zone
        now, payload = datetime.now(UTC), {"query_sha256": sha256_text(query), "reason": restricted, "user": _user()}
        ProvenanceLog(home.restricted / "reads.jsonl").append("restricted_read", {**payload, "query": query}, now)
        provenance_log(home).append("restricted_read", payload, now)
    try:
        _refuse_writes(connection, query)
        result = connection.execute(query)
        columns = [d[0] for d in result.description or []]
        return columns, result.fetchall()
    except duckdb.Error as error:
        named = [t for t in RESTRICTED_TABLES if t in query]
        if named and not restricted:
            raise AccessRefused(
                f"{', '.join(sorted(named))}: restricted; say why with --restricted REASON (the query is audited)"
            ) from None
        raise BadInput(f"DuckDB: {str(error).splitlines()[0]}") from None


def _refuse_writes(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """The lake's folders may be read, so DuckDB would also write there (`copy ... to`, `attach`): only queries pass."""
    from duckdb import StatementType

    for statement in connection.extract_statements(query):
        explained = statement.type == StatementType.EXPLAIN and "analyze" not in statement.query.lower()
        if statement.type != StatementType.SELECT and not explained:
            raise BadInput(
                f"{statement.type.name.lower()}: only queries (select, describe, show, explain) can be run here; nothing is written"
            )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id may have no name
        return f"uid {os.getuid()}"


def _shell(home: Home, connection: duckdb.DuckDBPyConnection, restricted: str) -> None:
    say("DuckDB over the lake. Statements end with ; — .tables lists the views, .quit leaves.")
    buffer = ""
    while True:
        try:
            line = input("... " if buffer else "flywheel> ") if sys.stdin.isatty() else _next_line()
        except EOFError:
            return
        if line.strip() in (".quit", ".exit"):
            return
        if line.strip() == ".tables":
            line = 'select view_name as "table" from duckdb_views() where not internal order by 1;'
        buffer += line + "\n"
        if not buffer.rstrip().endswith(";"):
            continue
        try:
            columns, rows = run_query(home, connection, buffer, restricted)
            print_table("", columns, rows, empty="No rows.")
        except (BadInput, AccessRefused) as error:
            say(str(error))
        buffer = ""


def _next_line() -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\n")


def schema() -> None:
    """Print the JSON Schema of every record (docs/schema.json is this)."""
    sys.stdout.write(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n")
