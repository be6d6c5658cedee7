"""What an import tells the ledger and the vault comes in batches: as many rows as there are, memory does not grow with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.governance import ConsentLedger, Identity
from flywheel.ingestion import import_landing, learnt
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids


def test_statements_and_identities_are_handed_over_a_few_at_a_time_and_twice_is_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remembering:
        def __init__(self) -> None:
            self.batches: list[list[Identity]] = []

        def remember(self, identities: list[Identity]) -> int:
            self.batches.append(identities)
            return len(identities)

    monkeypatch.setattr(learnt, "TOLD_AT_ONCE", 4)
    monkeypatch.setattr(learnt, "GATHERED", 1)
    monkeypatch.setattr(learnt, "REMEMBERED", 1)
    said = {"purposes": ["labeling", "training"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}
    for number in range(6):
        rows = [
            {
                "id": f"r{number}-{n}", "timestamp": "2026-01-06T10:00:00Z", "user_id": f"u{n}", "consent": {**said, "expires_at": f"2027-01-0{n + 1}"},
                "messages": [{"role": "user", "content": "Hi"}], "responses": [{"text": "Hello.", "model": "m"}],
            }
            for n in range(3)
        ]  # fmt: skip
        (tmp_path / f"{number}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = import_landing(
        str(tmp_path), round="2026-01-05", ids=Ids(b"k" * 32), settings=IngestionSettings(), now=datetime(2026, 1, 12, tzinfo=UTC)
    )
    ledger, vault = ConsentLedger(tmp_path / "ledger.jsonl"), Remembering()
    for _ in range(2):
        found.tell(ledger, vault)  # type: ignore[arg-type]
        assert sorted(e.event_id for e in ledger.events()) == sorted(e.event_id for e in found.consent_events)
    assert len(found.consent_events) == 6
    assert max(map(len, vault.batches)) <= 4
    assert {i for batch in vault.batches for i in batch} == set(found.identities)
