"""Atomic, durable file writes on a local file system."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write beside, fsync, rename, fsync the folder: a reader sees the old file or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644 if mode is None else mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any, *, mode: int | None = None) -> None:
    """Canonical JSON (sorted keys, UTF-8, final newline): the same value gives the same bytes."""
    write_atomically(path, (json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n").encode(), mode=mode)


def write_json_once(path: Path, value: Any) -> Any:
    """Put a value in place unless one is there, and give what stands: of two processes that write at once, the second takes the
    first one's."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    write_json(temporary, value)
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
    sync_folder(path.parent)
    return read_json(path)


def read_json(path: Path) -> Any:
    """The value of a JSON file, or None where there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hex; constant memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
