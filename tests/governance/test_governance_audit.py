"""Tamper evidence: the provenance chain and the audit of a whole installation."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.governance import ProvenanceLog, consent_ledger, provenance_log, verify_audit
from flywheel.governance.audit import consent_quarantine
from flywheel.governance.chain import canonical, line_hash
from flywheel.governance.consent_import import import_consent
from flywheel.labeling import Journal
from flywheel.records import AnnotationEvent, CostEvent, ModelManifest
from flywheel.settings import Settings
from flywheel.storage import Home, sha256_file, to_table, write_json

AT = datetime(2026, 1, 12, tzinfo=UTC)
ROUND = "2026-01-05"


def test_events_are_chained_and_read_back_in_order(tmp_path: Path) -> None:
    log = ProvenanceLog(tmp_path / "p.jsonl")
    hashes = [log.append("published", {"n": n}, AT) for n in range(3)]
    assert log.head() == hashes[-1]
    assert [e["payload"]["n"] for e in log.events("published")] == [0, 1, 2]
    assert list(log.events("other")) == []
    assert set(next(log.events())) == {"seq", "kind", "payload", "at", "previous", "hash"}
    assert log.verify() == []


@pytest.mark.parametrize("tamper", ["change", "drop", "swap", "insert", "garbage"])
def test_any_change_of_the_log_is_found_and_named_by_line(tmp_path: Path, tamper: str) -> None:
    log = ProvenanceLog(tmp_path / "p.jsonl")
    for n in range(4):
        log.append("published", {"n": n}, AT)
    lines = log.path.read_bytes().splitlines(keepends=True)
    if tamper == "change":
        lines[1] = lines[1].replace(b'"n":1', b'"n":7')
    elif tamper == "drop":
        del lines[1]
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif tamper == "insert":
        lines.insert(1, lines[1])
    else:
        lines[1] = b"{\n"
    log.path.write_bytes(b"".join(lines))
    assert any("line 2" in p or "line 3" in p for p in log.verify())


def test_a_rerun_adds_nothing_and_a_changed_payload_a_new_event(tmp_path: Path) -> None:
    log = ProvenanceLog(tmp_path / "p.jsonl")
    first = log.append_once("round/1", "closed", {"model": "a"}, AT)
    assert log.append_once("round/1", "closed", {"model": "a"}, AT.replace(hour=5)) == first
    assert log.append_once("round/1", "closed", {"model": "b"}, AT) != first
    assert len(list(log.events())) == 2


def test_a_line_that_a_crash_left_unfinished_is_skipped_and_removed_by_the_next_append(tmp_path: Path) -> None:
    log = ProvenanceLog(tmp_path / "p.jsonl")
    log.append("published", {}, AT)
    with open(log.path, "ab") as file:
        file.write(b'{"seq": 1, "ki')
    assert (len(list(log.events())), log.verify()) == (1, [])
    log.append("published", {}, AT)
    assert (len(list(log.events())), log.verify()) == (2, [])


def installation(folder: Path) -> Home:
    home = Home(Settings(home=folder))
    provenance_log(home).append("published", {"round": ROUND}, AT)
    row = CostEvent(round=ROUND, kind="annotation", quantity=1, unit="decision", unit_price_usd=0.3, amount_usd=0.3)
    home.lake.write("cost_events", ROUND, to_table(CostEvent, [row]))
    model = home.models / "dpo-0123"
    model.mkdir(parents=True)
    (model / "weights.bin").write_bytes(b"weights")
    manifest = ModelManifest(model_id="dpo-0123", kind="dpo", base="x", files={"weights.bin": sha256_file(model / "weights.bin")}, seed=0)
    write_json(model / "manifest.json", manifest.model_dump(mode="json"))
    return home


def test_an_untouched_installation_passes_the_audit(tmp_path: Path) -> None:
    report = verify_audit(installation(tmp_path))
    assert report.ok, report.problems
    assert (report.checked["lake_partitions"], report.checked["models"], report.checked["provenance_events"]) == (1, 1, 1)


def test_the_audit_names_every_altered_file_and_does_not_stop_at_the_first(tmp_path: Path) -> None:
    home = installation(tmp_path)
    (home.models / "dpo-0123" / "weights.bin").write_bytes(b"other")
    parquet = next(home.root.glob("lake/cost_events/*/*.parquet"))
    parquet.write_bytes(parquet.read_bytes()[:-1] + b"x")
    log = provenance_log(home).path
    body = json.loads(log.read_text())
    body["payload"]["round"] = "2026-01-12"
    log.write_text(json.dumps(body) + "\n")
    problems = "\n".join(verify_audit(home).problems)
    for place in ("weights.bin", "cost_events[2026-01-05]", "provenance.jsonl line 1"):
        assert place in problems


def test_the_audit_covers_the_annotation_journal(tmp_path: Path) -> None:
    home = installation(tmp_path)
    event = AnnotationEvent(event_id="e1", task_id="t1", rater="w1", decision="a", guideline_sha256="0" * 64, source="page", origin="human")
    Journal(home.restricted / "journal.sqlite").append([event], "page", at=AT)
    assert verify_audit(home).checked["journal_events"] == 1
    with closing(sqlite3.connect(home.restricted / "journal.sqlite")) as db:
        db.execute("drop trigger events_never_change")
        db.execute('update events set payload = replace(payload, \'"decision": "a"\', \'"decision": "b"\')')
        db.commit()
    assert any("the answer of event 1 is not what was recorded" in p for p in verify_audit(home).problems)
    for suffix in ("", "-wal", "-shm"):
        (home.restricted / f"journal.sqlite{suffix}").unlink(missing_ok=True)
    (home.restricted / "journal.sqlite").write_bytes(b"no database" * 100)
    assert any("cannot be read as a journal" in p for p in verify_audit(home).problems)


def with_consent_quarantine(folder: Path) -> Home:
    home = installation(folder)
    (folder / "crm.csv").write_text(
        "user_id,purpose,action,effective_at\n" + "".join(f"u{n},all,withdrawm,2026-01-0{n}\n" for n in range(1, 5))
    )
    import_consent(home, consent_ledger(home), [folder / "crm.csv"], {}, now=AT)
    return home


def test_the_audit_covers_the_lines_of_consent_files_that_could_not_be_read(tmp_path: Path) -> None:
    home = with_consent_quarantine(tmp_path)
    report = verify_audit(home)
    assert report.ok, report.problems
    assert report.checked["consent_quarantine_lines"] == 4
    assert report.heads["consent_quarantine"] == consent_quarantine(home).head() != "0" * 64


@pytest.mark.parametrize("tamper", ["change", "drop", "swap", "repeat", "forge", "garbage", "deep", "text", "folder", "second_key"])
def test_a_line_of_the_consent_quarantine_that_was_tampered_with_is_found(tmp_path: Path, tamper: str) -> None:
    home = with_consent_quarantine(tmp_path)
    path = consent_quarantine(home).path
    lines = path.read_bytes().splitlines(keepends=True)
    if tamper == "change":  # whom the unread withdrawal was of
        lines[1] = lines[1].replace(b"u2,all", b"u9,all")
    elif tamper == "drop":
        del lines[1]
    elif tamper == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif tamper == "repeat":
        lines.insert(1, lines[1])
    elif tamper == "forge":  # with a hash of its own: the next line does not follow it
        body = json.loads(lines[1]) | {"raw": "u9,all,granted,2026-01-02"}
        lines[1] = canonical(body | {"hash": line_hash(body)}) + b"\n"
    elif tamper == "second_key":
        lines[1] = lines[1].replace(b'"raw":', b'"raw":"nothing","raw":')
    else:
        lines[1] = {"garbage": b"{\n", "deep": b"[" * 200_000 + b"\n", "text": b'"\xff"\n', "folder": b""}[tamper]
    path.write_bytes(b"".join(lines))
    if tamper == "folder":
        path.unlink()
        path.mkdir()
    report = verify_audit(home)
    assert any(p.startswith("consent_quarantine: ") for p in report.problems)
    assert "consent_quarantine" not in report.heads
    assert report.checked["provenance_events"] == 1


def test_lines_that_were_cut_off_the_end_of_the_consent_quarantine_show_against_the_noted_head(tmp_path: Path) -> None:
    home = with_consent_quarantine(tmp_path)
    noted = verify_audit(home).heads["consent_quarantine"]
    path = consent_quarantine(home).path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_audit(home).heads["consent_quarantine"] != noted
