"""The bytes that a row was read from, for a quarantine that must show them: read again from the file, checked to be the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from flywheel.ingestion.files import Unreadable
from flywheel.ingestion.merge import Merge, Picked
from flywheel.ingestion.partition import Gather, Place
from flywheel.ingestion.quarantine import readable
from flywheel.ingestion.reading import Occurrence, Reading
from flywheel.ingestion.sources import open_source

ROWS_AT_ONCE = 4_096
PlaceOfRow = tuple[str, int, int | None]


class Originals:
    """Original rows of one reading."""

    def __init__(self, reading: Reading, places: Sequence[Place], max_line_bytes: int) -> None:
        self._reading, self._places, self._max_line_bytes = reading, places, max_line_bytes
        self._held: tuple[tuple[str, int], bytes | None] = (("", -1), None)

    def of(self, merge: Merge, rows: Picked) -> Iterator[tuple[PlaceOfRow, str]]:
        """(file, line, byte offset) and text of each row, in order."""
        from flywheel.ingestion.canonical_lines import LINE_COLUMNS, canonical_lines

        columns = (*LINE_COLUMNS, "offset", "length")
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows.take(slice(start, start + ROWS_AT_ONCE))
            block = Gather(self._places, columns).take(part.run, part.row)
            texts = canonical_lines(block, [None] * block.num_rows)
            places = zip(*(block[n].to_pylist() for n in ("source", "line", "offset", "length")), strict=True)
            for number, ((source, line, offset, length), text) in enumerate(zip(places, texts, strict=True)):
                run = merge.runs[int(part.run[number])]
                which = int(part.order[number] >> 32) if run.occurrence is None else run.occurrence
                at = self._reading.occurrences[which]
                found = self._line(at, offset, length)
                yield (source["file"], at.line + line + 1, None if at.offset is None else at.offset + offset), found or readable(text)

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
            for number, chunk in enumerate(open_source(file, self._max_line_bytes).chunks()):
                if number == at.number:
                    data = chunk.data
                    if data is None:
                        with file.open() as stream:
                            stream.seek(chunk.offset or 0)
                            data = stream.read(chunk.length)
                    return data if hashlib.sha256(data).hexdigest() == at.sha256 else None
        except (Unreadable, OSError):
            pass
        return None
