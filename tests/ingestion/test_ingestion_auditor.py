"""What an auditor tries who wants a row lost, doubled, or used without consent: files that change under the reader, names that look alike,
two imports at once, times that no calendar has."""

from __future__ import annotations

import json
import multiprocessing
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flywheel.governance import ConsentLedger, Vault, consent_ledger
from flywheel.ingestion import Imported, import_landing, open_landing
from flywheel.ingestion.inputs import inputs
from flywheel.settings import IngestionSettings, Settings
from flywheel.storage import Home, Ids

ROUND = "2026-01-05"
NOW = datetime(2026, 1, 20, tzinfo=UTC)
IDS = Ids(b"k" * 32)
ENDS = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")


def row(id: str, **changes: Any) -> str:
    made = {"id": id, "timestamp": "2026-01-06T10:00:00Z", "user_id": "u1", "messages": [{"role": "user", "content": f"Hi {id}"}],
            "response": "Hello", "model": "m"}  # fmt: skip
    return json.dumps({k: v for k, v in (made | changes).items() if v is not None}) + "\n"


class Place:
    """A landing folder, and the store that remembers what was read of it."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.store = folder / "landing", folder / "store"
        self.landing.mkdir()

    def read(self, round: str | None = None, now: datetime = NOW) -> Imported:
        settings = IngestionSettings(workers=1)
        found = import_landing(str(self.landing), round=round, ids=IDS, settings=settings, now=now, store=self.store)
        assert found.counts["rows_read"] == sum(found.counts[k] for k in ENDS)
        return found

    def ids(self, **options: Any) -> list[str]:
        table = self.read(**options).records
        return sorted(m[0]["content"].removeprefix("Hi ") for m in table["messages"].to_pylist())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_file_that_is_replaced_by_a_shorter_one_keeps_the_rows_that_were_taken(place: Place) -> None:
    path = place.landing / "a.jsonl"
    path.write_text("".join(row(n) for n in "abc"))
    assert place.ids() == ["a", "b", "c"]
    path.write_text(row("b"))
    os.utime(path, (1, 1))
    found = place.read()
    assert place.ids() == ["a", "b", "c"]
    assert found.counts["accepted"] == 3
    path.write_text("")
    assert place.ids() == ["a", "b", "c"]
    path.unlink()
    assert place.ids() == ["a", "b", "c"]
    path.write_text(row("a", response="Other") + row("d"))
    assert place.ids() == ["a", "b", "c", "d"]


def test_a_file_that_grows_in_the_middle_of_a_line_has_every_row_once(place: Place) -> None:
    text, path = "".join(row(n) for n in "abcdef"), place.landing / "a.jsonl"
    for end in range(1, len(text) + 1, 37):
        path.write_text(text[:end])
        assert place.read().counts["quarantined"] == 0, text[:end]
    path.write_text(text)
    assert place.ids() == list("abcdef")


def test_a_file_that_is_cut_in_the_middle_of_a_row_has_no_bad_row_and_loses_none(place: Place) -> None:
    text, path = "".join(row(n) for n in "abc"), place.landing / "a.jsonl"
    path.write_text(text)
    place.read()
    path.write_text(text[:-30])
    found = place.read()
    assert (found.counts["quarantined"], found.counts["incomplete"]) == (0, 1)
    assert place.ids() == ["a", "b", "c"]


def test_one_record_in_two_files_with_other_fields_is_one_record_and_one_conflict(place: Place) -> None:
    (place.landing / "b.jsonl").write_text(row("a", response="Later name"))
    (place.landing / "a.jsonl").write_text(row("a"))
    found = place.read()
    assert found.records["responses"].to_pylist()[0][0]["text"] == "Hello"
    assert found.quarantine.select(["file", "reason"]).to_pylist() == [{"file": "b.jsonl", "reason": "id_conflict"}]
    assert json.loads(found.quarantine["raw"][0].as_py())["response"] == "Later name"


@pytest.mark.parametrize(
    "timestamp",
    [
        "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", -1, -62135596800, 1e300,
        253402300799, 0, True, "2026-01-06T24:00:00Z", "2026-13-01", "-0001-01-01T00:00:00Z", "NaN", 10**30, None, [], {}, "", " ",
    ],
)  # fmt: skip
def test_a_time_that_cannot_be_is_quarantined_and_grants_nothing(place: Place, tmp_path: Path, timestamp: Any) -> None:
    said = {"purposes": ["training"], "legal_basis": "consent", "policy_version": "v", "granted_at": "2026-01-01T00:00:00Z"}
    (place.landing / "a.jsonl").write_text(row("a", timestamp=timestamp, consent=said) + row("b", consent=None))
    found = place.read(ROUND)
    assert (found.counts["accepted"], found.counts["quarantined"]) == (1, 1)
    assert found.consent_events == []


def test_a_withdrawal_in_a_late_row_of_an_older_week_ends_consent_in_the_run_of_a_newer_one(place: Place, tmp_path: Path) -> None:
    granted = {"purposes": ["training"], "legal_basis": "consent", "policy_version": "v", "granted_at": "2026-01-01T00:00:00Z"}
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    (place.landing / "a.jsonl").write_text(row("a", timestamp="2026-01-13T10:00:00Z", consent=granted))
    with closing(Vault.open(Home(Settings.load(home=tmp_path / "home")))) as vault:
        place.read("2026-01-12").tell(ledger, vault)
        subject = next(ledger.events()).subject_id
        assert subject in ledger.allowed("training", NOW)
        late = row("b", timestamp="2026-01-06T10:00:00Z", consent=granted | {"withdrawn_at": "2026-01-06T10:00:00Z"})
        (place.landing / "b.jsonl").write_text(late)
        place.read("2026-01-12").tell(ledger, vault)
        assert subject not in ledger.allowed("training", NOW)
        again = len(list(ledger.events()))
        place.read("2026-01-12").tell(ledger, vault)
        place.read("2026-01-05").tell(ledger, vault)
        assert (len(list(ledger.events())), ledger.verify()) == (again, [])


def test_a_grant_after_use_allows_no_moment_before_it(place: Place, tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    granted = {"purposes": ["training"], "legal_basis": "consent", "policy_version": "v", "granted_at": "2026-01-18T00:00:00Z"}
    (place.landing / "a.jsonl").write_text(row("a") + row("b", consent=granted))
    with closing(Vault.open(Home(Settings.load(home=tmp_path / "home")))) as vault:
        place.read(ROUND).tell(ledger, vault)
    subject = next(ledger.events()).subject_id
    assert subject in ledger.allowed("training", NOW)
    assert ledger.decision(subject, "training", NOW - timedelta(days=3)) is None


def test_names_that_look_alike_are_two_files(place: Place) -> None:
    (place.landing / "x\\xff.jsonl").write_text(row("a"))
    for name, id in ((b"x\xff.jsonl", "b"), (b"new\nline.jsonl", "c"), ("é.jsonl".encode(), "d"), ("e\u0301.jsonl".encode(), "e")):
        Path(os.fsdecode(os.fsencode(place.landing) + b"/" + name)).write_text(row(id) + "5\n")
    found = place.read()
    assert place.ids() == ["a", "b", "c", "d", "e"]
    assert found.counts["files"] == 5
    assert len(set(found.quarantine["file"].to_pylist())) == 4
    (place.landing / "x\\xff.jsonl").unlink()
    assert place.ids() == ["a", "b", "c", "d", "e"]


def test_what_is_no_file_is_not_read_and_hangs_nothing(place: Place) -> None:
    (place.landing / "a.jsonl").write_text(row("a"))
    os.symlink(".", place.landing / "loop")
    os.symlink("self.jsonl", place.landing / "self.jsonl")
    os.symlink("nowhere", place.landing / "dangling.jsonl")
    os.mkfifo(place.landing / "pipe.jsonl")
    (place.landing / "folder.jsonl").mkdir()
    (place.landing / "folder.jsonl" / "b.jsonl").write_text(row("b"))
    assert place.ids() == ["a", "b"]


def _import(folder: Path, told: Any) -> None:
    home = Home(Settings.load(home=folder))
    records, quarantine = home.lake.writer("inference_logs", ROUND), home.lake.writer("quarantine", ROUND)
    with open_landing(
        home.landing, ids=home.ids, settings=home.settings.ingestion, now=home.now(), store=home.restricted / "ingestion"
    ) as opened:
        opened.take(ROUND, partition=records, quarantine=quarantine)
    told.put((quarantine.commit().sha256, records.commit().sha256))


@pytest.mark.slow
def test_two_imports_of_one_round_at_once_both_end_with_the_same_tables(tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text('clock = "2026-01-20T00:00:00+00:00"\n[ingestion]\nworkers = 1\n')
    landing = tmp_path / "restricted" / "landing"
    landing.mkdir(parents=True)
    (landing / "a.jsonl").write_text("".join(row(f"a{n}") + "5\n" for n in range(2_000)))
    home = Home(Settings.load(home=tmp_path))
    assert len(home.ids.make("subject", "u1")) == 32
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    running = [context.Process(target=_import, args=(tmp_path, told)) for _ in range(3)]
    for process in running:
        process.start()
    found = [told.get(timeout=120) for _ in running]
    for process in running:
        process.join()
    assert len(set(found)) == 1
    assert home.lake.read("inference_logs", ROUND).num_rows == home.lake.read("quarantine", ROUND).num_rows == 2_000
    assert not list(tmp_path.rglob(".parts-*"))
    assert list(consent_ledger(home).events()) == []


def test_a_writer_at_work_is_not_swept_by_the_next_and_one_that_ended_is(tmp_path: Path) -> None:
    home = Home(Settings.load(home=tmp_path))
    first = home.lake.writer("quarantine", ROUND)
    first.scratch(0).write_bytes(b"x")
    second = home.lake.writer("quarantine", ROUND)
    assert first.scratch(0).exists()
    left = first.scratch(0).parent
    del first
    third = home.lake.writer("quarantine", ROUND)
    assert not left.exists()
    second.close()
    third.close()
    assert not list(tmp_path.rglob(".parts-*"))


def test_files_that_are_named_on_the_command_line_are_told_apart_too(tmp_path: Path) -> None:
    (tmp_path / "x\\xff.jsonl").write_text(row("a"))
    other = os.fsdecode(os.fsencode(tmp_path) + b"/x\xff.jsonl")
    Path(other).write_text(row("b"))
    found = inputs([str(tmp_path / "x\\xff.jsonl"), other])
    assert len({f.name for f in found.files}) == 2
