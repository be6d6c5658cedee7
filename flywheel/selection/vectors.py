"""Vectors kept by the hash of their text, so that no text is embedded twice over the weeks, and a rerun gives the same bytes."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flywheel.errors import IntegrityError
from flywheel.storage import sha256_text

Float32 = npt.NDArray[np.float32]
ASK = 500  # keys a query: SQLite's oldest limit on parameters is 999


class VectorCache:
    """One SQLite file an embedder below `folder`. Several processes may read and write at once: a text keeps the first vector stored
    for it, so all of them end with the same bytes. The file can be deleted at any time; it is made again."""

    def __init__(self, folder: Path, embedder: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        readable = re.sub(r"[^A-Za-z0-9.-]+", "-", embedder).strip("-")[-60:]
        self.path = folder / f"{readable}-{sha256_text(embedder)[:8]}.sqlite"

    def get(self, keys: Sequence[str]) -> dict[str, Float32]:
        """The stored vectors among `keys` (SHA-256 of the texts)."""
        found: dict[str, Float32] = {}
        with self._connection() as connection:
            for at in range(0, len(keys), ASK):
                part = keys[at : at + ASK]
                marks = ",".join("?" * len(part))
                rows = connection.execute(f"select text_sha256, vector from vectors where text_sha256 in ({marks})", list(part))  # noqa: S608
                found.update((key, np.frombuffer(blob, "<f4").astype(np.float32)) for key, blob in rows)
        return found

    def put(self, vectors: Mapping[str, Float32]) -> None:
        """Store what is not there yet; one transaction."""
        with self._connection() as connection, connection:
            rows = [(key, vector.astype("<f4").tobytes()) for key, vector in sorted(vectors.items())]
            connection.executemany("insert or ignore into vectors values (?, ?)", rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=120)) as connection:
                connection.execute("create table if not exists vectors (text_sha256 text primary key, vector blob not null) without rowid")
                yield connection
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path}: {error}; it is only a cache: delete the file and run again") from None
