"""What the files of a partition were made of, so that the same rows are not written again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flywheel.ingestion.merge import Picked
from flywheel.ingestion.partition import FILE_VERSION, Place
from flywheel.records import SCHEMA_VERSION
from flywheel.storage.files import read_json, write_json
from flywheel.storage.partition import PartitionWriter

Coverage = Counter[tuple[str, str]]


class Written:
    """Remembers the partition files that certain rows of certain segments became. `folder` is that of the segments."""

    def __init__(self, folder: Path, partition: PartitionWriter, places: Sequence[Place], rows: Picked) -> None:
        self._note = folder / "written" / f"{partition.round}.json"
        self._partition = partition
        told = [(p.segment.path.name, p.segment.path.parent.name, p.names, p.lines, p.assembled) for p in places]
        said = hashlib.sha256(json.dumps([FILE_VERSION, SCHEMA_VERSION, partition.round, told]).encode("utf-8", "surrogatepass"))
        for numbers in (rows.run, rows.row):
            said.update(numbers.tobytes())
        self._made_of = said.hexdigest()

    def again(self) -> Coverage | None:
        """Puts the files of these rows into the partition, if all are there, and tells what they cover; None where they must be written."""
        known = read_json(self._note)
        if known is None or known["made_of"] != self._made_of or not self._partition.keep(known["files"]):
            return None
        return Counter({(domain, task_type): count for domain, task_type, count in known["coverage"]})

    def note(self, coverage: Coverage) -> None:
        """The partition has these rows' files now."""
        files = [part.model_dump(mode="json") for part in self._partition.parts]
        covered = sorted([*names, count] for names, count in coverage.items())
        write_json(self._note, {"made_of": self._made_of, "files": files, "coverage": covered}, mode=0o600)
