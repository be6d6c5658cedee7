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
from typing import Any, BinaryIO

from flywheel.errors import IntegrityError
from flywheel.storage.files import sync_folder

START = "0" * 64
BLOCK = 1 << 16
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

    def raw_lines(self) -> Iterator[bytes]:
        """The bytes of every finished line, without its end; constant memory."""
        try:
            with open(self.path, "rb") as file:
                for raw in file:
                    if raw.endswith(b"\n"):
                        yield raw[:-1]
        except FileNotFoundError:
            return

    def lines(self) -> Iterator[Body]:
        """Every finished line. Raises `IntegrityError` on one that is no JSON object."""
        for number, raw in enumerate(self.raw_lines(), start=1):
            yield self._parsed(raw, str(number))

    def _parsed(self, raw: bytes, number: str) -> Body:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict) or "hash" not in body:
            raise IntegrityError(f"{self.path.name} line {number} is damaged; `flywheel audit verify` shows the extent")
        return body

    def head(self) -> str:
        """Hash of the last finished line; 64 zeros for an empty chain."""
        try:
            with open(self.path, "rb") as file:
                end = _finished(file)
                raw = _last_line(file, end)
        except FileNotFoundError:
            return START
        return str(self._parsed(raw, "(the last one)")["hash"]) if raw else START

    def append(self, choose: Callable[[list[Body]], Iterable[Body]]) -> list[Body]:
        """Under the lock: give `choose` every line there is, and append the bodies it returns. Returns them with seq, previous, hash."""
        with self.locked():
            there = list(self.lines())
            previous = str(there[-1]["hash"]) if there else START
            added: list[Body] = []
            for body in choose(there):
                line = {**body, "seq": len(there) + len(added), "previous": previous}
                previous = line["hash"] = line_hash(line)
                added.append(line)
            if added:
                self.write(b"".join(canonical(line) + b"\n" for line in added))
            return added

    def write(self, data: bytes) -> None:
        """Finished lines to the end of the file, all of them or none, and one fsync. Only under `locked`."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            end = _finished(file)
            file.truncate(end)
            file.seek(end)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(descriptor)
            except BaseException:  # a full disk: half of what was said, the grants perhaps without the withdrawals, must not stand
                file.truncate(end)
                os.fsync(descriptor)
                raise
        sync_folder(self.path.parent)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The one writer, across processes; the kernel lets go when a holder dies."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def verify(self) -> list[str]:
        """What is wrong with the chain, line by line; empty when every line is, byte for byte, the one that was appended."""
        problems, previous = [], START
        try:
            for number, raw in enumerate(self.raw_lines()):
                body = self._parsed(raw, str(number + 1))
                place = f"{self.path.name} line {number + 1}"
                if body.get("seq") != number:
                    problems.append(f"{place}: seq is {body.get('seq')}, should be {number}: a line was dropped, added or moved")
                if body.get("previous") != previous:
                    problems.append(f"{place}: does not follow the line before it")
                if not _is_as_appended(raw, str(body["hash"])):
                    problems.append(f"{place}: its content is not what was appended")
                previous = str(body["hash"])
        except IntegrityError as error:
            problems.append(str(error))
        return problems


def _is_as_appended(raw: bytes, hash_: str) -> bool:
    """The line without its hash has that hash. On the bytes as they stand: a second key of one name, which one reader would take first
    and another last, is no way around it."""
    own = b'"hash":"' + hash_.encode() + b'",'  # never last: `previous` and `seq` follow
    return raw.count(own) == 1 and hashlib.sha256(raw.replace(own, b"")).hexdigest() == hash_


def _finished(file: BinaryIO) -> int:
    """Where the last finished line of an open file ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _last_line(file: BinaryIO, end: int) -> bytes:
    """The line that ends at `end`, without its end."""
    start, data = end, b""
    while start and b"\n" not in data[:-1]:
        step = max(0, start - BLOCK)
        file.seek(step)
        data = file.read(start - step) + data
        start = step
    return data[:-1].rsplit(b"\n", 1)[-1]
