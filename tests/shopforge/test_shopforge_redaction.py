"""Logs of the demo shop through the real gateway: what the labeling and training stages see is the world's own text again."""

import random
from datetime import UTC, datetime

import pytest

from flywheel.records import RedactedRecord
from flywheel.settings import Settings
from flywheel.shopforge import base_response, message_text, parse_prompt, sample_prompt, write_logs
from flywheel.storage import Home, from_table

ROUND = "2026-01-05"
NOW = datetime(2026, 1, 20, tzinfo=UTC)


@pytest.mark.slow
def test_redaction_gives_the_worlds_own_words_back(tmp_path):
    from flywheel.governance import ConsentLedger, Vault, filter_consented, redact_logs, residual_leaks
    from flywheel.ingestion import import_landing

    home = Home(Settings.load(tmp_path / "home"))
    write_logs(tmp_path / "landing", round=ROUND, n=120, seed=2)
    found = import_landing(str(tmp_path / "landing"), round=ROUND, ids=home.ids, settings=home.settings.ingestion, now=NOW)
    ledger = ConsentLedger(tmp_path / "ledger.jsonl")
    ledger.append(found.consent_events)
    consented, _ = filter_consented(found.records, ledger, now=NOW, round=ROUND)
    vault = Vault.open(home)
    vault.remember(found.identities)
    redacted, _ = redact_logs(consented, vault=vault, settings=home.settings.governance, round=ROUND)

    assert 100 < redacted.num_rows < 120
    assert residual_leaks(redacted, vault) == []
    rng = random.Random(0)
    words = {w for p in (sample_prompt(rng) for _ in range(5_000)) for w in f"{p.text} {base_response(rng, p)}".split()}
    for record in from_table(RedactedRecord, redacted):
        assert parse_prompt(message_text(record.messages)) is not None
        for text in (record.messages[0].content, *(r.text for r in record.responses)):
            assert set(text.split()) <= words
