"""`flywheel privacy` from outside: measuring, redacting, explaining, scanning, canaries; and every kind of bad input."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flywheel.governance import Vault, provenance_log
from flywheel.storage import Home
from tests.cli.conftest import Command
from tests.small_rounds import R1

DIALOGUE: dict[str, Any] = {
    "id": "x-1",
    "profile": {"name": "Katarina Brandvold", "account number": "93418043810"},
    "turns": [
        ["agent", "May I have your name and e-mail?", []],
        ["customer", "Katarina Brandvold, kat.b@mail.example", [[0, 18, "PERSON"], [20, 38, "EMAIL"]]],
        ["agent", "And your order number?", []],
        ["customer", "SF-123456. Bye", [[0, 9, "ORDER_ID"]]],
    ],
}


def dialogues(path: Path, *values: Any) -> Path:
    lines = "".join((v if isinstance(v, str) else json.dumps(v)) + "\n" for v in values)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
def test_the_result_has_exactly_the_published_keys(command: Command, home: Home, tmp_path: Path, name: str) -> None:
    frame = command(home, "privacy", "evaluate", str(dialogues(tmp_path / name, DIALOGUE, DIALOGUE)), "--json").frame()
    result = frame["result"]
    assert set(result) == {"by_type", "char_precision", "label_accuracy", "f2", "docs_per_s"}
    assert result["by_type"] == {t: {"recall": 1.0, "n": 2} for t in ("PERSON", "EMAIL", "ORDER_ID")}
    assert (result["char_precision"], result["label_accuracy"], result["f2"]) == (1.0, 1.0, 1.0)
    assert result["docs_per_s"] > 0
    assert frame["counts"]["dialogues"] == 2


def test_layers_can_be_left_out_and_each_layers_share_is_shown(command: Command, home: Home, tmp_path: Path) -> None:
    path = str(dialogues(tmp_path / "d.jsonl", DIALOGUE))
    without = command(home, "privacy", "evaluate", path, "--layers", "identifier", "--json").frame()
    assert without["result"]["by_type"]["ORDER_ID"]["recall"] == 1.0
    assert without["result"]["by_type"]["PERSON"]["recall"] == 0.0
    assert without["input"]["layers"] == ["identifier"]
    shares = command(home, "privacy", "evaluate", path, "--by-layer", "--layers=-ner", "--json").frame()["result"]["by_layer"]
    assert "ner" not in shares
    assert shares["identifier"]["alone"]["recall"] == pytest.approx(1 / 3, abs=1e-3)
    assert shares["profile"]["alone"]["recall"] == pytest.approx(1 / 3, abs=1e-3)
    table = command(home, "privacy", "evaluate", path, "--no-profile", "--misses", "5", "--by-layer").out
    assert "What each layer adds" in table
    assert command(home, "privacy", "evaluate", path, "--layers", "magic").code == 2


def test_what_was_missed_and_what_was_mistyped_is_shown(command: Command, home: Home, tmp_path: Path) -> None:
    turns = [["customer", "the blue lamp of SF-123456", [[4, 13, "SECRET"], [17, 26, "PHONE"]]]]
    path = str(dialogues(tmp_path / "d.jsonl", {"turns": turns}))
    frame = command(home, "privacy", "evaluate", path, "--misses", "3", "--json").frame()
    assert frame["result"]["misses"] == [{"type": "SECRET", "value": "blue lamp", "text": turns[0][1]}]
    assert frame["result"]["label_accuracy"] == 0.0
    assert frame["result"]["by_type"]["PHONE"]["recall"] == 1.0


def test_processes_change_nothing_but_time(command: Command, home: Home, tmp_path: Path) -> None:
    path = str(dialogues(tmp_path / "d.jsonl", *[DIALOGUE] * 150))
    one, two = (command(home, "privacy", "evaluate", path, "--layers=-ner", "--processes", n, "--json").frame() for n in ("1", "2"))
    for frame in (one, two):
        frame["result"].pop("docs_per_s")
    assert one["result"] == two["result"]
    assert one["counts"] == two["counts"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no dialogue"), (b"\n \n", "holds no dialogue"), (b"{]", "line 1 is no JSON"), (b'{"turns": 3}\n', "line 1 has no list `turns`"),
        (b'{"turns": []}\n[1]\n', "line 2 has no list"), (b'{"turns": [["a"]]}\n', "line 1, turn 1"), (b'{"turns": [["a", 5, []]]}\n', "turn 1"),
        (b'{"turns": [["a", "hi", [[0, 9, "PERSON"]]]]}\n', "within its 2 characters"), (b'{"turns": [["a", "hi", [[1, 1, "PERSON"]]]]}\n', "label"),
        (b'{"turns": [["a", "hi", [[true, 2, "P"]]]]}\n', "label"), (b'{"turns": [["a", "hi", 7]]}\n', "no list"), (b'{"turns": [], "profile": [1]}\n', "profile"),
        (b"\x00\xff\xfe\x01", "no UTF-8"), (gzip.compress(b'{"turns": []}\n' * 50_000)[:90], "cut short"),
    ],
)  # fmt: skip
def test_bad_files_end_with_one_line_and_code_2(command: Command, home: Home, tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    said = command(home, "privacy", "evaluate", str(path))
    assert said.code == 2
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_missing_files_and_folders_are_named(command: Command, home: Home, tmp_path: Path) -> None:
    for subcommand in ("evaluate", "redact"):
        assert "there is no file" in command(home, "privacy", subcommand, str(tmp_path / "none")).err
        assert "is a folder" in command(home, "privacy", subcommand, str(tmp_path)).err


# --- redact


def say(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def test_a_text_from_standard_input_comes_out_redacted_and_nothing_is_stored(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, "Write to kat.b@mail.example about SF-123456,\nmy password is hunter22!\n")
    said = command(tmp_path / "none", "privacy", "redact")
    assert said.out == "Write to [EMAIL_1] about [ORDER_1],\nmy password is [SECRET_1]\n"
    assert not (tmp_path / "none").exists()


def test_spans_name_characters_of_the_original(command: Command, home: Home, tmp_path: Path) -> None:
    text = "Jürgen \u202eschrieb an kat.b@mail.example und kat.b@mail.example 👋"
    (tmp_path / "a.txt").write_text(text)
    result = command(home, "privacy", "redact", str(tmp_path / "a.txt"), "--layers", "pattern_strong", "--json").frame()["result"]
    assert [text[s["start"] : s["end"]] for s in result["spans"]] == ["kat.b@mail.example"] * 2
    assert {s["alias"] for s in result["spans"]} == {"[EMAIL_1]"}
    assert set(result["spans"][0]) == {"path", "start", "end", "type", "layer", "score", "alias"}
    assert "token" not in result["spans"][0]


def test_what_is_known_about_the_writer_helps(command: Command, home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("brandvold asked again")
    arguments = ["privacy", "redact", str(tmp_path / "a.txt"), "--profile", "name=Katarina Brandvold"]
    assert command(home, *arguments).out == "[PERSON_1] asked again"
    assert command(home, *arguments, "--profile", "tier=gold").code == 2
    assert command(home, *arguments, "--profile", "name").code == 2


LINE: dict[str, Any] = {
    "id": "kat.b@mail.example-7", "timestamp": "2026-01-05T08:00:00Z", "conversation_id": "talk-9", "user_id": "kat.b@mail.example", "domain": "support",
    "messages": [{"role": "user", "content": "I am Katarina Brandvold", "name": "Katarina"},
                 {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"email": "kat.b@mail.example", "n": 1}'}},
                                                                      {"name": "g", "arguments": {"phone": 2025550134}}]}],
    "responses": [{"text": "Dear Katarina", "model": "m", "retrieval": {"ids": ["kb/kat.b@mail.example"]}}],
    "profile": {"name": "Katarina Brandvold"}, "metadata": {"kat.b@mail.example": [1, "Brandvold"]}, "consent": {"purposes": ["labeling"]},
}  # fmt: skip


def test_canonical_lines_come_out_as_canonical_lines_without_a_trace(command: Command, home: Home, tmp_path: Path) -> None:
    other = {
        **LINE,
        "id": "n-2",
        "timestamp": "2026-01-05T09:00:00Z",
        "messages": [{"role": "user", "content": "Brandvold again"}],
        "responses": [],
    }
    path = dialogues(tmp_path / "log.jsonl", LINE, other)
    said = command(home, "privacy", "redact", str(path))
    rows = [json.loads(line) for line in said.out.splitlines()]
    for value in ("Katarina", "Brandvold", "kat.b", "2025550134"):
        assert value not in said.out
    assert [r["id"] for r in rows] == ["record-1", "record-2"]
    assert {(r["user_id"], r["conversation_id"]) for r in rows} == {("user-1", "conversation-1")}
    assert "profile" not in rows[0]
    assert rows[0]["messages"][0]["content"] == "I am [PERSON_1]"
    assert rows[1]["messages"][0]["content"] == "[PERSON_1] again"
    calls = rows[0]["messages"][1]["tool_calls"]
    assert json.loads(calls[0]["function"]["arguments"]) == {"email": "[EMAIL_1]", "n": 1}
    assert calls[1]["arguments"] == {"phone": "[PHONE_1]"}
    frame = command(home, "privacy", "redact", str(path), "--json").frame()
    assert [r["record"] for r in frame["result"]["records"]] == rows
    assert {"path", "alias"} <= set(frame["result"]["records"][0]["spans"][0])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"messages": [], "secret_field": 1}', "secret_field"), ('{"messages": 5}', "messages must be a list"), ('{"messages": []}\n{]', "line 2 is no JSON"),
        ('{"messages": []}\n[1]', "line 2 is no JSON object"), ('{"profile": "x"}', "profile must be an object"), ("\x00\x01binary", "zero bytes"),
        (b"\xff\xfe\x00", "no UTF-8"), ('{"a":' * 5_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_cannot_be_redacted_is_refused_and_nothing_is_printed(
    command: Command, home: Home, tmp_path: Path, content: str | bytes, says: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = command(home, "privacy", "redact", str(path), "--form", "jsonl")
    assert said.code == 2
    assert says in said.err
    assert said.out == ""


def test_hostile_texts_take_bounded_time_and_never_pass_silently(command: Command, home: Home, tmp_path: Path) -> None:
    hostile = {
        "letters": "a" * 300_000, "digits": "1" * 300_000, "ats": "@" * 200_000, "quotes": '"key": ' * 30_000, "keys": "password=" * 300,
        "bidi": "\u202e\u2066abc \u05d0\u05d1 " * 20_000, "escapes": "\\u0041%41&#65;" * 15_000, "marks": "\u0301" * 100_000, "begin": "-----BEGIN RSA PRIVATE KEY-----" * 3_000,
    }  # fmt: skip
    for name, text in hostile.items():
        (tmp_path / "h.txt").write_text(f"{text} kat.b@mail.example")
        began = time.process_time()
        said = command(home, "privacy", "redact", str(tmp_path / "h.txt"), "--form", "text", "--layers=-ner")
        assert said.code == 0, name
        assert "kat.b@mail.example" not in said.out, name
        assert time.process_time() - began < 300, f"{name}: seconds are enough; with time squared in the length it would be hours"


def test_with_vault_the_spans_name_tokens_of_the_run_state(command: Command, home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("kat.b@mail.example")
    frame = command(home, "privacy", "redact", str(tmp_path / "a.txt"), "--vault", "--json").frame()
    token = frame["result"]["spans"][0]["token"]
    vault = Vault.open(home)
    assert vault.token_of("EMAIL_ADDRESS", "kat.b@mail.example") == token
    assert list(vault.values()) == ["kat.b@mail.example"]


# --- explain, scan, canaries on a finished round


def test_a_record_is_explained_to_an_auditor_only(command: Command, small_home: Home) -> None:
    raw = small_home.lake.read("consented_logs", R1).to_pylist()[0]
    record, name = raw["record_id"], json.loads(raw["profile"])["name"]
    refused = command(small_home, "privacy", "explain", record)
    assert (refused.code, refused.out) == (4, "")
    said = command(small_home, "privacy", "explain", record[:12], "--role", "auditor", "--reason", "tuning names", "--html", "--json")
    result = said.frame()["result"]
    assert result["record_id"] == record
    redacted = small_home.lake.read("redacted_logs", R1).to_pylist()
    shown = next(r for r in redacted if r["record_id"] == record)
    texts = {t["path"]: t["redacted"] for t in result["texts"]}
    assert texts["messages.0.content"] == shown["messages"][0]["content"]
    layers = {c["layer"] for t in result["texts"] for c in t["candidates"]}
    assert len(layers) >= 2
    page = Path(result["html"])
    assert page.is_relative_to(small_home.restricted)
    assert page.stat().st_mode & 0o077 == 0
    html = page.read_text()
    assert "<script" not in html
    assert "http" not in html.split("</style>")[1]
    assert [e["kind"] for e in provenance_log(small_home).events() if "explain" in e["kind"]] == [
        "privacy_explain_refused",
        "privacy_explain",
    ]
    assert name not in provenance_log(small_home).path.read_text()
    assert "gave way" in said.out or "replaced by" in said.out
    assert command(small_home, "privacy", "explain", record, "--role", "auditor", "--reason", "tuning names").code == 0
    assert command(small_home, "privacy", "explain", "0" * 32, "--role", "auditor", "--reason", "tuning names").code == 2
    assert command(small_home, "privacy", "explain", "x", "--role", "auditor", "--reason", "tuning names").code == 2


def test_the_scan_names_places_and_never_values(command: Command, small_home: Home) -> None:
    clean = command(small_home, "privacy", "scan", "--json")
    assert (clean.code, clean.frame()["result"]["clean"]) == (0, True)
    vault = Vault.open(small_home)
    entry = next(e for e in vault.entries() if e.type == "EMAIL_ADDRESS")
    vault.close()
    (small_home.reports / "extra.html").write_text(f"<p>{entry.value}")
    for arguments in ([], ["--json"], [str(small_home.reports)]):
        said = command(small_home, "privacy", "scan", *arguments)
        assert said.code == 4
        assert "extra.html" in said.out
        assert entry.token in said.out
        assert entry.value not in said.out + said.err
    assert command(small_home, "privacy", "scan", str(small_home.root / "none")).code == 2


def test_canaries_are_planted_and_a_leaked_one_is_named(command: Command, home: Home) -> None:
    assert command(home, "privacy", "canaries").code == 2
    assert command(home, "privacy", "canaries", "--plant", "9").code == 2
    assert command(home, "privacy", "canaries", "--plant", "50", "--round", R1, "--json").frame()["counts"]["planted"] == 50
    assert command(home, "privacy", "canaries", "--json").frame()["result"]["clean"] is True
    listed = json.loads((home.restricted / "canaries.json").read_text())
    home.reports.mkdir()
    (home.reports / "a.txt").write_text(listed[7]["value"].upper())
    said = command(home, "privacy", "canaries", "--json")
    assert said.code == 4
    assert [x["canary"] for x in said.frame()["result"]["leaks"]] == [7]
    assert listed[7]["value"] not in said.out
