"""Parts to records: what several items tell of one call (a span and its events, an answer and its score) is put together once everything
has been read, whatever files the items came in.

Groups are formed on keys alone; payloads are read in passes of bounded size, and each group's parts come in an order that does not depend
on how files were cut. The result is a segment like any other, kept as long as the parts and their places are the same.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.ingestion.chunks import Workshop
from flywheel.ingestion.finish import Entry, Finisher
from flywheel.ingestion.formats.contract import Assembled, Bad, QuickParts
from flywheel.ingestion.formats.registry import FAMILY, formats
from flywheel.ingestion.parse import BATCH
from flywheel.ingestion.parsed import Parsed, Refused
from flywheel.ingestion.quarantine import Rejected, readable
from flywheel.ingestion.reading import Occurrence
from flywheel.ingestion.row_check import as_text, checked_row, clean, from_canonical_json, moment_of
from flywheel.ingestion.rows import CanonicalRow
from flywheel.ingestion.segments import Segment, write_segment

USED = ["seq", "line", "offset", "length", "format", "digest", "payload", "losses"]
PASS_BYTES = 128 << 20


@dataclass
class Joined:
    """What became of all parts. `segments` hold the records; a row's origin is in its column `origin`."""

    segments: list[Segment] = field(default_factory=list)
    parts: int = 0
    extra: int = 0
    joined: int = 0
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)


def assemble(occurrences: Sequence[Occurrence], workshop: Workshop) -> Joined:
    """Put together the parts of all occurrences."""
    bearing = [(n, o) for n, o in enumerate(occurrences) if "parts" in o.segment.meta["sections"]]
    if not bearing:
        return Joined()
    said = [[n, o.name, o.segment.path.name, o.line, o.retired] for n, o in bearing]
    key = hashlib.sha256(json.dumps([workshop.settings.fingerprint, said]).encode()).hexdigest()[:40]
    folder = workshop.folder / "assembled" / key
    done = _opened(folder)
    return done if done is not None else _Assembly(bearing, workshop, folder).run()


def _opened(folder: Path) -> Joined | None:
    last = Segment.open(folder / "last.seg")
    if last is None:
        return None
    segments = [Segment.open(folder / f"{n:05d}.seg") for n in range(last.meta["segments"])]
    if any(s is None for s in segments):
        return None
    counts = last.meta["counts"]
    return Joined([s for s in segments if s is not None], skipped=Counter(last.meta["kinds"]), **counts)


class _Assembly:
    def __init__(self, bearing: Sequence[tuple[int, Occurrence]], workshop: Workshop, folder: Path) -> None:
        self._bearing, self._workshop, self._folder = bearing, workshop, folder
        self._retired = {number for number, occurrence in bearing if occurrence.retired}
        self._formats = formats()
        self._quick = {name: f.quick_part for name, f in self._formats.items() if isinstance(f, QuickParts)}
        self._made = Joined()
        self._entries: list[tuple[int, Entry]] = []
        self._fresh()

    def _fresh(self) -> None:
        s = self._workshop.settings
        self._finisher, self._parsed = Finisher(s.ids, s.source, s.taxonomy), Parsed()
        self._origins: list[int] = []

    def run(self) -> Joined:
        """All groups, in the order of their keys."""
        collecting = gc.isenabled()
        gc.disable()  # a pass holds a million objects, none of them in a cycle: looking them through again and again costs a third
        try:
            return self._run()
        finally:
            if collecting:
                gc.enable()

    def _run(self) -> Joined:
        for key, parts in self._groups():
            self._one(key, parts)
            if len(self._entries) >= BATCH:
                self._flush()
            if sum(t.num_rows for t in self._parsed.tables) >= 30 * BATCH:
                self._write()
        self._flush()
        self._write()
        counts = {k: getattr(self._made, k) for k in ("parts", "extra", "joined", "duplicates")}
        body = {"lines": 0, "segments": len(self._made.segments), "counts": counts, "kinds": dict(self._made.skipped)}
        write_segment(
            self._folder / "last.seg", Parsed(), Finisher(self._workshop.settings.ids, "", self._workshop.settings.taxonomy), body
        )
        return self._made

    def _groups(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """The parts of each group, each distinct one once, in the order of their content; what files no longer say comes last."""
        tables = []
        for number, occurrence in self._bearing:
            table = occurrence.segment.demand("parts", ["seq", "format", "key", "aliases", "digest", "payload"]).read_all()
            size = pc.binary_length(table["payload"]).cast(pa.int64())
            table = table.drop_columns(["payload"]).append_column("size", size)
            tables.append(table.append_column("origin", pa.array(np.full(table.num_rows, number), pa.int32())))
        table = pa.concat_tables(tables)
        group, names = _grouped(table)
        self._made.parts = table.num_rows
        origin = table["origin"].to_numpy()
        retired = np.isin(origin, list(self._retired))
        order = np.lexsort((table["seq"].to_numpy(), origin, _ranks(table["digest"]), retired, group))
        ordered = group[order]
        sizes = table["size"].to_numpy()[order]
        bounds = np.flatnonzero(np.diff(ordered)) + 1
        ends = np.append(bounds, len(ordered))
        done = np.cumsum(sizes)
        start = 0
        while start < len(ordered):
            base = done[start - 1] if start else 0
            fits = ends[np.searchsorted(ends, start, "right") :]
            stop = int(fits[max(np.searchsorted(done[fits - 1], base + PASS_BYTES, "right") - 1, 0)])
            numbers = np.unique(ordered[start:stop]).tolist()
            for number, parts in zip(numbers, self._pass(table, order[start:stop], ordered[start:stop]), strict=True):
                yield names[number].as_py().split("\0", 1)[1], parts
            start = stop

    def _pass(self, table: pa.Table, rows: Any, groups: Any) -> Iterator[list[dict[str, Any]]]:
        """Payloads of these rows, read segment by segment; then group by group."""
        origins = table["origin"].to_numpy()
        starts = {number: int(np.searchsorted(origins, number)) for number, _ in self._bearing}
        payloads: dict[int, dict[str, Any]] = {}
        for number, occurrence in self._bearing:
            mine = rows[origins[rows] == number]
            if not len(mine):
                continue
            taken = occurrence.segment.demand("parts", USED).read_all().take(pa.array(mine - starts[number]))
            for row, part in zip(mine.tolist(), taken.to_pylist(), strict=True):
                part["origin"] = number
                payloads[row] = part
        for one in np.split(rows, np.flatnonzero(np.diff(groups)) + 1):
            parts: dict[bytes, dict[str, Any]] = {}
            for row in one.tolist():
                part = payloads.pop(row)
                if parts.setdefault(part["digest"], part) is not part:
                    self._made.duplicates += 1
            yield list(parts.values())

    def _one(self, key: str, parts: list[dict[str, Any]]) -> None:
        losses: Counter[str] = Counter()
        for part in parts:
            if part["losses"] != "{}":
                losses.update(json.loads(part["losses"]))
        if (
            len(parts) == 1
            and (quick := self._quick.get(parts[0]["format"]))
            and (alone := quick(from_canonical_json(parts[0]["payload"])))
        ):
            losses.update(alone[1])
            self._entries.append((parts[0]["origin"], _entry(alone[0], parts[0], losses, None)))
            return
        names, payloads = {p["format"] for p in parts}, [from_canonical_json(p["payload"]) for p in parts]
        name = FAMILY.get(min(names), min(names)) if len(names) > 1 else min(names)
        try:
            made = self._formats[name].assemble(key, payloads, losses)
        except Rejected as why:
            made = Assembled(bad={i: Bad(why.reason, why.message, why.field, p) for i, p in enumerate(payloads)})
        except Exception as error:  # nothing that a log holds may end an import
            message = f"the reader of {name} cannot put it together: {type(error).__name__}: {error}"
            made = Assembled(bad={i: Bad("invalid_field", message, None, p) for i, p in enumerate(payloads)})
        standing = {i for i, _ in made.rows}
        self._made.extra += len(made.rows) - len(standing)
        self._made.joined += len(parts) - len(standing | set(made.skipped) | set(made.bad))
        self._made.skipped.update(kind for i, kind in made.skipped.items() if i not in standing)
        for i, bad in made.bad.items():
            if i not in standing and i not in made.skipped:
                refused = Rejected(bad.reason, bad.message, bad.field)  # type: ignore[arg-type]
                self._refuse(parts[i], refused, as_text(bad.raw), moment_of(bad.raw), bad.raw)
        for number, (i, row) in enumerate(made.rows):
            told = losses if number == 0 else Counter()
            try:
                checked, _ = checked_row(row, parts[i]["format"], told)
            except Rejected as why:
                self._refuse(parts[i], why, as_text(payloads[i]), moment_of(row), row)
                continue
            self._entries.append((parts[i]["origin"], _entry(checked, parts[i], told, row)))

    def _flush(self) -> None:
        if not self._entries:
            return
        origins = {id(e): o for o, e in self._entries}
        entries = [e for _, e in self._entries]
        self._entries.clear()
        table, bad = self._finisher.finish(entries)
        refused = {id(e) for e, _, _ in bad}
        if table is not None:
            kept = pa.array([origins[id(e)] for e in entries if id(e) not in refused], pa.int32())
            self._parsed.tables.append(table.append_column("origin", kept))
        for entry, why, moment in bad:
            place = {"seq": entry.seq, "line": entry.line, "offset": entry.offset, "length": entry.length, "origin": origins[id(entry)]}
            self._refuse(place, why, entry.raw, moment, entry.source)

    def _refuse(self, part: dict[str, Any], why: Rejected, raw: str, moment: int | None, source: Any = None) -> None:
        if isinstance(source, dict):
            self._parsed.withdrawn |= self._finisher.withdrawals_of(source)
        if part["origin"] in self._retired:  # its file says something else by now: nothing is wrong with it
            self._made.parts -= 1
            return
        self._parsed.refused.append(
            Refused(
                part["seq"], part["line"], part["offset"], part["length"], why.reason, clean(why.message), why.field, clean(raw), moment
            )
        )
        self._origins.append(part["origin"])

    def _write(self) -> None:
        if not self._parsed.tables and not self._parsed.refused and not self._parsed.withdrawn:
            return
        path = self._folder / f"{len(self._made.segments):05d}.seg"
        write_segment(path, self._parsed, self._finisher, {"lines": 0, "refused_origins": self._origins})
        self._made.segments += [s for s in [Segment.open(path)] if s is not None]
        gc.collect()
        self._fresh()


def _entry(row: CanonicalRow, part: dict[str, Any], losses: Counter[str], source: Any) -> Entry:
    place = (part["seq"], part["line"], part["offset"], part["length"])
    return Entry(row, part["format"], *place, losses or None, None, source, readable(part["payload"]))


def _ranks(digests: pa.ChunkedArray) -> Any:
    """Numbers in the order of the digests' first eight bytes (parts of one group that share these are told apart by their place)."""
    array = digests.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    raw = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * 16 : (array.offset + len(array)) * 16]
    return np.ascontiguousarray(raw.reshape(-1, 16)[:, :8]).view(">u8")[:, 0].astype(np.uint64)


def _grouped(table: pa.Table) -> tuple[Any, pa.Array]:
    """The number of each part's group, and the groups' names (family of formats and key) in their order; a part keyed by another's alias is in that
    one's group."""
    family = table["format"].combine_chunks()
    for format, head in FAMILY.items():
        family = pc.if_else(pc.equal(family, format), head, family)
    names = pc.binary_join_element_wise(family, table["key"].combine_chunks(), "\0")
    names = names.chunk(0) if isinstance(names, pa.ChunkedArray) else names
    unique = pc.unique(names)
    unique = unique.take(pc.sort_indices(unique))
    group = pc.index_in(names, unique).to_numpy().astype(np.int64)
    aliases = table["aliases"].combine_chunks()
    aliases = aliases.chunk(0) if isinstance(aliases, pa.ChunkedArray) else aliases
    flat, parents = pc.list_flatten(aliases), pc.list_parent_indices(aliases).to_numpy()
    if not len(flat):
        return group, unique
    told = pc.binary_join_element_wise(family.take(pa.array(parents)), flat, "\0")
    target = pc.index_in(told, unique).fill_null(-1).to_numpy().astype(np.int64)
    leader = np.arange(len(unique))
    for alias, parent in sorted(zip(target[target >= 0].tolist(), group[parents[target >= 0]].tolist(), strict=True)):
        one, two = _root(leader, alias), _root(leader, parent)
        if one != two:
            leader[one] = two  # the group bears the name of the part that knows the other
    roots = np.array([_root(leader, n) for n in range(len(unique))], np.int64) if (leader != np.arange(len(unique))).any() else leader
    return roots[group], unique


def _root(leader: Any, number: int) -> int:
    while leader[number] != number:
        number = int(leader[number])
    return number
