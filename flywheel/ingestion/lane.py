"""The quick lane: ordinary lines of our own form to columns, many at once and without a Python object for any of them.

It takes a run of lines only where nothing about any of them is out of the ordinary: known fields of the usual types, each once, no text
that is blank, no escape that is no character. For anything else it says no, and the lines go the way of `flywheel.ingestion.parse`, which
stays the definition of what is right. What fields lines have it learns from a few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from flywheel.ingestion.checks import LABELS, NAMES, Checks
from flywheel.ingestion.columns import GENERATION, MESSAGE, RESPONSE
from flywheel.ingestion.consent_fields import FIELDS, PURPOSES
from flywheel.ingestion.narrow import struct
from flywheel.ingestion.timestamps import usual_times

ROWS = (16_384, 2_048)  # at once: as many as a chunk mostly has, and where these were refused
SAMPLED = 100  # lines of a run that are looked at for their fields: where one of them is odd, the others are not even read
MOST_FIELDS = 200  # of a profile
PATIENCE = 3  # runs of a chunk that may be refused beyond those that were taken
TEXT = pa.string()
TOP = dict.fromkeys(("timestamp", *NAMES, *LABELS), TEXT)
TURN = {f.name: TEXT for f in MESSAGE if f.name != "tool_calls"}
ANSWER = {"text": TEXT, "model": TEXT, **{f.name: f.type for f in GENERATION if f.name != "model_id" and not pa.types.is_nested(f.type)}}
SAID = {name: pa.list_(TEXT) if name == "purposes" else TEXT for name in FIELDS}
ROLES = pa.array(["system", "developer", "user", "assistant", "tool"])
SOMETHING = r"[^\t-\r\x1c-\x20\x{85}\p{Z}]"  # what `str.isspace` says no to, and nothing else
Kinds = Mapping[str, pa.DataType]


@dataclass
class Columns:
    """Ordinary rows. `flat` holds every field of `TOP` (times in microseconds); `said` and `answered` the fields of all turns and answers,
    which `messages` and `responses` hold as the table has them. `plain`: no text needs an escape in JSON."""

    count: int
    flat: dict[str, pa.Array]
    messages: pa.ListArray
    said: dict[str, pa.Array]
    responses: pa.ListArray
    answered: dict[str, pa.Array]
    profile: dict[str, pa.Array]
    consent: pa.StructArray | None
    plain: bool


class NotOrdinary(Exception):
    """Something in these lines is for the other way to judge."""


@dataclass
class Lane:
    """Reads the runs of one chunk. Gives up where hardly any is ordinary."""

    checks: Checks
    _known: dict[str, dict[str, pa.DataType]] = field(default_factory=dict)
    _refused: int = 0

    @property
    def open(self) -> bool:
        """Is it worth while to ask?"""
        return self._refused < PATIENCE

    def settle(self, *, taken: bool) -> None:
        """What became of a run."""
        self._refused += -1 if taken else 1

    def read(self, data: bytes, start: int, end: int, count: int) -> Columns:
        """So many lines, each of which begins with `{` and ends with `}`. Raises `NotOrdinary`."""
        for line in _some(data, start, end):
            try:
                _demand(self._learn(msgspec.json.decode(line)))
            except (ValueError, RecursionError):
                raise NotOrdinary from None
        try:
            return self._columns(data, start, end, count)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            raise NotOrdinary from None

    def _learn(self, row: Any) -> bool:
        """Note what fields a row has. Could it be an ordinary one?"""
        if type(row) is not dict:
            return False
        turns, answers, profile = row.pop("messages", None), row.pop("responses", None), row.pop("profile", None)
        fits = self._note("consent", row.pop("consent", None), SAID) and self._note("", row, TOP)
        for name, held, kinds in (("messages", turns, TURN), ("responses", answers, ANSWER)):
            fits = fits and type(held) is list and all(self._note(name, item, kinds) for item in held)
        names = dict.fromkeys(profile, TEXT) if type(profile) is dict else {}
        return fits and len(names) <= MOST_FIELDS and self._note("profile", profile, names)

    def _note(self, place: str, value: Any, kinds: Kinds) -> bool:
        if value is None:
            return place not in ("messages", "responses")
        if type(value) is not dict or not all(k in kinds and _is(v, kinds[k]) for k, v in value.items()):
            return False
        self._known.setdefault(place, {}).update((k, kinds[k]) for k in value)
        return True

    def _schema(self) -> pa.Schema:
        known = self._known
        if not known.get("messages") or not known.get("responses"):
            raise NotOrdinary
        if not known.get("profile", {}).keys().isdisjoint(OWN_NAMES) or len(known.get("profile", ())) > MOST_FIELDS:
            raise NotOrdinary
        fields = list(known.get("", {}).items())
        fields += [(n, pa.list_(pa.struct(list(known[n].items())))) for n in ("messages", "responses")]
        return pa.schema([*fields, *((n, pa.struct(list(known[n].items()))) for n in ("profile", "consent") if known.get(n))])

    def _columns(self, data: bytes, start: int, end: int, count: int) -> Columns:
        own = pa.allocate_buffer(end - start)  # not the interpreter's memory: see `flywheel.storage.parquet`
        np.frombuffer(own, np.uint8)[:] = np.frombuffer(data, np.uint8, end - start, start)
        table = pj.read_json(
            pa.BufferReader(own), read_options=pj.ReadOptions(use_threads=False, block_size=end - start + 1),
            parse_options=pj.ParseOptions(explicit_schema=self._schema(), unexpected_field_behavior="error"),
        )  # fmt: skip
        table.validate(full=True)  # that texts are UTF-8
        _demand(table.num_rows == count)
        held = {n: table[n].combine_chunks() if table[n].num_chunks != 1 else table[n].chunk(0) for n in table.schema.names}
        flat = {n: held.get(n, pa.nulls(count, TEXT)) for n in TOP}
        times = usual_times(flat["timestamp"])
        _demand(times is not None)
        flat["timestamp"] = times
        for name in NAMES:
            _demand(_filled(flat[name]))
        _demand(any(not flat[name].null_count for name in NAMES))  # every profile has at least a raw id
        for name in LABELS:
            _demand(all(map(self.checks.known, flat[name].drop_null().unique().to_pylist())))
        said, answered = _items(held["messages"]), _items(held["responses"])
        for texts in (said.get("content"), answered.get("text")):
            _demand(texts is not None and not texts.null_count and _filled(texts))
        role, model = said.get("role"), answered.get("model")
        _demand(role is not None and pc.all(pc.is_in(role.unique(), value_set=ROLES)).as_py())
        _demand(model is not None and not model.null_count and pc.min(pc.binary_length(model)).as_py() > 0)
        for values in answered.values():
            _demand(not pa.types.is_floating(values.type) or pc.all(pc.is_finite(values)).as_py() is not False)
        profile = _fields(held["profile"]) if "profile" in held else {}
        for values in profile.values():
            _demand(_filled(values))
        generation = struct(GENERATION, {f.name: answered.get("model" if f.name == "model_id" else f.name) for f in GENERATION})
        turns = struct(MESSAGE, {f.name: said.get(f.name) for f in MESSAGE})
        answers = struct(RESPONSE, {"text": answered["text"], "tool_calls": None, "generation": generation})
        return Columns(
            count, flat, pa.ListArray.from_arrays(held["messages"].offsets, turns), said,
            pa.ListArray.from_arrays(held["responses"].offsets, answers), answered, profile, _consent(held.get("consent")), data.find(b"\\", start, end) < 0,
        )  # fmt: skip


OWN_NAMES = ("record_id", "conversation_id", "user_id")  # a profile's fields of these names are told apart from the row's ids elsewhere


def _some(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """A few lines, from all over the text."""
    for number in range(SAMPLED):
        first = data.find(b"\n", start + (end - start) * number // SAMPLED, end) + 1 if number else start
        after = data.find(b"\n", first, end)
        yield data[first : after if after >= 0 else end]


def _is(value: Any, kind: pa.DataType) -> bool:
    if kind == TEXT or value is None:
        return value is None or type(value) is str
    return type(value) in ((list,) if pa.types.is_list(kind) else (int,) if pa.types.is_integer(kind) else (int, float))


def _demand(held: bool) -> None:
    if not held:
        raise NotOrdinary


def _filled(texts: pa.Array) -> bool:
    """Is no text blank?"""
    return texts.null_count == len(texts) or bool(pc.all(pc.match_substring_regex(texts, SOMETHING)).as_py())


def _fields(values: pa.StructArray) -> dict[str, pa.Array]:
    """Those that any value has."""
    made = {f.name: a for f, a in zip(values.type, values.flatten(), strict=True)}
    return {name: array for name, array in made.items() if array.null_count < len(array)}


def _items(lists: pa.ListArray) -> dict[str, pa.Array]:
    """The fields of all items; every list has some."""
    _demand(not lists.null_count and pc.min(pc.list_value_length(lists)).as_py() > 0 and not lists.values.null_count)
    return _fields(lists.values)


def _consent(said: pa.StructArray | None) -> pa.StructArray | None:
    if said is None or said.null_count == len(said):
        return None
    given = said.drop_null()
    _demand(said.type.get_field_index("purposes") >= 0 and not given.field("purposes").null_count)
    _demand(pc.all(pc.is_in(given.field("purposes").flatten(), value_set=pa.array(PURPOSES))).as_py() is not False)
    return said
