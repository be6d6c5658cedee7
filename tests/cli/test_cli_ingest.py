"""`flywheel ingest`: logs of any dialect from outside, without a round and without a run state."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion.commands import FORMATS
from flywheel.ingestion.formats.registry import formats
from flywheel.ingestion.landing import COUNTS
from flywheel.ingestion.quarantine import REASONS
from tests.cli.conftest import Command, Said
from tests.small_rounds import CHECKOUT, flywheel

SAMPLES = sorted(p for p in (CHECKOUT / "tests" / "ingestion" / "samples").iterdir() if p.name != "taxonomy.jsonl")
# half of a call: the other half lies in another file
HALVES = ("batch_input", "langfuse_scores", "langfuse_legacy_traces", "phoenix_annotations", "phoenix_rest_annotations", "stored_completion_messages",
          "tensorzero_feedback", "tensorzero_model_inferences", "otel_evaluation_events", "batch_output", "stored_completions")  # fmt: skip
TAKEN = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")
ROW = {
    "id": "r-1",
    "timestamp": "2026-01-05T08:00:00Z",
    "messages": [{"role": "user", "content": "Where?"}],
    "response": "There.",
    "model": "m",
}


def write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def identity_holds(said: Said) -> None:
    counts = said.frame()["counts"]
    assert counts["rows_read"] == sum(counts[name] for name in TAKEN)


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A run state that does not exist, and must not come into being."""
    return tmp_path / "no" / "home"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.name)
def test_each_sample_by_itself_is_read_and_goes_out_and_in_again_unchanged(
    command: Command, nowhere: Path, tmp_path: Path, sample: Path
) -> None:
    out, again = tmp_path / "out.jsonl", tmp_path / "again.jsonl"
    said = command(nowhere, "ingest", str(sample), "--out", str(out), "--json")
    assert said.code == 0, said.err
    identity_holds(said)
    frame = said.frame()
    records = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(records) == frame["counts"]["accepted"] == frame["result"]["output"]["records"]
    assert sum(frame["result"]["formats"].values()) == frame["counts"]["rows_read"]
    assert "no JSON object" not in frame["result"]["formats"]
    if not sample.name.startswith(HALVES):
        assert records, frame
    if records:
        twice = command(nowhere, "ingest", str(out), "--out", str(again), "--json").frame()
        assert twice["counts"]["accepted"] == len(records)
        assert twice["losses"] == {}
        assert again.read_bytes() == out.read_bytes()
    assert not nowhere.exists()


def test_all_samples_together_find_their_halves(command: Command, nowhere: Path) -> None:
    said = command(nowhere, "ingest", *map(str, SAMPLES), "--json")
    identity_holds(said)
    frame = said.frame()
    assert frame["counts"]["joined"] > 10
    assert set(frame["result"]["formats"]) == set(FORMATS) - {"auto"}
    assert not any("in these files" in w for w in frame["warnings"])
    assert not nowhere.exists()


def test_the_formats_of_the_option_are_those_that_there_are() -> None:
    assert set(FORMATS) == {"auto", *formats()}


def test_parts_in_different_folders_are_joined(command: Command, nowhere: Path, tmp_path: Path) -> None:
    samples = {p.name: p for p in SAMPLES}
    alone = command(nowhere, "ingest", str(samples["batch_output.jsonl"]), "--json").frame()
    both = command(nowhere, "ingest", str(samples["batch_output.jsonl"]), str(samples["batch_input.jsonl"]), "--json").frame()
    assert alone["counts"]["accepted"] < both["counts"]["accepted"]
    feedback = command(nowhere, "ingest", str(samples["tensorzero_feedback.jsonl"]), "--json").frame()
    assert any("feedback: the call that it belongs to is not in these files" in w for w in feedback["warnings"])


def test_no_raw_text_in_what_is_said_of_the_quarantine(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.jsonl", ROW, '{"secret": "hunter2', {**ROW, "id": "r-2", "extra": "hunter2"}, {**ROW, "response": "Elsewhere."}
    )
    said = command(nowhere, "ingest", str(path), "--json")
    identity_holds(said)
    found = said.frame()["quarantine"]
    assert [(q["line"], q["byte_offset"], q["reason"], q["field"]) for q in found] == [
        (2, len(json.dumps(ROW)) + 1, "malformed_json", None), (3, found[1]["byte_offset"], "unknown_field", "extra"),
        (4, found[2]["byte_offset"], "id_conflict", "id"),
    ]  # fmt: skip
    assert {"file", "message"} <= set(found[0])
    assert "hunter2" not in said.out


def test_people_get_short_tables_and_records_go_where_they_are_told(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW, "nonsense")
    said = command(nowhere, "ingest", str(path), "--out", str(tmp_path / "o.jsonl"))
    assert said.code == 0
    assert "x.jsonl:2" in said.out
    assert "malformed_json" in said.out
    assert "1 records written to" in said.err
    assert (tmp_path / "o.jsonl").stat().st_mode & 0o077 == 0
    said = command(nowhere, "ingest", str(path), "--out", "-")
    assert [json.loads(line)["id"] for line in said.out.splitlines()] == ["r-1"]
    assert "malformed_json" in said.err


def test_a_round_chooses_the_week(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW, {**ROW, "id": "r-2", "timestamp": "2026-01-12T00:00:00Z"})
    frame = command(nowhere, "ingest", str(path), "--round", "2026-01-12", "--out", str(tmp_path / "o.jsonl"), "--json").frame()
    assert (frame["counts"]["accepted"], frame["counts"]["other_rounds"]) == (1, 1)
    assert frame["result"]["weeks"] == {"2026-01-05": 1, "2026-01-12": 1}
    assert json.loads((tmp_path / "o.jsonl").read_text())["id"] == "r-2"


def test_a_named_format_is_taken_at_its_word(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW)
    frame = command(nowhere, "ingest", str(path), "--format", "nvidia", "--json").frame()
    assert frame["result"]["formats"] == {"nvidia": 1}
    assert frame["counts"]["quarantined"] == 1
    said = command(nowhere, "ingest", str(path), "--format", "langsmith")
    assert said.code == 2
    assert "tensorzero" in said.err


HOSTILE = [
    "a b.jsonl",
    "[red]x[bold].jsonl",
    "\u00fc\u202e.jsonl",
    "line\nbreak.jsonl",
    "\x1b[31m.jsonl",
    "-x.jsonl",
    "x?*.jsonl",
    b"\xff\xfe.jsonl",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_file_names(command: Command, nowhere: Path, tmp_path: Path, name: str | bytes) -> None:
    folder = os.fsencode(tmp_path / "logs")
    os.mkdir(folder)
    path = os.path.join(folder, os.fsencode(name))
    with open(path, "wb") as file:
        file.write(json.dumps(ROW).encode() + b"\nnonsense\n")
    for given in (os.fsdecode(path), os.fsdecode(folder)):
        assert command(nowhere, "ingest", given, "--json").frame()["counts"]["accepted"] == 1
        shown = command(nowhere, "ingest", given)
        assert shown.code == 0
        assert "\x1b[31m" not in shown.out + shown.err


def test_a_file_that_is_named_is_read_whatever_its_name_says(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "logs" / "export.bak", ROW)
    write(tmp_path / "logs" / "good.jsonl", {**ROW, "id": "r-2"})
    write(tmp_path / "logs" / "_half.jsonl", ROW)
    (tmp_path / "logs" / "dangling.jsonl").symlink_to("nowhere")
    assert command(nowhere, "ingest", str(path), "--json").frame()["counts"]["accepted"] == 1
    frame = command(nowhere, "ingest", str(tmp_path / "logs"), "--json").frame()
    assert (frame["counts"]["accepted"], frame["counts"]["files_ignored"]) == (1, 1)
    assert [w.split(":")[0].rsplit("/", 1)[-1] for w in frame["warnings"]] == ["export.bak", "_half.jsonl", "dangling.jsonl"]


def test_a_file_given_twice_is_read_once(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "logs" / "x.jsonl", ROW)
    frame = command(nowhere, "ingest", str(path), str(tmp_path / "logs"), str(path), "--json").frame()
    assert (frame["counts"]["files"], frame["counts"]["duplicates"]) == (1, 0)


def test_an_unfinished_line_is_left_and_said(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW)[:40])
    frame = command(nowhere, "ingest", str(path), "--json").frame()
    assert (frame["counts"]["rows_read"], frame["counts"]["incomplete"]) == (1, 1)
    assert any("not finished" in w for w in frame["warnings"])


def test_some_unreadable_files_are_no_failure_all_of_them_are(command: Command, nowhere: Path, tmp_path: Path) -> None:
    bad = tmp_path / "logs" / "bad.jsonl.gz"
    bad.parent.mkdir()
    bad.write_bytes(gzip.compress(json.dumps(ROW).encode() * 9)[:-12])
    said = command(nowhere, "ingest", str(tmp_path / "logs"), "--json")
    assert said.code == 2
    assert "bad.jsonl.gz" in said.err
    assert [q["reason"] for q in said.frame()["quarantine"]] == ["unreadable_file"]
    write(tmp_path / "logs" / "good.jsonl", ROW)
    said = command(nowhere, "ingest", str(tmp_path / "logs"), "--json")
    assert said.code == 0
    assert said.frame()["counts"]["accepted"] == 1


@pytest.mark.parametrize("content", [None, "", "\n\n", '{"half'])
def test_nothing_to_read_is_an_error_in_words(command: Command, nowhere: Path, tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    if content is not None:
        (folder / "x.jsonl").write_text(content)
    said = command(nowhere, "ingest", str(folder))
    assert said.code == 2
    assert str(folder) in said.err or "finished line" in said.err


def test_a_missing_path_is_named_before_anything_is_read(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW)
    for missing in ("no/such.jsonl", "memory://no/such", "nosuch://x"):
        said = command(nowhere, "ingest", str(path), missing, "--out", str(tmp_path / "o.jsonl"))
        assert said.code == 2
        assert missing.split("/")[-1] in said.err
        assert said.out == ""
        assert not (tmp_path / "o.jsonl").exists()


def test_a_url_is_read(command: Command, nowhere: Path) -> None:
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe("/ingest/a.jsonl", json.dumps(ROW).encode() + b"\n")
    try:
        assert command(nowhere, "ingest", "memory://ingest", "--json").frame()["counts"]["accepted"] == 1
        frame = command(nowhere, "ingest", "memory://ingest/a.jsonl", "memory://ingest", "--json").frame()
        assert (frame["counts"]["files"], frame["counts"]["accepted"]) == (1, 1)
    finally:
        system.rm("/ingest", recursive=True)


def test_no_log_is_written_over(command: Command, nowhere: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW)
    before = path.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(path)
    for out in (path, tmp_path / "link.jsonl", tmp_path, tmp_path / "no" / "o.jsonl"):
        assert command(nowhere, "ingest", str(path), "--out", str(out)).code == 2
    assert command(nowhere, "ingest", str(path), "--out", "-", "--json").code == 2
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.jsonl", "x.jsonl"]


def test_the_real_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", ROW)
    done = flywheel(tmp_path / "home", "ingest", str(path), "--out", "-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["responses"] == [{"text": "There.", "model": "m"}]
    assert not (tmp_path / "home").exists()


PAGE = (CHECKOUT / "docs" / "formats.md").read_text()
EXAMPLES = re.findall(r"<!-- ingest: (\w+) -->\n```json\n(.+?)```", PAGE, re.S)


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[n for n, _ in EXAMPLES])
def test_the_examples_of_the_page_on_formats_come_in(command: Command, nowhere: Path, tmp_path: Path, name: str, example: str) -> None:
    (tmp_path / "x.json").write_text(example)
    out = tmp_path / "o.jsonl"
    frame = command(nowhere, "ingest", str(tmp_path / "x.json"), "--out", str(out), "--json").frame()
    assert (frame["counts"]["accepted"], frame["counts"]["quarantined"], frame["counts"]["skipped"]) == (1, 0, 0), frame
    assert set(frame["result"]["formats"]) == {name}
    record = json.loads(out.read_text())
    assert record["messages"][-1]["content"] == "Where is my parcel?"
    assert record["responses"][0]["text"] in ("On its way.", "A trace is open.")
    if name in ("phoenix", "langfuse", "tensorzero"):
        assert record["feedback"]["thumbs"] == "up"


def test_the_page_on_formats_has_every_format_and_reason() -> None:
    assert {n for n, _ in EXAMPLES} == set(formats())
    quarantine = PAGE.split("### Quarantine")[1].split("### Exactly once")[0]
    assert set(
        re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in quarantine.splitlines() if line.startswith("| `")))
    ) == set(REASONS)
    counts = PAGE.split("### Counts")[1].split("### Quarantine")[0]
    assert set(COUNTS) <= set(re.findall(r"`([a-z_]+)`", counts))


def test_files_that_are_no_log_are_named(command: Command, nowhere: Path, tmp_path: Path) -> None:
    write(tmp_path / "pairs.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"})
    write(tmp_path / "table.log", "id,timestamp", "1,2")
    write(tmp_path / "good.jsonl", ROW, "nonsense")
    warnings = command(nowhere, "ingest", str(tmp_path), "--json").frame()["warnings"]
    assert len(warnings) == 1
    assert "pairs.jsonl" in warnings[0]
    assert "table.log" in warnings[0]
    assert "good.jsonl" not in warnings[0]


def test_a_long_reading_says_how_far_it_is_on_standard_error(
    command: Command, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flywheel.ingestion import progress

    path = write(tmp_path / "x.jsonl", *[{**ROW, "id": f"r-{n}"} for n in range(3_000)])
    assert "reading" not in command(nowhere, "ingest", str(path)).err, "a short one is silent"
    monkeypatch.setattr(progress, "SILENT_S", 0.01)
    monkeypatch.setattr(progress, "ON_A_PIPE_S", 0.01)
    said = command(nowhere, "ingest", str(path), "--json")
    assert said.frame()["counts"]["accepted"] == 3_000
    assert "reading 1 files" in said.err
