"""Assembly within a round: history comes from earlier weeks of the pool, from who allows it still, and is redacted with the request."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flywheel.governance import Vault, redact_logs
from flywheel.ingestion.conversations import assemble_conversations
from flywheel.records import ConsentedRecord
from flywheel.rounds import earlier_records
from flywheel.settings import Settings
from flywheel.storage import Home, to_table
from tests.small_rounds import R1, R2, UNTRAINED, new_home, succeed, withdraw

START = datetime(2026, 1, 5, 9, tzinfo=UTC)


def record(home: Home, round: str, hour: float, asked: str, answer: str, subject: str = "ann", **profile: str) -> dict[str, Any]:
    return {
        "round": round, "record_id": home.ids.make("record", f"{subject}{hour}"), "conversation_id": home.ids.make("conversation", "talk"),
        "subject_id": home.ids.make("subject", subject), "timestamp": START + timedelta(hours=hour), "domain": "support", "task_type": "generation",
        "messages": [{"role": "user", "content": asked}], "responses": [{"text": answer, "generation": {"model_id": "m"}}],
        "source": {"format": "flywheel", "file": "x"}, "content_sha256": "x", "profile": profile, "purposes": ["labeling"], "legal_basis": "consent",
        "policy_version": "1",
    }  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings.load(home=tmp_path))


def write(home: Home, round: str, *records: dict[str, Any]) -> pa.Table:
    table = to_table(ConsentedRecord, records)
    home.lake.write("consented_logs", round, table)
    return table


def history(home: Home, round: str, now: pa.Table, allowed: Callable[[pa.Table], pa.Table]) -> pa.Table | None:
    wanted = pc.unique(now["conversation_id"])
    parts = list(earlier_records(home, round, lambda ids: pc.is_in(ids, value_set=wanted), allowed=allowed))
    return pa.concat_tables(parts) if parts else None


def as_it_is(table: pa.Table) -> pa.Table:
    return table


def test_history_comes_from_the_weeks_of_the_pool(home: Home) -> None:
    write(home, R1, record(home, R1, 1, "My name is Ann Lee.", "Hello Ann."))
    now = write(home, R2, record(home, R2, 170, "Where is it?", "On its way."), record(home, R2, 171, "Thanks", "Bye.", "bob"))
    earlier = history(home, R2, now, as_it_is)
    assert earlier is not None
    assert earlier.num_rows == 1
    found, _ = assemble_conversations(now, earlier)
    assert [[m["content"] for m in ms] for ms in found["messages"].to_pylist()] == [
        ["My name is Ann Lee.", "Hello Ann.", "Where is it?"], ["Thanks"],
    ]  # fmt: skip
    assert history(home, R1, now, as_it_is) is None, "never from the week itself or later"


def test_a_week_in_which_no_conversation_goes_on_gives_nothing(home: Home) -> None:
    write(home, R1, {**record(home, R1, 1, "a", "b"), "conversation_id": "other"})
    assert history(home, R2, write(home, R2, record(home, R2, 170, "c", "d")), as_it_is) is None


def test_who_has_withdrawn_since_does_not_come_back_as_history(home: Home) -> None:
    write(home, R1, record(home, R1, 1, "secret", "b"))
    now = write(home, R2, record(home, R2, 170, "c", "d"))
    nobody = history(home, R2, now, lambda t: t.filter(pc.equal(t["subject_id"], "nobody")))
    assert assemble_conversations(now, nobody)[0].equals(now)


def test_one_redaction_sees_the_whole_conversation(home: Home) -> None:
    """The aliases of a conversation that goes on are those of the weeks before, as far as its turns tell."""
    asked = "I am Maren Okafor, my order is SF-204417."
    profile = {"name": "Maren Okafor"}
    first = write(home, R1, record(home, R1, 1, asked, "Hello Maren, I see SF-204417.", **profile))
    second = write(home, R2, record(home, R2, 170, "Any news of SF-204417, or of SF-999111?", "None, Maren.", **profile))
    whole, _ = assemble_conversations(second, history(home, R2, second, as_it_is))
    with closing(Vault.open(home)) as vault:
        texts = [redacted(t, vault, home, r) for t, r in ((first, R1), (whole, R2))]
    assert texts[1][: len(texts[0])] == texts[0]
    assert "[ORDER_1]" in texts[1][-1]
    assert "[ORDER_2]" in texts[1][-1]
    assert not {"Okafor", "Maren", "204417"} & set(json.dumps(texts).replace(",", " ").split())


def redacted(table: pa.Table, vault: Vault, home: Home, round: str) -> list[str]:
    found, _ = redact_logs(table, vault=vault, settings=home.settings.governance, round=round)
    return [m["content"] for m in found["messages"].to_pylist()[0]]


@pytest.mark.slow
def test_a_round_of_single_turn_logs(tmp_path: Path) -> None:
    """From the landing folder to the redacted table: two weeks of one conversation, then its subject withdraws."""
    home = new_home(tmp_path, UNTRAINED)

    def line(n: int, at: str, asked: str, answer: str, user: str = "u1") -> str:
        consent = {
            "purposes": ["labeling", "training"],
            "legal_basis": "consent",
            "policy_version": "1",
            "granted_at": "2025-12-01T00:00:00Z",
        }
        return json.dumps({
            "id": f"r{n}", "timestamp": at, "conversation_id": "talk", "user_id": user, "messages": [{"role": "user", "content": asked}],
            "response": answer, "model": "m", "consent": consent,
        })  # fmt: skip

    Path(home.landing).mkdir(parents=True, exist_ok=True)
    (Path(home.landing) / "logs.jsonl").write_text("\n".join([
        line(1, "2026-01-06T10:00:00Z", "My lamp is broken.", "Sorry."), line(2, "2026-01-06T10:01:00Z", "Will you replace it?", "Yes."),
        line(3, "2026-01-13T10:00:00Z", "When does it come?", "On Friday."), line(4, "2026-01-13T11:00:00Z", "Hello, other.", "Hi.", "u2"),
    ]) + "\n")  # fmt: skip
    for round in (R1, R2):
        succeed(home, "late_logs", round)
    by_subject = {
        m[-1]["content"]: [t["content"] for t in m] for m in home.lake.read("redacted_logs", R2, ["messages"])["messages"].to_pylist()
    }
    assert by_subject == {
        "When does it come?": ["My lamp is broken.", "Sorry.", "Will you replace it?", "Yes.", "When does it come?"], "Hello, other.": ["Hello, other."],
    }  # fmt: skip
    assert home.lake.demand("redacted_logs", R2).facts["conversations"]["assembled"] == 1
    assert "consented_logs" in home.lake.demand("redacted_logs", R2).inputs
    withdraw(home, home.ids.make("subject", "u1"), "labeling")
    succeed(home, "weekly_round", R2, select=["redacted_logs"])
    assert "My lamp is broken." not in json.dumps(home.lake.read("redacted_logs", R2).to_pylist(), default=str)
