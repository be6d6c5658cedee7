"""How a campaign of kills ends: its result as JSON, one line for people, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flywheel.rounds import code_version


def told(runs: Sequence[dict[str, Any]], kills: int, out: Path, **facts: Any) -> int:
    """Write what `runs` (each with `kills` and `problems`) gave; 1 where there was a problem."""
    problems = sum(len(r["problems"]) for r in runs)
    result = {
        "commit": code_version(),
        "goal": {"problems": 0},
        "measured": {"kills": kills, "problems": problems},
        **facts,
        "runs": list(runs),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["measured"]), "->", out.name)
    return 1 if problems else 0
