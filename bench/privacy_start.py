"""What the first redaction costs beside Presidio's own import: processor seconds from the start of a process, in turn, medians.

python -m bench.privacy_start [--repeats 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

TEXT = "I am Katarina Brandvold, x@example.co.uk, +1 202 555 0134, 4000 0012 3456 7899, 203.0.113.7, my password is hunter22!, SF-123456"
CLOCK = "import time; began = time.process_time()\n"
SIDES = {
    "Presidio's import": "from presidio_analyzer import predefined_recognizers\n",
    "first redaction": (
        "from flywheel.governance.detection import Detector, Piece\nfrom flywheel.settings import GovernanceSettings\n"
        f"assert Detector(GovernanceSettings()).conversation([Piece({TEXT!r}, role='user')])[0]\n"
    ),
}
GOAL_S = 1.0


def seconds(code: str) -> float:
    """Processor seconds of `code` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", f"{CLOCK}{code}print(time.process_time() - began)"], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench/results/privacy_start.json"))
    options = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(options.repeats):
        for name, code in SIDES.items():
            taken[name].append(seconds(code))
    medians = {name: round(statistics.median(values), 2) for name, values in taken.items()}
    added = round(medians["first redaction"] - medians["Presidio's import"], 2)
    found = {"goal": {"added_s": GOAL_S}, "measured": {"added_s": added}, "processor_s": medians, "repeats": options.repeats}
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if added <= GOAL_S else 1


if __name__ == "__main__":
    raise SystemExit(main())
