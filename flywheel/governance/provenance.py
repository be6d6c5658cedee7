"""The provenance log: what happened to data and who looked, as hash-chained events `{seq, kind, payload, at, previous, hash}`.

Payloads name things by id and hash, never by content: the log lies in the open zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flywheel.errors import BadInput
from flywheel.governance.chain import Body, Chain, canonical


class ProvenanceLog:
    """The log at `path`. Append-only, fsynced, safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path)

    @property
    def path(self) -> Path:
        return self._chain.path

    def append(self, kind: str, payload: Mapping[str, Any], at: datetime) -> str:
        """Add an event; returns its hash once it is on disk."""
        body = _event(kind, payload, at)
        return str(self._chain.append(lambda _: [body])[0]["hash"])

    def append_once(self, key: str, kind: str, payload: Mapping[str, Any], at: datetime) -> str:
        """Add an event unless the newest one under `key` says the same (a rerun adds nothing; a changed payload is a new event). Returns
        the hash of the one that stands."""
        body = {**_event(kind, payload, at), "key": key}
        standing: list[Body] = []

        def choose(there: list[Body]) -> list[Body]:
            newest = next((line for line in reversed(there) if line.get("key") == key), None)
            if newest and newest["kind"] == kind and newest["payload"] == body["payload"]:
                standing.append(newest)
                return []
            return [body]

        added = self._chain.append(choose)
        return str((added or standing)[0]["hash"])

    def events(self, kind: str | None = None) -> Iterator[dict[str, Any]]:
        """Events in order, all or of one kind."""
        return (line for line in self._chain.lines() if kind is None or line["kind"] == kind)

    def head(self) -> str:
        """Hash of the last event; 64 zeros for an empty log."""
        return self._chain.head()

    def verify(self) -> list[str]:
        """What is wrong with the chain; empty when nothing was altered."""
        return self._chain.verify()


def _event(kind: str, payload: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    if at.tzinfo is None:
        raise BadInput("an event's time needs a time zone")
    import json

    try:
        plain = json.loads(canonical(dict(payload)))  # as it will be read back
    except (TypeError, ValueError) as error:
        raise BadInput(f"the payload of a {kind} event is not plain JSON: {error}") from None
    return {"kind": kind, "payload": plain, "at": at.isoformat()}
