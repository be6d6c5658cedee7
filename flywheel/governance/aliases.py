"""Short names for values in a conversation: `[PERSON_1]`, `[ORDER_2]`.

Numbers follow the first appearance within the conversation (its records of one table in the order of time, each record's fields in the
order of the schema), so that the same conversation reads the same in any batch, order or process. One value is one alias however it is
spelt; a part of a person's name is that person. Numbers that the log itself uses stay as they are and are given to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from flywheel.governance.identity import alias_name
from flywheel.governance.normalise import folded
from flywheel.governance.profile_layer import name_parts, near_name

LITERAL = re.compile(r"\[([A-Z][A-Z_]{1,30})_(\d{1,6})\]")
DIGIT_TYPES = frozenset({"PHONE", "CARD", "IBAN", "GOVERNMENT"})


def literal_aliases(text: str) -> list[tuple[str, int]]:
    """(name, number) of every alias that a text already holds."""
    return [(m[1], int(m[2])) for m in LITERAL.finditer(text)] if "[" in text else []


def value_key(name: str, value: str) -> str:
    """What two spellings of one value have in common."""
    plain = folded(value).strip(" .,;:!?'\"()")
    if name in DIGIT_TYPES:
        digits = re.sub(r"\D", "", plain)
        if len(digits) >= 6:
            return digits[-9:] if name == "PHONE" else digits
    return re.sub(r"[\s-]+", "", plain) if name in ("ORDER", "ACCOUNT", "TICKET") else plain


def assign(
    found: Sequence[tuple[str, str]],
    *,
    taken: Iterable[tuple[str, int]] = (),
    known: Mapping[tuple[str, str], str] | None = None,
    anchors: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Aliases for (type, value) in order of appearance. `taken` numbers are given to no new value; `known` maps (alias name, value key) to
    an alias that the conversation already has for it. `anchors` are whole values (the profile's full name) that parts link through."""
    named = [(alias_name(type), value) for type, value in found]
    keys = _linked([*named, *((alias_name(type), value) for type, value in anchors)])[: len(named)]
    given: dict[tuple[str, str], str] = dict(known or {})
    used = set(taken)
    for there in given.values():
        used.update(literal_aliases(there))
    next_number: dict[str, int] = {}
    result = []
    for (name, value), key in zip(named, keys, strict=True):
        alias = given.get((name, key)) or given.get((name, value_key(name, value))) or ""
        if not alias:
            number = next_number.get(name, 1)
            while (name, number) in used:
                number += 1
            next_number[name] = number + 1
            used.add((name, number))
            alias = f"[{name}_{number}]"
        given[(name, key)] = alias
        result.append(alias)
    return result


def _linked(named: Sequence[tuple[str, str]]) -> list[str]:
    """A key for each value; values that are the same thing get one key."""
    distinct = list(dict.fromkeys(named))
    keys = {item: value_key(*item) for item in distinct}
    people = sorted(
        ((tuple(p.casefold() for p in name_parts(value)), index, value) for index, (name, value) in enumerate(distinct) if name == "PERSON"),
        key=lambda p: (-len(p[0]), -sum(map(len, p[0])), p[1]),
    )  # fmt: skip
    clusters: list[tuple[tuple[str, ...], str]] = []
    for parts, _, value in people:
        match = next((c for c in clusters if parts and _same_person(parts, c[0])), None)
        if match is None:
            clusters.append((parts, keys[("PERSON", value)]))
        else:
            keys[("PERSON", value)] = match[1]
    places = sorted({keys[item] for item in distinct if item[0] == "ADDRESS"}, key=lambda k: (-len(k), k))
    for item in distinct:
        if item[0] == "ADDRESS":
            keys[item] = next((p for p in places if keys[item] in p), keys[item])
    return [keys[item] for item in named]


def _same_person(parts: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    """Is every part one of the whole name's? Beside one that is, the beginning of another will do: Kat Brandvold is Katarina Brandvold."""
    if all(_is_part(p, whole) for p in parts):
        return True
    exact = [p for p in parts if p in whole]
    return bool(exact) and all(p in exact or any(len(p) >= 3 and w.startswith(p) for w in whole) for p in parts)


def _is_part(part: str, parts: tuple[str, ...]) -> bool:
    return part in parts or near_name(part, parts)
