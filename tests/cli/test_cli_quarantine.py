"""`flywheel quarantine list | show | retry`: what could not be used, and what would become of it today."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywheel.governance import provenance_log
from flywheel.ingestion import import_landing
from flywheel.records import QuarantinedRow
from flywheel.settings import Settings
from flywheel.storage import Home, to_table
from tests.cli.conftest import Command

R1 = "2026-01-05"
ROW = {
    "id": "a",
    "timestamp": "2026-01-05T10:00:00Z",
    "messages": [{"role": "user", "content": "Hi"}],
    "responses": [{"text": "Yo", "model": "m"}],
}
ANSWER = {
    "id": "batch_req_1", "custom_id": "r1", "error": None,
    "response": {"status_code": 200, "request_id": "q", "body": {
        "id": "chatcmpl-9", "object": "chat.completion", "created": 1767610000, "model": "gpt-4o",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi there"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }},
}  # fmt: skip
ASKED = {
    "custom_id": "r1",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]},
}
SECRET = "Ada Lovelace"


def settings(home: Path, clock: str = "2026-06-22", limit: int = 1_000) -> None:
    home.mkdir(exist_ok=True)
    (home / "flywheel.toml").write_text(f'clock = "{clock}T00:00:00+00:00"\n[ingestion]\nmax_line_bytes = {limit}\n')


def deliver(home: Path, name: str, *rows: object) -> Path:
    path = home / "restricted" / "landing" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def imported(folder: Path) -> Home:
    """What the asset does, without Dagster."""
    home = Home(Settings.load(home=folder))
    found = import_landing(
        home.landing, round=R1, ids=home.ids, settings=home.settings.ingestion, now=home.now(), store=home.restricted / "ingestion"
    )
    home.lake.write("quarantine", R1, found.quarantine)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    folder = tmp_path / "home"
    settings(folder)
    long = {**ROW, "id": "b", "messages": [{"role": "user", "content": "x" * 2_000}]}
    deliver(folder, "a.jsonl", ROW, "{" + SECRET, long, {**ROW, "id": "c", "foo": SECRET})
    deliver(folder, "b.jsonl", {**ROW, "id": "d", "timestamp": "2026-07-06T10:00:00Z"})
    deliver(folder, "sub/batch_output.jsonl", ANSWER)
    return imported(folder)


def outcomes(command: Command, home: Home, *options: str) -> dict[tuple[str, int], tuple[str, str | None]]:
    frame = command(home, "quarantine", "retry", "--json", *options).frame()
    assert frame["counts"]["rows"] == len(frame["quarantine"]) == sum(frame["counts"].values()) - frame["counts"]["rows"]
    return {(q["file"], q["line"]): (q["outcome"], q["would_be_in_round"] or q["reason_now"]) for q in frame["quarantine"]}


def test_the_list_names_places_and_reasons_only(command: Command, home: Home) -> None:
    said = command(home, "quarantine", "list", "--json")
    frame = said.frame()
    assert [(q["file"], q["line"], q["reason"]) for q in frame["quarantine"]] == [
        ("a.jsonl", 2, "malformed_json"), ("a.jsonl", 3, "line_too_long"), ("a.jsonl", 4, "unknown_field"), ("b.jsonl", 1, "future_timestamp"),
        ("sub/batch_output.jsonl", 1, "missing_field"),
    ]  # fmt: skip
    assert len({q["id"] for q in frame["quarantine"]}) == 5
    assert SECRET not in said.out + command(home, "quarantine").out
    assert frame["quarantine"] == command(home, "quarantine", R1, "--json").frame()["quarantine"]
    assert {"stage": "ingestion", "reason": "malformed_json", "rows": 1} in frame["result"]["reasons"]


def test_the_list_is_narrowed(command: Command, home: Home) -> None:
    def lines(*options: str) -> list[int]:
        return [q["line"] for q in command(home, "quarantine", "list", *options, "--json").frame()["quarantine"]]

    assert lines("--code", "unknown_field") == [4]
    assert lines("--file", "a.jsonl") == [2, 3, 4]
    assert lines("--file", "batch_output.jsonl") == lines("--file", "sub/batch_output.jsonl") == [1]
    assert lines("2026-01-12") == lines("--stage", "labeling") == []
    assert command(home, "quarantine", "list", "--stage", "dataset").code == 2


def test_a_row_is_shown_as_it_came_for_a_reason_which_is_kept(command: Command, home: Home) -> None:
    one = command(home, "quarantine", "--json", "--code", "malformed_json").frame()["quarantine"][0]
    refused = command(home, "quarantine", "show", one["id"])
    assert (refused.code, refused.out) == (4, "")
    assert not list(provenance_log(home).events("restricted_read"))
    frame = command(home, "quarantine", "show", one["id"][:6], "--reason", "ticket 12", "--json").frame()
    assert [q["raw"] for q in frame["quarantine"]] == ["{" + SECRET]
    event = list(provenance_log(home).events("restricted_read"))[-1]["payload"]
    assert (event["reason"], event["ids"]) == ("ticket 12", [one["id"]])
    assert SECRET in command(home, "quarantine", "show", "--code", "unknown_field", "--reason", "ticket 12").out
    assert command(home, "quarantine", "show", "0000", "--reason", "x").code == 2


def test_nothing_has_changed_nothing_would(command: Command, home: Home) -> None:
    assert set(outcomes(command, home).values()) == {
        ("refused", r) for r in ("malformed_json", "line_too_long", "unknown_field", "future_timestamp", "missing_field")
    }


def test_a_changed_setting_a_later_clock_and_a_delivered_half(command: Command, home: Home) -> None:
    settings(home.root, clock="2026-08-22", limit=10_000)
    deliver(home.root, "batch_input.jsonl", ASKED)
    found = outcomes(command, home)
    assert found[("a.jsonl", 3)] == ("accepted", R1)
    assert found[("sub/batch_output.jsonl", 1)] == ("accepted", R1)
    assert found[("b.jsonl", 1)] == ("accepted", "2026-07-06")
    assert found[("a.jsonl", 4)] == ("refused", "unknown_field")
    said = command(home, "quarantine", "retry")
    assert f"2 rows of week {R1} come in with `flywheel round run {R1}`" in said.err
    assert "2 rows are still refused" in said.err
    # and so it is
    again = imported(home.root)
    left = again.lake.read("quarantine", R1).to_pylist()
    assert [(q["file"], q["line"]) for q in left] == [("a.jsonl", 2), ("a.jsonl", 4)]


def test_a_row_that_was_mended_in_its_file_is_settled(command: Command, home: Home) -> None:
    deliver(home.root, "a.jsonl", ROW, {**ROW, "id": "e"})
    assert outcomes(command, home, "--file", "a.jsonl") == {
        ("a.jsonl", 2): ("accepted", R1), ("a.jsonl", 3): ("settled", None), ("a.jsonl", 4): ("settled", None),
    }  # fmt: skip


def test_a_file_that_is_gone_leaves_the_text(command: Command, home: Home) -> None:
    (home.root / "restricted" / "landing" / "a.jsonl").unlink()
    found = outcomes(command, home, "--file", "a.jsonl")
    assert found[("a.jsonl", 2)] == ("refused", "malformed_json")
    assert found[("a.jsonl", 3)][0] == "no_text", "only its beginning was kept"
    assert found[("a.jsonl", 4)] == ("refused", "unknown_field")


def test_rows_are_written_out_to_be_mended_for_a_reason(command: Command, home: Home, tmp_path: Path) -> None:
    out = tmp_path / "mend.jsonl"
    assert command(home, "quarantine", "retry", "--out", str(out)).code == 4
    said = command(home, "quarantine", "retry", "--code", "unknown_field", "--out", str(out), "--reason", "mending")
    assert said.code == 0
    assert out.stat().st_mode & 0o077 == 0
    row = json.loads(out.read_text())
    assert row.pop("foo") == SECRET
    assert "known: consent" in " ".join(said.out.split())
    deliver(home.root, "mended.jsonl", row)
    found = import_landing(home.landing, round=R1, ids=home.ids, settings=home.settings.ingestion, now=home.now())
    assert found.counts["accepted"] == 2
    landing = home.root / "restricted" / "landing" / "a.jsonl"
    before = landing.read_bytes()
    assert command(home, "quarantine", "retry", "--out", str(landing), "--reason", "x").code == 2
    assert landing.read_bytes() == before


def test_label_rows_are_listed_and_not_retried(command: Command, home: Home) -> None:
    row = QuarantinedRow(
        round=R1, stage="labeling", file="/in/vendor.jsonl", line=3, reason="unknown_task", message="no such task", raw="{}"
    )
    home.lake.write("label_quarantine", R1, to_table(QuarantinedRow, [row]))
    listed = command(home, "quarantine", "list", "--stage", "labeling", "--json").frame()["quarantine"]
    assert [(q["file"], q["line"]) for q in listed] == [("vendor.jsonl", 3)]
    frame = command(home, "quarantine", "retry", listed[0]["id"], "--json").frame()
    assert frame["counts"]["rows"] == 0
    assert "label files" in frame["warnings"][0]


def test_an_empty_home_has_an_empty_quarantine(command: Command, tmp_path: Path) -> None:
    for arguments in (["list"], ["show", "--reason", "x"], ["retry"], []):
        assert command(tmp_path / "none", "quarantine", *arguments).code == 0
    assert command(tmp_path / "none", "quarantine", "retry", "--json").frame()["counts"]["rows"] == 0
