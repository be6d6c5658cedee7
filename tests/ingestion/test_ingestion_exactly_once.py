"""However logs are cut, repeated, grown, compressed or ordered on their way: the same rows give the same table, each exactly once."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.ingestion import Imported, cuts, import_landing, open_landing
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, Lake, from_table

ROUND, NOW, IDS = "2026-01-05", datetime(2026, 1, 12, 6, tzinfo=UTC), Ids(b"k" * 32)
CONSENT = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}
ENDS = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")


def run(folder: Path | str, **options: Any) -> Imported:
    given = {"round": ROUND, "ids": IDS, "settings": IngestionSettings(), "now": NOW, **options}
    found = import_landing(str(folder), **given)
    assert found.counts["rows_read"] == sum(found.counts[k] for k in ENDS), found.counts
    assert len(set(found.records["record_id"].to_pylist())) == found.records.num_rows
    return found


def table(found: Imported) -> Any:
    return found.records.drop_columns(["source"])


def line(number: int, **changes: Any) -> bytes:
    row = {
        "id": f"r{number}", "timestamp": f"2026-01-{5 + number % 7:02d}T{number % 24:02d}:00:00Z", "user_id": f"u{number % 3}", "conversation_id": f"c{number % 4}",
        "messages": [{"role": "user", "content": f"Where is order {number}?"}], "responses": [{"text": "On its way.", "model": "m-1"}], **changes,
    }  # fmt: skip
    return json.dumps(row).encode()


def rows_of(count: int) -> list[bytes]:
    """Canonical rows of two weeks, with consent, profile, tool calls, and some that are bad."""
    made = []
    for n in range(count):
        extra: dict[str, Any] = {}
        if n % 5 == 1:
            extra = {"consent": CONSENT, "profile": {"name": f"Ada Byron{n}", "home": {"city": "Ulm"}}}
        if n % 7 == 2:
            call = {"id": "t", "name": "track", "arguments": '{"order": 1}'}
            extra = {
                "responses": [{"text": "", "model": "m", "tool_calls": [call], "retrieval": {"ids": ["d1"]}, "token_logprobs": [-0.5]}]
            }
        if n % 11 == 3:
            extra = {"timestamp": "2026-01-01T00:00:00Z"}
        if n % 13 == 4:
            extra = {"colour": "red"}
        made.append(line(n, **extra))
    return made


FORMS = {
    "plain": lambda data: data, "gzip": lambda data: gzip.compress(data, mtime=0), "zstd": zstandard.compress,
    "array": lambda data: b"[" + b",\n".join(data.splitlines()) + b"]" if data else b"[]",
    "pretty": lambda data: json.dumps([json.loads(x) for x in data.splitlines()], indent=2).encode(),
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=4), forms=st.lists(st.sampled_from(sorted(FORMS)), min_size=5, max_size=5),
    again=st.lists(st.integers(0, 39), max_size=12), order=st.permutations(range(5)),
)  # fmt: skip
def test_split_repeated_compressed_and_reordered_deliveries_give_the_same_table(
    cuts: list[int], forms: list[str], again: list[int], order: list[int]
) -> None:
    rows = rows_of(40)
    with tempfile.TemporaryDirectory() as scratch:
        whole, parts = Path(scratch) / "whole", Path(scratch) / "parts"
        whole.mkdir()
        parts.mkdir()
        (whole / "a.jsonl").write_bytes(b"\n".join(rows))
        bounds = [0, *sorted(cuts), len(rows)]
        pieces = [rows[a:b] for a, b in itertools.pairwise(bounds)]
        pieces[-1] = [*pieces[-1], *(rows[n] for n in again)]  # overlapping exports
        for number, piece in enumerate(pieces):
            if piece:
                (parts / f"{order[number]}.jsonl").write_bytes(FORMS[forms[number]](b"\n".join(piece) + b"\n"))
        one, other = run(whole), run(parts)
        assert table(other).equals(table(one))
        good = [n for n in again if n % 13 != 4 and n % 11 != 3]
        assert other.counts["duplicates"] == len(good)
        assert {e.event_id for e in other.consent_events} == {e.event_id for e in one.consent_events}
        assert other.identities == one.identities


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.integers(1, 2_000), min_size=1, max_size=6))
def test_a_file_that_grows_is_read_on_and_ends_as_if_read_at_once(steps: list[int]) -> None:
    data = b"\n".join(rows_of(30)) + b"\n"
    with tempfile.TemporaryDirectory() as scratch:
        landing, store = Path(scratch) / "landing", Path(scratch) / "store"
        landing.mkdir()
        at = 0
        for step in steps:
            at = min(at + step, len(data))
            (landing / "a.jsonl").write_bytes(data[:at])
            part = run(landing, store=store)
            assert part.counts["duplicates"] == 0
            assert part.counts["incomplete"] <= 1
        (landing / "a.jsonl").write_bytes(data)
        grown = run(landing, store=store)
        assert table(grown).equals(table(run(landing)))
        assert grown.counts == run(landing).counts
        again = run(landing, store=store)
        assert (table(again).equals(table(grown)), again.counts) == (True, grown.counts)


def test_what_was_taken_stays_when_its_file_is_rotated_away(tmp_path: Path) -> None:
    landing, store = tmp_path / "landing", tmp_path / "store"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(b"\n".join(rows_of(20)))
    before = run(landing, store=store)
    (landing / "a.jsonl").unlink()
    (landing / "b.jsonl").write_bytes(b"\n".join(rows_of(24)[20:]))
    after = run(landing, store=store)
    ids = set(before.records["record_id"].to_pylist())
    assert ids < set(after.records["record_id"].to_pylist())
    assert after.counts["accepted"] == before.counts["accepted"] + 4
    assert after.counts["quarantined"] == before.counts["quarantined"], "nothing that was seen is lost"


def test_of_a_file_that_is_replaced_the_taken_rows_stay_and_the_refused_ones_go(tmp_path: Path) -> None:
    landing, store = tmp_path / "landing", tmp_path / "store"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(line(1) + b"\n" + line(2, colour=1) + b"\n")
    assert run(landing, store=store).counts["quarantined"] == 1
    (landing / "a.jsonl").write_bytes(line(2) + b"\n" + line(3) + b"\n")  # mended and rotated
    after = run(landing, store=store)
    assert (after.counts["accepted"], after.counts["quarantined"], after.counts["duplicates"]) == (3, 0, 0)


def test_a_file_that_is_known_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    landing, store = tmp_path / "landing", tmp_path / "store"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(line(1))
    os.utime(landing / "a.jsonl", (1_700_000_000, 1_700_000_000))
    first = run(landing, store=store)
    monkeypatch.setattr("flywheel.ingestion.reading.open_source", lambda *_: pytest.fail("opened"))
    assert run(landing, store=store).records.equals(first.records)


def test_a_row_of_the_future_is_taken_once_the_clock_has_passed_it(tmp_path: Path) -> None:
    landing, store = tmp_path / "landing", tmp_path / "store"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(line(1, timestamp="2026-01-11T23:00:00Z") + b"\n" + line(2) + b"\n")
    early = run(landing, store=store, now=datetime(2026, 1, 11, 12, tzinfo=UTC))
    kept = early.quarantine.to_pylist()
    assert [(q["reason"], q["field"], q["line"], q["byte_offset"]) for q in kept] == [("future_timestamp", "timestamp", 1, 0)]
    assert kept[0]["raw"].encode() == line(1, timestamp="2026-01-11T23:00:00Z")
    late = run(landing, store=store)
    assert (late.counts["accepted"], late.counts["quarantined"]) == (2, 0)


def test_a_conflict_shows_the_bytes_as_they_came(tmp_path: Path) -> None:
    other = line(1, responses=[{"model": "m-1", "text": "Lost.", "temperature": 0.50}])
    for name, form in (("plain", FORMS["plain"]), ("gzip", FORMS["gzip"])):
        landing = tmp_path / name
        landing.mkdir()
        (landing / "a.jsonl").write_bytes(form(line(1) + b"\n\n" + other + b"\r\n"))
        kept = run(landing).quarantine.to_pylist()
        assert [(q["reason"], q["line"], q["byte_offset"]) for q in kept] == [("id_conflict", 3, len(line(1)) + 2)]
        assert kept[0]["raw"].encode() == other


def test_content_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    row = json.loads(line(1, metadata={"b": 1, "a": [1.5]}, profile={"x": "y"}))
    spaced = json.dumps(dict(reversed(row.items())), indent=None, separators=(" , ", " :  "))
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n" + spaced + "\n")
    (tmp_path / "b.jsonl").write_text(json.dumps({**row, "messages": [{"role": "user", "content": ["Where is order 1?"]}]}) + "\n")
    found = run(tmp_path)
    assert (found.counts["accepted"], found.counts["duplicates"]) == (1, 2)


def test_a_large_input_is_read_by_several_processes_into_a_partition_of_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small chunks and parts stand for large files. (A worker process has the real sizes: chunks come to it ready cut.)"""
    monkeypatch.setattr(cuts, "CHUNK", 4_000)
    monkeypatch.setattr("flywheel.ingestion.landing.ROWS_A_PART", 50)
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(b"\n".join(rows_of(150)))
    (landing / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(rows_of(200)[100:])))
    lake = Lake(tmp_path / "lake", tmp_path / "restricted")
    writer = lake.writer("inference_logs", ROUND)
    found = run(landing, store=tmp_path / "store", partition=writer, settings=IngestionSettings(workers=2))
    manifest = writer.commit(facts={"counts": found.counts})
    assert len(manifest.parts) == -(-manifest.rows // 50) > 1
    assert manifest.rows == found.counts["accepted"] == lake.demand("inference_logs", ROUND).rows
    alone = run(landing, settings=IngestionSettings(workers=1))
    stored = lake.read("inference_logs", ROUND)
    assert stored.drop_columns(["source"]).equals(table(alone))
    assert sum(b.num_rows for b in lake.batches("inference_logs", ROUND)) == manifest.rows
    assert from_table(LogRecord, stored) == from_table(LogRecord, alone.records)
    keys = list(zip(stored["timestamp"].to_pylist(), stored["record_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_every_week_at_once_is_every_week_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(rows_of(60)))
    every = run(tmp_path, round=None)
    single = [run(tmp_path, round=r) for r in every.weeks]
    assert every.counts["accepted"] == sum(f.counts["accepted"] for f in single)
    assert every.counts["other_rounds"] == 0
    assert set(every.records["round"].to_pylist()) == set(every.weeks)


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 40))
def test_canonical_lines_give_the_same_records_again(count: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        first, second = Path(scratch) / "first", Path(scratch) / "second"
        first.mkdir()
        second.mkdir()
        (first / "a.jsonl").write_bytes(b"\n".join([*rows_of(count), line(99, id=None, user_id=None, conversation_id=None)]))
        with open_landing(str(first), ids=IDS, settings=IngestionSettings(), now=NOW) as opened:
            (second / "out.jsonl").write_bytes(b"".join(row + b"\n" for row in opened.canonical_rows()))
        one, two = run(first, round=None), run(second, round=None)
        assert two.records.drop_columns(["source"]).equals(one.records.drop_columns(["source"]))
        assert two.counts["quarantined"] == 0
        assert {e.event_id for e in two.consent_events} == {e.event_id for e in one.consent_events}
        assert two.identities == one.identities
