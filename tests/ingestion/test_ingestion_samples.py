"""The sample logs that the README uses, and the line that it shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from flywheel.ingestion import import_landing
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, from_table

ROOT = Path(__file__).resolve().parents[2]
ROUND, NOW = "2026-01-05", datetime(2026, 1, 13, tzinfo=UTC)
IDS = Ids(b"k" * 32)


def read(path: Path):
    return import_landing(str(path), round=ROUND, ids=IDS, settings=IngestionSettings(), now=NOW)


def test_every_sample_row_is_taken_and_none_of_its_fields_lost() -> None:
    found = read(ROOT / "data" / "samples" / "support_and_code.jsonl")
    assert found.counts["rows_read"] == found.counts["accepted"] == 12
    assert found.losses == {}
    records = from_table(LogRecord, found.records)
    assert {r.domain for r in records} == {"support", "code"}
    assert {len(r.responses) for r in records} == {1, 2}
    assert {e.action for e in found.consent_events} == {"granted", "withdrawn"}


def test_the_line_in_the_readme_is_taken(tmp_path: Path) -> None:
    line = re.search(r"```json\n(\{\"id\".+?)\n```", (ROOT / "README.md").read_text())
    assert line
    (tmp_path / "log.jsonl").write_text(line.group(1) + "\n")
    assert read(tmp_path).counts["accepted"] == 1
