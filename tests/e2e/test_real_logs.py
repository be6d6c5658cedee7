"""Real support chats and real code tasks as logs: landing folder to published batch, by the jobs that run in production."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assets.run import Outcome, open_instance, run_job
from flywheel.records import RESTRICTED_TABLES, LabelingTask, RedactedRecord
from flywheel.reporting import funnel, render_report, report_summary
from flywheel.rounds import round_state
from flywheel.settings import Settings
from flywheel.storage import Home, from_table
from tests.conftest import SHARED

CHATS = SHARED / "privacy" / "star_support_chats.jsonl.gz"
CODE = [SHARED / "code" / "humaneval.jsonl", SHARED / "code" / "mbpp_sanitized.jsonl"]
ROUND = "2026-01-05"
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
N_CHATS, N_PROFILES, N_REFUSED, N_CODE = 150, 90, 6, 80
SETTINGS = """
clock = "2026-01-13T09:00:00+00:00"

[selection]
budget = 120

[training]
base = "shopforge-tiny-fast"
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(p.is_file() for p in (CHATS, *CODE)), reason="the real chats and code tasks (../shared/data) are not here"),
]


@dataclass(frozen=True)
class RealRound:
    """One opened round on real logs. `gold`: record id -> (type, value) of personal data that the data set marks in that chat."""

    home: Home
    outcome: Outcome
    written: int
    gold: dict[str, list[tuple[str, str]]]


def consent(number: int) -> dict[str, Any]:
    """Granted before the round; the first customers took it back."""
    withdrawn = {"withdrawn_at": "2026-01-02T00:00:00Z"} if number < N_REFUSED else {}
    return {
        "purposes": ["labeling", "training", "evaluation"], "legal_basis": "consent", "policy_version": "2026-01",
        "granted_at": "2025-12-01T00:00:00Z", **withdrawn,
    }  # fmt: skip


def chat_row(chat: dict[str, Any], number: int) -> dict[str, Any]:
    """A chat as a canonical line: the last answer of the agent is the logged response, what came before is the prompt."""
    last = max(i for i, (speaker, _, _) in enumerate(chat["turns"]) if speaker == "agent")
    asked = chat["turns"][:last]
    return {
        "id": chat["id"], "timestamp": (MONDAY + timedelta(minutes=7 * number)).isoformat(), "conversation_id": chat["id"], "user_id": f"user-{number}",
        "domain": "support", "language": "en", "profile": chat["profile"], "consent": consent(number),
        "messages": [{"role": "user" if speaker == "customer" else "assistant", "content": text} for speaker, text, _ in asked],
        "response": chat["turns"][last][1], "model": "wizard",
    }  # fmt: skip


def marked(chat: dict[str, Any]) -> list[tuple[str, str]]:
    """(type, value) of the personal data that the data set marks in what we log."""
    last = max(i for i, (speaker, _, _) in enumerate(chat["turns"]) if speaker == "agent")
    return [(kind, text[start:end]) for _, text, spans in chat["turns"][: last + 1] for start, end, kind in spans]


def code_row(prompt: str, solution: str, name: str, number: int) -> dict[str, Any]:
    """A task with two logged answers: the published solution and one with a small fault."""
    faults = (("<", ">="), ("==", "!="), (" + ", " - "), ("True", "False"), ("return ", "return not "), ("[", "(["))
    wrong = next(solution.replace(old, new, 1) for old, new in faults if old in solution)
    return {
        "id": name, "timestamp": (MONDAY + timedelta(days=3, minutes=5 * number)).isoformat(), "user_id": f"developer-{number % 20}", "domain": "code",
        "task_type": "code", "messages": [{"role": "user", "content": prompt}], "consent": consent(N_REFUSED),
        "responses": [{"text": solution, "model": "coder-1", "temperature": 0.2}, {"text": wrong, "model": "coder-2", "temperature": 0.8}],
    }  # fmt: skip


def chats() -> list[dict[str, Any]]:
    """The first chats with an account profile, and the first without one that name a person."""
    with gzip.open(CHATS, "rt") as file:
        usable = [c for c in map(json.loads, file) if [s for s, _, _ in c["turns"]].count("agent") > 1]
    known = [c for c in usable if c["profile"]][:N_PROFILES]
    return known + [c for c in usable if not c["profile"] and marked(c)][: N_CHATS - len(known)]


def code_rows() -> list[dict[str, Any]]:
    human, mbpp = ([json.loads(line) for line in path.read_text().splitlines()] for path in CODE)
    tasks = [(t["prompt"], t["canonical_solution"], t["task_id"]) for t in human] + [
        (t["prompt"], t["code"], f"mbpp/{t['task_id']}") for t in mbpp
    ]
    step = len(tasks) // N_CODE
    return [code_row(prompt, solution, name, i) for i, (prompt, solution, name) in enumerate(tasks[::step][:N_CODE])]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRound]:
    before = {k: v for k, v in os.environ.items() if k.startswith(("FLYWHEEL_", "DAGSTER_"))}
    for name in before:
        del os.environ[name]
    root = tmp_path_factory.mktemp("real") / "home"
    root.mkdir()
    (root / "flywheel.toml").write_text(SETTINGS)
    home = Home(Settings.load(home=root))
    landing = Path(home.landing)
    landing.mkdir(parents=True)
    talks, tasks = chats(), code_rows()
    rows = [chat_row(c, i) for i, c in enumerate(talks)]
    (landing / "chats.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with gzip.open(landing / "code.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(r) + "\n" for r in tasks)
    gold = {home.ids.make("record", home.settings.ingestion.source, c["id"]): marked(c) for c in talks}
    with open_instance(root) as instance:
        outcome = run_job(root, "weekly_round", ROUND, instance=instance, progress=False)
    yield RealRound(home, outcome, len(rows) + len(tasks), gold)
    os.environ.pop("DAGSTER_HOME", None)
    os.environ.update(before)


def test_the_round_opens_on_real_logs_and_every_gate_passes(opened: RealRound) -> None:
    assert opened.outcome.success, opened.outcome.message
    assert round_state(opened.home, ROUND).state == "published"


def test_every_real_row_is_accepted_or_accounted_for(opened: RealRound) -> None:
    facts = opened.home.lake.demand("inference_logs", ROUND).facts
    assert facts["counts"]["rows_read"] == facts["counts"]["accepted"] == opened.written == N_CHATS + N_CODE
    assert facts["quarantine"] == {}
    assert facts["losses"] == {}

    steps = [s for s in funnel(opened.home, ROUND) if s.count is not None]
    for before, step in itertools.pairwise(steps):
        assert step.count == before.count + sum(step.gained.values()) - sum(step.lost.values()), step.name
        assert "unexplained" not in step.lost | step.gained
    assert {s.name: s.count for s in steps}["consented"] == opened.written - N_REFUSED
    assert next(s for s in steps if s.name == "consented").lost == {"withdrawn": N_REFUSED}


def test_no_account_value_of_a_customer_reaches_the_open_zone(opened: RealRound) -> None:
    """What the logs' own profiles tell is known to redaction: not one such value may stand in its customer's texts."""
    raw = opened.home.lake.read("inference_logs", ROUND, ["record_id", "profile"]).to_pylist()
    profile = {r["record_id"]: json.loads(r["profile"]) if isinstance(r["profile"], str) else r["profile"] for r in raw}
    asked = [(row.record_id, written(row)) for row in redacted(opened)]
    assert sum(len(profile[record_id]) > 3 for record_id, _ in asked) >= N_PROFILES - N_REFUSED
    assert [(record_id, key) for record_id, text in asked for key, value in profile[record_id].items() if stands_in(value, text)] == []


def test_marked_personal_data_is_found(opened: RealRound, capsys: pytest.CaptureFixture[str]) -> None:
    """Recall on the data set's own marks, by type, in chats as they come (two in five without a profile). Numbers are all found; of
    names and answers to security questions in free text some are not yet: the floors hold the line that this stage has reached."""
    found, marks = Counter[str](), Counter[str]()
    for row in redacted(opened):
        text = written(row)
        for kind, value in opened.gold.get(row.record_id, []):
            marks[kind] += 1
            found[kind] += not stands_in(value, text)
    with capsys.disabled():
        print("\nreal chats, personal data found: " + ", ".join(f"{k} {found[k]}/{marks[k]}" for k in sorted(marks)))
    for kind, floor in (("ACCOUNT_ID", 1.0), ("ACCESS_CODE", 1.0), ("DOB", 1.0), ("PERSON", 0.9), ("PIN", 0.9), ("SECURITY_ANSWER", 0.5)):
        assert found[kind] >= floor * marks[kind] > 0, kind


def test_code_passes_redaction_untouched(opened: RealRound) -> None:
    code = [row for row in redacted(opened) if row.domain == "code"]
    assert sum(not row.spans for row in code) >= 0.95 * len(code) == 0.95 * N_CODE


def test_no_long_number_of_a_customer_stands_in_any_open_file(opened: RealRound) -> None:
    """Every file outside the restricted zone, as bytes or as table: lake, batches, reports, provenance, run logs."""
    render_report(opened.home, ROUND, now=datetime(2026, 1, 13, tzinfo=UTC))
    numbers = {
        v for spans in opened.gold.values() for kind, v in spans if kind in ("ACCOUNT_ID", "ACCESS_CODE") and len(v) >= 6 and v.isdigit()
    }
    assert len(numbers) >= 10
    texts = {"tables": "\n".join(
        json.dumps(opened.home.lake.read(m.table, m.round).to_pylist(), default=str)
        for m in opened.home.lake.manifests() if m.table not in RESTRICTED_TABLES | {"embeddings"}
    )}  # fmt: skip
    for path in opened.home.root.rglob("*"):
        if path.is_file() and opened.home.restricted not in path.parents and path.suffix != ".parquet":
            texts[str(path.relative_to(opened.home.root))] = path.read_bytes().decode("utf-8", "replace")
    assert {name for name, text in texts.items() if any(n in text for n in numbers)} == set()


def test_the_batch_is_out_and_a_person_can_read_it(opened: RealRound) -> None:
    batch = from_table(LabelingTask, opened.home.lake.read("labeling_batch", ROUND))
    lines = [json.loads(line) for line in (opened.home.root / "batches" / f"{ROUND}.jsonl").read_text().splitlines()]
    assert [line["task_id"] for line in lines] == [t.task_id for t in batch]
    assert len(lines) >= 100
    assert {line["domain"] for line in lines} == {"support", "code"}
    for line in lines:
        assert line["prompt"]
        assert line["left"].strip()
        assert line["left"] != line["right"]
        assert not {"kind", "gold_id", "arm", "model_id", "presented_left"} & set(line)


def test_the_report_tells_of_the_open_round(opened: RealRound) -> None:
    page = render_report(opened.home, ROUND, now=datetime(2026, 1, 13, tzinfo=UTC)).read_text()
    assert "published" in page
    assert f"{opened.written:,}" in page
    assert report_summary(opened.home, ROUND)


def redacted(opened: RealRound) -> list[RedactedRecord]:
    return from_table(RedactedRecord, opened.home.lake.read("redacted_logs", ROUND))


def written(row: RedactedRecord) -> str:
    """Every text of a record."""
    return row.model_dump_json(include={"messages", "responses", "feedback", "metadata", "template"})


def stands_in(value: str, text: str) -> bool:
    """As a word of its own, in any case."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.I) is not None
