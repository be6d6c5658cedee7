"""Is what is stored what was published? Recomputes every hash and count of the dataset chain from the files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pydantic import ValidationError

from flywheel.dataset.parts import describe
from flywheel.errors import FlywheelError
from flywheel.records import DatasetManifest
from flywheel.storage import read_json

if TYPE_CHECKING:
    from flywheel.dataset.store import DatasetStore


def verify_datasets(store: DatasetStore) -> list[str]:
    """Problems, oldest version first, each naming the file; empty when all is sound. Never stops at the first, and raises nothing for
    what it finds: an auditor wants the whole extent."""
    try:
        pointer = read_json(store.root / "HEAD")
    except ValueError:
        return ["HEAD: not readable as JSON"]
    folders = sorted(int(p.name[1:]) for p in store.root.glob("v*") if p.name[1:].isdecimal()) if store.root.is_dir() else []
    if pointer is None:
        return [f"HEAD is missing, yet version v{folders[-1]} lies there"] if len(folders) > 1 else []
    try:
        newest = int(str(pointer["version"])[1:])
        expected: str | None = str(pointer["manifest_sha256"])
    except (KeyError, TypeError, ValueError):
        return ["HEAD: names no version and hash"]
    problems: list[str] = []
    # a crash leaves at most one manifest above HEAD; more mean that HEAD was set back
    if len([n for n in folders if n > newest]) > 1:
        problems.append(f"HEAD names v{newest}, yet v{folders[-1]} lies there: HEAD was set back")
    for number in range(newest, 0, -1):
        found, expected = _verify_version(store, f"v{number}", expected, problems)
        if found is not None and found.parent != (f"v{number - 1}" if number > 1 else None):
            problems.append(f"v{number}/manifest.json: parent is {found.parent}")
    return problems[::-1]


def _verify_version(
    store: DatasetStore, version: str, expected: str | None, problems: list[str]
) -> tuple[DatasetManifest | None, str | None]:
    path = store.root / version / "manifest.json"
    try:
        body = path.read_bytes()
        manifest = DatasetManifest.model_validate_json(body)
    except FileNotFoundError:
        problems.append(f"{version}/manifest.json: missing")
        return None, None
    except ValidationError:
        problems.append(f"{version}/manifest.json: not readable as a manifest")
        return None, None
    if expected is not None and hashlib.sha256(body).hexdigest() != expected:
        problems.append(f"{version}/manifest.json: altered (its child, or HEAD, names {expected[:12]})")
    tables = []
    for part in manifest.parts:
        try:
            tables.append(store.read_part(part))
        except FlywheelError as error:
            problems.append(f"{version}: {error}")
    if len(tables) == len(manifest.parts):
        try:
            said = describe(tables)
        except FlywheelError as error:
            problems.append(f"{version}: {error}")
        else:
            wrong = [name for name, value in said.items() if getattr(manifest, name) != value]
            wrong += [f"rows of {p.file}" for p, t in zip(manifest.parts, tables, strict=True) if t.num_rows != p.rows]
            problems.extend(f"{version}/manifest.json: {name} does not follow from the rows" for name in wrong)
    return manifest, manifest.parent_sha256
