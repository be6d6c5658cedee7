"""What the paths of a command line name: files, folders and fsspec URLs as one list of log files, and what of them is not read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flywheel.errors import BadInput, FlywheelError
from flywheel.ingestion.files import LandingFile, landing_files, local_file, told_apart
from flywheel.ingestion.quarantine import readable


@dataclass
class Inputs:
    """Log files, each once and named as the path was given, and by why they are not read the names of others."""

    files: list[LandingFile] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the files on this machine."""
        return sum(f.path.stat().st_size for f in self.files if f.path is not None and f.path.exists())

    def holds(self, path: Path) -> bool:
        """Is `path` one of the files?"""
        return path.exists() and any(f.path is not None and f.path.exists() and f.path.samefile(path) for f in self.files)


def inputs(paths: Sequence[str]) -> Inputs:
    """The files of `paths`. A file that is named is read whatever its name; in folders those are that may be logs by their suffix. Raises
    `BadInput` naming the first path that there is not."""
    found, seen = Inputs(), set[str]()
    for path in paths:
        remote = "://" in path
        files = _remote(path, found) if remote else _local(path, found)
        for file in files:
            known = file.name if file.path is None else os.path.realpath(file.path)
            if known not in seen:
                seen.add(known)
                found.files.append(file)
    found.files = told_apart(found.files)
    return found


def _remote(url: str, found: Inputs) -> list[LandingFile]:
    try:
        files, ignored = landing_files(url)
    except FlywheelError as error:
        raise BadInput(str(error).replace("landing folder ", "").split("; put the logs")[0]) from None
    except Exception as error:  # every file system has errors of its own
        raise BadInput(f"{url} cannot be read: {type(error).__name__}: {error}") from None
    base = url.rstrip("/")

    def name(inner: str) -> str:
        return base if base.rsplit("/", 1)[-1] == inner else f"{base}/{inner}"

    found.ignored += [name(n) for n in ignored]
    return [replace(f, name=name(f.name)) for f in files]


def _local(given: str, found: Inputs) -> list[LandingFile]:
    root = Path(os.path.normpath(given or "?"))
    if root.is_file():
        return [local_file(root, root)]
    if not root.is_dir():
        shown = readable(os.fsencode(given))
        if root.exists():
            raise BadInput(f"{shown} is neither a file nor a folder; of a pipe, write what comes through it to a file first")
        raise BadInput(f"{shown}: there is no such file or folder")
    base = "" if str(root) == "." else readable(os.fsencode(root)).rstrip("/") + "/"
    try:
        files, ignored = landing_files(str(root))
    except BadInput as error:
        raise BadInput(str(error).replace("landing folder ", "")) from None
    found.ignored += [base + n for n in ignored]
    _left_out(root, {f.name for f in files} | set(ignored), base, found)
    return [replace(f, name=base + f.name) for f in files]


def _left_out(root: Path, known: set[str], base: str, found: Inputs) -> None:
    """What is neither a log nor another file: names that say "still being written", links that lead nowhere, pipes."""
    for folder, inner, names in os.walk(root):
        for name in inner:
            if (at := Path(folder) / name).is_symlink():
                found.linked.append(base + readable(os.fsencode(at.relative_to(root).as_posix())))
        for name in names:
            at = Path(folder) / name
            shown = readable(os.fsencode(at.relative_to(root).as_posix()))
            if not at.is_file():
                found.odd.append(base + shown)
            elif shown not in known:
                found.unfinished.append(base + shown)
