"""Conversations kept whole: a request that was logged with its current turn only gets the earlier turns of its conversation back.

Some systems log the whole history with every request; nothing is added to those. Others log the current turn and a conversation id, or the
last few turns. Their earlier turns, as far as the same subject's records of the same conversation show them, are put before the request:
each user turn with the answer that was shown. Where it cannot be told which answer was shown, or how a history continues what is known,
nothing is added, and the record is counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.turn_matching import last_place, overlap
from flywheel.settings import IngestionSettings

COLUMNS = ("record_id", "conversation_id", "subject_id", "timestamp", "messages", "responses")
FACTS = (
    "records_of_conversations", "already_whole", "assembled", "turns_added", "first_turns", "ambiguous_answer", "unaligned", "at_limit", "too_many_records",
    "shortened",
)  # fmt: skip
LARGEST = 5_000  # requests; an id that more of them share names no conversation
LOOK_BACK = 1_000  # turns in which a place is searched that is not the end
BLOCK = 20_000
Turn = Mapping[str, Any]
Key = tuple[Any, ...]


def assemble_conversations(
    records: pa.Table, earlier: pa.Table | None = None, settings: IngestionSettings | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """`records` with earlier turns put before the messages of those that lack them, in the same order, and what became of the records of
    conversations with several.

    `earlier` are records of previous weeks (same columns as far as needed): they give turns and are not returned. Only turns of the same
    `conversation_id` and `subject_id` are used, and only of records that are given: leave out whom consent leaves out. The rows' order does
    not matter; assembling again changes nothing (but where the limits cut a conversation whose turns repeat word for word). A record's own messages are never changed or cut; turns are added up to
    `settings.conversation_turns` and `conversation_characters`, the oldest left out.

    Facts: records_of_conversations (with at least two records of one subject) = already_whole + assembled + first_turns + ambiguous_answer +
    unaligned + at_limit (longer than the limits by itself) + too_many_records. turns_added counts messages; shortened, records for which
    the oldest turns were left out.
    """
    limits = settings or IngestionSettings()
    facts: Counter[str] = Counter()
    changed: dict[int, list[Turn]] = {}
    for group in _conversations(records, earlier, facts):
        changed.update(_assemble(group, limits, facts))
    return _with_messages(records, changed), {name: facts[name] for name in FACTS}


# --- one conversation ---------------------------------------------------------------------------------------------------------------------


class _Request:
    """A record's request: system turns, the other turns, and where the current turn begins (after the last turn of the assistant)."""

    def __init__(self, row: Mapping[str, Any], place: int | None) -> None:
        self.place = place  # row of `records`; None for an earlier record
        messages = row["messages"]
        first = next((i for i, m in enumerate(messages) if m["role"] not in ("system", "developer")), len(messages))
        self.system, self.turns = messages[:first], messages[first:]
        self.keys = [_key(m) for m in self.turns]
        self.current = next((i + 1 for i in range(len(self.turns) - 1, -1, -1) if self.turns[i]["role"] == "assistant"), 0)
        answers: dict[Key, Turn] = {}
        for response in row["responses"]:
            turn = {
                "role": "assistant",
                "content": response["text"],
                "name": None,
                "tool_calls": response["tool_calls"],
                "tool_call_id": None,
            }
            if turn["content"].strip() or turn["tool_calls"]:
                answers.setdefault(_key(turn), turn)
        self.answers = answers

    @property
    def history(self) -> list[Key]:
        return self.keys[: self.current]


def _assemble(group: Sequence[_Request], limits: IngestionSettings, facts: Counter[str]) -> Iterator[tuple[int, list[Turn]]]:
    """(row, messages) of the requests that gain turns. `group` is in the order of time."""
    follows: dict[tuple[Key, Key], int] = {}  # (a turn, the assistant's turn after it) -> last request whose history holds both
    for number, request in enumerate(group):
        follows.update((pair, number) for pair in zip(request.history, request.history[1:], strict=False))
    carries = any(request.current for request in group[1:])
    known = _Known()
    for number, request in enumerate(group):
        if not request.turns:
            counted, before = "first_turns", 0
        else:
            counted, before = known.place(request, carries)
        if request.place is not None:
            system = request.system or (known.system if before else [])
            added = _within(known.turns[:before], [*system, *request.turns], limits)
            if counted == "assembled" and not added:
                counted = "at_limit" if before else "already_whole"
            facts[counted] += 1
            facts["shortened"] += len(added) < before
            facts["turns_added"] += len(added)
            if added:
                yield request.place, [*system, *added, *request.turns]
        if request.turns:
            known.take(request, before, _shown(request, number, follows))


def _shown(request: _Request, number: int, follows: Mapping[tuple[Key, Key], int]) -> Turn | None:
    """The answer that the user saw: the only one, or the only one that a later request's history holds after this request's last turn."""
    if len(request.answers) == 1:
        return next(iter(request.answers.values()))
    seen = [turn for key, turn in request.answers.items() if follows.get((request.keys[-1], key), -1) > number]
    return seen[0] if len(seen) == 1 else None


class _Known:
    """What is known of a conversation so far: its turns, and whether the last answer is among them."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.keys: list[Key] = []
        self.system: list[Turn] = []
        self.answered = True
        self._began: dict[tuple[Key, ...], int] = {}  # turns of a request without history -> known turns before it

    def place(self, request: _Request, carries: bool) -> tuple[str, int]:
        """(what to count the request as, how many of the known turns come before it). `carries`: the log holds histories too, so that
        the same lonely turn again is the same question asked again, not a user who repeats himself."""
        if not self.turns:
            return "first_turns", 0
        own = tuple(request.keys)
        if request.current == 0:
            again = self._began.get(own) if carries else None
            if again is not None:
                return ("assembled" if again else "already_whole"), again
            if len(own) > 1 and own[0] in self.keys[-LOOK_BACK:]:
                return "unaligned", 0  # a history without the assistant's turns
            return ("assembled", len(self.turns)) if self.answered else ("ambiguous_answer", 0)
        history = request.history
        length = overlap(self.keys, history)
        if length == len(history):
            return "assembled", len(self.turns) - length
        if history[0] == self.keys[0] or last_place(self.keys[-LOOK_BACK:], history) is not None:
            return "already_whole", 0
        start = max(len(self.keys) - LOOK_BACK, 0)
        place = last_place(history, self.keys[start:])
        if place is not None:  # an earlier turn asked again, another way
            return "assembled", start + place
        return ("assembled", len(self.turns) - length) if length else ("unaligned", 0)

    def take(self, request: _Request, before: int, shown: Turn | None) -> None:
        """Go on after a request: the turns before it, its own, and the answer that was shown."""
        alone = request.current == 0
        lost = alone and bool(self.turns) and not before and not self.answered
        if lost:
            return  # its place is not known; what comes after it has none either
        if before < len(self.turns):  # what follows that place is another way now
            self._began = {turns: place for turns, place in self._began.items() if place <= before}
        if alone:
            self._began.setdefault(tuple(request.keys), before)
        del self.turns[before:], self.keys[before:]
        self.turns += request.turns
        self.keys += request.keys
        self.system = request.system or self.system
        self.answered = shown is not None
        if shown is not None:
            self.turns.append(shown)
            self.keys.append(_key(shown))


def _within(before: Sequence[Turn], own: Sequence[Turn], limits: IngestionSettings) -> list[Turn]:
    """The newest of the turns that fit, whole exchanges from a user's turn on, so that no answer stands without its question."""
    turns = limits.conversation_turns - len(own)
    characters = limits.conversation_characters - sum(_size(m) for m in own)
    start = len(before)
    for at in range(len(before) - 1, -1, -1):
        turns, characters = turns - 1, characters - _size(before[at])
        if turns < 0 or characters < 0:
            break
        if at == 0 or (before[at]["role"] == "user" and before[at - 1]["role"] != "user"):
            start = at
    return list(before[start:])


def _size(turn: Turn) -> int:
    return len(turn["content"]) + sum(len(c["arguments"]) for c in turn["tool_calls"] or ())


def _key(turn: Turn) -> Key:
    """What makes two turns one: who speaks, the words whatever the white space, the calls whatever their ids."""
    calls = tuple((c["name"], _arguments(c["arguments"])) for c in turn["tool_calls"] or ())
    return (turn["role"], " ".join(turn["content"].split()), calls)


def _arguments(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text


# --- tables -------------------------------------------------------------------------------------------------------------------------------


def _conversations(records: pa.Table, earlier: pa.Table | None, facts: Counter[str]) -> Iterator[list[_Request]]:
    """Requests of each conversation that may lack turns, in the order of time. Everything else is sorted out on columns."""
    if records.num_rows == 0 or (earlier is None and records.num_rows == 1):
        return
    parts = [records.select(COLUMNS)]
    if earlier is not None and earlier.num_rows:
        same = pc.is_in(earlier["conversation_id"], records["conversation_id"].combine_chunks())
        again = pc.is_in(earlier["record_id"], records["record_id"].combine_chunks())
        parts.append(earlier.select(COLUMNS).filter(pc.and_not(same, again)))
    place = np.concatenate([np.arange(records.num_rows), np.full(sum(p.num_rows for p in parts[1:]), -1)])
    conversation = np.concatenate(_codes([p["conversation_id"] for p in parts]))
    several = np.flatnonzero(np.bincount(conversation)[conversation] > 1)
    if not len(several):
        return
    cuts = [
        p.take(pa.array(several[(several >= low) & (several < low + p.num_rows)] - low))
        for p, low in zip(parts, (0, parts[0].num_rows), strict=False)
    ]
    place = place[several]
    subject = np.concatenate(_codes([c["subject_id"] for c in cuts]))
    talk = conversation[several] * (subject.max() + 1) + subject
    time = np.concatenate([c["timestamp"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() for c in cuts])
    turns = np.concatenate([pc.list_value_length(c["messages"]).to_numpy() for c in cuts])
    name = np.concatenate(_codes([c["record_id"] for c in cuts], in_order=True))
    order = np.lexsort((name, turns, time, talk))
    opening = np.concatenate(_codes([_openings(c["messages"]) for c in cuts]))
    starts = np.flatnonzero(np.r_[True, np.diff(talk[order]) != 0])
    ends = np.r_[starts[1:], len(order)]
    # every later request begins as the one before it and is longer: the log holds the whole history
    grows = np.r_[True, (np.diff(turns[order]) > 0) & (np.diff(opening[order]) == 0)]
    grows[starts] = True
    whole = np.minimum.reduceat(grows, starts)
    own = np.add.reduceat((place[order] >= 0).astype(np.int64), starts)
    size = ends - starts
    counted = (size > 1) & (own > 0)
    facts["records_of_conversations"] += int(own[counted].sum())
    facts["too_many_records"] += int(own[counted & (size > LARGEST)].sum())
    done = counted & whole & (size <= LARGEST)
    first = int((place[order][starts[done]] >= 0).sum())
    facts["first_turns"] += first
    facts["already_whole"] += int(own[done].sum()) - first
    table = pa.concat_tables(cuts)
    open_ = np.flatnonzero(counted & ~whole & (size <= LARGEST))
    waiting: list[Any] = []
    for number, group in enumerate(open_.tolist()):
        waiting.append(order[starts[group] : ends[group]])
        if number == len(open_) - 1 or sum(map(len, waiting)) >= BLOCK:
            rows = iter(table.take(pa.array(np.concatenate(waiting))).to_pylist())
            for members in waiting:
                yield [_Request(next(rows), int(place[m]) if place[m] >= 0 else None) for m in members.tolist()]
            waiting = []


def _codes(columns: Sequence[pa.ChunkedArray], in_order: bool = False) -> list[Any]:
    """A number for each distinct text, over all columns (`in_order`: in the order of the texts)."""
    joined = pa.chunked_array([chunk for column in columns for chunk in column.chunks], columns[0].type)
    if in_order:
        codes = pc.rank(joined, sort_keys="ascending", tiebreaker="dense").to_numpy().astype(np.int64)
    else:
        codes = joined.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return list(np.split(codes, np.cumsum([len(c) for c in columns])[:-1]))


def _openings(messages: pa.ChunkedArray) -> pa.ChunkedArray:
    """The text of each request's first turn that is not a system turn (empty where there is none)."""
    found = []
    for chunk in messages.chunks:
        turns = chunk.flatten()
        parents = pc.list_parent_indices(chunk).to_numpy()
        spoken = np.flatnonzero(~pc.is_in(turns.field("role"), pa.array(["system", "developer"])).to_numpy(zero_copy_only=False))
        first, at = np.unique(parents[spoken], return_index=True)
        places = np.full(len(chunk), -1, np.int64)
        places[first] = spoken[at]
        found.append(turns.field("content").take(pa.array(places, mask=places < 0)).fill_null(""))
    return pa.chunked_array(found, pa.string())


def _with_messages(records: pa.Table, changed: Mapping[int, Sequence[Turn]]) -> pa.Table:
    """The table with the messages of some rows replaced; what is not touched is not copied."""
    if not changed:
        return records
    kind = records.schema.field("messages").type
    parts: list[Any] = []
    column = records["messages"]
    for low in range(0, records.num_rows, BLOCK):
        block = column.slice(low, BLOCK)
        rows = sorted(r for r in range(low, low + len(block)) if r in changed)
        if rows:
            new = pa.array([changed[r] for r in rows], kind)
            places = np.arange(len(block))
            places[np.array(rows) - low] = len(block) + np.arange(len(rows))
            parts.append(pa.concat_arrays([*block.chunks, new]).take(pa.array(places)))
        else:
            parts += block.chunks
    where = records.schema.get_field_index("messages")
    return records.set_column(where, records.schema.field("messages"), pa.chunked_array(parts, kind))
