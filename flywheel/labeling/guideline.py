"""Guidelines: versioned rubrics, one Markdown file each.

A file `<version>.md` starts with `# Title`, then `version: v1` and `effective: 2026-01-05T00:00:00Z`, then the rubric. A rater's
answer is bound to the SHA-256 of the file's exact bytes, so a changed rubric needs a new file: editing a published one makes every
answer given under it stale.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from flywheel.errors import BadInput
from flywheel.records import Guideline

HEADER_KEYS = ("version", "effective")
REMEDY = "A guideline starts with `# Title`, `version: <file name>` and `effective: <ISO 8601 time with offset>`."


def shipped_folder(name: str) -> Path:
    """Where `data/<name>` lies: in the working directory (an installation brings its own), else in the checkout."""
    here = Path("data") / name
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "data" / name


def read_guideline(path: Path) -> Guideline:
    """One guideline file. Raises `BadInput` naming file, line and remedy."""
    payload = path.read_bytes()
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8") from None
    lines = text.splitlines()
    if not lines or not lines[0].startswith("# ") or not lines[0][2:].strip():
        raise BadInput(f"{path}, line 1: no title. {REMEDY}")
    header: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines[1:], start=2):
        key, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or key.strip() not in HEADER_KEYS:
            break
        header[key.strip()] = (value.strip(), number)
    for key in HEADER_KEYS:
        if key not in header:
            raise BadInput(f"{path}: `{key}:` is missing below the title. {REMEDY}")
    version, version_line = header["version"]
    if version != path.stem:
        raise BadInput(f"{path}, line {version_line}: version {version!r} is not the file's name {path.stem!r}. Rename one of them.")
    written, effective_line = header["effective"]
    try:
        effective_at = datetime.fromisoformat(written)
    except ValueError:
        raise BadInput(f"{path}, line {effective_line}: effective {written!r} is not an ISO 8601 time. {REMEDY}") from None
    if effective_at.tzinfo is None:
        raise BadInput(f"{path}, line {effective_line}: effective {written!r} has no offset; write {written}Z for UTC")
    return Guideline(
        version=version, sha256=hashlib.sha256(payload).hexdigest(), title=lines[0][2:].strip(), text=text,
        effective_at=effective_at.astimezone(UTC),
    )  # fmt: skip


def load_guidelines(folder: Path | None = None) -> list[Guideline]:
    """Every guideline of a folder (None: the shipped ones), oldest first. Raises `BadInput` on a missing folder, a file that cannot be
    read, and two guidelines that take effect at the same moment."""
    place = folder if folder is not None else shipped_folder("guidelines")
    if not place.is_dir():
        raise BadInput(
            f"{place}: no such folder. Set labeling.guidelines to the folder of your guidelines, or unset it for the shipped ones."
        )
    found = sorted((read_guideline(p) for p in place.glob("*.md") if p.name != "README.md"), key=lambda g: (g.effective_at, g.version))
    for earlier, later in pairwise(found):
        if earlier.effective_at == later.effective_at:
            raise BadInput(
                f"{place}: {earlier.version} and {later.version} take effect at the same moment {later.effective_at.isoformat()}; change one"
            )
    return found


def load_guideline(folder: Path | None, at: datetime) -> Guideline:
    """The newest guideline that is in effect at `at` (timezone-aware). Raises `BadInput` where there is none."""
    found = load_guidelines(folder)
    effective = [g for g in found if g.effective_at <= at]
    if not effective:
        place = folder if folder is not None else shipped_folder("guidelines")
        first = (
            f"the first, {found[0].version}, takes effect at {found[0].effective_at.isoformat()}"
            if found
            else "the folder has no *.md file"
        )
        raise BadInput(f"{place}: no guideline is in effect at {at.isoformat()}: {first}")
    return effective[-1]
