"""The bytes that a row was read from, for a quarantine that must show them: read again from the file, checked to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flywheel.ingestion.cuts import Chunk
from flywheel.ingestion.files import Unreadable
from flywheel.ingestion.merge import Merge, Picked
from flywheel.ingestion.partition import Gather, Place, blocks
from flywheel.ingestion.quarantine import readable
from flywheel.ingestion.reading import Occurrence, Reading
from flywheel.ingestion.sources import open_source

ROWS_AT_ONCE = 4_096
NOTHING: tuple[str, int, Iterator[Chunk]] = ("", 0, iter(()))
PlaceOfRow = tuple[str, int, int | None]


class Originals:
    """Original rows of one reading."""

    def __init__(self, reading: Reading, places: Sequence[Place], max_line_bytes: int) -> None:
        self._reading, self._places, self._max_line_bytes = reading, places, max_line_bytes
        self._held: tuple[tuple[str, int], bytes | None] = (("", -1), None)
        self._open = NOTHING  # the file that was read last, how many of its chunks, and the rest of them

    def of(self, merge: Merge, rows: Picked) -> Iterator[tuple[PlaceOfRow, str]]:
        """(file, line, byte offset) and text of each row, in order."""
        from flywheel.ingestion.canonical_lines import LINE_COLUMNS, canonical_lines

        columns = (*LINE_COLUMNS, "offset", "length")
        alone = self._alone(rows)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows.take(slice(start, start + ROWS_AT_ONCE))
            block = Gather(self._places, columns).take(part.run, part.row)
            texts = canonical_lines(block, [None] * block.num_rows)
            places = zip(*(block[n].to_pylist() for n in ("source", "line", "offset", "length")), strict=True)
            for number, ((source, line, offset, length), text) in enumerate(zip(places, texts, strict=True)):
                run = merge.runs[int(part.run[number])]
                which = int(part.order[number] >> 32) if run.occurrence is None else run.occurrence
                at = self._reading.occurrences[which]
                found = self._line(at, offset, length) if alone[start + number] else None
                yield (source["file"], at.line + line + 1, None if at.offset is None else at.offset + offset), found or readable(text)

    def _alone(self, rows: Picked) -> Any:
        """Of each row, whether no other of them stands on its line: a line of a thousand of them must not be shown a thousand times."""
        offsets = [block["offset"].to_numpy() for block in blocks(self._places, rows.run, rows.row, ("offset",))]
        offset, chunk = np.concatenate([np.zeros(0, np.int64), *offsets]), rows.order >> 32
        same = (offset[1:] == offset[:-1]) & (chunk[1:] == chunk[:-1])
        alone = np.ones(len(rows), bool)
        alone[1:] &= ~same
        alone[:-1] &= ~same
        return alone

    def _line(self, at: Occurrence, offset: int, length: int) -> str | None:
        data = self._chunk(at)
        return None if data is None else readable(data[offset : offset + length].removesuffix(b"\r"))

    def _chunk(self, at: Occurrence) -> bytes | None:
        """The chunk's bytes; None where the file is gone or says something else by now."""
        if self._held[0] == (at.name, at.number):
            return self._held[1]
        data = self._read(at)
        self._held = ((at.name, at.number), data)
        return data

    def _read(self, at: Occurrence) -> bytes | None:
        file = self._reading.present.get(at.name)
        if file is None or at.retired:
            return None
        try:
            name, passed, chunks = self._open
            if name != at.name or passed > at.number:  # asked for in their order, so that a file is gone through once
                passed, chunks = 0, open_source(file, self._max_line_bytes).chunks()
            for number, chunk in enumerate(chunks, start=passed):
                if number == at.number:
                    self._open = (at.name, number + 1, chunks)
                    data = chunk.data
                    if data is None:
                        with file.open() as stream:
                            stream.seek(chunk.offset or 0)
                            data = stream.read(chunk.length)
                    return data if hashlib.sha256(data).hexdigest() == at.sha256 else None
        except (Unreadable, OSError):
            pass
        self._open = NOTHING
        return None
