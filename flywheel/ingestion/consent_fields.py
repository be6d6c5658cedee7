"""The consent that a log row carries, as ledger events. A grant and its later withdrawal are two events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from flywheel.governance import make_consent_event
from flywheel.ingestion.draft import raw_id
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.timestamps import parse_timestamp
from flywheel.ingestion.turns import demand_list, demand_object, unknown_keys
from flywheel.records import ConsentEvent, Purpose
from flywheel.storage import Ids

FIELDS = frozenset({"purposes", "legal_basis", "policy_version", "granted_at", "withdrawn_at", "expires_at"})
PURPOSES: tuple[Purpose, ...] = ("labeling", "training", "evaluation")


def consent_events_of(value: Any, subject_id: str, *, ids: Ids, now: datetime) -> list[ConsentEvent]:
    """Events of one `consent` object, one a purpose and action. Raises `Rejected` with the field."""
    consent = demand_object(value, "consent")
    unknown_keys(consent, FIELDS, "consent.")
    texts = {}
    for key in ("legal_basis", "policy_version"):
        if not isinstance(consent.get(key), str) or not consent[key].strip():
            raise Rejected("missing_field", f"consent.{key} is missing: a grant without it cannot be relied on", f"consent.{key}")
        texts[key] = consent[key]
    if consent.get("granted_at") is None:
        raise Rejected("missing_field", "consent.granted_at is missing", "consent.granted_at")
    times = {
        key: parse_timestamp(consent[key], f"consent.{key}")[0]
        for key in ("granted_at", "withdrawn_at", "expires_at")
        if consent.get(key) is not None
    }
    purposes = demand_list(consent.get("purposes", []), "consent.purposes")
    for purpose in purposes:
        if purpose not in PURPOSES:
            raise Rejected("invalid_field", f"consent.purposes may hold {', '.join(PURPOSES)}", "consent.purposes")
    moments: list[tuple[Literal["granted", "withdrawn"], datetime, datetime | None]] = [
        ("granted", times["granted_at"], times.get("expires_at"))
    ]
    if "withdrawn_at" in times:
        moments.append(("withdrawn", times["withdrawn_at"], None))
    return [
        make_consent_event(
            ids, subject_id, purpose, action, effective_at=at, expires_at=until, recorded_at=now, source="log",
            legal_basis=texts["legal_basis"], policy_version=texts["policy_version"],
        )
        for purpose in PURPOSES if purpose in purposes
        for action, at, until in moments
    ]  # fmt: skip


def withdrawals_of(row: Mapping[str, Any], *, ids: Ids, now: datetime) -> list[ConsentEvent]:
    """The withdrawals in a row that is itself not taken. Empty where it names no user or its consent cannot be read."""
    consent = row.get("consent")
    if not isinstance(consent, Mapping) or consent.get("withdrawn_at") is None:
        return []
    request = row.get("request")
    try:
        user = raw_id(row, "user_id") or raw_id(request if isinstance(request, Mapping) else row, "user")
        events = consent_events_of(consent, ids.make("subject", user), ids=ids, now=now) if user else []
    except Rejected:
        return []
    return [e for e in events if e.action == "withdrawn"]
