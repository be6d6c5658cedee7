"""A file of a million bad lines is a million rows in quarantine: they are read and written a piece at a time."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.ingestion import Imported, cuts, import_landing, open_landing, quarantine_table
from flywheel.ingestion.chunks import Workshop
from flywheel.ingestion.files import Unreadable
from flywheel.ingestion.parse import ParseSettings
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, Lake
from tests.ingestion.test_ingestion_otel_calls import CHAT, otlp, pairs, span

NOW = datetime(2026, 2, 1, tzinfo=UTC)
OPTIONS: dict[str, Any] = {"ids": Ids(b"k" * 32), "settings": IngestionSettings(workers=1), "now": NOW}
ROUND = "2026-01-05"


def row(id: str, **changes: Any) -> str:
    made = {
        "id": id,
        "timestamp": "2026-01-06T10:00:00Z",
        "messages": [{"role": "user", "content": f"Hi {id}"}],
        "response": "Hello",
        "model": "m",
    }
    return json.dumps(made | changes)


def read(folder: Path, round: str | None = None, **more: Any) -> Imported:
    return import_landing(str(folder), round=round, **OPTIONS, **more)


TEXT = st.lists(st.sampled_from([b"", b"5", b"55", b"5\r", b"x" * 30, b"x" * 200]), max_size=60)


@settings(max_examples=200, deadline=None)
@given(TEXT, st.booleans(), st.integers(1, 40), st.integers(1, 12), st.integers(1, 50), st.binary(max_size=40))
def test_cuts_depend_on_nothing_but_what_stands_before_them(
    lines: list[bytes], ended: bool, size: int, most: int, window: int, more: bytes
) -> None:
    data = b"\n".join([*lines, b""]) if ended else b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        for name, value in (("CHUNK", size), ("LINES", most), ("WINDOW", window)):
            patch.setattr(cuts, name, value)
        path = Path(folder, "a")

        def pieces() -> Iterator[bytes]:
            for start in range(0, len(data), 7):
                yield data[start : start + 7]

        path.write_bytes(data)
        found = [(c.offset, c.length) for c in cuts.spans(path, 10_000) or []]
        assert [(c.offset, c.length) for c in cuts.cut(pieces(), 10_000)] == found
        bodies = [data[at : at + length] for at, length in found if at is not None]
        assert b"".join(bodies) == data
        assert all(b.count(b"\n") <= most for b in bodies)
        assert all(b.endswith(b"\n") for b in bodies[:-1])
        path.write_bytes(data + more)
        assert [(c.offset, c.length) for c in cuts.spans(path, 10_000) or []][: max(len(found) - 1, 0)] == found[:-1]


def test_a_chunk_holds_no_more_lines_than_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"5\n" * (3 * cuts.LINES + 1))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"6\n" * (cuts.LINES + 1)))
    with open_landing(str(tmp_path), **OPTIONS) as opened:
        rows = opened._refused(ROUND, 0, 2**62, opened._decided(0, 2**62), frozenset())
        sizes = [t.num_rows for t in rows.tables()]
    assert sizes == [cuts.LINES, cuts.LINES, cuts.LINES, 1, cuts.LINES, 1]
    assert rows.counts["quarantined"] == sum(sizes) == rows.reasons["not_an_object"]


def delivery(folder: Path) -> None:
    """Refusals of every kind, in an order that takes some sorting."""
    lines = [
        row("a"), "5", row("b", timestamp="2030-01-01T00:00:00Z"), row("a", response="Other"), "{", row("c", colour="red"), *map(str, range(40)),
        row("d", timestamp="never"), row("e", timestamp="2026-01-20T00:00:00Z", colour="red"),
    ]  # fmt: skip
    bad = {**CHAT, "gen_ai.input.messages": "["}
    spans = [json.dumps(r) for r in otlp(span(CHAT, 1), span(bad, 2), span({**bad, "gen_ai.response.id": "x"}, 3))]
    (folder / "b.jsonl").write_text("\n".join([*lines, *spans, "7", ""]))
    (folder / "a.jsonl").write_bytes(b"")
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(("5\n" * 30).encode())[:-5])
    (folder / "d.jsonl").write_text("5\n6\n")


def test_the_quarantine_is_in_the_order_of_files_and_lines_however_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery(tmp_path)
    whole = read(tmp_path).quarantine
    order = list(zip(whole["file"].to_pylist(), whole["line"].to_pylist(), strict=True))
    assert order == sorted(order)
    assert {
        "id_conflict",
        "future_timestamp",
        "unknown_field",
        "invalid_timestamp",
        "not_an_object",
        "malformed_json",
        "empty_file",
        "unreadable_file",
    } <= set(whole["reason"].to_pylist())
    for name, value in (("CHUNK", 300), ("LINES", 7), ("WINDOW", 50)):
        monkeypatch.setattr(cuts, name, value)
    pieces = read(tmp_path)
    assert pieces.quarantine.equals(whole)
    assert pieces.reasons == {r: whole["reason"].to_pylist().count(r) for r in sorted(set(whole["reason"].to_pylist()))}


@pytest.mark.parametrize(("rows", "size"), [(10, 1 << 20), (1 << 20, 40), (3, 5), (1 << 20, 1 << 20)])
def test_into_a_partition_goes_what_is_given_as_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, size: int) -> None:
    (tmp_path / "landing").mkdir()
    delivery(tmp_path / "landing")
    monkeypatch.setattr(quarantine_table, "ROWS_A_PART", rows)
    monkeypatch.setattr(quarantine_table, "BYTES_A_PART", size)
    manifests = []
    for most in (cuts.LINES, 3):
        monkeypatch.setattr(cuts, "LINES", most)
        lake = Lake(tmp_path / f"lake-{most}", tmp_path / f"restricted-{most}")
        writer = lake.writer("quarantine", ROUND)
        found = read(tmp_path / "landing", ROUND, quarantine=writer)
        manifests.append(writer.commit())
        table = read(tmp_path / "landing", ROUND).quarantine
        assert found.quarantine.num_rows == 0
        assert found.counts["quarantined"] == manifests[-1].rows == table.num_rows > 40
        assert lake.read("quarantine", ROUND).equals(table.replace_schema_metadata(None))
    assert manifests[0] == manifests[1]


def test_an_empty_quarantine_is_a_partition_too(tmp_path: Path) -> None:
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.jsonl").write_text(row("a") + "\n")
    lake = Lake(tmp_path / "lake", tmp_path / "restricted")
    writer = lake.writer("quarantine", ROUND)
    read(tmp_path / "landing", ROUND, quarantine=writer)
    assert writer.commit().rows == 0
    assert lake.read("quarantine", ROUND).num_rows == 0


def test_a_line_of_many_rows_is_not_shown_once_for_each_of_them(tmp_path: Path) -> None:
    filler = "x" * 2_000
    many = ", ".join(row(f"r{n}", response=f"Other {filler}") for n in range(50))
    (tmp_path / "a.jsonl").write_text("\n".join([*(row(f"r{n}") for n in range(50)), f"[{many}]", row("r0", response="Third"), ""]))
    quarantine = read(tmp_path).quarantine
    assert quarantine["reason"].to_pylist() == ["id_conflict"] * 51
    assert sum(map(len, quarantine["raw"].to_pylist())) < 2 * len(many)
    assert json.loads(quarantine["raw"][7].as_py())["id"] == "r7"
    assert quarantine["raw"][50].as_py() == row("r0", response="Third")


def test_a_line_of_many_parts_that_are_too_deep_is_kept_once(tmp_path: Path) -> None:
    deep: Any = {}
    for _ in range(98):
        deep = {"a": deep}
    made = [
        {**span(CHAT, n + 1), "attributes": [*pairs(CHAT), {"key": "x", "value": {"stringValue": json.dumps(deep)}}]} for n in range(20)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join([*(json.dumps(r) for r in otlp(*made)), ""]))
    quarantine = read(tmp_path).quarantine
    assert sum(map(len, quarantine["raw"].to_pylist())) <= 2 * (tmp_path / "a.jsonl").stat().st_size


def test_a_file_that_became_shorter_while_it_was_read_has_no_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(row("a") + "\n" + row("b")[:40])
    made = OPTIONS["settings"]
    shop = Workshop(tmp_path / "store", ParseSettings("auto", "log", made.max_line_bytes, OPTIONS["ids"], Taxonomy.load(made)))
    with pytest.raises(Unreadable, match="became shorter while it was read"):
        shop.make(path, cuts.Chunk(0, path.stat().st_size + 50))
