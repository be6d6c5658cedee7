"""Fuzz ingestion: whole landing folders of bent samples, imported in many ways. No crash, no lost row, no text that is no UTF-8, the same
table however it is delivered, bounded memory and time (`bench.fuzz_checks` says what must hold, `bench.fuzz_deliveries` bends).

With atheris (`pip install atheris`, the extra `fuzz`) the search is guided by coverage of `flywheel.ingestion`; without it, by chance:

    python -m bench.campaign_fuzz_ingestion --seconds 600 --seed 1
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from bench.fuzz_bombs import bombs
from bench.fuzz_deliveries import Piece, bend, delivery, pack, seeds, unpack

RESULTS = Path(__file__).resolve().parent / "results"
LARGEST = 1 << 17


@dataclass
class Campaign:
    """What was run and what was found."""

    seconds: float
    folder: Path
    began: float = field(default_factory=time.monotonic)
    executions: int = 0
    accepted: int = 0
    quarantined: int = 0
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def one(self, pieces: Sequence[Piece], seed: int) -> None:
        """Check a delivery; keep the smallest one for each thing that is wrong."""
        from bench.fuzz_checks import check
        from bench.fuzz_promises import Finding

        self.executions += 1
        try:
            imported = check(pieces, seed, thorough=False)
            self.accepted += imported.counts["accepted"]
            self.quarantined += imported.counts["quarantined"]
        except Finding as finding:
            data = pack(pieces)
            known = self.found.get(finding.key)
            if known is None or len(data) < known["bytes"]:
                name = sha256(finding.key.encode()).hexdigest()[:12]
                (self.folder / f"{name}.delivery").write_bytes(data)
                times = 1 if known is None else known["times"] + 1
                self.found[finding.key] = {
                    "times": times,
                    "bytes": len(data),
                    "seed": seed,
                    "file": f"{name}.delivery",
                    "detail": str(finding),
                }
                print(f"{'new' if known is None else 'smaller'} ({len(data)} bytes): {finding}", flush=True)
            else:
                known["times"] += 1

    @property
    def over(self) -> bool:
        """Is the time up?"""
        return time.monotonic() - self.began > self.seconds

    def result(self) -> dict[str, Any]:
        """As JSON values."""
        names = ("executions", "accepted", "quarantined")
        return {n: getattr(self, n) for n in names} | {
            "seconds": round(time.monotonic() - self.began),
            "findings": dict(sorted(self.found.items())),
        }


def by_chance(campaign: Campaign, seed: int) -> None:
    """Deliveries made up one after the other until the time is over."""
    pool = seeds()
    while not campaign.over:
        number = seed * 1_000_000 + campaign.executions
        campaign.one(delivery(Random(number), pool), number)


def by_coverage(campaign: Campaign, seed: int, out: Path) -> None:
    """atheris keeps deliveries that reach new code and bends them further. Does not return: libFuzzer owns the process."""
    import atheris

    with atheris.instrument_imports(include=["flywheel.ingestion"]):
        import flywheel.ingestion

        for module in pkgutil.walk_packages(flywheel.ingestion.__path__, "flywheel.ingestion."):
            importlib.import_module(module.name)
    import bench.fuzz_checks  # noqa: F401 - before the clock runs

    pool = seeds()
    corpus = campaign.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, pieces in enumerate(pool):
        (corpus / f"seed-{number:03d}").write_bytes(pack(pieces))

    def one(data: bytes) -> None:
        campaign.one(unpack(data), int.from_bytes(sha256(data).digest()[:4], "big"))
        if campaign.over:
            out.write_text(json.dumps(campaign.result() | {"corpus": sum(1 for _ in corpus.iterdir())}))
            os._exit(0)

    def bent(data: bytes, max_size: int, mutator_seed: int) -> bytes:
        rng = Random(mutator_seed)
        pieces = unpack(data)
        for _ in range(rng.randrange(1, 4)):
            pieces = bend(pieces, pool, rng)
        if rng.random() < 0.1:
            piece = pieces[-1]
            pieces[-1] = Piece(piece.form, atheris.Mutate(piece.data, max(len(piece.data) + 64, 64)))
        made = pack(pieces)
        return made if len(made) <= max_size else data

    def crossed(one: bytes, other: bytes, max_size: int, mutator_seed: int) -> bytes:
        made = pack((unpack(one) + unpack(other))[mutator_seed % 2 :][:4])
        return made if len(made) <= max_size else one

    flags = [
        f"-max_len={LARGEST}",
        f"-seed={seed}",
        "-timeout=120",
        "-rss_limit_mb=3000",
        "-verbosity=1",
        "-len_control=0",
        f"-artifact_prefix={campaign.folder}/",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *flags], one, custom_mutator=bent, custom_crossover=crossed)
    atheris.Fuzz()


def guided(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The guided search in a process of its own (libFuzzer ends it). A native crash or hang is a finding too."""
    out = folder / "result.json"
    command = [
        sys.executable,
        "-m",
        "bench.campaign_fuzz_ingestion",
        "--child",
        str(folder),
        "--seconds",
        str(options.seconds),
        "--seed",
        str(options.seed),
    ]
    done = subprocess.run(command, check=False, timeout=options.seconds + 300, stderr=subprocess.PIPE, text=True)
    (folder / "libfuzzer.log").write_text(done.stderr)
    if out.exists():
        measured: dict[str, Any] = json.loads(out.read_text())
        lines = [x for x in done.stderr.splitlines() if " cov: " in x]
        measured["coverage"] = lines[-1].split("cov: ")[1].split()[0] if lines else None
        return measured
    return {"executions": 0, "findings": {"the fuzzer's process died": {"exit": done.returncode, "detail": done.stderr[-3_000:]}}}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chance", action="store_true", help="do not use atheris, though it is there")
    parser.add_argument("--keep", type=Path, help="folder for the findings' deliveries and the corpus")
    parser.add_argument("--out", type=Path, default=RESULTS / "fuzz_ingestion.json")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child is not None:
        by_coverage(Campaign(options.seconds, options.child), options.seed, options.child / "result.json")
    from flywheel.rounds import code_version

    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        with_coverage = find_spec("atheris") is not None and not options.chance
        if with_coverage:
            measured = guided(options, folder)
        else:
            campaign = Campaign(options.seconds, folder)
            by_chance(campaign, options.seed)
            measured = campaign.result()
    small = bombs()
    findings = len(measured["findings"]) + sum(not b["held"] for b in small)
    result = {
        "commit": code_version(), "goal": {"findings": 0}, "measured": {"findings": findings, "executions": measured["executions"]}, "guided_by_coverage": with_coverage,
        "seed": options.seed, "run": measured, "bombs": small,
    }  # fmt: skip
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["measured"]), "->", options.out.name)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
