"""What no file that was read names any more does not stay in the store; what is still to be read does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from flywheel.ingestion import Imported, import_landing, open_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
GIVEN = {"ids": Ids(b"k" * 32), "settings": IngestionSettings(), "now": NOW}


def line(id: str) -> str:
    row = {
        "id": id,
        "timestamp": "2026-01-06T10:00:00Z",
        "messages": [{"role": "user", "content": id}],
        "responses": [{"text": "Yes.", "model": "m"}],
    }
    return json.dumps(row) + "\n"


def read(folder: Path) -> Imported:
    return import_landing(str(folder / "logs"), round="2026-01-05", store=folder / "store", **GIVEN)


def segments(folder: Path) -> set[str]:
    return {p.name for p in (folder / "store" / "segments").glob("*/*")}


def test_a_segment_goes_once_its_file_has_grown_on(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.jsonl"
    log.parent.mkdir()
    log.write_text(line("r1"))
    read(tmp_path)
    before = segments(tmp_path)
    log.write_text(line("r1") + line("r2"))
    assert read(tmp_path).records.num_rows == 2
    assert len(segments(tmp_path)) == 1
    assert not segments(tmp_path) & before


def test_what_was_taken_from_a_file_that_is_gone_or_says_something_else_stays(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("gone", "replaced"):
        (logs / f"{name}.jsonl").write_text(line(name))
    read(tmp_path)
    (logs / "gone.jsonl").unlink()
    (logs / "replaced.jsonl").write_text(line("something else"))
    for _ in range(2):
        assert read(tmp_path).records.num_rows == 3


def test_unfinished_files_of_a_killed_import_go(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text(line("r1"))
    left = tmp_path / "store" / "segments" / "ab" / ".abc.seg.123.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"raw rows")
    read(tmp_path)
    assert not left.exists()


def test_nothing_goes_while_another_import_reads(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.jsonl"
    log.parent.mkdir()
    log.write_text(line("r1"))
    with open_landing(str(log.parent), store=tmp_path / "store", **GIVEN) as other:
        log.write_text(line("r1") + line("r2"))
        read(tmp_path)
        assert len(segments(tmp_path)) == 2
        assert other.take("2026-01-05").records.num_rows == 1
    assert len(segments(tmp_path)) == 1
