"""Who may look at raw values: an auditor with a reason in words. Every look is on record before anything is shown, and every refusal too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flywheel.errors import AccessRefused
from flywheel.governance.provenance import ProvenanceLog

AUDITOR = "auditor"
MINIMUM_REASON = 4


def demand_auditor(role: str, reason: str, log: ProvenanceLog, kind: str, payload: Mapping[str, Any], at: datetime) -> None:
    """Raises `AccessRefused` (recorded as `<kind>_refused`) unless role and reason will do. Nothing about the thing is recorded beyond
    `payload`, which names it by id."""
    if role != AUDITOR or len(reason.strip()) < MINIMUM_REASON:
        log.append(f"{kind}_refused", {**payload, "role": role[:32]}, at)
        raise AccessRefused(
            "raw values need the role auditor and a reason in words: --role auditor --reason TEXT (this refusal is on record)"
        )


def record_look(role: str, reason: str, log: ProvenanceLog, kind: str, payload: Mapping[str, Any], at: datetime) -> None:
    """Put a look on record; call it once the thing is known to be there and before it is shown."""
    log.append(kind, {**payload, "role": role, "reason": reason.strip()[:500]}, at)
