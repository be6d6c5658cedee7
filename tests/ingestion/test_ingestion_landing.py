"""What becomes of each line of a landing folder."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.ingestion import Imported, import_landing
from flywheel.ingestion.elsewhere import row_keys
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids, from_table

ROUND = "2026-01-05"
NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
IDS = Ids(b"k" * 32)


def row(id: str = "r1", **changes: Any) -> dict[str, Any]:
    made = {
        "id": id, "timestamp": "2026-01-06T10:00:00Z", "user_id": "u-1001", "conversation_id": f"c-{id}",
        "messages": [{"role": "user", "content": "Where is my order?"}], "responses": [{"text": "On its way.", "model": "m-1"}],
    }  # fmt: skip
    made.update(changes)
    return {k: v for k, v in made.items() if v is not None}


def write(folder: Path, name: str, *rows: dict[str, Any] | bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    data = b"".join((r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in rows)
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    if name.endswith(".zst"):
        data = zstandard.compress(data)
    path.write_bytes(data)


def run(folder: Path, **options: Any) -> Imported:
    found = import_landing(str(folder), round=options.pop("round", ROUND), ids=IDS, settings=IngestionSettings(**options.pop("settings", {})),
                           now=options.pop("now", NOW), **options)  # fmt: skip
    c = found.counts
    ends = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")
    assert c["rows_read"] == sum(c[k] for k in ends)
    assert c["accepted"] == found.records.num_rows
    assert c["quarantined"] == found.quarantine.num_rows
    return found


def reasons(found: Imported) -> list[str]:
    return found.quarantine["reason"].to_pylist()


def test_plain_gzip_and_zstandard_files_in_folders_give_the_same_records(tmp_path: Path) -> None:
    rows = [row(f"r{i}") for i in range(5)]
    for name in ("a.jsonl", "deep/down/a.jsonl.gz", "a.jsonl.zst", "misnamed.jsonl"):
        folder = tmp_path / name.replace("/", "-")
        write(folder, name, *rows)
    (tmp_path / "misnamed.jsonl" / "misnamed.jsonl").write_bytes(gzip.compress(b"".join(json.dumps(r).encode() + b"\n" for r in rows)))
    tables = [run(f).records.drop_columns(["source"]) for f in sorted(tmp_path.iterdir())]
    assert tables[0].num_rows == 5
    assert all(t.equals(tables[0]) for t in tables)


def test_several_gzip_members_and_zstandard_frames_are_read_to_the_end(tmp_path: Path) -> None:
    lines = [json.dumps(row(f"r{i}")).encode() + b"\n" for i in range(4)]
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(x) for x in lines[:2]))
    (tmp_path / "b.jsonl.zst").write_bytes(b"".join(zstandard.compress(x) for x in lines[2:]))
    assert run(tmp_path).counts["accepted"] == 4


def test_an_fsspec_url_is_read_like_a_folder(tmp_path: Path) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe_file("/landing/week/a.jsonl", json.dumps(row()).encode() + b"\n")
    try:
        found = import_landing("memory://landing", round=ROUND, ids=IDS, settings=IngestionSettings(), now=NOW)
    finally:
        system.rm("/landing", recursive=True)
    assert found.records["source"].to_pylist() == [{"format": "flywheel", "file": "week/a.jsonl", "line": 1}]


def test_hidden_and_temporary_files_are_left_alone_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in (".hidden.jsonl", "_spark/part.jsonl", "a.jsonl.tmp", "a.jsonl~", "a.part"):
        write(tmp_path, name, b"garbage")
    write(tmp_path, "README.md", b"# not a log")
    write(tmp_path, "a.jsonl", row())
    counts = run(tmp_path).counts
    assert (counts["files"], counts["files_ignored"], counts["accepted"], counts["quarantined"]) == (1, 1, 1, 0)


def test_a_missing_landing_folder_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="setting `landing`"):
        run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("bad", "reason", "field"),
    [
        (b'{"id": ', "malformed_json", None),
        (b'{"id": NaN}', "malformed_json", None),
        (b"[" * 100_000, "malformed_json", None),
        (b'{"a": "\\ud800"}', "malformed_json", None),
        (b"[1, 2]", "not_an_object", None),
        (b"null", "not_an_object", None),
        (json.dumps(row()).encode("utf-16"), "wrong_encoding", None),
        (json.dumps(row(user_id="Zoë"), ensure_ascii=False).encode("latin-1"), "wrong_encoding", None),
        (row(colour="red"), "unknown_field", "colour"),
        (row(messages=[{"role": "user", "content": "x", "mood": 1}]), "unknown_field", "messages.0.mood"),
        (row(responses=[{"text": "x", "model": "m", "cost": 1}]), "unknown_field", "responses.0.cost"),
        (row(feedback={"stars": 5}), "unknown_field", "feedback.stars"),
        (row(messages=None), "missing_field", "messages"),
        (row(responses=None), "missing_field", "responses"),
        (row(timestamp=None), "missing_field", "timestamp"),
        (row(messages=[{}]), "missing_field", "messages.0.role"),
        (row(responses=[{"text": "x"}]), "missing_field", "responses.0.model"),
        (row(template={"id": "t"}), "missing_field", "template.version"),
        (row(messages=["x"]), "invalid_field", "messages.0"),
        (row(messages=[{"role": "boss", "content": "x"}]), "invalid_field", "messages.0.role"),
        (row(messages=[{"role": "user", "content": 5}]), "invalid_field", "messages.0.content"),
        (row(responses=[{"text": "x", "model": "m", "temperature": "hot"}]), "invalid_field", "responses.0.temperature"),
        (row(responses=[{"text": "x", "model": "m", "seed": 2**70}]), "invalid_field", "responses.0.seed"),
        (row(user_id=["a"]), "invalid_field", "user_id"),
        (row(domain="jane.doe@example.com"), "invalid_field", "domain"),
        (row(profile="Jane"), "invalid_field", "profile"),
        (b'{"id":"r1","timestamp":1767700000,"messages":[{"role":"user","content":"x"}],"response":"y","model":"m","metadata":{"x":1e999}}',
         "invalid_field", "metadata"),
        (row(consent={"purposes": ["selling"], "legal_basis": "c", "policy_version": "1", "granted_at": "2025-01-01"}), "invalid_field", "consent.purposes"),
        (row(consent={"purposes": ["labeling"]}), "missing_field", "consent.legal_basis"),
        (row(messages=[]), "empty_messages", "messages"),
        (row(messages=[{"role": "user", "content": " "}]), "empty_messages", "messages"),
        (row(responses=[]), "empty_responses", "responses"),
        (row(timestamp="2027-01-01T00:00:00Z"), "future_timestamp", "timestamp"),
        (row(timestamp="yesterday"), "invalid_timestamp", "timestamp"),
        (row(timestamp=True), "invalid_timestamp", "timestamp"),
        (row(timestamp="1e400"), "invalid_timestamp", "timestamp"),
    ],
)  # fmt: skip
def test_a_bad_row_is_quarantined_whole_with_its_reason_place_and_field(tmp_path: Path, bad: Any, reason: str, field: str | None) -> None:
    write(tmp_path, "a.jsonl", row("good"), bad, row("good too"))
    found = run(tmp_path)
    assert found.counts["accepted"] == 2
    kept = found.quarantine.to_pylist()[0]
    first = json.dumps(row("good")).encode() + b"\n"
    assert (kept["reason"], kept["field"], kept["file"], kept["line"], kept["byte_offset"]) == (reason, field, "a.jsonl", 2, len(first))
    raw = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    if b"\n" not in raw:  # UTF-16 holds bytes that look like line ends
        assert kept["raw"] == raw.decode("utf-8", "backslashreplace")


def test_an_empty_file_and_a_damaged_archive_are_one_quarantined_row_each(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl")
    whole = gzip.compress(b"".join(json.dumps(row(f"r{i}", metadata={"n": "x" * i})).encode() + b"\n" for i in range(500)))
    (tmp_path / "b.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(json.dumps(row()).encode() + b"\n")[:-5])
    found = run(tmp_path)
    assert reasons(found) == ["empty_file", "unreadable_file", "unreadable_file"]
    assert found.records.num_rows == 0, "a file is never half imported"


def test_a_line_over_the_limit_is_quarantined_and_the_next_one_is_read(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", row(metadata={"x": "y" * 300_000}), row("r2"))
    found = run(tmp_path, settings={"max_line_bytes": 200_000})
    assert reasons(found) == ["line_too_long"]
    assert len(found.quarantine["raw"][0].as_py()) == 1 << 16
    assert found.counts["accepted"] == 1


def test_a_last_line_that_is_still_being_written_waits_for_the_next_read(tmp_path: Path) -> None:
    text = json.dumps(row("r2")).encode()
    (tmp_path / "a.jsonl").write_bytes(json.dumps(row("r1")).encode() + b"\n" + text[:40])
    found = run(tmp_path)
    assert (found.counts["accepted"], found.counts["incomplete"], found.counts["quarantined"]) == (1, 1, 0)
    (tmp_path / "a.jsonl").write_bytes(json.dumps(row("r1")).encode() + b"\n" + text)
    assert run(tmp_path).counts["accepted"] == 2


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(row()).encode() + b"\r\n\r\n")
    assert run(tmp_path).counts["accepted"] == 1


def test_the_same_record_in_two_files_is_one_record_and_other_content_under_its_id_a_conflict(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", row("r1"), row("r1"))
    write(tmp_path, "b.jsonl", row("r1"), row("r1", messages=[{"role": "user", "content": "Something else"}]), row("r2"))
    found = run(tmp_path)
    assert (found.counts["accepted"], found.counts["duplicates"], reasons(found)) == (2, 2, ["id_conflict"])
    assert found.records["messages"].to_pylist()[0][0]["content"] == "Where is my order?"
    assert found.quarantine.to_pylist()[0]["line"] == 2


def test_an_id_that_another_week_took_first_is_a_conflict_in_the_later_week_only(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", row("r1", timestamp="2026-01-01T00:00:00Z"), row("r1"))
    assert reasons(run(tmp_path)) == ["id_conflict"]
    before = run(tmp_path, round="2025-12-29")
    assert (before.counts["accepted"], before.counts["quarantined"]) == (1, 0)


def test_a_row_without_id_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", row(id=None), row(id=None), row(id=None, metadata={"n": 1}))
    assert run(tmp_path).counts == {**run(tmp_path).counts, "accepted": 2, "duplicates": 1}


def test_rows_of_another_week_are_left_to_that_week_good_or_bad(tmp_path: Path) -> None:
    write(
        tmp_path, "a.jsonl", row("r1", timestamp="2026-01-12T00:00:00Z"), row("r2", timestamp="2026-01-04T23:59:59Z", colour=1), row("r3")
    )
    found = run(tmp_path)
    assert (found.counts["accepted"], found.counts["other_rounds"], found.counts["quarantined"]) == (1, 2, 0)
    assert reasons(run(tmp_path, round="2025-12-29")) == ["unknown_field"]


def test_a_row_that_belongs_to_no_week_is_quarantined_in_one_round_only(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", b"{", row("r1"))
    assert reasons(run(tmp_path)) == ["malformed_json"]
    there = row_keys(run(tmp_path).quarantine)
    again = run(tmp_path, quarantined_elsewhere=there)
    assert (again.counts["quarantined"], again.counts["quarantined_elsewhere"]) == (0, 1)
    write(tmp_path, "a.jsonl", b"[", row("r1"))  # the log was rotated: another bad row in the same place
    assert run(tmp_path, quarantined_elsewhere=there).counts["quarantined"] == 1


@pytest.mark.parametrize("value", ["2026-01-06T10:00:00Z", "2026-01-06T11:00:00+01:00", 1767693600, 1767693600.0, "1767693600", 1767693600000,
                                   1767693600000000, 1767693600000000000])  # fmt: skip
def test_a_timestamp_may_be_iso_8601_or_a_number_in_any_unit(tmp_path: Path, value: Any) -> None:
    write(tmp_path, "a.jsonl", row(timestamp=value))
    assert run(tmp_path).records["timestamp"].to_pylist() == [datetime(2026, 1, 6, 10, tzinfo=UTC)]


def test_a_time_without_zone_is_read_as_utc_and_said_so(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", row(timestamp="2026-01-06T10:00:00"))
    assert run(tmp_path).losses == {"flywheel: time zone not said, read as UTC": 1}


def test_ids_are_keyed_and_raw_ids_stay_in_the_profile_and_the_vaults_list(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.jsonl",
        row("r-778", user_id="jane@example.com", profile={"name": "Jane Doe", "tier": "gold", "home": {"street": "1 Elm St"}}),
    )
    found = run(tmp_path)
    record = from_table(LogRecord, found.records)[0]
    assert record.subject_id == IDS.make("subject", "jane@example.com")
    assert record.conversation_id == IDS.make("conversation", "c-r-778")
    public = record.model_dump_json(exclude={"profile"})
    assert "jane@example.com" not in public
    assert "r-778" not in public
    assert {(i.kind, i.value) for i in found.identities} == {
        ("PERSON", "Jane Doe"), ("ADDRESS", "1 Elm St"), ("USER_ID", "jane@example.com"), ("RECORD_ID", "r-778"), ("CONVERSATION_ID", "c-r-778"),
    }  # fmt: skip


def test_consent_in_the_log_becomes_ledger_events_also_from_a_duplicate(tmp_path: Path) -> None:
    consent = {"purposes": ["training", "labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}
    write(tmp_path, "a.jsonl", row("r1", consent=consent), row("r1", consent={**consent, "withdrawn_at": "2026-01-01T00:00:00Z"}))
    found = run(tmp_path)
    assert found.counts["duplicates"] == 1
    assert [(e.purpose, e.action) for e in found.consent_events].count(("labeling", "granted")) == 1
    assert {(e.purpose, e.action) for e in found.consent_events} == {
        ("labeling", "granted"), ("training", "granted"), ("labeling", "withdrawn"), ("training", "withdrawn"),
    }  # fmt: skip


def test_the_same_files_give_the_same_table_whatever_their_order_on_disk(tmp_path: Path) -> None:
    rows = [row(f"r{i}") for i in range(20)]
    for i in (3, 1, 2):
        write(tmp_path / "x", f"{i}.jsonl", *rows[i * 5 : i * 5 + 5])
    for i in (1, 2, 3):
        write(tmp_path / "y", f"{i}.jsonl", *rows[i * 5 : i * 5 + 5])
    assert run(tmp_path / "x").records.equals(run(tmp_path / "y").records)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6,
)  # fmt: skip
KEYS = [*row(), "response", "feedback", "profile", "metadata", "template", "consent", "request", "choices", "workload_id"]
BROKEN_ROWS = st.builds(lambda key, value: json.dumps({**row("b"), key: value}).encode(), st.sampled_from(KEYS), VALUES)
LINES = st.one_of(
    st.binary(max_size=60).map(lambda b: b.replace(b"\n", b"")), BROKEN_ROWS,
    st.integers(0, 6).map(lambda i: json.dumps(row(f"r{i}")).encode()), VALUES.map(lambda v: json.dumps(v).encode()),
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(files=st.lists(st.lists(LINES, max_size=12), min_size=1, max_size=3), ended=st.booleans())
def test_no_line_is_lost_and_nothing_crashes_whatever_a_file_holds(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[bytes]], ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    expected = 0
    for number, content in enumerate(files):
        data = b"\n".join(content) + (b"\n" if ended else b"")
        (folder / f"{number}.jsonl").write_bytes(data)
        head = data[:4]
        if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")) or re.match(rb"\s*\[\s*\{", data.removeprefix(b"\xef\xbb\xbf")):
            return  # compressed, or one document: its rows are not its lines
        lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        expected += max(1, sum(1 for line in lines if line.strip()))
    found = run(folder)
    assert found.counts["rows_read"] + found.counts["incomplete"] == expected
    assert run(folder).records.equals(found.records)
