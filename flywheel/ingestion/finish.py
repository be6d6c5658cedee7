"""The one lane in which every row becomes a record, whatever it was written in: the same checks, ids, hashes, and what the vault and the
ledger need to know.

Work is done on whole batches, a field at a time; only a batch in which something is wrong is gone through row by row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice, repeat
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from flywheel.governance.identity import identifying_type, named_type
from flywheel.ingestion.checks import Checks
from flywheel.ingestion.columns import Fields, Values, answers_of, fields_of, nested_columns, turns_of
from flywheel.ingestion.consent_fields import statement_of, withdrawals_in
from flywheel.ingestion.identities import flat_profile
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.ingestion.timestamps import microseconds
from flywheel.storage.ids import Ids

PLACE = {"seq": pa.int32(), "line": pa.int32(), "offset": pa.int64(), "length": pa.int32()}
TEXT, STAMP = pa.string(), pa.timestamp("us", "UTC")
KNOWN_SUBJECTS = 200_000
OWN_NAMES = frozenset({"record_id", "conversation_id", "user_id"})
_SUBJECTS: dict[str, dict[str, str]] = {}
NO_ZONE = "time zone not said, read as UTC"
FAULTS = (Rejected, ValueError, OverflowError, RecursionError)


class Entry(msgspec.Struct, gc=False):
    """A row on its way, with its place in the chunk: number of the item, of its line, of the line's first byte, and how many bytes."""

    row: CanonicalRow
    format: str
    seq: int
    line: int
    offset: int
    length: int
    losses: Counter[str] | None = None
    data: bytes | None = None  # the line, for an entry of the fast lane: it is read again if it is no record
    source: Any = None  # the canonical row as it was, for any other entry
    raw: str = ""  # what the quarantine would show of that one


@dataclass
class Batch:
    """Rows on their way, with their places, all of one format or each of its own."""

    rows: Sequence[CanonicalRow]
    format: str | Sequence[str]
    places: Mapping[str, Any]  # by the names of `PLACE`
    losses: Sequence[Counter[str] | None] | None = None

    def of(self, number: int) -> str:
        """A row's format."""
        return self.format if isinstance(self.format, str) else self.format[number]


class Unfit(NamedTuple):
    """A row of a batch that is no record: its number, why, and its moment (microseconds) where that is known."""

    number: int
    why: Rejected
    moment: int | None


class _Written(NamedTuple):
    """What a batch's rows say beside their text: number of the statement, JSON texts, content hash, and how many fields were logged of a
    profile (ids are added to it)."""

    statements: list[int]
    metadata: list[bytes]
    flat: list[dict[str, str]]
    logged: list[int]
    profiles: list[bytes]
    content: list[str]


@dataclass
class Finisher:
    """Turns rows of one chunk into columns. Subjects, conversations, consent statements and labels repeat: each is worked out once."""

    ids: Ids
    source: str
    taxonomy: Taxonomy
    statements: dict[str, int] = field(default_factory=dict)  # canonical JSON -> number
    losses: dict[str, int] = field(default_factory=lambda: {"{}": 0})  # canonical JSON of counts -> number
    identities: dict[tuple[str, str, str], None] = field(default_factory=dict)  # a set that keeps its order

    def __post_init__(self) -> None:
        self._record = self.ids.series("record", self.source)
        self._conversation, self._subject = self.ids.series("conversation"), self.ids.series("subject")
        self._subjects = _SUBJECTS.setdefault(self.ids.fingerprint, {})  # users come again in later chunks
        self._conversations: dict[str, str] = {}
        self._said: dict[bytes, int | Rejected] = {b"null": -1}
        self._checks = Checks()
        self._kinds: dict[str, str | None] = {}
        self._encoder, self._sorted = msgspec.json.Encoder(), msgspec.json.Encoder(order="sorted")

    def finish(self, entries: Sequence[Entry]) -> tuple[pa.Table | None, list[tuple[Entry, Rejected, int | None]]]:
        """The columns of the good rows, and the bad ones, each with why and its moment (microseconds) where that is known."""
        places = {name: [getattr(e, name) for e in entries] for name in PLACE}
        table, bad = self.finish_batch(Batch([e.row for e in entries], [e.format for e in entries], places, [e.losses for e in entries]))
        return table, [(entries[n], why, moment) for n, why, moment in bad]

    def finish_batch(self, batch: Batch) -> tuple[pa.Table | None, list[Unfit]]:
        """The same of a batch. Rows are given their one form where they are."""
        rows, kept = batch.rows, range(len(batch.rows))
        moments, zoneless, wrong = microseconds([r.timestamp for r in rows])
        bad = {n: Unfit(n, why, None) for n, why in wrong.items()}
        cells = fields_of(CanonicalRow, rows)
        said, answered = turns_of(cells), answers_of(cells)
        written = None
        if not bad and self._checks.regular(cells, said, answered):
            with suppress(*FAULTS):
                written = self._written(cells, moments)
        if written is None:
            for number, row in enumerate(rows):
                if number not in bad and (why := self._wrong(row, moments[number])):
                    bad[number] = Unfit(number, why, moments[number])
            kept = [n for n in kept if n not in bad]  # type: ignore[assignment]
            if not kept:
                return None, list(bad.values())
            cells, moments = fields_of(CanonicalRow, [rows[n] for n in kept]), [moments[n] for n in kept]
            said, answered, written = turns_of(cells), answers_of(cells), self._written(cells, moments)
        losses = self._losses(batch, kept, zoneless)
        table = self._table(cells, moments, written) | nested_columns(cells, said, answered)
        table["format"] = (
            pa.repeat(pa.scalar(batch.format, TEXT), len(kept)) if isinstance(batch.format, str) else pa.array([batch.format[n] for n in kept], TEXT)
        )  # fmt: skip
        for name, kind in PLACE.items():
            table[name] = pa.array(batch.places[name] if not bad else [batch.places[name][n] for n in kept], kind)
        table["losses"] = pa.array(losses, pa.int32())
        return pa.table(table), sorted(bad.values())

    def _losses(self, batch: Batch, kept: Sequence[int], zoneless: set[int]) -> list[int]:
        if batch.losses is None and not zoneless:
            return [0] * len(kept)
        found = []
        for number in kept:
            losses = batch.losses[number] if batch.losses is not None else None
            if number in zoneless:
                losses = Counter({**(losses or {}), f"{batch.of(number)}: {NO_ZONE}": 1})
            found.append(self.losses.setdefault(json.dumps(losses, sort_keys=True), len(self.losses)) if losses else 0)
        return found

    def _wrong(self, row: CanonicalRow, moment: int) -> Rejected | None:
        """Why a row cannot be a record."""
        try:
            self._checks.check(row)
            self._written(fields_of(CanonicalRow, [row]), [moment])
        except Rejected as why:
            return why
        except (ValueError, OverflowError, RecursionError) as error:  # half a character, found inside a text that held JSON
            return Rejected("invalid_field", f"the row cannot be written: {error}", None)
        return None

    def _written(self, cells: Fields, moments: list[int]) -> _Written:
        """Raises one of `FAULTS`; changes no row."""
        said, flat, logged = self._said, [], []
        statements = [n if type(n := said.get(raw)) is int else self._statement(raw) for raw in map(bytes, cells["consent"])]
        metadata = [self._json(m, "metadata") if m else b"{}" for m in cells["metadata"]]
        for profile, id_, conversation, user in zip(cells["profile"], cells["id"], cells["conversation_id"], cells["user_id"], strict=True):
            fields = _flat(profile)
            logged.append(len(fields))
            if fields.keys().isdisjoint(OWN_NAMES):
                if id_ is not None:
                    fields["record_id"] = id_
                if conversation is not None:
                    fields["conversation_id"] = conversation
                if user is not None:
                    fields["user_id"] = user
            else:
                for name, value in (("record_id", id_), ("conversation_id", conversation), ("user_id", user)):
                    if value is not None:
                        fields.setdefault(name if fields.get(name, value) == value else f"log.{name}", value)
            flat.append(fields)
        profiles = self._sorted.encode_lines(flat).split(b"\n")
        profiles.pop()
        # the row as it is hashed: without its own id, everything else in one form
        none = repeat(None)
        hashed = map(
            CanonicalRow, none, moments, cells["conversation_id"], cells["user_id"], cells["domain"], cells["task_type"], cells["language"],
            cells["messages"], cells["responses"], none, none, cells["feedback"], cells["template"],
            [msgspec.Raw(p) if p != b"{}" else None for p in profiles],
            [msgspec.Raw(t) if m else None for m, t in zip(cells["metadata"], metadata, strict=True)],
        )  # fmt: skip
        lines = self._encoder.encode_lines(list(hashed)).split(b"\n")
        lines.pop()
        return _Written(statements, metadata, flat, logged, profiles, [sha256(line).hexdigest() for line in lines])

    def _table(self, cells: Fields, moments: list[int], written: _Written) -> dict[str, pa.Array]:
        """The flat columns."""
        ids, users = cells["id"], cells["user_id"]
        record = self._record
        records = [
            record(i) if i is not None else self.ids.make("record", self.source, "", c) for i, c in zip(ids, written.content, strict=True)
        ]
        conversations = self._conversation_ids(cells["conversation_id"], records)
        known = self._subjects
        subjects = [
            (known.get(u) or self.subject_of(u)) if u is not None else self.ids.make("subject", "", c)
            for u, c in zip(users, conversations, strict=True)
        ]
        self._remember(subjects, written)
        texts: dict[str, Values] = {
            "record_id": records, "conversation_id": conversations, "subject_id": subjects, "content_sha256": written.content,
            "profile": written.profiles, "metadata": written.metadata, "raw_id": ids, "raw_conversation": cells["conversation_id"], "raw_user": users,
            "language": cells["language"], "said_task_type": cells["task_type"], "said_domain": cells["domain"],
        }  # fmt: skip
        arrays = {name: pa.array(values, TEXT) for name, values in texts.items()}
        arrays["consent"] = pa.array(written.statements, pa.int32())
        arrays["timestamp"] = pa.array(moments, pa.int64()).cast(STAMP)
        return arrays

    def _conversation_ids(self, raw: Values, records: Sequence[str]) -> list[str]:
        known, make = self._conversations, self._conversation
        return [
            (known.get(c) or known.setdefault(c, make(c))) if c is not None else self.ids.make("conversation", "", r)
            for c, r in zip(raw, records, strict=True)
        ]

    def _remember(self, subjects: Sequence[str], written: _Written) -> None:
        """What profiles tell about who someone is."""
        kinds, identities = self._kinds, self.identities
        for subject, fields, count in zip(subjects, written.flat, written.logged, strict=True):
            for key, value in islice(fields.items(), count):
                kind = kinds[key] if key in kinds else kinds.setdefault(key, named_type(key))
                kind = kind or identifying_type(key, value)
                if kind is not None:
                    identities[subject, kind, value] = None

    def withdrawals_of(self, row: Mapping[str, Any]) -> set[tuple[str, int]]:
        """(subject, statement) of what a row that is not taken takes back: that needs no good row."""
        found = set()
        for said in withdrawals_in(row):
            if said.user is None and said.conversation is None:
                continue
            with suppress(Rejected):  # no moment that could be read
                statement = self._statement(self._json(said.statement, "consent"))
                unnamed = "" if said.conversation is None else self.ids.make("subject", "", self._conversation(said.conversation))
                found.add((unnamed if said.user is None else self.subject_of(said.user), statement))
        return found

    def _statement(self, raw: bytes) -> int:
        found = self._said.get(raw)
        if found is None:
            try:
                text = json.dumps(statement_of(msgspec.json.decode(raw)), sort_keys=True)
                found = self.statements.setdefault(text, len(self.statements))
            except Rejected as why:
                found = why
            except (ValueError, RecursionError) as error:
                found = Rejected("invalid_field", f"consent cannot be read: {error}", "consent")
            self._said[raw] = found
        if isinstance(found, Rejected):
            raise found
        return found

    def subject_of(self, user: str) -> str:
        """The subject that a raw user id stands for."""
        found = self._subjects.get(user)
        if found is None:
            if len(self._subjects) > KNOWN_SUBJECTS:
                self._subjects.clear()
            found = self._subjects[user] = self._subject(user)
        return found

    def _json(self, value: Any, field: str) -> bytes:
        try:
            return self._sorted.encode(value)
        except (OverflowError, ValueError, RecursionError):  # a whole number beyond 64 bits
            pass
        try:
            text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            return text.encode()
        except (ValueError, RecursionError) as error:
            raise Rejected("invalid_field", f"{field} cannot be held: {error}", field) from None


def _flat(profile: dict[str, Any] | None) -> dict[str, str]:
    if not profile:
        return {}
    for value in profile.values():
        if type(value) is not str or not value or value.isspace():
            return flat_profile(profile)
    return dict(profile)
