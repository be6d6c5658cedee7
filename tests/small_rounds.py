"""A demo home small enough for tests: real stages, real Dagster, a base model of seconds and few rows.

What is small is the world, never the path: every asset, gate and store is the one that `flywheel demo` uses.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from assets.commands.demo import deliver_logs, prepare_home
from assets.run import Outcome, run_job
from flywheel.settings import Settings
from flywheel.shopforge import deliver_simulated_labels
from flywheel.storage import Home, write_atomically

CHECKOUT = Path(__file__).resolve().parents[1]
R1, R2, R3 = "2026-01-05", "2026-01-12", "2026-01-19"
CLOCK = "2026-06-22T00:00:00+00:00"
LOGS = 240
SETTINGS = f"""clock = "{CLOCK}"

[selection]
budget = 90
prefilter = 140

[quality]
alpha_floor = 0.0
minimum_gold_items = 5
minimum_segment_items = 4
rater_false_pause = 0.05
bootstrap_replicates = 200

[labeling]
gold_share = 0.12

[training]
base = "shopforge-tiny-fast"
minimum_pairs = 15

[evaluation]
prompts_per_domain = 40
bootstrap_replicates = 200
"""


# No training: enough for everything up to the dataset, and a round then closes with the model kept.
UNTRAINED = SETTINGS.replace("minimum_pairs = 15", "minimum_pairs = 100000\nminimum_demonstrations = 100000")


def new_home(folder: Path, settings: str = SETTINGS) -> Home:
    """A fresh demo home with the small settings; no round opened, no logs delivered."""
    write_atomically(folder / "flywheel.toml", settings.encode())
    return prepare_home(folder, 2)


def reopen(home: Home | Path) -> Home:
    """The same folder with its settings read again."""
    return Home(Settings.load(home=home.root if isinstance(home, Home) else home))


def run(
    home: Home, job: str, round: str, *, select: Sequence[str] | None = None, tags: Mapping[str, str] | None = None,
    instance: dg.DagsterInstance | None = None,
) -> Outcome:  # fmt: skip
    """One real run in this process, on an ephemeral instance unless one is given."""
    if instance is not None:
        return run_job(home.root, job, round, instance=instance, tags=tags, select=select, progress=False)
    with dg.DagsterInstance.ephemeral() as fresh:
        return run_job(home.root, job, round, instance=fresh, tags=tags, select=select, progress=False)


def succeed(home: Home, job: str, round: str, **options: object) -> Outcome:
    """A run that must succeed."""
    outcome = run(home, job, round, **options)  # type: ignore[arg-type]
    assert outcome.success, f"{job} {round} {outcome.failed_step}: {outcome.message}"
    return outcome


def open_round(home: Home, round: str, logs: int = LOGS) -> None:
    """Logs delivered and the batch published."""
    deliver_logs(home, round, logs)
    succeed(home, "weekly_round", round)


def label(home: Home, round: str) -> None:
    """The simulated raters answer into the inbox."""
    deliver_simulated_labels(
        home.lake.read("labeling_batch", round), home.label_inbox, round=round, seed=home.settings.seed_for("raters", round)
    )


def label_with(home: Home, round: str, change: Callable[[int, dict[str, Any]], dict[str, Any] | None]) -> None:
    """Like `label`, each line passed through `change(number, line)`; None leaves it out."""
    label(home, round)
    path = next(home.label_inbox.glob(f"*{round}*"))
    lines = [change(n, json.loads(line)) for n, line in enumerate(path.read_text().splitlines())]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line))


def withdraw(home: Home, subject_id: str, *purposes: str) -> None:
    """A withdrawal in the consent ledger, effective now."""
    from flywheel.governance import consent_ledger, make_consent_event

    consent_ledger(home).append(
        [
            make_consent_event(
                home.ids, subject_id, purpose, "withdrawn", legal_basis="withdrawal", policy_version="-", effective_at=home.now(),
                recorded_at=home.now(), source="test",
            )
            for purpose in purposes
        ]
    )  # fmt: skip


def close_round(home: Home, round: str) -> None:
    """Labels imported, the round closed and reported."""
    label(home, round)
    for job in ("import_labels", "close_round", "report"):
        succeed(home, job, round, tags={"flywheel/backfill": R1})


def hashes(home: Home) -> dict[str, str]:
    """Content hash of every partition of every table."""
    return {f"{m.table}[{m.round}]": m.sha256 for m in home.lake.manifests()}


def state_of(home: Home) -> dict[str, str]:
    """Everything that a rerun must not change: tables, pins, verdicts, dataset versions, models, registry and the label journal; each
    by the hash of its content. Recorded times are left out where the wall clock enters."""
    from flywheel.governance import consent_ledger, provenance_log
    from flywheel.labeling import Journal

    found = hashes(home)
    for folder in ("provenance/rounds", "provenance/verdicts", "datasets", "models/registry"):
        for path in sorted((home.root / folder).rglob("*")):
            if path.is_file() and not path.name.startswith("."):  # a killed writer leaves its unfinished file, which nobody reads
                found[str(path.relative_to(home.root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    found["models"] = json.dumps(sorted(p.name for p in home.models.iterdir() if p.is_dir() and "-" in p.name))
    # the journal's own hashes are salted (erasure needs that): what counts is which events there are, in which order
    found["journal"] = json.dumps([e.event.event_id for e in Journal(home.restricted / "journal.sqlite").events()])
    found["provenance"], found["consent"] = provenance_log(home).head(), consent_ledger(home).head()
    found["log files"] = json.dumps({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(Path(home.landing).glob("*"))})
    return found


def environment(home: Path, **extra: str) -> dict[str, str]:
    """Variables for a subprocess that works on `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLYWHEEL_", "DAGSTER_"))}
    return {**kept, "FLYWHEEL_HOME": str(home), "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "200", **extra}


def flywheel(home: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """The real command in a subprocess, run from the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "flywheel.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment(home, **extra),
        timeout=900,
    )
