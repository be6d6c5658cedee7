"""What a log must not be able to do: crash an import, vanish from it, or keep alive a consent that was taken back."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.errors import BadInput
from flywheel.ingestion import Imported, import_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
IDS = Ids(b"k" * 32)
CONSENT = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1", "timestamp": "2026-01-06T10:00:00Z", "user_id": "u-1", "messages": [{"role": "user", "content": "Where is my order?"}],
        "responses": [{"text": "On its way.", "model": "m-1"}], **changes,
    }  # fmt: skip


def answer(**changes: Any) -> dict[str, Any]:
    return row(responses=[{"text": "On its way.", "model": "m-1", **changes}])


def read(folder: Path, *rows: dict[str, Any], name: bytes = b"a.jsonl") -> Imported:
    with open(os.fsencode(folder) + b"/" + name, "wb") as file:
        file.writelines(json.dumps(r).encode() + b"\n" for r in rows)
    return import_landing(str(folder), round="2026-01-05", ids=IDS, settings=IngestionSettings(), now=NOW)


@pytest.mark.parametrize(
    "value", ["-99999999999", -99999999999, "9999-12-31T23:59:59-14:00", 0, -1, "0", "1969-12-31T23:59:59Z", "1e300", "nan"]
)
def test_a_time_outside_every_plausible_week_is_quarantined_not_left_to_a_week_that_never_comes(tmp_path: Path, value: Any) -> None:
    found = read(tmp_path, row(timestamp=value))
    assert (found.counts["quarantined"], found.quarantine["reason"].to_pylist()) == (1, ["invalid_timestamp"])


def test_a_date_in_basic_form_is_a_date_and_no_number_of_seconds(tmp_path: Path) -> None:
    assert read(tmp_path, row(timestamp="20260106")).records["timestamp"].to_pylist() == [datetime(2026, 1, 6, tzinfo=UTC)]


@pytest.mark.parametrize("sort", [["text"], {}, 1])
def test_a_content_part_whose_type_is_no_text_is_counted_as_lost(tmp_path: Path, sort: Any) -> None:
    parts = [{"type": sort, "text": "x"}, {"type": "text", "text": "Where is it?"}]
    found = read(tmp_path, row(messages=[{"role": "user", "content": parts}]))
    assert (found.counts["accepted"], sum(found.losses.values())) == (1, 1)


@pytest.mark.parametrize(
    "bad",
    [answer(temperature=True), answer(seed=False), answer(token_logprobs=[-0.1, True]), row(feedback={"score": True}), answer(model="")],
)
def test_true_is_no_number_and_nothing_no_model(tmp_path: Path, bad: dict[str, Any]) -> None:
    assert read(tmp_path, bad).counts["quarantined"] == 1


def test_a_file_name_that_is_not_utf8_is_kept_in_escapes(tmp_path: Path) -> None:
    found = read(tmp_path, row(), {"id": "r2"}, name=b"\xff.jsonl")
    assert (found.counts["accepted"], found.quarantine["file"].to_pylist()) == (1, ["\\xff.jsonl"])


def test_a_folder_that_cannot_be_listed_stops_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    real = os.scandir

    def denied(path: Any = ".") -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(BadInput, match=r"sub cannot be listed"):
        read(tmp_path, row())


@pytest.mark.parametrize("url", ["unheard://x", "ftq://a/b"])
def test_an_address_that_nothing_can_open_is_an_error_that_names_it(url: str) -> None:
    with pytest.raises(BadInput, match=url):
        import_landing(url, round="2026-01-05", ids=IDS, settings=IngestionSettings(), now=NOW)


@pytest.mark.parametrize(
    "carrier", [row(colour=1), row(timestamp="2026-02-10T10:00:00Z"), row(timestamp="2025-12-01T10:00:00Z"), row(timestamp="?")]
)
def test_a_withdrawal_counts_also_from_a_row_that_is_not_taken(tmp_path: Path, carrier: dict[str, Any]) -> None:
    carrier["consent"] = {**CONSENT, "withdrawn_at": "2026-01-07T00:00:00Z"}
    found = read(tmp_path, row(id="good", consent=CONSENT), carrier)
    assert [(e.action, e.subject_id) for e in found.consent_events] == [
        ("granted", IDS.make("subject", "u-1")), ("withdrawn", IDS.make("subject", "u-1")),
    ]  # fmt: skip
    assert found.counts["accepted"] == 1


def test_a_grant_in_a_row_that_is_not_taken_does_not_count(tmp_path: Path) -> None:
    assert read(tmp_path, row(colour=1, consent=CONSENT)).consent_events == []


def test_a_raw_user_id_reaches_the_vault_also_where_the_profile_names_another(tmp_path: Path) -> None:
    found = read(tmp_path, row(user_id="adalove77", profile={"user_id": "4711"}))
    assert {i.value for i in found.identities if i.kind == "USER_ID"} == {"adalove77", "4711"}


def test_reading_without_a_round_judges_rows_of_every_week(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    read(logs, row(), row(id="r2", timestamp="2025-11-04T10:00:00Z", colour=1), row(id="r3", timestamp="?"))
    done = CliRunner().invoke(app, ["--home", str(tmp_path / "home"), "ingest", str(logs), "--json"])
    said = json.loads(done.stdout)
    counts = {k: said["counts"][k] for k in ("rows_read", "accepted", "other_rounds", "quarantined")}
    assert counts == {"rows_read": 3, "accepted": 1, "other_rounds": 0, "quarantined": 2}
    assert [q["reason"] for q in said["quarantine"]] == ["unknown_field", "invalid_timestamp"]
