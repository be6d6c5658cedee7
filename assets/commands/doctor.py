"""`flywheel doctor`: is this installation what it should be?"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from assets.commands.round import JSON
from flywheel.errors import AccessRefused
from flywheel.output import frame, print_frame, print_table
from flywheel.settings import Settings
from flywheel.storage import Home, sha256_file

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finding:
    """`state` is ok, note or bad."""

    check: str
    state: str
    found: str
    remedy: str = ""


def doctor(as_json: bool = JSON) -> None:
    """Check Python, packages, folders, keys, the Dagster instance and the embedding weights. Exit code 1 when something is bad."""
    home = Home(Settings.load())
    findings = [check(home) for check in CHECKS]
    bad = sum(f.state == "bad" for f in findings)
    if as_json:
        print_frame(frame("doctor", input={"home": str(home.root)}, counts={"checks": len(findings), "bad": bad}, result=[asdict(f) for f in findings],
                          warnings=[f"{f.check}: {f.found}" for f in findings if f.state == "note"]))  # fmt: skip
    else:
        print_table(
            f"Run state {home.root}", ["", "check", "found", "remedy"], [(f.state, f.check, f.found, f.remedy) for f in findings], empty=""
        )
    raise typer.Exit(1 if bad else 0)


def python(_: Home) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        "Python",
        "ok" if sys.version_info >= (3, 11) else "bad",
        version,
        "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer",
    )


def packages(_: Home) -> Finding:
    """Installed versions against the lock; the build suffix of torch (+cpu, +cu130) does not count."""
    wrong = []
    for line in (CHECKOUT / "requirements.lock").read_text().splitlines():
        name, _, version = line.partition("==")
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{name} missing")
            continue
        if found.split("+")[0] != version:
            wrong.append(f"{name} {found}, locked {version}")
    return Finding("packages", "note" if wrong else "ok", "; ".join(wrong[:4]) or "as locked", "make .venv/.installed" if wrong else "")


def folders(home: Home) -> Finding:
    folder = home.root / "restricted"
    before = folder.stat().st_mode & 0o777 if folder.exists() else 0o700
    try:
        mode = home.restricted.stat().st_mode & 0o777
    except AccessRefused:
        return Finding("restricted zone", "bad", f"mode {before:o}", f"chmod 700 {folder}")
    return Finding("restricted zone", "ok", f"mode {mode:o}" if mode == before else f"mode was {before:o}, now {mode:o}")


def disk(home: Home) -> Finding:
    free = shutil.disk_usage(home.root).free / 1e9
    return Finding("disk", "ok" if free > 2 else "bad", f"{free:.0f} GB free", "" if free > 2 else "free at least 2 GB")


def keys(home: Home) -> Finding:
    folder = home.restricted / "keys"
    loose = [p.name for p in folder.glob("*.key") if p.stat().st_mode & 0o077]
    if loose:
        return Finding("keys", "bad", f"readable by others: {', '.join(loose)}", f"chmod 600 {folder}/*.key")
    present = sorted(p.name for p in folder.glob("*.key"))
    return Finding(
        "keys",
        "ok" if present else "note",
        ", ".join(present) or "none yet",
        "" if present else "made at the first import; then back them up",
    )


def landing(home: Home) -> Finding:
    if "://" in home.landing:
        return Finding("landing", "ok", home.landing)
    files = [p for p in Path(home.landing).rglob("*") if p.is_file()] if Path(home.landing).is_dir() else []
    return Finding(
        "landing",
        "ok" if files else "note",
        f"{len(files)} files in {home.landing}",
        "" if files else "put log files there (README: your own logs)",
    )


def instance(home: Home) -> Finding:
    """The serial limit must hold in the instance that runs, or a backfill loses its order."""
    from assets.run import open_instance

    with open_instance(home.root) as found:
        coordinator = found.run_coordinator
        limits = getattr(coordinator, "get_run_queue_config", lambda: None)()
        serial = limits is not None and any(
            c.get("key") == "flywheel/serial" and c.get("limit") == 1 for c in limits.tag_concurrency_limits or []
        )
    if not serial:
        return Finding(
            "Dagster instance", "bad", type(coordinator).__name__, "use the dagster.yaml of this checkout: `flywheel up` installs it"
        )
    return Finding("Dagster instance", "ok", "queued, rounds one at a time")


def weights(home: Home) -> Finding:
    from flywheel.selection import check_packaged_weights

    name = home.settings.selection.embedder
    if name != "all-MiniLM-L6-v2":
        return Finding("embedder", "note", f"{name} (not the packaged one: its weights are not checked)")
    path = check_packaged_weights() / "model.safetensors"
    return Finding("embedder", "ok", f"{name}, SHA-256 {sha256_file(path)[:12]} as published")


CHECKS: list[Callable[[Home], Finding]] = [python, packages, folders, disk, keys, landing, instance, weights]
