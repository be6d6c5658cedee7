"""The consent ledger in memory: its events as columns, read from the chain and verified line by line on the way, and the fold over them.

300,000 events are about 40 MB here (as objects, they were 800): every question is answered on whole columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import IntegrityError
from flywheel.governance.chain import START, Chain
from flywheel.records import ConsentEvent, Purpose

PURPOSES: tuple[Purpose, ...] = ("labeling", "training", "evaluation")
BATCH = 1 << 14
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = np.iinfo(np.int64).max
Ints = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
WORDS = ("purpose", "action", "legal_basis", "policy_version", "source")
TIMES = ("effective_at", "recorded_at", "expires_at")


class Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a line of the ledger says (`ConsentEvent`), its fields in the order of the canonical form."""

    action: Literal["granted", "withdrawn"]
    effective_at: Moment
    event_id: str
    expires_at: Moment | None
    legal_basis: str
    policy_version: str
    purpose: Purpose
    recorded_at: Moment
    source: str
    subject_id: str


SCHEMA = pa.schema(
    [("event_id", pa.string()), ("subject_id", pa.string())]
    + [(name, pa.dictionary(pa.int32(), pa.string())) for name in WORDS]
    + [(name, pa.timestamp("us", "UTC")) for name in TIMES]
)
encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def micros(moment: datetime) -> int:
    """Microseconds since 1970, exact."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def lines_of(payloads: Iterable[bytes], seq: int, previous: str) -> tuple[bytes, str]:
    """Chained lines that carry `payloads` as their event, and the hash of the last: byte for byte what `Chain.append` writes."""
    made: list[bytes] = []
    last = previous.encode()
    for number, payload in enumerate(payloads, start=seq):
        head, tail = b'{"event":' + payload, b',"previous":"%b","seq":%d}' % (last, number)
        last = hashlib.sha256(head + tail).hexdigest().encode()
        made.append(b'%b,"hash":"%b"%b\n' % (head, last, tail))
    return b"".join(made), last.decode()


def columns_of(lines: Sequence[Line]) -> pa.Table:
    """Lines as columns."""
    arrays = [pa.array([getattr(line, f.name) for line in lines], pa.string() if f.name in WORDS else f.type) for f in SCHEMA]
    return pa.table([a.dictionary_encode() if f.name in WORDS else a for a, f in zip(arrays, SCHEMA, strict=True)], schema=SCHEMA)


REMEMBERED = 4  # answers


@dataclass(frozen=True)
class LedgerState:
    """Every event of the ledger, in its order (`SCHEMA`), and the hash of the last line."""

    table: pa.Table
    head: str = START

    @classmethod
    def empty(cls) -> LedgerState:
        return cls(SCHEMA.empty_table())

    @classmethod
    def load(cls, chain: Chain) -> LedgerState:
        """The chain's events. Raises `IntegrityError` when a line is not as it was appended: it may have been a withdrawal."""
        parts: list[pa.Table] = []
        raw_lines, number, previous = chain.raw_lines(), 0, START.encode()
        while batch := list(islice(raw_lines, BATCH)):
            lines: list[Line] = []
            for raw in batch:
                tail = b',"previous":"%b","seq":%d}' % (previous, number)
                cut = len(raw) - len(tail) - 74  # ,"hash":"<64 digits>"
                previous = hashlib.sha256(raw[: max(cut, 0)] + tail).hexdigest().encode()
                if raw[:9] != b'{"event":' or raw[max(cut, 0) :] != b',"hash":"%b"%b' % (previous, tail):
                    raise _broken(chain, number)
                try:
                    lines.append(_decode(raw[9:cut]))
                except msgspec.DecodeError:
                    raise _broken(chain, number) from None
                number += 1
            parts.append(columns_of(lines))
        return cls(pa.concat_tables(parts), previous.decode()).tidy() if parts else cls.empty()

    def extended(self, lines: Sequence[Line], head: str) -> LedgerState:
        """The state after `lines` were appended."""
        return LedgerState(pa.concat_tables([self.table, columns_of(lines)]), head).tidy()

    def tidy(self) -> LedgerState:
        """One chunk a column, one dictionary a word."""
        return LedgerState(self.table.unify_dictionaries().combine_chunks(), self.head)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def events(self, where: pa.Array | None = None) -> Iterator[ConsentEvent]:
        """Events as records, all or those of a mask."""
        table = self.table if where is None else self.table.filter(where)
        for batch in table.to_batches(max_chunksize=BATCH):
            yield from (ConsentEvent.model_construct(**row) for row in batch.to_pylist())

    def event(self, index: int) -> ConsentEvent:
        """The event at a place."""
        return ConsentEvent.model_construct(**self.table.slice(index, 1).to_pylist()[0])

    @cached_property
    def newest(self) -> datetime | None:
        """The newest moment at which anything was recorded."""
        found: datetime | None = pc.max(self.table["recorded_at"]).as_py()
        return found

    @cached_property
    def subjects(self) -> pa.Array:
        """Every subject that the ledger knows, in the order of appearance."""
        return self._subject_codes.dictionary

    @cached_property
    def subject(self) -> Ints:
        """Of each event, the place of its subject in `subjects`."""
        return np.asarray(self._subject_codes.indices.to_numpy(zero_copy_only=False), np.int64)

    @cached_property
    def _subject_codes(self) -> pa.DictionaryArray:
        return _one(self.table["subject_id"]).dictionary_encode()

    def word(self, name: str) -> tuple[Ints, list[str]]:
        """Of each event, the place of its word in the list."""
        column = _one(self.table[name])
        return np.asarray(column.indices.to_numpy(zero_copy_only=False), np.int64), column.dictionary.to_pylist()

    def says(self, name: str, value: str) -> Flags:
        """Of each event, whether it says just that."""
        codes, words = self.word(name)
        found: Flags = codes == (words.index(value) if value in words else -1)
        return found

    def time(self, name: str) -> Ints:
        """Of each event, a moment in microseconds since 1970; `NEVER` where there is none."""
        column = pc.fill_null(pc.cast(_one(self.table[name]), pa.int64()), int(NEVER))
        return np.asarray(column.to_numpy(zero_copy_only=False), np.int64)

    @cached_property
    def withdrawn(self) -> Flags:
        """Of each event, whether it is a withdrawal."""
        return self.says("action", "withdrawn")

    @cached_property
    def expires(self) -> Ints:
        """Of each event, when it ends."""
        return self.time("expires_at")

    def last_words(self, purpose: str, at: datetime, known_at: datetime | None = None) -> Ints:
        """Of each subject, the place of the event that decides about `purpose` at the moment `at`, and -1 at the end and where there is
        none: the last by `effective_at`, of one moment the withdrawal, then the last of the ledger. `known_at`: by what was recorded then.
        The last few answers are remembered: a table is asked about a few rows at a time."""
        key = (purpose, micros(at), None if known_at is None else micros(known_at))
        if key not in self._answered:
            while len(self._answered) >= REMEMBERED:
                self._answered.pop(next(iter(self._answered)))
            self._answered[key] = self._last_words(*key)
        return self._answered[key]

    @cached_property
    def _answered(self) -> dict[tuple[str, int, int | None], Ints]:
        return {}

    def _last_words(self, purpose: str, at: int, known_at: int | None) -> Ints:
        effective = self.time("effective_at")
        heard = self.says("purpose", purpose) & (effective <= at)
        if known_at is not None:
            heard &= self.time("recorded_at") <= known_at
        index = np.flatnonzero(heard)
        order = index[np.lexsort((index, self.withdrawn[index], effective[index]))]
        decided = np.full(len(self.subjects) + 1, -1, np.int64)
        decided[self.subject[order]] = order  # of several, the last assignment stands
        decided.flags.writeable = False
        return decided

    def places(self, subject_ids: pa.ChunkedArray | pa.Array) -> Ints:
        """Of each id, its place in `subjects`; -1 for a stranger and for null."""
        found = pc.fill_null(pc.index_in(subject_ids, value_set=self.subjects), -1)
        return np.asarray(found.to_numpy() if isinstance(found, pa.ChunkedArray) else found.to_numpy(zero_copy_only=False), np.int64)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks() if column.num_chunks else pa.array([], column.type)


def _broken(chain: Chain, number: int) -> IntegrityError:
    problems = chain.verify() or [f"{chain.path.name} line {number + 1} is no event of consent"]
    return IntegrityError(f"{problems[0]}: nobody's consent can be told from it; restore it from its backup")
