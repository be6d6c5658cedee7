"""What goes wrong is said in one line, with the way out and the right exit code, and without a traceback (the fixture checks that)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from flywheel.governance import ProvenanceLog, provenance_log
from flywheel.storage import Home, sha256_text
from tests.cli.conftest import Command
from tests.small_rounds import R1, R2, R3, label_with, new_home


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["round", "run", "2026-01-06"], 2, "Tuesday.*2026-01-05"),
        (["round", "run", "next week"], 2, "not a date"),
        (["round", "run", "2025-12-29"], 2, "before the first round"),
        (["round", "run", "2026-12-07"], 3, "has not ended"),
        (["round", "close", "2026-03-02"], 3, "2026-03-02 is collecting.*flywheel round run 2026-03-02"),
        (["round", "import", "2026-03-02"], 3, "2026-03-02 is collecting"),
        (["round", "close", R2], 3, f"{R2} is published.*no labels yet.*flywheel round import {R2}"),
        (["backfill", R2, R1], 2, "lies after"),
        (["backfill", R1, "2026-12-07"], 3, "has not ended"),
        (["round", "abandon", R1, "--reason", "x"], 3, "is closed"),
        (["round", "abandon", R2, "--reason", "  "], 2, "needs a reason"),
        (["report", "2026-03-02"], 2, "never opened"),
        (["quarantine", "2026-01-06"], 2, "did you mean"),
        (["consent", "show"], 2, "Missing argument"),
        (["consent", "grant", "someone", "--purpose", "marketing", "--basis", "consent", "--policy", "v1"], 2, "marketing"),
        (["ingest", "no/such/folder"], 2, "no/such/folder"),
        (["sql", "select nothing from nowhere"], 2, "DuckDB"),
        (["sql", "select * from inference_logs"], 4, "--restricted REASON"),
    ],
    ids=lambda v: "-".join(v)[:60] if isinstance(v, list) else None,
)
def test_a_refusal_names_the_thing_and_the_way_out(
    command: Command, small_home: Home, arguments: list[str], code: int, message: str
) -> None:
    said = command(small_home, *arguments)
    assert said.code == code, said.err
    assert re.search(message, " ".join(said.err.split())), said.err
    assert said.out == ""


def test_a_setting_that_does_not_exist_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text("[selection]\nbuget = 3\n")
    said = command(tmp_path, "round", "status")
    assert said.code == 2
    assert "selection.buget" in said.err
    assert "flywheel.toml" in said.err


def test_a_settings_file_that_is_no_toml_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "flywheel.toml").write_text("selection = = 3\n")
    said = command(tmp_path, "round", "status")
    assert said.code == 2
    assert "flywheel.toml" in said.err


def test_a_misspelt_variable_is_refused(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SELECTON__BUDGET", "3")
    said = command(tmp_path, "round", "status")
    assert said.code == 2
    assert "FLYWHEEL_SELECTON__BUDGET is not a setting" in said.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["round", "status"], 0), (["model", "list"], 0), (["quarantine"], 0), (["audit", "verify"], 0), (["sql", "select count(*) n from selection"], 0),
     (["report"], 2), (["consent", "show", "anyone"], 0), (["round", "run", R1], 2), (["round", "import", R1], 3), (["round", "close", R1], 3)],
    ids=lambda v: "-".join(v)[:40] if isinstance(v, list) else None,
)  # fmt: skip
def test_an_empty_home_is_no_crash(command: Command, tmp_path: Path, arguments: list[str], code: int) -> None:
    said = command(tmp_path / "empty", *arguments)
    assert said.code == code, said.err
    if code:
        assert said.err.strip()


def test_answers_under_another_guideline_do_not_count_and_the_round_waits(command: Command, small_home: Home) -> None:
    label_with(
        small_home, R2, lambda n, line: line | {"decision": ["a", "b", "tie"][n % 3], "guideline_sha256": "0" * 64} if n % 2 else line
    )
    assert command(small_home, "round", "import", R2).code == 0
    reasons = set(small_home.lake.read("label_quarantine", R2)["reason"].to_pylist())
    assert reasons == {"stale_guideline"}
    standing = command(small_home, "round", "status", R2, "--json").frame()["result"]
    assert [(s["round"], s["state"]) for s in standing] == [(R2, "labeling")], "half of the answers asked for are missing"


def test_a_failing_gate_ends_with_3_and_its_reasons(command: Command, small_home: Home) -> None:
    seen: dict[str, int] = {}

    def disagree(_: int, line: dict) -> dict:
        seen[line["task_id"]] = seen.get(line["task_id"], -1) + 1
        line.pop("rewrite", None)
        return line | {"decision": ["a", "b", "tie"][seen[line["task_id"]] % 3]}

    label_with(small_home, R2, disagree)
    said = command(small_home, "round", "import", R2)
    assert said.code == 3
    assert "the gate did not pass" in said.err
    assert "DagsterAssetCheckFailedError" not in said.err
    assert "alpha" in said.err or "rater" in said.err
    assert command(small_home, "round", "close", R2).code == 3


def test_a_backfill_without_labels_stops_and_says_what_is_missing(command: Command, small_home: Home) -> None:
    said = command(small_home, "backfill", R1, R3)
    assert said.code == 3
    assert f"round {R2} is published" in said.err
    assert "Deliver label files" in said.err
    assert command(small_home, "round", "status", R3, "--json").frame()["result"][0]["state"] == "collecting", "it stops there"


def test_a_damaged_table_is_found_by_the_audit(command: Command, small_home: Home) -> None:
    assert command(small_home, "audit", "verify").code == 0
    manifest = small_home.lake.demand("preferences", R1)
    file = small_home.root / "lake" / "preferences" / f"round={R1}" / manifest.file
    file.write_bytes(b"PAR1 not any more PAR1")
    said = command(small_home, "audit", "verify")
    assert said.code == 4
    assert manifest.file in said.out + said.err
    framed = command(small_home, "audit", "verify", "--json")
    assert framed.code == 4
    assert framed.frame()["result"]["ok"] is False


def test_a_cut_provenance_log_is_found_by_the_audit(command: Command, small_home: Home) -> None:
    path = provenance_log(small_home).path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:1] + lines[2:]))
    assert command(small_home, "audit", "verify").code == 4


def test_a_restricted_table_is_out_of_reach_also_by_its_path(command: Command, small_home: Home) -> None:
    manifest = small_home.lake.demand("inference_logs", R1)
    path = small_home.lake.zone("inference_logs").address(f"inference_logs/round={R1}/{manifest.file}")
    assert Path(path).exists()
    for way in (path, os.path.relpath(path), f"{small_home.root}/lake/../restricted/tables/inference_logs/round={R1}/{manifest.file}"):
        said = command(small_home, "sql", f"select * from read_parquet('{way}')")  # noqa: S608
        assert said.code == 4, said
        assert said.out == ""
    landing = command(small_home, "sql", f"select * from read_text('{small_home.landing}/*')")  # noqa: S608
    assert landing.code == 2
    assert landing.out == ""


def test_sql_cannot_unlock_itself(command: Command, small_home: Home) -> None:
    for statement in ("set enable_external_access = true", "reset lock_configuration", "install httpfs", "load httpfs"):
        assert command(small_home, "sql", statement).code == 2


def test_sql_writes_nothing(command: Command, small_home: Home) -> None:
    target = small_home.root / "lake" / "selection" / "planted.parquet"
    for statement in (
        f"copy (select 1 as x) to '{target}'", f"explain analyze copy (select 1 as x) to '{target}'", f"attach '{target}' as x",
        f"select 1; copy (select 1 as x) to '{target}'", "create table t as select 1", f"export database '{target.parent}'",
    ):  # fmt: skip
        said = command(small_home, "sql", statement)
        assert said.code == 2, statement
        assert not target.exists(), statement


def test_a_restricted_read_is_audited_before_it_happens(command: Command, small_home: Home) -> None:
    query = "select count(*) as n from inference_logs"
    said = command(small_home, "sql", query, "--restricted", "incident 17: wrong time zone?", "--json")
    assert said.frame()["result"][0]["n"] > 100
    event = list(provenance_log(small_home).events("restricted_read"))[-1]
    assert (event["payload"]["query_sha256"], event["payload"]["reason"]) == (sha256_text(query), "incident 17: wrong time zone?")
    assert "query" not in event["payload"], "a query may name a person, and the provenance log lies open"
    kept = list(ProvenanceLog(small_home.restricted / "reads.jsonl").events("restricted_read"))[-1]
    assert kept["payload"]["query"] == query
    assert command(small_home, "sql", query, "--restricted", "   ").code == 4, "a blank is no reason"


def test_doctor_finds_a_changed_file_mode(command: Command, small_home: Home) -> None:
    (small_home.restricted / "keys" / "id.key").chmod(0o644)
    said = command(small_home, "doctor", "--json")
    assert said.code == 1
    bad = {f["check"]: f for f in said.frame()["result"] if f["state"] == "bad"}
    assert "id.key" in bad["keys"]["found"]
    assert "chmod 600" in bad["keys"]["remedy"]
    (small_home.restricted / "keys" / "id.key").chmod(0o600)
    small_home.restricted.chmod(0o755)
    said = command(small_home, "doctor")
    assert said.code == 0
    assert "mode was 755, now 700" in said.out, "it is closed to others at once, and said"


def test_the_demo_refuses_a_real_run_state(command: Command, tmp_path: Path) -> None:
    (tmp_path / "real" / "restricted").mkdir(parents=True)
    said = command(None, "demo", "--home", str(tmp_path / "real"))
    assert said.code == 3
    assert "real run state" in said.err


def test_a_label_file_with_bad_lines_loses_nothing(command: Command, small_home: Home) -> None:
    small_home.label_inbox.mkdir(exist_ok=True)
    (small_home.label_inbox / "vendor.jsonl").write_text(
        '{"task_id": "unknown"}\nnot json\n' + json.dumps({"task_id": "f" * 32, "rater": "w1", "decision": "a"}) + "\n"
    )
    assert command(small_home, "round", "import", R2).code == 0
    shown = command(small_home, "quarantine", R2, "--json").frame()
    mine = [q for q in shown["quarantine"] if q["file"] == "vendor.jsonl"]
    assert [q["line"] for q in mine] == [1, 2, 3]
    assert all(q["reason"] for q in mine)


def test_a_demo_home_says_so(tmp_path: Path) -> None:
    home = new_home(tmp_path / "h")
    assert "simulated" in (home.root / "DEMO").read_text()
