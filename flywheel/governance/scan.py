"""Does any value that the vault knows stand anywhere outside the restricted zone? Every file of the run state, byte for byte, and once more
decoded: Parquet rows, SQLite rows, gzip, Zstandard, zip members, JSON escapes, base64, percent-encoding, hex.

Independent of the detectors, and of what wrote the file. Memory stays flat: files pass through windows, tables through batches. Values that
are sought in their holders' rows only (`residual`) are sought in tables that name their rows' holders. A file that cannot be read counts as
a problem, not as clean.
"""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from flywheel.governance.disguise import strings_of
from flywheel.governance.residual import Leak, Needles, needles_of, strings_in, table_leaks
from flywheel.governance.vault import Vault
from flywheel.storage import Home

WINDOW = 1 << 20
MINIMUM_OVERLAP = 4_096
BATCH_ROWS = 2_000
NESTED = 3  # archives within archives
SQLITE, GZIP, ZSTD, ZIP, PARQUET = b"SQLite format 3\0", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PAR1"


@dataclass(frozen=True, order=True)
class Place:
    """Where a value stands and in which form, without the value."""

    file: str
    where: str
    type: str
    token: str
    form: str


@dataclass
class ScanReport:
    """What was read and what was found. `leaks`: place to how often. `guesses`: the same for what no profile and no structured pattern ever
    said, only a rule of dialogue in some later text; it is shown, and fails nothing (the gate on each round's table is stricter)."""

    leaks: Counter[Place] = field(default_factory=Counter)
    guesses: Counter[Place] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    sought_everywhere: int = 0
    sought_in_holders_rows: int = 0
    excluded: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not self.leaks and not self.problems


def scan_home(home: Home, vault: Vault, *, progress: Callable[[str], None] | None = None) -> ScanReport:
    """Scan everything below `home` but the restricted zone, and the lake where it lies elsewhere."""
    return scan_home_for(home, needles_of(vault), progress=progress)


def scan_home_for(home: Home, needles: Needles, *, progress: Callable[[str], None] | None = None) -> ScanReport:
    """The same for values from elsewhere (canaries)."""
    report = _begin(needles)
    began = time.perf_counter()
    for path in files_of(home.root, without=home.root / "restricted"):
        if progress:
            progress(str(path.relative_to(home.root)))
        scan_file(path, str(path.relative_to(home.root)), needles, report)
    if home.settings.lake:
        _remote_tables(home, needles, report)
    report.seconds = time.perf_counter() - began
    return report


def scan_paths(paths: Iterable[Path], vault: Vault) -> ScanReport:
    """Scan files and folders from anywhere: an export on its way out."""
    needles = needles_of(vault)
    report = _begin(needles)
    began = time.perf_counter()
    for path in paths:
        for file in files_of(path) if path.is_dir() else [path]:
            scan_file(file, str(file), needles, report)
    report.seconds = time.perf_counter() - began
    return report


def _begin(needles: Needles) -> ScanReport:
    return ScanReport(
        sought_everywhere=needles.everywhere,
        sought_in_holders_rows=needles.in_holders_rows,
        excluded=dict(sorted(needles.excluded.items())),
    )


def files_of(folder: Path, without: Path | None = None) -> Iterator[Path]:
    """Every file below, hidden ones too, in order; links are not followed."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if without is None or Path(root) / f != without)
        for name in sorted(files):
            yield Path(root) / name


def scan_file(path: Path, name: str, needles: Needles, report: ScanReport) -> None:
    """One file: its name, its bytes, and what it decodes to."""
    if path.is_symlink() and not path.exists():
        return
    _look(name, f"{name}", "file name", needles, report, numbers=False)
    try:
        if not path.is_file():  # a socket, a pipe: holds nothing
            return
        report.files += 1
        report.bytes += path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(16)
            file.seek(0)
            _stream(file, head, name, needles, report, depth=0)
        if head.startswith(SQLITE):
            _sqlite(path, name, needles, report)
        elif head.startswith(PARQUET):
            _parquet(path, name, needles, report)
    except FileNotFoundError:  # gone meanwhile: a temporary file
        return
    except OSError as error:
        report.problems.append(f"{name}: cannot be read: {error.strerror or error}")


def _stream(file: IO[bytes], head: bytes, name: str, needles: Needles, report: ScanReport, *, depth: int) -> None:
    """The bytes as they are; then, for an archive, what is inside."""
    _bytes(file, name, needles, report)
    if depth >= NESTED:
        return
    try:
        if head.startswith(GZIP):
            file.seek(0)
            _unpacked(cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb")), f"{name}!gz", needles, report, depth)
        elif head.startswith(ZSTD):
            import zstandard

            file.seek(0)
            with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as unpacked:
                _unpacked(cast(IO[bytes], unpacked), f"{name}!zst", needles, report, depth)
        elif head.startswith(ZIP):
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    _look(member.filename, name, f"member {member.header_offset}", needles, report, numbers=False)
                    with archive.open(member) as unpacked:
                        _unpacked(unpacked, f"{name}!{member.header_offset}", needles, report, depth)
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile, RuntimeError, NotImplementedError) as error:
        report.problems.append(f"{name}: looks like an archive and cannot be unpacked: {type(error).__name__}")
    except Exception as error:
        if type(error).__name__ != "ZstdError":
            raise
        report.problems.append(f"{name}: looks like an archive and cannot be unpacked: ZstdError")


def _unpacked(file: IO[bytes], name: str, needles: Needles, report: ScanReport, depth: int) -> None:
    """What an archive holds; an archive in it only as far as it can be read twice (zip members, gzip)."""
    head = file.read(16)
    try:
        file.seek(0)
    except (OSError, AttributeError, ValueError):  # a stream that goes forward only
        _bytes(file, name, needles, report, before=head)
        return
    _stream(file, head, name, needles, report, depth=depth + 1)


def _bytes(file: IO[bytes], name: str, needles: Needles, report: ScanReport, before: bytes = b"") -> None:
    overlap = max(MINIMUM_OVERLAP, 6 * needles.longest)
    carried, at = before, 0
    while block := file.read(WINDOW):
        data = carried + block
        try:
            cut = len(data)  # not within a character
            while cut > len(data) - 4 and cut > 0 and data[cut - 1] & 0xC0 == 0x80:
                cut -= 1
            cut = cut - 1 if cut and data[cut - 1] >= 0xC0 else cut
            text = data[: max(cut, 1)].decode("utf-8", "ignore" if at else "strict")
            binary = "\0" in text
        except UnicodeDecodeError:
            binary = True
        _look(strings_of(data) if binary else text, name, f"byte {at}", needles, report, numbers=not binary)
        at += len(block)
        carried = data[-overlap:]


def _look(text: str, name: str, where: str, needles: Needles, report: ScanReport, *, numbers: bool = True) -> None:
    """Every value in a text that is looked for everywhere."""
    seen = {
        Place(_hidden(name, needles), where, needle.entry.type, needle.entry.token, form)
        for needle, form in needles.hits(text, numbers=numbers)
        if needle.everywhere
    }
    report.leaks.update(seen)


def _hidden(name: str, needles: Needles) -> str:
    """A file's name for the report; one that holds a value itself is not repeated."""
    if any(needle.everywhere for needle, _ in needles.hits(name, numbers=False)):
        return f"{Path(name).parent}/(a name that holds a value)"
    return name


def _parquet(path: Path, name: str, needles: Needles, report: ScanReport) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file, first = pq.ParquetFile(path), 0
        metadata = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in (file.schema_arrow.metadata or {}).items()}
        for path_in_row, text in strings_in({"metadata": metadata, "columns": file.schema_arrow.names}, ""):
            _look(text, name, path_in_row, needles, report)
        for batch in file.iter_batches(BATCH_ROWS):
            table = pa.Table.from_batches([batch])
            leaks = table_leaks(_without_numbers(table), needles, first_row=first)
            _keep(leaks, name, report)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        report.problems.append(f"{name}: is no readable Parquet file: {type(error).__name__}")


def _keep(leaks: Iterable[Leak], name: str, report: ScanReport) -> None:
    for leak in leaks:
        kind = report.guesses if leak.guess else report.leaks
        kind[Place(name, f"row {leak.row} {leak.column}", leak.type, leak.token, "row")] += 1


def _without_numbers(table: Any) -> Any:
    """Vectors and log-probabilities hold no text, and are most of a table."""
    import pyarrow as pa

    def textual(kind: Any) -> bool:
        if pa.types.is_nested(kind):
            return any(textual(kind.field(i).type) for i in range(kind.num_fields))
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_dictionary(kind))

    return table.select([f.name for f in table.schema if textual(f.type)])


def _sqlite(path: Path, name: str, needles: Needles, report: ScanReport) -> None:
    """Every row, write-ahead log included. (The raw bytes, pages that are free now among them, were read before.)"""
    try:
        with closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True, timeout=30)) as db:
            db.text_factory = lambda data: data.decode("utf-8", "replace")
            tables = [r[0] for r in db.execute("select name from sqlite_master where type = 'table' order by name")]
            for table in tables:
                rows = db.execute(f'select * from "{table.replace(chr(34), chr(34) * 2)}"')  # noqa: S608
                for first, last, text in _joined(rows):
                    _look(text, name, f"{table} rows {first}-{last}", needles, report)
    except sqlite3.Error as error:
        report.problems.append(f"{name}: is no readable SQLite file: {error}")


def _joined(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, int, str]]:
    """(first row, last row, their texts): many small rows are one look."""
    texts: list[str] = []
    size, first, number = 0, 0, -1
    for number, row in enumerate(rows):
        for value in row:
            text = strings_of(value) if isinstance(value, bytes) else value
            if isinstance(text, str) and text:
                texts.append(text)
                size += len(text)
        if size >= WINDOW // 4:
            yield first, number, "\n".join(texts)
            texts, size, first = [], 0, number + 1
    if texts:
        yield first, number, "\n".join(texts)


def _remote_tables(home: Home, needles: Needles, report: ScanReport) -> None:
    """A lake on object storage, table by table."""
    from flywheel.records import RESTRICTED_TABLES

    for manifest in home.lake.manifests():
        if manifest.table not in RESTRICTED_TABLES:
            table = _without_numbers(home.lake.read(manifest.table, manifest.round))
            report.files += 1
            report.bytes += table.nbytes
            for leak in table_leaks(table, needles):
                report.leaks[
                    Place(f"lake:{manifest.table}[{manifest.round}]", f"row {leak.row} {leak.column}", leak.type, leak.token, "row")
                ] += 1
