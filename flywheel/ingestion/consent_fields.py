"""The consent that a log row carries, as ledger events. A grant and its later withdrawal are two events."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from flywheel.governance.consent import Action, Statement
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.timestamps import parse_timestamp
from flywheel.ingestion.turns import demand_list, demand_object, unknown_keys
from flywheel.records import Purpose

FIELDS = frozenset({"purposes", "legal_basis", "policy_version", "granted_at", "withdrawn_at", "expires_at"})
PURPOSES: tuple[Purpose, ...] = ("labeling", "training", "evaluation")
# where formats name the user and the conversation, the surer name first
USERS = (
    "user_id", "userId", "user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id", "metadata.user_id", "user",
)  # fmt: skip
CONVERSATIONS = (
    "conversation_id", "conversationId", "gen_ai.conversation.id", "session_id", "sessionId", "session.id", "langfuse.session.id", "episode_id",
)  # fmt: skip
DEEPEST, MOST_LOOKED_AT = 12, 100_000


def statement_of(value: Any) -> dict[str, Any]:
    """A checked `consent` object in one form: purposes in their order, moments as ISO 8601 UTC. Raises `Rejected` with the field."""
    consent = demand_object(value, "consent")
    unknown_keys(consent, FIELDS, "consent.")
    made: dict[str, Any] = {}
    for key in ("legal_basis", "policy_version"):
        if not isinstance(consent.get(key), str) or not consent[key].strip():
            raise Rejected("missing_field", f"consent.{key} is missing: a grant without it cannot be relied on", f"consent.{key}")
        made[key] = consent[key]
    if consent.get("granted_at") is None:
        raise Rejected("missing_field", "consent.granted_at is missing", "consent.granted_at")
    for key in ("granted_at", "withdrawn_at", "expires_at"):
        if consent.get(key) is not None:
            made[key] = parse_timestamp(consent[key], f"consent.{key}")[0].isoformat()
    purposes = demand_list(consent.get("purposes", []), "consent.purposes")
    for purpose in purposes:
        if purpose not in PURPOSES:
            raise Rejected("invalid_field", f"consent.purposes may hold {', '.join(PURPOSES)}", "consent.purposes")
    made["purposes"] = [p for p in PURPOSES if p in purposes]
    return made


def statements_of(statement: Mapping[str, Any], subject_id: str, *, withdrawals: bool = False) -> Iterator[Statement]:
    """What a checked `consent` object says, one statement a purpose and action; with `withdrawals` only those that take back."""
    moments: list[tuple[Action, str, str | None]] = []
    if not withdrawals:
        moments.append(("granted", statement["granted_at"], statement.get("expires_at")))
    if "withdrawn_at" in statement:
        moments.append(("withdrawn", statement["withdrawn_at"], None))
    for purpose in statement["purposes"]:
        for action, at, until in moments:
            yield Statement(
                subject_id, purpose, action, statement["legal_basis"], statement["policy_version"], datetime.fromisoformat(at), "log",
                None if until is None else datetime.fromisoformat(until),
            )  # fmt: skip


class Said(NamedTuple):
    """A statement that takes consent back, found in a row that is no record, with the raw ids that it can be tied to."""

    statement: dict[str, Any]
    user: str | None
    conversation: str | None


def withdrawals_in(row: Mapping[str, Any]) -> list[Said]:
    """What a refused row of any format says to take consent back: objects (or JSON text of one) with `withdrawn_at` under a key that ends in
    "consent", wherever they stand. Of several users that the row names, the one nearest to the statement is meant, and never one of another
    item of a list. A purpose, legal basis or policy that is missing makes nobody's withdrawal void."""
    users: list[_Named] = []
    conversations: list[_Named] = []
    found: list[tuple[tuple[Any, ...], Mapping[str, Any]]] = []
    open_: deque[tuple[tuple[Any, ...], Any]] = deque([((), row)])
    for _ in range(MOST_LOOKED_AT):
        if not open_:
            break
        path, value = open_.popleft()
        value = _opened(value)
        if isinstance(value, Mapping):
            if value.get("withdrawn_at") is not None and path and str(path[-1]).endswith("consent"):
                found.append((path, value))
                continue
            if flat := {k.rpartition("consent.")[2]: v for k, v in value.items() if isinstance(k, str) and "consent." in k}:
                open_.append(((*path, "consent"), flat))
            for key, inner in value.items():
                for names, listed in ((USERS, users), (CONVERSATIONS, conversations)):
                    if key in names and (said := _id(_opened(inner))) is not None:
                        listed.append(_Named((*path, key), names.index(key), said))
                if _may_hold(inner) and len(path) < DEEPEST:
                    open_.append(((*path, key), inner))
        elif isinstance(value, list) and len(path) < DEEPEST:
            open_.extend(((*path, n), inner) for n, inner in enumerate(value) if _may_hold(inner))
    return [Said(_filled(value), _nearest(users, path), _nearest(conversations, path)) for path, value in found]


class _Named(NamedTuple):
    path: tuple[Any, ...]
    rank: int
    value: str


def _may_hold(value: Any) -> bool:
    return "withdrawn_at" in value if isinstance(value, str) else isinstance(value, (Mapping, list))


def _opened(value: Any) -> Any:
    """A value without the wrapping of its format: OpenTelemetry's `{"stringValue": ...}`, its lists of key and value as an object, and text
    that holds JSON in which something is taken back."""
    if isinstance(value, Mapping) and len(value) == 1:
        (name, inner), = value.items()  # fmt: skip
        if isinstance(name, str) and name.endswith(("Value", "_value")):
            value = inner["values"] if isinstance(inner, Mapping) and "values" in inner else inner
    if isinstance(value, list) and value and all(isinstance(v, Mapping) and isinstance(v.get("key"), str) and "value" in v for v in value):
        return {v["key"]: v["value"] for v in value}
    if isinstance(value, str) and "withdrawn_at" in value and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _id(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip() else None


def _scope(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The item of a list that a place lies in."""
    return path[: max((n + 1 for n, step in enumerate(path) if isinstance(step, int)), default=0)]


def _nearest(named: list[_Named], path: tuple[Any, ...]) -> str | None:
    mine = [n for n in named if path[: len(_scope(n.path))] == _scope(n.path)]
    return min(mine, key=lambda n: (-len(_scope(n.path)), len(n.path), n.rank)).value if mine else None


def _filled(value: Mapping[str, Any]) -> dict[str, Any]:
    """A withdrawal as a whole statement: without purposes that can be read it is for all of them."""
    said = {key: _opened(inner) for key, inner in value.items()}
    named = said.get("purposes")
    listed = {p for p in map(_opened, named) if isinstance(p, str)} if isinstance(named, list) else set()
    purposes = [p for p in PURPOSES if p in listed] if listed else list(PURPOSES)
    made = {"purposes": purposes, "granted_at": said["withdrawn_at"], "withdrawn_at": said["withdrawn_at"]}
    for key, otherwise in (("legal_basis", "withdrawal"), ("policy_version", "-")):
        text = said.get(key)
        made[key] = text if isinstance(text, str) and text.strip() else otherwise
    return made
