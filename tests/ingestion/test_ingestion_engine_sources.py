"""What a file is, its bytes tell: documents, Parquet and the collector's files give the rows that JSON lines give."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from flywheel.ingestion import Imported, cuts, import_landing
from flywheel.ingestion.documents import Damaged, document_lines
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, from_table

NOW, IDS = datetime(2026, 1, 12, 6, tzinfo=UTC), Ids(b"k" * 32)


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"r{number}", "timestamp": "2026-01-06T10:00:00Z", "user_id": "u", "messages": [{"role": "user", "content": f"Ünd \\ \"{number}\"\n?"}],
        "responses": [{"text": "On its way.", "model": "m-1", "seed": 7}], "metadata": {"n": number}, **changes,
    }  # fmt: skip


def read(folder: Path) -> Imported:
    return import_landing(str(folder), round="2026-01-05", ids=IDS, settings=IngestionSettings(), now=NOW)


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in rows)


def frames(rows: list[dict[str, Any]], compress: Any) -> bytes:
    parts = [compress(json.dumps(r).encode()) for r in rows]
    return b"".join(len(p).to_bytes(4, "big") + p for p in parts)


ROWS = [row(n) for n in range(5)]
FORMS = {
    "lines": lines(ROWS), "array": json.dumps(ROWS).encode(), "pretty array": json.dumps(ROWS, indent=2).encode(),
    "pretty objects": "\n".join(json.dumps(r, indent=2) for r in ROWS).encode(), "with mark": b"\xef\xbb\xbf" + json.dumps(ROWS, indent=1).encode(),
    "gzip array": gzip.compress(json.dumps(ROWS).encode()), "zstd frames": frames(ROWS, zstandard.compress), "gzip frames": frames(ROWS, gzip.compress),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_records(tmp_path: Path, form: str) -> None:
    for name, data in (("expected", FORMS["lines"]), ("given", FORMS[form])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "logs.txt").write_bytes(data)  # the name says nothing
    expected, given = read(tmp_path / "expected"), read(tmp_path / "given")
    assert given.records.drop_columns(["source"]).equals(expected.records.drop_columns(["source"]))
    assert [s["line"] for s in sorted(given.records["source"].to_pylist(), key=lambda s: s["line"])] == [1, 2, 3, 4, 5]
    assert from_table(LogRecord, given.records)


@pytest.mark.parametrize("as_text", [False, True])
def test_parquet_may_hold_structs_or_json_text(tmp_path: Path, as_text: bool) -> None:
    rows = [{**r, "timestamp": datetime(2026, 1, 6, 10, tzinfo=UTC)} for r in ROWS]
    if as_text:
        rows = [{k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in r.items()} for r in rows]
    (tmp_path / "given").mkdir()
    (tmp_path / "expected").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "given" / "logs.parquet")
    (tmp_path / "expected" / "logs.jsonl").write_bytes(lines(ROWS))
    expected, given = read(tmp_path / "expected"), read(tmp_path / "given")
    assert given.records.drop_columns(["source"]).equals(expected.records.drop_columns(["source"]))


def test_the_collectors_file_that_is_still_being_written_is_read_up_to_its_last_whole_frame(tmp_path: Path) -> None:
    (tmp_path / "otel.json").write_bytes(frames(ROWS, zstandard.compress)[:-3])
    found = read(tmp_path)
    assert (found.counts["accepted"], found.counts["incomplete"], found.counts["quarantined"]) == (4, 1, 0)


@pytest.mark.parametrize("cut", [40, 400, -2])
def test_a_document_that_is_damaged_gives_nothing_but_a_note(tmp_path: Path, cut: int) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps(ROWS, indent=2).encode()[:cut])
    (tmp_path / "b.jsonl").write_bytes(lines([row(9)]))
    found = read(tmp_path)
    assert (found.counts["accepted"], found.quarantine["reason"].to_pylist()) == (1, ["unreadable_file"])


def test_a_list_inside_an_object_is_streamed_in_its_envelope() -> None:
    document = json.dumps({"object": "list", "data": [{"a": 1}, {"a": [2, "}"]}], "next": None}, indent=1).encode()
    assert [json.loads(x) for x in document_lines(iter([document[:20], document[20:]]), 1_000)] == [
        {"object": "list", "data": [{"a": 1}]}, {"object": "list", "data": [{"a": [2, "}"]}]},
    ]  # fmt: skip
    with pytest.raises(Damaged):
        list(document_lines(iter([b'{"data": [{"a": 1} {"b": 2}]}']), 1_000))


def test_a_line_without_end_needs_no_memory_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "CHUNK", 10_000)
    data = lines([row(1)]) + b"x" * 400_000 + b"\n" + lines([row(2)])
    (tmp_path / "a.jsonl").write_bytes(data)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(data))
    settings = IngestionSettings(max_line_bytes=50_000)
    found = import_landing(str(tmp_path), round="2026-01-05", ids=IDS, settings=settings, now=NOW)
    assert found.quarantine["reason"].to_pylist() == ["line_too_long"] * 2
    assert (found.counts["accepted"], found.counts["duplicates"]) == (2, 2)


def test_a_link_back_into_the_folder_is_followed_once(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.jsonl").write_bytes(lines(ROWS))
    os.symlink(tmp_path, tmp_path / "sub" / "loop")
    assert read(tmp_path).counts["rows_read"] == 5


def test_half_a_character_inside_a_text_that_holds_json_ends_no_import(tmp_path: Path) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    response = '{"id": "c", "created": 1767693600, "model": "m", "choices": [{"message": {"role": "assistant", "content": "\\ud800"}}]}'
    (tmp_path / "a.jsonl").write_bytes(lines([{"request": json.dumps(request), "response": response}, row(1)]))
    found = read(tmp_path)
    assert found.counts["accepted"] >= 1
    assert found.counts["rows_read"] == 2
