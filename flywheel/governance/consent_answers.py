"""Questions to the consent ledger that people ask: was this allowed on that day, and who allows what now."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from flywheel.governance.consent import PURPOSES, ConsentLedger, refusal
from flywheel.governance.ledger_state import micros
from flywheel.records import Purpose

SOON = timedelta(days=30)


def answers(ledger: ConsentLedger, subject_id: str, at: datetime, known_at: datetime | None) -> dict[Purpose, dict[str, Any]]:
    """Of each purpose whether it was allowed at the moment `at`, why, and by which event: by what is known now, or by what was recorded at
    `known_at`."""
    found: dict[Purpose, dict[str, Any]] = {}
    for purpose in PURPOSES:
        event = ledger.decision(subject_id, purpose, at, known_at)
        why = refusal(event, at)
        found[purpose] = {
            "allowed": why is None, "because": why or "granted", "event_id": event.event_id if event else None,
            "legal_basis": event.legal_basis if event else None, "effective_at": event.effective_at.isoformat() if event else None,
            "recorded_at": event.recorded_at.isoformat() if event else None,
        }  # fmt: skip
    return found


def status(ledger: ConsentLedger, now: datetime) -> list[dict[str, Any]]:
    """Of each purpose and legal basis how many subjects allow it now, expire within 30 days, have expired, or have withdrawn. A withdrawn
    subject stands under the basis of its withdrawal. Raises `ClockSetBack`."""
    state = ledger.judged_by(now)
    basis, bases = state.word("legal_basis")
    rows = []
    for purpose in PURPOSES:
        last = state.last_words(purpose, now)
        last = last[last >= 0]
        gone, expires = state.withdrawn[last], state.expires[last]
        over = ~gone & (expires <= micros(now))
        kinds = {"allowed": ~gone & ~over, "expiring": ~gone & ~over & (expires <= micros(now + SOON)), "expired": over, "withdrawn": gone}
        counts = {kind: Counter(np.array(bases)[basis[last[mask]]].tolist()) for kind, mask in kinds.items()}
        for name in sorted({b for c in counts.values() for b in c}):
            rows.append({"purpose": purpose, "legal_basis": name, **{kind: counts[kind][name] for kind in kinds}})
    return rows
