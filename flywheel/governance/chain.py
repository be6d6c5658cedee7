"""An append-only file of hash-chained JSON lines: each line holds the hash of the one before, so that no line can be changed, dropped
or put in between without every later hash showing it. (Cutting lines off the end shows only against a head noted elsewhere.)

Appends are serialised by a file lock, written whole, and fsynced before they return. A line that a crash left unfinished was never
acknowledged: readers skip it and the next append removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flywheel.errors import IntegrityError
from flywheel.storage.files import sync_folder

START = "0" * 64
Body = dict[str, Any]


def canonical(value: Any) -> bytes:
    """JSON with one byte form: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8")


def line_hash(body: Body) -> str:
    """SHA-256 of a line without its own hash."""
    return hashlib.sha256(canonical({k: v for k, v in body.items() if k != "hash"})).hexdigest()


class Chain:
    """The chained file at `path` (mode 0600). Every line is an object with `seq`, `previous`, `hash` and the caller's fields."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> Iterator[Body]:
        """Every finished line. Raises `IntegrityError` on one that is no JSON object."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return
        finished = data[: data.rfind(b"\n") + 1]
        for number, raw in enumerate(finished.split(b"\n")[:-1], start=1):
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            if not isinstance(body, dict) or "hash" not in body:
                raise IntegrityError(f"{self.path.name} line {number} is damaged; `flywheel audit verify` shows the extent")
            yield body

    def head(self) -> str:
        """Hash of the last finished line; 64 zeros for an empty chain."""
        last = START
        for body in self.lines():
            last = str(body["hash"])
        return last

    def append(self, choose: Callable[[list[Body]], Iterable[Body]]) -> list[Body]:
        """Under the lock: give `choose` every line there is, and append the bodies it returns. Returns them with seq, previous, hash."""
        with self._locked():
            there = list(self.lines())
            previous = str(there[-1]["hash"]) if there else START
            added: list[Body] = []
            for body in choose(there):
                line = {**body, "seq": len(there) + len(added), "previous": previous}
                previous = line["hash"] = line_hash(line)
                added.append(line)
            if added:
                self._write(b"".join(canonical(line) + b"\n" for line in added))
            return added

    def _write(self, data: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            there = file.read()
            file.truncate(there.rfind(b"\n") + 1)
            file.seek(0, os.SEEK_END)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def verify(self) -> list[str]:
        """What is wrong with the chain, line by line; empty when every line is the one that was appended."""
        problems, previous, number = [], START, 0
        try:
            for number, body in enumerate(self.lines()):
                place = f"{self.path.name} line {number + 1}"
                if body.get("seq") != number:
                    problems.append(f"{place}: seq is {body.get('seq')}, should be {number}: a line was dropped, added or moved")
                if body.get("previous") != previous:
                    problems.append(f"{place}: does not follow the line before it")
                if body["hash"] != line_hash(body):
                    problems.append(f"{place}: its content is not what was appended")
                previous = str(body["hash"])
        except IntegrityError as error:
            problems.append(str(error))
        return problems
