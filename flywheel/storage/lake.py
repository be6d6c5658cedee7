"""The lake: immutable Parquet files, one table x round, each named by its content and made current by its manifest.

A partition is `<zone>/<table>/round=<R>/<sha256[:16]>.parquet` plus `manifest.json`, replaced last: readers never block writers,
and a crash leaves the old partition. The content hash is the SHA-256 of the Parquet file itself, so anyone can check it with
`sha256sum`. A large partition is several such files, its hash that of theirs. Superseded files stay: a reader that holds the old manifest still finds its file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from flywheel.errors import BadInput, IntegrityError, NotFound
from flywheel.records import RESTRICTED_TABLES, TABLES, TableManifest
from flywheel.storage.arrow import arrow_schema, empty_table
from flywheel.storage.files import sha256_file, sync_folder
from flywheel.storage.objects import LocalObjects, Objects, open_objects
from flywheel.storage.parquet import parquet_batches, parquet_bytes, read_parquet
from flywheel.storage.partition import PartitionWriter, files_of

if TYPE_CHECKING:
    import duckdb


class Lake:
    """Tables of the open zone below `root` (path or fsspec URL) and restricted ones below `restricted` (always local, mode 0700)."""

    def __init__(self, root: str | Path, restricted: Path) -> None:
        self._open: Objects = open_objects(root)
        self._restricted: Objects = LocalObjects(restricted, mode=0o700)

    def zone(self, table: str) -> Objects:
        """The store that holds `table`."""
        return self._restricted if table in RESTRICTED_TABLES else self._open

    def write(
        self, table: str, round: str, data: pa.Table, *, inputs: Mapping[str, str] | None = None, facts: Mapping[str, Any] | None = None,
        code_version: str = "1",
    ) -> TableManifest:  # fmt: skip
        """Put a partition in place. `data` must have exactly the table's columns (`flywheel.records.TABLES`); `facts` is JSON that
        belongs to the partition (parameters, counts). Returns the manifest. Raises `BadInput` on a column that does not fit."""
        conformed = self.conformed(table, round, data)
        payload = parquet_bytes(conformed)
        sha256 = hashlib.sha256(payload).hexdigest()
        manifest = TableManifest(
            table=table, round=round, rows=conformed.num_rows, sha256=sha256, file=f"{sha256[:16]}.parquet",
            columns={f.name: str(f.type) for f in conformed.schema}, inputs=dict(inputs or {}), facts=dict(facts or {}), code_version=code_version,
        )  # fmt: skip
        zone = self.zone(table)
        if not zone.exists(f"{table}/round={round}/{manifest.file}"):
            zone.put(f"{table}/round={round}/{manifest.file}", payload)
        self.put_manifest(manifest)
        return manifest

    def writer(self, table: str, round: str) -> PartitionWriter:
        """A partition of several files, written in order and made visible by its `commit`."""
        return PartitionWriter(self, table, round)

    def put_manifest(self, manifest: TableManifest) -> None:
        """Make a partition whose files are in place the current one."""
        folder, zone = f"{manifest.table}/round={manifest.round}", self.zone(manifest.table)
        body = (json.dumps(manifest.model_dump(mode="json"), sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode()
        if zone.get(f"{folder}/manifest.json") != body:
            zone.put(f"{folder}/manifest.json", body)

    def conformed(self, table: str, round: str, data: pa.Table) -> pa.Table:
        """`data` in the table's columns and types. Raises `BadInput` on what does not fit."""
        if table not in TABLES:
            raise BadInput(f"{table} is not a table of the lake; add it to flywheel.records.TABLES")
        schema = arrow_schema(TABLES[table])
        if set(data.column_names) != set(schema.names):
            missing, extra = set(schema.names) - set(data.column_names), set(data.column_names) - set(schema.names)
            raise BadInput(f"{table}[{round}]: missing columns {sorted(missing)}, unexpected columns {sorted(extra)}")
        data = data.select(schema.names)
        if table == "embeddings":  # the model says list[float]; the width is known only here
            widths = {len(v) for v in data["vector"].to_pylist()} or {1}
            if len(widths) != 1:
                raise BadInput(f"embeddings[{round}]: vectors of different widths {sorted(widths)}")
            at = schema.get_field_index("vector")
            schema = schema.set(at, pa.field("vector", pa.list_(pa.float32(), widths.pop()), nullable=False))
        try:
            data = data.cast(schema)
            data.validate()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError) as error:
            raise BadInput(f"{table}[{round}]: {error}") from None
        wrong = {r for r in data["round"].unique().to_pylist() if r != round} if data.num_rows else set()
        if wrong:
            raise BadInput(f"{table}[{round}]: rows of other rounds: {sorted(map(str, wrong))[:3]}")
        return data.replace_schema_metadata(None)

    def manifest(self, table: str, round: str) -> TableManifest | None:
        """The partition's manifest, or None where it was never written."""
        body = self.zone(table).get(f"{table}/round={round}/manifest.json")
        return None if body is None else TableManifest.model_validate_json(body)

    def demand(self, table: str, round: str) -> TableManifest:
        """The partition's manifest; `NotFound` with the way out where there is none."""
        found = self.manifest(table, round)
        if found is None:
            raise NotFound(f"{table} has no round {round}. `flywheel round status {round}` tells which job writes it.")
        return found

    def read(self, table: str, round: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The partition's rows. Raises `NotFound`, or `IntegrityError` when the file is not the one that the manifest names."""
        parts = [read_parquet(payload, columns) for payload in self._payloads(self.demand(table, round))]
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts)

    def batches(self, table: str, round: str, columns: Sequence[str] | None = None, rows: int = 8_192) -> Iterator[pa.RecordBatch]:
        """The partition's rows a few at a time, in order: a row group is in memory, of an object store's files one. Raises like `read`."""
        manifest = self.demand(table, round)
        zone = self.zone(table)
        if not isinstance(zone, LocalObjects):
            for payload in self._payloads(manifest):
                yield from read_parquet(payload, columns).to_batches(max_chunksize=rows)
            return
        for file, sha256 in files_of(manifest):
            path = Path(zone.address(f"{table}/round={round}/{file}"))
            if not path.exists() or sha256_file(path) != sha256:
                raise _altered(manifest, file)
            yield from parquet_batches(path, columns, rows)

    def _payloads(self, manifest: TableManifest) -> Iterator[bytes]:
        zone, folder = self.zone(manifest.table), f"{manifest.table}/round={manifest.round}"
        for file, sha256 in files_of(manifest):
            payload = zone.get(f"{folder}/{file}")
            if payload is None or hashlib.sha256(payload).hexdigest() != sha256:
                raise _altered(manifest, file)
            yield payload

    def read_rounds(self, table: str, rounds: Sequence[str]) -> pa.Table:
        """The partitions of `rounds` that exist, one after the other; an empty table of the right columns where none does."""
        parts = [self.read(table, r) for r in rounds if self.manifest(table, r) is not None]
        parts = [p for p in parts if p.num_rows]
        return pa.concat_tables(parts) if parts else empty_table(TABLES[table])

    def rounds(self, table: str) -> list[str]:
        """Rounds of `table`, ascending."""
        return sorted(
            name.removeprefix("round=")
            for name in self.zone(table).folders(table)
            if name.startswith("round=") and self.manifest(table, name[6:])
        )

    def manifests(self, tables: Sequence[str] | None = None) -> Iterator[TableManifest]:
        """Every manifest, by table and round."""
        for table in tables or TABLES:
            for round in self.rounds(table):
                found = self.manifest(table, round)
                if found is not None:
                    yield found

    def export(self, target: Path) -> dict[str, int]:
        """Every open table as one DuckDB file at `target`, replaced by rename and made read-only. Returns rows by table."""
        import duckdb

        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        with duckdb.connect(":memory:") as connection:
            tables = self.create_views(connection)
            quoted = str(temporary).replace("'", "''")
            connection.execute(f"attach '{quoted}' as audit")
            for table in tables:
                connection.execute(f'create table audit."{table}" as select * from "{table}"')  # noqa: S608
            counts = {t: int(connection.execute(f'select count(*) from audit."{t}"').fetchall()[0][0]) for t in tables}  # noqa: S608
            connection.execute("detach audit")
        temporary.chmod(0o444)
        os.replace(temporary, target)
        sync_folder(target.parent)
        return counts

    def create_views(self, connection: duckdb.DuckDBPyConnection, *, restricted: bool = False) -> list[str]:
        """One DuckDB view a table, over exactly the files that the manifests name now. A table without rows of any round gets an
        empty view of the right columns. Restricted tables only where asked (the caller audits that). Returns the view names."""
        made = []
        for table in TABLES:
            if table in RESTRICTED_TABLES and not restricted:
                continue
            zone = self.zone(table)
            files = [zone.address(f"{table}/round={m.round}/{file}") for m in self.manifests([table]) for file, _ in files_of(m)]
            if files:
                listed = ", ".join("'" + f.replace("'", "''") + "'" for f in files)
                zone.register(connection)
                source = f"read_parquet([{listed}], union_by_name=true, hive_partitioning=false)"
            else:
                # a registered Arrow table would show among the views: its columns go into a schema of their own
                connection.register("no_rows", empty_table(TABLES[table]))
                connection.execute("create schema if not exists empty")
                connection.execute(f'create or replace table empty."{table}" as select * from no_rows')  # noqa: S608
                connection.unregister("no_rows")
                source = f'empty."{table}"'
            # names come from TABLES and file names from our own manifests, never from a user
            connection.execute(f'create or replace view "{table}" as select * replace (cast(round as date) as round) from {source}')  # noqa: S608
            made.append(table)
        return made


def _altered(manifest: TableManifest, file: str) -> IntegrityError:
    return IntegrityError(f"{manifest.table}[{manifest.round}]: {file} is missing or altered; `flywheel audit verify` shows the extent")
