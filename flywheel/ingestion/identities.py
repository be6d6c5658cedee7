"""What a log says about who a person is: raw ids and profile fields, for the vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flywheel.governance import Identity, flat_fields, identifying_type
from flywheel.ingestion.quarantine import Rejected


def flat_profile(profile: Any) -> dict[str, str]:
    """A profile as text fields: nested objects by dotted keys, list items by number; empty values left out. Raises `Rejected`."""
    if not isinstance(profile, Mapping):
        raise Rejected("invalid_field", "profile must be an object of account fields", "profile")
    return flat_fields(profile)


def identities_of(subject_id: str, profile: Mapping[str, str]) -> list[Identity]:
    """The fields of a profile that tell who someone is (a loyalty tier does not), sorted."""
    kinds = ((identifying_type(key, value), value) for key, value in profile.items())
    return sorted({Identity(subject_id, kind, value) for kind, value in kinds if kind is not None})
