"""Canaries through a whole round: invented values of every type, place and disguise go in with the logs and with the raters' remarks; not
one may stand in any table, batch file, dataset, model folder, report, verdict, or in Dagster's event log and run logs.

Afterwards the vault's own values are sought everywhere as well. The suite's slow test runs `canary_round` with fewer.

    python -m bench.campaign_canaries --canaries 2600 --remarks 200
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.run import open_instance
from flywheel.governance import Vault
from flywheel.governance.canaries import CanaryReport, check_canaries, label_canaries, plant, remark
from flywheel.governance.scan import ScanReport, scan_home
from flywheel.rounds import code_version
from flywheel.storage import Home
from tests.small_rounds import R1, UNTRAINED, deliver_logs, label_with, new_home, succeed

RESULTS = Path(__file__).resolve().parent / "results"
ENOUGH = UNTRAINED.replace("budget = 90", "budget = 900").replace("prefilter = 140", "prefilter = 4000")


@dataclass(frozen=True)
class Flown:
    """A finished round with canaries in it."""

    home: Home
    canaries: CanaryReport
    vault: ScanReport
    seconds: float


def canary_round(folder: Path, canaries: int, remarks: int, *, logs: int = 120, seed: int = 0) -> Flown:
    """One whole round on a persistent Dagster instance, and what of the canaries is to be found after it."""
    began = time.monotonic()
    home = new_home(folder, ENOUGH)
    instance = open_instance(home.root)
    planted = plant(home, R1, canaries, seed=seed)
    said = label_canaries(remarks, canaries, seed)
    deliver_logs(home, R1, logs)
    succeed(home, "weekly_round", R1, instance=instance)

    def speak(number: int, line: dict[str, Any]) -> dict[str, Any]:
        if number < len(said) and line["decision"] != "skip":
            line[said[number].place] = remark(said[number])
        return line

    label_with(home, R1, speak)
    for job in ("import_labels", "close_round", "report"):
        succeed(home, job, R1, tags={"flywheel/backfill": R1}, instance=instance)
    report = check_canaries(home, [*planted, *said])
    vault = Vault.open(home)
    try:
        return Flown(home, report, scan_home(home, vault), time.monotonic() - began)
    finally:
        vault.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--canaries", type=int, default=2_600)
    parser.add_argument("--remarks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flown = canary_round(Path(folder) / "home", given.canaries, given.remarks, seed=given.seed)
    found = flown.canaries
    leaks = [f"{c.type} in {c.place}, {c.disguise}: {found.found[c.number][0]}" for c in found.canaries if c.number in found.found]
    result = {
        "commit": code_version(), "canaries": len(found.canaries), "leaked": len(found.found), "leaks": leaks[:50], "problems": found.scan.problems,
        "files": found.scan.files, "megabytes": round(found.scan.bytes / 1e6, 1), "scan_seconds": round(found.scan.seconds, 1),
        "vault_values_sought": flown.vault.sought_everywhere + flown.vault.sought_in_holders_rows, "vault_leaks": len(flown.vault.leaks),
        "by": {what: found.by(what) for what in ("type", "place", "disguise")}, "round_seconds": round(flown.seconds), "goal": {"canaries": 1_000, "leaked": 0},
    }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "campaign_canaries.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    print(
        f"{len(found.canaries):,} canaries, {len(found.found)} leaked; {len(flown.vault.leaks)} vault values elsewhere; {found.scan.files} files"
    )
    for leak in leaks[:50]:
        print(f"  {leak}")
    return 0 if not leaks and not flown.vault.leaks and not found.scan.problems and len(found.canaries) >= 1_000 else 1


if __name__ == "__main__":
    sys.exit(main())
