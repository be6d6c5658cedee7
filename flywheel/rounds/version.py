"""Which code is running: recorded in every pin, so that an audit can fetch it."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from flywheel import __version__


@cache
def code_version() -> str:
    """`<package version>+<commit>` in a checkout (`.dirty` when files differ from it), else the package version."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return __version__
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        dirty = ".dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
    except (OSError, subprocess.SubprocessError):  # git missing, or a repository without a commit
        return __version__
    return f"{__version__}+{commit}{dirty}"


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603, S607
