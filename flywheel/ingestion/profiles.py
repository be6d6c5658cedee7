"""Profiles of whole batches: as flat text fields, with the raw ids of their rows, by fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa

from flywheel.ingestion.identities import flat_profile

OWN_NAMES = dict.fromkeys(("record_id", "conversation_id", "user_id"))
CELLS = 100_000


def flat_profiles(profiles: Sequence[Any]) -> list[dict[str, str]]:
    """Every profile as text fields; without any where there is none."""
    values = list(chain.from_iterable(p.values() for p in profiles if p))
    if set(map(type, values)) <= {str} and all(values) and not any(map(str.isspace, values)):
        return [p or {} for p in profiles]
    return [flat_profile(p) if p else {} for p in profiles]


def with_ids(profiles: Sequence[dict[str, str]], cells: Mapping[str, Sequence[Any]]) -> list[dict[str, str]]:
    """Profiles with the raw ids of their rows; a logged field of such a name that says something else stays beside it."""
    ids = list(zip(cells["id"], cells["conversation_id"], cells["user_id"], strict=True))
    if not any(None in i for i in ids) and all(map(OWN_NAMES.keys().isdisjoint, profiles)):
        return [{**p, "record_id": i, "conversation_id": c, "user_id": u} for p, (i, c, u) in zip(profiles, ids, strict=True)]
    made = []
    for profile, own in zip(profiles, ids, strict=True):
        fields = dict(profile)
        for name, value in zip(OWN_NAMES, own, strict=True):
            if value is not None:
                fields.setdefault(name if fields.get(name, value) == value else f"log.{name}", value)
        made.append(fields)
    return made


def parts_of(profiles: Sequence[Mapping[str, str]], start: int = 0) -> Iterator[tuple[slice, Sequence[Mapping[str, str]]]]:
    """Profiles in parts that make small tables, and where each part lies: where they hold lists, with a name for every item, most cells of
    one table for all would be empty."""
    names = len(set(chain.from_iterable(profiles)))
    middle = len(profiles) // 2
    if names * len(profiles) > CELLS and middle:
        yield from parts_of(profiles[:middle], start)
        yield from parts_of(profiles[middle:], start + middle)
    elif names:
        yield slice(start, start + len(profiles)), profiles


def fields_of_profiles(profiles: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, pa.Array]]:
    """Every field that one of them has."""
    for name in dict.fromkeys(chain.from_iterable(profiles)):
        yield name, pa.array([p.get(name) for p in profiles], pa.string())
