"""Lines of one chunk to what they hold: rows as columns, parts that wait for others, refused rows, skipped items.

Pure: the same bytes and settings give the same result in every process; no clock, no file name, no other chunk. Lines of our own form are
decoded straight into structs; what that lane cannot take is read again in the slow one, which knows every form and says what is wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from flywheel.ingestion.depth import TOO_DEEP, many_brackets, perhaps_deep, too_deep, too_deep_text
from flywheel.ingestion.finish import Batch, Entry, Finisher, cells_of
from flywheel.ingestion.formats.contract import Bad, Format, Item, Part, QuickFormat, Skipped, Whole
from flywheel.ingestion.formats.flywheel import NAME as OWN
from flywheel.ingestion.formats.registry import formats
from flywheel.ingestion.lane import ROWS, Lane, NotOrdinary
from flywheel.ingestion.line_places import Line, Lines
from flywheel.ingestion.parsed import KeptPart, Parsed, Refused
from flywheel.ingestion.quarantine import Rejected, readable
from flywheel.ingestion.row_check import as_text, canonical_json, checked_row, clean, moment_of, parsed_json
from flywheel.ingestion.rows import CanonicalRow, decoder
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.storage.ids import Ids

PARSER_VERSION = 2  # a change of what any line gives needs a new one
BATCH = 500  # rows at once: more do not fit the processor's cache
KNOWN_STATEMENTS = 10_000
FLAT = frozenset({str, int, float, bool, type(None)})
KEPT_OF_A_LONG_LINE = 1 << 16
UNREADABLE = "no JSON object"


@dataclass(frozen=True)
class ParseSettings:
    """All that a chunk's result depends on beside its bytes."""

    format: str
    source: str
    max_line_bytes: int
    ids: Ids
    taxonomy: Taxonomy

    @property
    def fingerprint(self) -> str:
        """Names them."""
        said = [
            PARSER_VERSION,
            self.format,
            self.source,
            self.max_line_bytes,
            self.ids.fingerprint,
            self.taxonomy.version,
            sorted(formats()),
        ]
        return json.dumps(said)


class Parser:
    """Reads the lines of one chunk."""

    def __init__(self, settings: ParseSettings) -> None:
        self._settings = settings
        self._formats: dict[str, Format] = formats()
        self._named = None if settings.format == "auto" else self._formats.get(settings.format)
        self._short_ways = {name: f.quick for name, f in self._formats.items() if isinstance(f, QuickFormat)}
        self._fast = settings.format in ("auto", OWN)
        self.finisher = Finisher(settings.ids, settings.source, settings.taxonomy)
        self.found = Parsed()
        self._lane = Lane(self.finisher.checks)
        self._entries: list[Entry] = []
        self._decoder = decoder()
        self._shallow: set[bytes] = set()

    def read(self, data: bytes, *, too_long: int | None = None) -> Parsed:
        """All lines of a chunk. `too_long`: the length of its one line, of which `data` is only the beginning."""
        if too_long is not None:
            self._slow(Line(0, 0, data, too_long), ended=True)
            return self.found
        if data[:1] != b"{" and not data.strip():  # a million empty lines need no list of them
            return self.found
        lines = Lines.of(data)
        for first in range(0, len(lines.start), ROWS[0]):
            self._run(lines, first, min(first + ROWS[0], len(lines.start)), ROWS)
        self._flush()
        return self.found

    def _run(self, lines: Lines, first: int, after: int, sizes: Sequence[int]) -> None:
        """Some lines: at once where all of them are ordinary, else in smaller runs."""
        if self._quick(lines, first, after):
            return
        size = sizes[1] if len(sizes) > 1 else BATCH
        for start in range(first, after, size):
            end = min(start + size, after)
            if len(sizes) > 1:
                self._run(lines, start, end, sizes[1:])
            elif not self._at_once(lines, range(start, end)):
                for number in range(start, end):
                    self._one(lines, number)
            if len(self._entries) >= BATCH:
                self._flush()

    def _ordinary(self, lines: Lines, first: int, after: int) -> bool:
        """May these be rows of our own form, one a line?"""
        return self._fast and int(lines.length[first:after].max()) <= self._settings.max_line_bytes and lines.closed(first, after)

    def _quick(self, lines: Lines, first: int, after: int) -> bool:
        """Lines taken by the quick lane, all of them; False where it takes none."""
        if not self._lane.open or not self._ordinary(lines, first, after):
            return False
        start, end, seq = int(lines.start[first]), int(lines.start[after - 1] + lines.length[after - 1]), self.found.items
        places = {"seq": np.arange(seq, seq + after - first), "line": np.arange(first, after), "offset": lines.start[first:after],
                  "length": lines.length[first:after]}  # fmt: skip
        try:
            table = self.finisher.finish_columns(self._lane.read(lines.data, start, end, after - first), places)
        except NotOrdinary:
            table = None
        self._lane.settle(taken=table is not None)
        if table is None:
            return False
        self._flush()
        self.found.tables.append(table)
        self.found.items += after - first
        return True

    def _at_once(self, lines: Lines, numbers: range) -> bool:
        """Lines that are all rows of our own form, decoded together; False where they are not. A row among them that may be more than that,
        or is no record, is read by itself."""
        first, after = numbers[0], numbers[-1] + 1
        if not self._ordinary(lines, first, after):
            return False
        try:
            rows = self._decoder.decode_lines(memoryview(lines.data)[lines.start[first] : lines.start[after - 1] + lines.length[after - 1]])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return False
        if len(rows) != len(numbers):  # blank lines, or a row that goes over several
            return False
        found, seq, cells = self.found, self.found.items, cells_of(rows)
        odd = set[int]() if self._plain(cells) else self._odd(rows)
        places: dict[str, Any] = {"line": np.arange(first, after), "offset": lines.start[first:after], "length": lines.length[first:after]}
        if odd:
            seqs = []
            for number, line in enumerate(numbers):
                seqs.append(found.items)
                if number in odd:
                    self._one(lines, line)
                else:
                    found.items += 1
            kept = [n for n in range(len(rows)) if n not in odd]
            rows, places = [rows[n] for n in kept], {name: values[kept] for name, values in places.items()}
            places["seq"] = np.array([seqs[n] for n in kept], np.int64)
        else:
            places["seq"] = np.arange(seq, seq + len(rows))
            found.items += len(rows)
        if rows:
            table, bad = self.finisher.finish_batch(Batch(rows, OWN, places, None, None if odd else cells))
            if table is not None:
                found.tables.append(table)
            for number, _, _ in bad:
                line, seq = int(places["line"][number]), int(places["seq"][number])
                self._again(lines.line(line), _place(lines.line(line), seq))
        return True

    def _plain(self, cells: Mapping[str, Sequence[Any]]) -> bool:
        """Is none of the rows odd? Seen at once where they have no metadata, and nothing but text in profiles."""
        count, profiles = len(cells["messages"]), filter(None, cells["profile"])
        fresh = set(cells["consent"]) - self._shallow
        plain = (
            all(cells["responses"]) and all(cells["messages"]) and cells["response"].count(None) == cells["model"].count(None) == count
            and not any(cells["metadata"]) and set(map(type, chain.from_iterable(p.values() for p in profiles))) <= FLAT and not any(map(many_brackets, fresh))
        )  # fmt: skip
        if plain and len(self._shallow) < KNOWN_STATEMENTS:
            self._shallow |= fresh
        return plain

    def _odd(self, rows: Sequence[CanonicalRow]) -> set[int]:
        """Numbers of the rows that are perhaps not of our own form, or too deep."""
        return {
            n for n, r in enumerate(rows)
            if not r.responses or not r.messages or r.response is not None or r.model is not None or _deep_inside(r)
        }  # fmt: skip

    def _one(self, lines: Lines, number: int) -> None:
        """One line by itself."""
        line = lines.line(number)
        if self._fast and 0 < line.length <= self._settings.max_line_bytes:
            try:
                row = self._decoder.decode(line.data)
                if not self._odd([row]):
                    self._entries.append(Entry(row, OWN, self._next(), number, line.offset, line.length, None, line.data))
                    return
            except (msgspec.MsgspecError, ValueError, RecursionError):
                pass
        if line.length and not line.data.isspace():
            self._slow(line._replace(data=line.data.removesuffix(b"\r")), ended=number < lines.ended)

    def _flush(self) -> None:
        """Finish what has gathered. A row of the fast lane that is no record is read again in the slow one, for the reason."""
        while self._entries:
            entries = list(self._entries)
            self._entries.clear()
            table, bad = self.finisher.finish(entries)
            if table is not None:
                self.found.tables.append(table)
            for entry, why, moment in bad:
                if entry.data is None:
                    self._refuse(entry, why, entry.raw, moment, entry.source)
                else:
                    self._again(Line(entry.line, entry.offset, entry.data, entry.length), entry)

    def _again(self, line: Line, entry: Entry) -> None:
        line = line._replace(data=line.data.removesuffix(b"\r"))
        try:
            (row,) = self._parse(line, True) or ({},)
        except Rejected as why:  # what the fast lane had left unread: a statement of consent that is no JSON
            self._refuse(entry, why, readable(line.data), None, None)
            return
        self._whole(row, OWN, line, entry.seq, Counter(), readable(line.data))

    def _slow(self, line: Line, *, ended: bool) -> None:
        """One line of any form."""
        try:
            rows = self._parse(line, ended)
        except Rejected as why:
            kept = line.data if line.length <= self._settings.max_line_bytes else line.data[:KEPT_OF_A_LONG_LINE]
            self.found.formats[UNREADABLE] += 1
            self._refuse(_place(line, self._next()), why, readable(kept), None, None)
            return
        if rows is None:
            self.found.incomplete += 1
            return
        text = readable(line.data)
        for row in rows:
            self._items(row, line, text if len(rows) == 1 else as_text(row))

    def _items(self, row: Mapping[str, Any], line: Line, text: str) -> None:
        """What one row of a line holds. `text` is the row as it came."""
        format = self._named or self._claiming(row)
        if (quick := self._short_ways.get(format.name)) is not None and (made := quick(row)) is not None:
            self.found.formats[format.name] += 1
            row_, losses = made
            self._entries.append(Entry(row_, format.name, self._next(), line.number, line.offset, line.length, losses, raw=text))
            return
        items = list(_guarded(format, row))
        self.found.formats[format.name] += len(items)
        for item, losses in items:
            raw = text if len(items) == 1 else ""
            seq = self._next()
            if isinstance(item, Whole):
                self._whole(item.row, format.name, line, seq, losses, raw)
            elif isinstance(item, Part):
                if perhaps_deep(line.data) and too_deep(item.payload):  # what a text held that the reader took apart
                    self._refuse(_place(line, seq), Rejected("invalid_field", TOO_DEEP), text, moment_of(row), row)
                    text = ""  # once: a line of a thousand such parts must not be kept a thousand times
                    continue
                self.found.parts.append(KeptPart(
                    seq, line.number, line.offset, line.length, format.name, clean(item.key), tuple(map(clean, item.aliases)), canonical_json(item.payload),
                    json.dumps(losses, sort_keys=True) if losses else "{}",
                ))  # fmt: skip
            elif isinstance(item, Skipped):
                self.found.skipped[item.kind] += 1
            else:
                refused = Rejected(item.reason, item.message, item.field)  # type: ignore[arg-type]
                source = item.raw if isinstance(item.raw, Mapping) else row if len(items) == 1 else None
                self._refuse(_place(line, seq), refused, raw or as_text(item.raw), moment_of(source), source)

    def _next(self) -> int:
        self.found.items += 1
        return self.found.items - 1

    def _parse(self, line: Line, ended: bool) -> Sequence[Mapping[str, Any]] | None:
        """The line's object, or the objects of its list; None where its writer has not finished it."""
        limit = self._settings.max_line_bytes
        if line.length > limit:
            raise Rejected("line_too_long", f"{line.length} bytes; the setting ingestion.max_line_bytes allows {limit}")
        try:
            row = parsed_json(line.data)
        except ValueError as error:
            if not ended:
                return None
            if too_deep_text(line.data):
                raise Rejected("malformed_json", TOO_DEEP) from None
            try:
                line.data.decode()
            except UnicodeDecodeError as wrong:
                raise Rejected("wrong_encoding", f"not UTF-8 at byte {wrong.start} of the line; convert the file to UTF-8") from None
            raise Rejected("malformed_json", str(error)) from None
        rows = row if isinstance(row, list) else [row]
        if not rows or not all(isinstance(r, dict) for r in rows):
            if not ended:
                return None
            raise Rejected("not_an_object", "a line must be one JSON object, or a list of objects")
        if many_brackets(line.data) and too_deep(row):
            raise Rejected("malformed_json", TOO_DEEP)
        return rows

    def _claiming(self, row: Mapping[str, Any]) -> Format:
        for format in self._formats.values():
            try:
                if format.claims(row):
                    return format
            except Exception:  # noqa: S112 - a reader that stumbles over a row does not claim it
                continue
        return self._formats[OWN]

    def _whole(self, row: Mapping[str, Any], name: str, line: Line, seq: int, losses: Counter[str], raw: str) -> None:
        moment = None
        try:
            made, moment = checked_row(row, name, losses)
        except Rejected as why:
            self._refuse(_place(line, seq), why, raw or as_text(row), moment_of(row) if moment is None else moment, row)
            return
        self._entries.append(Entry(made, name, seq, line.number, line.offset, line.length, losses, None, row, raw or as_text(row)))

    def _refuse(self, place: Entry, why: Rejected, raw: str, moment: int | None, source: Any) -> None:
        message, field_ = clean(why.message), None if why.field is None else clean(why.field)
        self.found.refused.append(
            Refused(place.seq, place.line, place.offset, place.length, why.reason, message, field_, clean(raw), moment)
        )
        if isinstance(source, Mapping):
            self.found.withdrawn |= self.finisher.withdrawals_of(source)


def _deep_inside(row: CanonicalRow) -> bool:
    """Only these fields of a row hold whatever JSON there is."""
    return any(bool(v) and too_deep(v) for v in (row.metadata, row.profile)) or many_brackets(bytes(row.consent))


def _place(line: Line, seq: int) -> Entry:
    return Entry(CanonicalRow(), "", seq, line.number, line.offset, line.length)


def _guarded(format: Format, row: Mapping[str, Any]) -> Iterator[tuple[Item, Counter[str]]]:
    """A format's items, each with the losses that were told with it. A reader that stumbles makes the row (or what is left of it) one bad
    item: nothing that a log holds may end an import."""
    losses: Counter[str] = Counter()
    last: tuple[Item, Counter[str]] | None = None
    try:
        for item in format.items(row, losses):
            if last is not None:
                yield last
            last = (item, Counter(losses))
            losses.clear()
    except Rejected as why:
        if last is not None:
            yield last
        last = (Bad(why.reason, why.message, why.field, row), Counter())
    except Exception as error:
        if last is not None:
            yield last
        last = (Bad("invalid_field", f"the reader of {format.name} cannot read it: {type(error).__name__}: {error}", None, row), Counter())
    if last is None:
        last = (Skipped("empty"), Counter())
    last[1].update(losses)
    yield last
