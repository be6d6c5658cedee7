"""The verdict store: each gate's decisions as data, append-only, bound to the hash of exactly what was judged.

A blocking check stops its downstream in one run only; a later run that selects just the downstream would succeed. So every stage
behind a gate calls `demand_pass`, which reads this store.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from flywheel.errors import GateNotPassed
from flywheel.records import Verdict
from flywheel.storage.files import sync_folder

HOW_TO_GET = {
    "consent": "materialize `consented_logs` for the round (`flywheel round run {round}`)",
    "residual_leak": "materialize `redacted_logs` for the round (`flywheel round run {round}`)",
    "agreement": "materialize `agreement` for the round (`flywheel round import {round}`); more labels or adjudication if it did not pass",
    "promotion": "materialize `promotion` for the round (`flywheel round close {round}`)",
}


class Verdicts:
    """Files `<root>/<gate>/<round>/<sequence>.json`, never changed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def record(self, verdict: Verdict) -> Verdict:
        """Store a verdict, unless the newest one for the same subject says the same (so that a rerun adds nothing). Returns what
        stands."""
        folder = self.root / verdict.gate / verdict.round
        folder.mkdir(parents=True, exist_ok=True)
        payload = (json.dumps(verdict.model_dump(mode="json"), sort_keys=True, indent=1) + "\n").encode()
        temporary = folder / f".{os.getpid()}.{threading.get_ident()}.tmp"
        written = False
        while True:
            # what stands is read before the number is chosen: where another writer took the number meanwhile, the link fails and his
            # verdict is looked at first, so that two processes that decide the same leave one verdict
            number = max((int(p.stem) for p in folder.glob("[0-9]*.json")), default=-1) + 1
            newest = self.find(verdict.gate, verdict.round, verdict.subject_sha256)
            if newest and newest.model_dump(exclude={"decided_at"}) == verdict.model_dump(exclude={"decided_at"}):
                temporary.unlink(missing_ok=True)
                return newest
            if not written:
                with open(temporary, "wb") as file:
                    file.write(payload)
                    file.flush()
                    os.fsync(file.fileno())
                written = True
            try:
                os.link(temporary, folder / f"{number:06d}.json")
                break
            except FileExistsError:
                continue
        temporary.unlink()
        sync_folder(folder)
        return verdict

    def all(self, gate: str, round: str) -> list[Verdict]:
        """Every verdict of a gate in a round, oldest first."""
        return [Verdict.model_validate_json(p.read_bytes()) for p in sorted((self.root / gate / round).glob("[0-9]*.json"))]

    def find(self, gate: str, round: str, subject_sha256: str) -> Verdict | None:
        """The newest verdict for exactly these bytes."""
        return next((v for v in reversed(self.all(gate, round)) if v.subject_sha256 == subject_sha256), None)

    def demand_decided(self, gate: str, round: str, subject_sha256: str) -> Verdict:
        """The verdict for exactly these bytes, passing or failing. Raises `GateNotPassed` where it is missing or still open."""
        found = self.find(gate, round, subject_sha256)
        return found if found and found.state in ("pass", "fail") else self.demand_pass(gate, round, subject_sha256)

    def demand_pass(self, gate: str, round: str, subject_sha256: str) -> Verdict:
        """The passing verdict for exactly these bytes. Raises `GateNotPassed` saying which verdict is missing and how to get it."""
        found = self.find(gate, round, subject_sha256)
        if found and found.state == "pass":
            return found
        way = HOW_TO_GET.get(gate, "rerun the stage that decides it").format(round=round)
        if found:
            why = "; ".join(found.reasons) or "no reason recorded"
            raise GateNotPassed(
                f"round {round}: the {gate} verdict for {subject_sha256[:12]} is {found.state.upper()} ({why}). To get a passing one: {way}."
            )
        others = self.all(gate, round)
        stale = f" A verdict for other bytes ({others[-1].subject_sha256[:12]}, {others[-1].state}) does not count." if others else ""
        raise GateNotPassed(f"round {round}: no {gate} verdict for {subject_sha256[:12]}.{stale} To get one: {way}.")
