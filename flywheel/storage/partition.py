"""Partitions of several files: written one after the other (by other processes too), visible all at once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.records import TABLES, TableManifest, TablePart
from flywheel.storage.arrow import arrow_schema
from flywheel.storage.files import sync_folder
from flywheel.storage.objects import LocalObjects
from flywheel.storage.parquet import parquet_bytes

if TYPE_CHECKING:
    import pyarrow as pa

    from flywheel.storage.lake import Lake


def files_of(manifest: TableManifest) -> list[tuple[str, str]]:
    """Names and hashes of a partition's files, in order."""
    return [(p.file, p.sha256) for p in manifest.parts] or [(manifest.file, manifest.sha256)]


def sha256_of_parts(parts: Sequence[TablePart]) -> str:
    """The hash of a partition: its file's, or that of its files' hashes, one a line."""
    if len(parts) == 1:
        return parts[0].sha256
    return hashlib.sha256("".join(f"{p.sha256}\n" for p in parts).encode()).hexdigest()


class PartitionWriter:
    """Collects Parquet files of one partition. Nothing is visible before `commit`; files of a writer that ended without are swept by the
    next one of the same partition; those of one that is still at work are left alone."""

    def __init__(self, lake: Lake, table: str, round: str) -> None:
        self._lake, self.table, self.round = lake, table, round
        self._zone, self._parts = lake.zone(table), list[TablePart]()
        self._folder = f"{table}/round={round}"
        self._local = isinstance(self._zone, LocalObjects)
        base = Path(self._zone.address(self._folder)) if self._local else None
        self._let_go: Callable[[], object] | None = None
        if base is None:
            self._scratch = Path(tempfile.mkdtemp(prefix=".parts-"))
        else:
            self._scratch, self._let_go = self._held(base)

    def _held(self, base: Path) -> tuple[Path, Callable[[], object]]:
        """A scratch folder that no other writer sweeps while this one lives, and how to let it go. What nobody holds is swept."""
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = os.open(base, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # one at a time: a new folder is held before anybody sees it
            for left in base.glob(".parts-*"):
                with contextlib.suppress(OSError):  # held, or gone by now
                    held = os.open(left, os.O_RDONLY)
                    try:
                        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(left, ignore_errors=True)
                    finally:
                        os.close(held)
            scratch = Path(tempfile.mkdtemp(prefix=".parts-", dir=base))
            mine = os.open(scratch, os.O_RDONLY)
            fcntl.flock(mine, fcntl.LOCK_EX)
        finally:
            os.close(folder)
        return scratch, weakref.finalize(self, os.close, mine)

    def scratch(self, number: int) -> Path:
        """Where the file of this number may be written; `add` moves it from there."""
        return self._scratch / f"{number:05d}.parquet"

    def add(self, path: Path, rows: int, sha256: str) -> None:
        """The next file, in order."""
        part = TablePart(file=f"{sha256[:16]}.parquet", rows=rows, sha256=sha256)
        name = f"{self._folder}/{part.file}"
        if not self._zone.exists(name):
            if self._local:
                with open(path, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(path, self._zone.address(name))
            else:
                self._zone.put(name, path.read_bytes())
        self._parts.append(part)

    def write(self, data: pa.Table) -> None:
        """The next file, of these rows. The same rows give the same bytes as `Lake.write`. Raises `BadInput` like it."""
        payload = parquet_bytes(self._lake.conformed(self.table, self.round, data))
        path = self.scratch(len(self._parts))
        path.write_bytes(payload)
        self.add(path, data.num_rows, hashlib.sha256(payload).hexdigest())

    @property
    def parts(self) -> list[TablePart]:
        """What was added so far."""
        return list(self._parts)

    def keep(self, parts: Sequence[Mapping[str, Any]]) -> bool:
        """Files of this partition that an earlier writer added are its files again; False (and nothing is added) where one is gone."""
        found = [TablePart.model_validate(p) for p in parts]
        if not all(self._zone.exists(f"{self._folder}/{p.file}") for p in found):
            return False
        self._parts += found
        return True

    def commit(
        self, *, inputs: Mapping[str, str] | None = None, facts: Mapping[str, Any] | None = None, code_version: str = "1"
    ) -> TableManifest:
        """Make the files the partition. At least one file is needed: an empty partition is a file of no rows."""
        if self._local:
            sync_folder(Path(self._zone.address(self._folder)))
        parts, schema = self._parts, arrow_schema(TABLES[self.table])
        manifest = TableManifest(
            table=self.table, round=self.round, rows=sum(p.rows for p in parts), sha256=sha256_of_parts(parts), file=parts[0].file,
            parts=parts if len(parts) > 1 else [], columns={f.name: str(f.type) for f in schema}, inputs=dict(inputs or {}), facts=dict(facts or {}),
            code_version=code_version,
        )  # fmt: skip
        self._lake.put_manifest(manifest)
        self.close()
        return manifest

    def close(self) -> None:
        """Leave nothing behind that was not committed."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self._scratch)
        if self._let_go is not None:
            self._let_go()
