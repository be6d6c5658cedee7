"""The one lane in which every row becomes a record, whatever it was written in: the same checks, ids, hashes, and what the vault and the
ledger need to know.

Work is done on whole batches, a field at a time; only a batch in which something is wrong is gone through row by row.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.governance.identity import identifying_type, named_type
from flywheel.ingestion.checks import LABELS, Checks
from flywheel.ingestion.columns import Fields, Values, answers_of, fields_of, nested_columns, turns_of
from flywheel.ingestion.consent_fields import statement_of, withdrawals_in
from flywheel.ingestion.formats.flywheel import NAME as OWN
from flywheel.ingestion.json_text import digests, lists, objects, written
from flywheel.ingestion.lane import Columns
from flywheel.ingestion.profiles import fields_of_profiles, flat_profiles, parts_of, with_ids
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow, Message, Response
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.ingestion.timestamps import microseconds
from flywheel.storage.ids import Ids

PLACE = {"seq": pa.int32(), "line": pa.int32(), "offset": pa.int64(), "length": pa.int32()}
TEXT, STAMP = pa.string(), pa.timestamp("us", "UTC")
KNOWN_SUBJECTS = 200_000
RAW_IDS = {"record_id": "id", "conversation_id": "conversation_id", "user_id": "user_id"}
IDENTITIES = pa.schema([("subject_id", TEXT), ("kind", TEXT), ("value", TEXT)])
HEX = np.array([int.from_bytes(b"%02x" % n, "little") for n in range(256)], "<u2")
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
    cells: Fields | None = None  # the rows by columns, where that is known

    def of(self, number: int) -> str:
        """A row's format."""
        return self.format if isinstance(self.format, str) else self.format[number]


class Unfit(NamedTuple):
    """A row of a batch that is no record: its number, why, and its moment (microseconds) where that is known."""

    number: int
    why: Rejected
    moment: int | None


class _Written(NamedTuple):
    """What a batch's rows say beside their text: number of the statement, JSON texts, the fields that were logged of a profile (to the text
    ids are added), and content hashes, one after the other."""

    statements: list[int]
    metadata: list[bytes]
    logged: list[dict[str, str]]
    profiles: Values | pa.Array
    content: bytes


@dataclass
class Finisher:
    """Turns rows of one chunk into columns. Subjects, conversations, consent statements and labels repeat: each is worked out once."""

    ids: Ids
    source: str
    taxonomy: Taxonomy
    statements: dict[str, int] = field(default_factory=dict)  # canonical JSON -> number
    losses: dict[str, int] = field(default_factory=lambda: {"{}": 0})  # canonical JSON of counts -> number
    identities: list[pa.Table] = field(default_factory=list)  # what profiles tell about who someone is, again and again

    def __post_init__(self) -> None:
        self._records = self.ids.digests("record", self.source)
        self._conversation, self._subject = self.ids.series("conversation"), self.ids.series("subject")
        self._subjects = _SUBJECTS.setdefault(self.ids.fingerprint, {})  # users come again in later chunks
        self._conversations: dict[str, str] = {}
        self._said: dict[bytes, int | Rejected] = {b"null": -1}
        self.checks = Checks()
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
        cells = cells_of(rows) if batch.cells is None else batch.cells
        moments, zoneless, wrong = microseconds(cells["timestamp"])
        bad = {n: Unfit(n, why, None) for n, why in wrong.items()}
        said, answered = turns_of(cells), answers_of(cells)
        made = None
        if not bad and self.checks.regular(cells, said, answered):
            with suppress(*FAULTS):
                made = self._written(cells, moments)
        if made is None:
            for number, row in enumerate(rows):
                if number not in bad and (why := self._wrong(row, moments[number])):
                    bad[number] = Unfit(number, why, moments[number])
            kept = [n for n in kept if n not in bad]  # type: ignore[assignment]
            if not kept:
                return None, list(bad.values())
            cells, moments = cells_of([rows[n] for n in kept]), [moments[n] for n in kept]
            said, answered, made = turns_of(cells), answers_of(cells), self._written(cells, moments)
        # (see also `finish_columns`, which gives the same of what needs no second look)
        losses = self._losses(batch, kept, zoneless)
        table = self._table(cells, moments, made) | nested_columns(cells, said, answered)
        for part, profiles in parts_of(made.logged):
            self._remember(table["subject_id"][part], fields_of_profiles(profiles))
        table["format"] = (
            pa.repeat(pa.scalar(batch.format, TEXT), len(kept)) if isinstance(batch.format, str) else pa.array([batch.format[n] for n in kept], TEXT)
        )  # fmt: skip
        for name, kind in PLACE.items():
            table[name] = pa.array(batch.places[name] if not bad else [batch.places[name][n] for n in kept], kind)
        table["losses"] = pa.array(losses, pa.int32())
        return pa.table(table), sorted(bad.values())

    def finish_columns(self, read: Columns, places: Mapping[str, Any]) -> pa.Table | None:
        """The same of rows that the quick lane has read; None where one of them is no record."""
        flat, plain = read.flat, read.plain
        try:
            statements = self._statement_numbers(read.consent, read.count)
        except FAULTS:
            return None
        raw = {n: written(flat[c], plain=plain) for n, c in RAW_IDS.items() if flat[c].null_count < read.count}
        logged = {n: written(v, plain=plain) for n, v in read.profile.items()} | raw
        profiles = objects({n: logged[n] for n in sorted(logged)})
        turns = {f: written(read.said[f], plain=plain) for f in Message.__struct_fields__ if f in read.said}
        answers = {f: written(read.answered[f], plain=plain) for f in Response.__struct_fields__ if f in read.answered}
        texts = objects({
            **{n: written(flat[n], plain=plain) for n in CanonicalRow.__struct_fields__ if n in flat and n != "id"},
            "messages": lists(objects(turns), read.messages), "responses": lists(objects(answers), read.responses), "profile": profiles,
        })  # fmt: skip
        cells = {**{n: flat[n].to_pylist() for n in RAW_IDS.values()}, **{n: flat[n] for n in LABELS}}
        given = {"raw_id": flat["id"], "raw_conversation": flat["conversation_id"], "raw_user": flat["user_id"],
                 "metadata": pa.repeat(pa.scalar("{}", TEXT), read.count)}  # fmt: skip
        said = _Written(statements, [], [], profiles.values, digests(texts.values))
        table = self._table(cells, flat["timestamp"], said, given) | {"messages": read.messages, "responses": read.responses}
        self._remember(table["subject_id"], iter(read.profile.items()))
        table["format"] = pa.repeat(pa.scalar(OWN, TEXT), read.count)
        for name, kind in PLACE.items():
            table[name] = pa.array(places[name], kind)
        table["losses"] = pa.repeat(pa.scalar(0, pa.int32()), read.count)
        return pa.table(table)

    def _statement_numbers(self, said: pa.StructArray | None, count: int) -> list[int]:
        """Raises `Rejected`."""
        if said is None:
            return [-1] * count
        fields = [pc.binary_join(f, ",") if pa.types.is_list(f.type) else f for f in said.flatten()]
        which = said.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        for encoded in (f.dictionary_encode() for f in fields):
            if encoded.null_count or len(encoded.dictionary) > 1:
                code = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
                which = np.unique(which * (len(encoded.dictionary) + 1) + code, return_inverse=True)[1]
        _, first, which = np.unique(which, return_index=True, return_inverse=True)
        numbers = np.full(len(first), -1)
        for one in np.argsort(first).tolist():
            value = said[int(first[one])].as_py()
            if value is not None:
                numbers[one] = self._statement(self._encoder.encode({k: v for k, v in value.items() if v is not None}))
        return list(numbers[which].tolist())

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
            self.checks.check(row)
            self._written(cells_of([row]), [moment])
        except Rejected as why:
            return why
        except (ValueError, OverflowError, RecursionError) as error:  # half a character, found inside a text that held JSON
            return Rejected("invalid_field", f"the row cannot be written: {error}", None)
        return None

    def _written(self, cells: Fields, moments: list[int]) -> _Written:
        """Raises one of `FAULTS`; changes no row."""
        said, consents = self._said, cells["consent"]
        if len(set(consents)) == 1:
            statements = [self._statement(consents[0])] * len(consents)
        else:
            statements = [n if type(n := said.get(raw)) is int else self._statement(raw) for raw in consents]
        metadata = [self._json(m, "metadata") if m else b"{}" for m in cells["metadata"]]
        logged = flat_profiles(cells["profile"])
        profiles = self._sorted.encode_lines(with_ids(logged, cells)).split(b"\n")
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
        return _Written(statements, metadata, logged, profiles, b"".join([sha256(line).digest() for line in lines]))

    def _table(
        self, cells: Fields, moments: Values | pa.Array, written: _Written, given: Mapping[str, pa.Array] | None = None
    ) -> dict[str, pa.Array]:
        """The flat columns; those that are `given` stay as they are."""
        ids, users, raw = cells["id"], cells["user_id"], cells["conversation_id"]
        content, records = hex_texts(written.content, 32), self._record_ids(ids, written.content)
        known = self._subjects
        if None in raw or None in users:
            conversations = self._conversation_ids(raw, records.to_pylist())
            subjects = [
                (known.get(u) or self.subject_of(u)) if u is not None else self.ids.make("subject", "", c)
                for u, c in zip(users, conversations, strict=True)
            ]
        else:
            conversations, subjects = self._conversation_ids(raw, raw), [known.get(u) or self.subject_of(u) for u in users]
        texts: dict[str, Values | pa.Array] = {
            "conversation_id": conversations, "subject_id": subjects, "profile": written.profiles, "metadata": written.metadata, "raw_id": ids,
            "raw_conversation": raw, "raw_user": users, "language": cells["language"], "said_task_type": cells["task_type"],
            "said_domain": cells["domain"], **(given or {}),
        }  # fmt: skip
        arrays = {"record_id": records, "content_sha256": content, **{name: _array(values) for name, values in texts.items()}}
        arrays["consent"] = pa.array(written.statements, pa.int32())
        arrays["timestamp"] = (moments if isinstance(moments, pa.Array) else pa.array(moments, pa.int64())).cast(STAMP)
        return arrays

    def _record_ids(self, raw: Values, content: bytes) -> pa.Array:
        if None not in raw:
            return hex_texts(self._records(raw), 16)
        unnamed = ((number, content[32 * number : 32 * number + 32].hex()) for number, i in enumerate(raw) if i is None)
        made = {number: self.ids.make("record", self.source, "", c) for number, c in unnamed}
        found = self._records(["" if i is None else i for i in raw])
        return pa.array([made.get(n) or found[16 * n : 16 * n + 16].hex() for n in range(len(raw))], TEXT)

    def _conversation_ids(self, raw: Values, records: Sequence[str]) -> list[str]:
        known, make = self._conversations, self._conversation
        return [
            (known.get(c) or known.setdefault(c, make(c))) if c is not None else self.ids.make("conversation", "", r)
            for c, r in zip(raw, records, strict=True)
        ]

    def _remember(self, subjects: pa.Array, fields: Iterator[tuple[str, pa.Array]]) -> None:
        """What profiles tell about who someone is: `fields` of the subjects' profiles, null where one has none."""
        for name, values in fields:
            kind = self._kinds[name] if name in self._kinds else self._kinds.setdefault(name, named_type(name))
            if kind is not None:
                kinds = pa.repeat(pa.scalar(kind, TEXT), len(values))
            else:
                kinds = pa.array([None if v is None else identifying_type(name, v) for v in values.to_pylist()], TEXT)
            table = pa.table([subjects, kinds, values], schema=IDENTITIES)
            self.identities.append(table.drop_null() if values.null_count or kinds.null_count else table)

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


def cells_of(rows: Sequence[CanonicalRow]) -> dict[str, Values]:
    """Rows by columns; consent as the bytes that stood in the row."""
    cells = fields_of(CanonicalRow, rows)
    cells["consent"] = list(map(bytes, cells["consent"]))
    return cells


def _array(texts: Values | pa.Array) -> pa.Array:
    return texts if isinstance(texts, pa.Array) else pa.array(texts, TEXT)


def hex_texts(digests: bytes, width: int) -> pa.Array:
    """Digests of `width` bytes each as texts of hex digits."""
    digits = HEX[np.frombuffer(digests, np.uint8)]
    offsets = np.arange(0, len(digests) * 2 + 1, width * 2, dtype=np.int32)
    return pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(digits))
