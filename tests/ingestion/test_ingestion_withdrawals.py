"""Consent that is taken back in a row that cannot be used: heard wherever the row's format puts it, for the person whom the row names."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flywheel.ingestion import Imported, import_landing
from flywheel.ingestion.consent_fields import withdrawals_in
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

NOW = datetime(2026, 1, 12, 6, tzinfo=UTC)
IDS = Ids(b"k" * 32)
SAID = {
    "purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z",
    "withdrawn_at": "2026-01-07T00:00:00Z",
}  # fmt: skip
TEXT = json.dumps(SAID)


def attribute(key: str, text: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": text}}


def read(folder: Path, *rows: dict[str, Any]) -> Imported:
    (folder / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return import_landing(str(folder), round="2026-01-05", ids=IDS, settings=IngestionSettings(), now=NOW)


REFUSED = {
    "canonical": {"id": "r", "timestamp": "?", "user_id": "u-1", "consent": SAID},
    "JSON text": {"id": "r", "timestamp": "?", "user_id": "u-1", "consent": TEXT},
    "metadata": {"id": "r", "timestamp": "2026-01-06", "user_id": "u-1", "metadata": {"consent": SAID}},
    "request.metadata": {"timestamp": "?", "request": {"messages": [{}], "user": "u-1", "metadata": {"consent": TEXT}}, "response": {}},
    "span attributes": {"traceId": "t", "spanId": "s", "attributes": [
        attribute("gen_ai.operation.name", "chat"), attribute("gen_ai.request.model", "m"), attribute("user.id", "u-1"), attribute("flywheel.consent", TEXT),
    ]},
    "text that holds the metadata": {"id": "r", "type": "GENERATION", "user_id": "u-1", "metadata": json.dumps({"consent": SAID})},
    "consent that lacks its policy": {"id": "r", "user_id": "u-1", "consent": {"purposes": ["labeling"], "withdrawn_at": SAID["withdrawn_at"]}},
}  # fmt: skip


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_a_withdrawal_is_heard_wherever_it_stands(tmp_path: Path, refused: dict[str, Any]) -> None:
    found = read(tmp_path, refused)
    assert (found.counts["accepted"], found.counts["quarantined"]) == (0, 1)
    assert [(e.action, e.purpose, e.subject_id) for e in found.consent_events] == [("withdrawn", "labeling", IDS.make("subject", "u-1"))]


def test_a_grant_is_not_taken_from_a_row_that_is_refused(tmp_path: Path) -> None:
    granted = {k: v for k, v in SAID.items() if k != "withdrawn_at"}
    assert read(tmp_path, {"id": "r", "user_id": "u-1", "metadata": {"consent": granted}}).consent_events == []


def test_without_purposes_all_are_taken_back() -> None:
    (said,) = withdrawals_in({"user_id": "u", "consent": {"withdrawn_at": "2026-01-07"}})
    assert said.statement["purposes"] == ["labeling", "training", "evaluation"]


def test_each_withdrawal_belongs_to_the_user_of_its_own_item() -> None:
    def span(user: str | None, consent: bool) -> dict[str, Any]:
        told = [attribute("user.id", user)] if user else []
        return {"attributes": told + ([attribute("flywheel.consent", TEXT)] if consent else [])}

    spans = [span("ann", True), span("bob", False), span(None, True)]
    assert [s.user for s in withdrawals_in({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})] == ["ann", None]
    assert [s.user for s in withdrawals_in({"user_id": "eve", "spans": spans})] == ["ann", "eve"]


def test_a_conversation_without_a_user_is_the_subject_that_its_records_have(tmp_path: Path) -> None:
    talk = {"timestamp": "2026-01-06T10:00:00Z", "conversation_id": "c-1"}
    good = {**talk, "id": "r1", "messages": [{"role": "user", "content": "Hi"}], "responses": [{"text": "Hello.", "model": "m"}]}
    found = read(tmp_path, good, {**talk, "id": "r2", "consent": SAID})
    assert {e.subject_id for e in found.consent_events} == set(found.records["subject_id"].to_pylist())


def test_a_row_without_end_is_looked_at_for_a_while_only() -> None:
    deep: Any = {"consent": SAID}
    for _ in range(200):
        deep = {"x": [deep]}
    assert withdrawals_in({"user_id": "u", "deep": deep, "wide": [{}] * 300_000}) == []
