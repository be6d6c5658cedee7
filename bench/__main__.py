"""Every benchmark, one after the other, each in a process of its own; results below bench/results.

python -m bench              the benchmarks
python -m bench --campaign   the long endurance runs
python -m bench --list
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

RESULTS = "bench/results"
BENCHES: dict[str, list[str]] = {
    "orchestration": [],
    "selection_speed": ["--no-peers", "--pools", "random,clustered", "--json", f"{RESULTS}/selection_speed.json"],
    "privacy_speed": ["--n", "2900"],
    "privacy_start": [],
    "training_round": ["--rounds", "1", "--prompts", "300", "--out", f"{RESULTS}/training_round.json"],
    "consent": [],
    "ingestion": [],
    "redaction_scale": [],
    "demo": [],
}
CAMPAIGN: dict[str, list[str]] = {
    "campaign_canaries": ["--canaries", "2600", "--remarks", "200"],
    "campaign_kills": ["--kills", "40"],
    "campaign_ingestion": ["--kills", "50"],
    "campaign_redaction": ["--kills", "40"],
    "redaction_scale": [
        "--sizes",
        "10000",
        "100000",
        "1000000",
        "--workers",
        "1",
        "2",
        "--ner",
        "off",
        "--out",
        f"{RESULTS}/redaction_scale_campaign.json",
    ],
    "campaign_fuzz_ingestion": ["--seconds", "600", "--seed", "1"],
    "campaign_selection": ["--cases", "10000"],
    "audit_reads": ["--reads", "2500", "--out", f"{RESULTS}/audit_reads_campaign.json"],
    "training_round": ["--rounds", "4", "--out", f"{RESULTS}/training_campaign.json"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", action="store_true")
    parser.add_argument("--list", action="store_true", help="name them and run none")
    parser.add_argument("only", nargs="*", help="run just these")
    options = parser.parse_args()
    chosen = CAMPAIGN if options.campaign else BENCHES
    unknown = sorted(set(options.only) - set(chosen))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(chosen)}")
    Path(RESULTS).mkdir(parents=True, exist_ok=True)
    failed = []
    for name, arguments in chosen.items():
        if (options.only and name not in options.only) or find_spec(f"bench.{name}") is None:
            continue
        print(f"== {name} {' '.join(arguments)}", flush=True)
        if not options.list and subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"goal not met or failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
