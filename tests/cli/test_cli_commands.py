"""Each command does its work, and what `--json` prints fits the published schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flywheel.rounds import round_state
from flywheel.storage import Home
from tests.cli.conftest import Command
from tests.small_rounds import R1, R2, hashes, label, reopen


def test_status_tells_every_round_why_and_what_next(command: Command, small_home: Home) -> None:
    frame = command(small_home, "round", "status", "--json").frame()
    states = {s["round"]: s["state"] for s in frame["result"]}
    assert (states[R1], states[R2]) == ("closed", "published")
    assert all(s["explanation"] and s["next_step"] for s in frame["result"])
    shown = command(small_home, "round", "status").out
    assert R1 in shown
    assert "more weeks, not opened" in shown


@pytest.mark.slow
def test_a_round_by_hand_from_labels_to_closed(command: Command, small_home: Home) -> None:
    label(small_home, R2)
    imported = command(small_home, "round", "import", R2, "--json")
    assert imported.frame()["result"][0]["state"] == "ready"
    assert imported.err == "", "with --json nothing is said beside the object"
    closed = command(small_home, "round", "close", R2, "--json").frame()
    assert closed["result"][0]["state"] == "closed"
    page = command(small_home, "report", R2, "--json").frame()["result"]["page"]
    assert Path(page).read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_running_a_published_round_again_changes_nothing(command: Command, small_home: Home) -> None:
    before = hashes(small_home)
    frame = command(small_home, "round", "run", R2, "--json").frame()
    assert frame["result"][0]["state"] == "published"
    assert {k: v for k, v in hashes(small_home).items() if "cost" not in k} == {k: v for k, v in before.items() if "cost" not in k}


def test_abandon(command: Command, small_home: Home) -> None:
    frame = command(small_home, "round", "abandon", R2, "--reason", "vendor gone", "--json").frame()
    assert frame["result"][0]["state"] == "abandoned"
    assert "vendor gone" in frame["result"][0]["explanation"]
    assert command(small_home, "round", "abandon", R2, "--reason", "again").code == 0, "said twice is no error"
    assert command(small_home, "round", "close", R2).code == 3


@pytest.mark.slow
def test_backfill_goes_over_settled_rounds(command: Command, small_home: Home) -> None:
    frame = command(small_home, "backfill", R1, R1, "--json").frame()
    assert [s["state"] for s in frame["result"]] == ["closed"]
    frame = command(small_home, "backfill", R1, R2, "--simulated", "--json").frame()
    assert [s["state"] for s in frame["result"]] == ["closed", "closed"]
    assert round_state(small_home, R2).settled


def test_consent_is_granted_withdrawn_and_shown(command: Command, small_home: Home) -> None:
    grant = ["consent", "grant", "user-4711", "--purpose", "labeling", "--basis", "consent", "--policy", "v3", "--json"]
    assert command(small_home, *grant).frame()["counts"]
    shown = command(small_home, "consent", "show", "user-4711", "--json").frame()["result"]
    assert shown["allowed_now"] == ["labeling"]
    command(small_home, "consent", "withdraw", "user-4711", "--purpose", "labeling", "--json").frame()
    shown = command(small_home, "consent", "show", "user-4711", "--json").frame()["result"]
    assert shown["allowed_now"] == []
    assert len(shown["events"]) == 2


def test_a_withdrawal_by_command_reaches_the_next_run(command: Command, small_home: Home) -> None:
    """The run state's own clock counts, also where it is fixed (demo): a withdrawal must never lie in its future."""
    from tests.small_rounds import succeed

    gone = min(s for s in small_home.lake.read("consented_logs", R2)["subject_id"].to_pylist() if s)
    assert command(small_home, "consent", "withdraw", gone, "--purpose", "labeling").code == 0
    succeed(small_home, "weekly_round", R2, select=["redacted_logs"])
    assert gone not in small_home.lake.read("redacted_logs", R2)["subject_id"].to_pylist()


def test_quarantine_lists_bad_rows_without_their_content(command: Command, small_home: Home) -> None:
    frame = command(small_home, "quarantine", "--json").frame()
    assert frame["counts"]["rows"] == len(frame["quarantine"]) > 0
    assert {"file", "line", "reason"} <= set(frame["quarantine"][0])
    assert "raw" not in frame["quarantine"][0]
    assert "malformed_json" in command(small_home, "quarantine", R1).out


def test_models_and_what_serves(command: Command, small_home: Home) -> None:
    result = command(small_home, "model", "list", "--json").frame()["result"]
    assert [m["kind"] for m in result["models"]] == ["base"]
    assert result["models"][0]["serves"] is True
    assert result["registry"][0]["decision"] == "kept"
    assert "base-" in command(small_home, "model", "list").out


def test_audit_counts_what_it_checked(command: Command, small_home: Home) -> None:
    frame = command(small_home, "audit", "verify", "--json").frame()
    assert frame["result"]["ok"] is True
    assert frame["counts"]["problems"] == 0
    assert sum(frame["counts"].values()) > 30


def test_audit_exports_one_read_only_file(command: Command, small_home: Home, tmp_path: Path) -> None:
    import duckdb

    target = tmp_path / "audit.duckdb"
    frame = command(small_home, "audit", "export", str(target), "--json").frame()
    with duckdb.connect(str(target), read_only=True) as connection:
        assert connection.execute("select count(*) from selection").fetchall()[0][0] == frame["counts"]["selection"]
        names = {r[0] for r in connection.execute("select table_name from duckdb_tables()").fetchall()}
    assert "inference_logs" not in names


def test_sql_has_a_view_for_every_open_table(command: Command, small_home: Home) -> None:
    from flywheel.records import RESTRICTED_TABLES, TABLES

    query = "select view_name from duckdb_views() where not internal"
    frame = command(small_home, "sql", query, "--json").frame()
    assert {r["view_name"] for r in frame["result"]} == set(TABLES) - set(RESTRICTED_TABLES)
    shown = command(small_home, "sql", "select arm, count(*) as picks from selection group by all order by all").out
    assert "active" in shown


def test_report_by_name_and_newest(command: Command, small_home: Home) -> None:
    frame = command(small_home, "report", R1, "--json").frame()
    assert frame["result"]["state"] == "closed"
    assert len(frame["result"]["summary"]) <= 10
    newest = command(small_home, "report")
    assert newest.code == 0
    assert R2 in newest.out


def test_ingest_reads_without_storing(command: Command, small_home: Home) -> None:
    before = hashes(small_home)
    frame = command(small_home, "ingest", small_home.landing, "--round", R1, "--json").frame()
    counts = frame["counts"]
    assert counts["accepted"] > 100
    assert frame["quarantine"]
    assert hashes(reopen(small_home)) == before


def test_doctor_is_content_with_a_demo_home(command: Command, small_home: Home) -> None:
    said = command(small_home, "doctor", "--json")
    found = {f["check"]: f["state"] for f in said.frame()["result"]}
    assert found["restricted zone"] == found["keys"] == found["Dagster instance"] == found["embedder"] == "ok"
    assert said.code == 0


def test_schema_is_the_published_one(command: Command, tmp_path: Path) -> None:
    from tests.small_rounds import CHECKOUT

    assert json.loads(command(tmp_path, "schema").out) == json.loads((CHECKOUT / "docs" / "schema.json").read_text())


def test_home_before_the_command_and_in_the_environment_mean_the_same(command: Command, small_home: Home, tmp_path: Path) -> None:
    one = command(small_home, "model", "list", "--json").frame()["result"]
    two = command(tmp_path / "elsewhere", "--home", str(small_home.root), "model", "list", "--json").frame()["result"]
    assert one == two
