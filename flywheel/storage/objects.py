"""Where a zone's bytes lie: a local folder (atomic rename) or an fsspec URL (an object store, whose PUT is atomic)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flywheel.storage.files import write_atomically

if TYPE_CHECKING:
    import duckdb


class Objects(Protocol):
    """Names to bytes. `put` is atomic; `get` gives None for what is not there; `address` is what DuckDB reads."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, data: bytes) -> None: ...
    def exists(self, name: str) -> bool: ...
    def folders(self, name: str) -> list[str]: ...
    def files(self, name: str) -> list[str]: ...
    def delete(self, name: str) -> None: ...
    def address(self, name: str) -> str: ...
    def register(self, connection: duckdb.DuckDBPyConnection) -> None: ...


class LocalObjects:
    """A folder. `mode` is applied to the root when it is made (0700 for the restricted zone)."""

    def __init__(self, root: Path, mode: int = 0o755) -> None:
        self.root, self._mode = root, mode

    def get(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        if not self.root.exists():
            self.root.mkdir(parents=True, mode=self._mode, exist_ok=True)
        write_atomically(self.root / name, data)

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def folders(self, name: str) -> list[str]:
        folder = self.root / name
        return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    def files(self, name: str) -> list[str]:
        folder = self.root / name
        return sorted(p.name for p in folder.iterdir() if p.is_file()) if folder.is_dir() else []

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def address(self, name: str) -> str:
        return str(self.root / name)

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        """DuckDB reads local files by itself."""


class RemoteObjects:
    """An fsspec URL."""

    def __init__(self, url: str) -> None:
        import fsspec

        self._fs: Any
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root, self._protocol = root.rstrip("/"), url.split("://", 1)[0]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def get(self, name: str) -> bytes | None:
        try:
            data: bytes = self._fs.cat_file(self._path(name))
            return data
        except FileNotFoundError:
            return None

    def put(self, name: str, data: bytes) -> None:
        self._fs.makedirs(self._path(name).rsplit("/", 1)[0], exist_ok=True)
        self._fs.pipe_file(self._path(name), data)

    def exists(self, name: str) -> bool:
        return bool(self._fs.exists(self._path(name)))

    def _names(self, name: str, kind: str) -> list[str]:
        try:
            listed = self._fs.ls(self._path(name), detail=True, refresh=True)
        except FileNotFoundError:
            return []
        return sorted(e["name"].rstrip("/").rsplit("/", 1)[-1] for e in listed if e["type"] == kind)

    def folders(self, name: str) -> list[str]:
        return self._names(name, "directory")

    def files(self, name: str) -> list[str]:
        return self._names(name, "file")

    def delete(self, name: str) -> None:
        if self.exists(name):
            self._fs.rm_file(self._path(name))

    def address(self, name: str) -> str:
        return f"{self._protocol}://{self._path(name).lstrip('/')}"

    def register(self, connection: duckdb.DuckDBPyConnection) -> None:
        if self._protocol not in connection.list_filesystems():
            connection.register_filesystem(self._fs)


def open_objects(root: str | Path) -> Objects:
    """A local folder for a path, an object store for anything with `://`."""
    return RemoteObjects(root) if isinstance(root, str) and "://" in root else LocalObjects(Path(root))
