"""The rater registry: `raters.jsonl` in the restricted zone, one `Rater` a line."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from flywheel.errors import BadInput
from flywheel.labeling.import_files import SIMULATED_PREFIX
from flywheel.records import Rater


def read_raters(path: Path) -> dict[str, Rater]:
    """Registered raters by pseudonym; none where there is no file. `expert` in `expertise` makes an expert. Raises `BadInput` naming
    file, line and field."""
    if not path.exists():
        return {}
    found: dict[str, Rater] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            rater = Rater.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(p) for p in first["loc"]) or "(whole line)"
            raise BadInput(f"{place}, field {field}: {first['msg']}") from None
        if "@" in rater.rater or not rater.rater.strip():
            raise BadInput(f"{place}, field rater: {rater.rater!r} must be a pseudonym: it is stored openly")
        if rater.rater.startswith(SIMULATED_PREFIX) != (rater.origin == "simulated"):
            raise BadInput(f"{place}, field origin: simulated raters, and only those, are named {SIMULATED_PREFIX}...")
        if rater.rater in found:
            raise BadInput(f"{place}, field rater: {rater.rater!r} is registered twice")
        found[rater.rater] = rater
    return found
