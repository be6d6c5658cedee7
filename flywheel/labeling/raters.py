"""Registered raters: `restricted/raters.jsonl`, one `Rater` a line."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from flywheel.errors import BadInput
from flywheel.records import Rater


def read_raters(path: Path) -> dict[str, Rater]:
    """Raters by pseudonym; none where there is no file. Raises `BadInput` naming file, line and field."""
    found: dict[str, Rater] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else [], 1):
        if not line.strip():
            continue
        try:
            rater = Rater.model_validate(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInput(f"{path}, line {number}, field {'.'.join(map(str, first['loc'])) or '(row)'}: {first['msg']}") from None
        except ValueError as error:
            raise BadInput(f"{path}, line {number}: not JSON: {error}") from None
        if rater.rater in found:
            raise BadInput(f"{path}, line {number}: rater {rater.rater} stands there twice; keep one line a rater")
        found[rater.rater] = rater
    return found
