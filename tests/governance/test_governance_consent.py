"""Who allows what, at which moment."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import ConsentMissing, IntegrityError
from flywheel.governance import ConsentLedger, allowed_rows, filter_consented, make_consent_event
from flywheel.records import ConsentEvent, LogRecord
from flywheel.storage import Ids, to_table

IDS = Ids(b"k" * 32)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def event(
    action: str = "granted",
    day: float = 0,
    subject: str = "anna",
    purpose: str = "labeling",
    expires: float | None = None,
    source: str = "t",
) -> ConsentEvent:
    return make_consent_event(
        IDS, IDS.make("subject", subject), purpose, action, legal_basis="consent", policy_version="3", effective_at=T0 + day * DAY,  # type: ignore[arg-type]
        recorded_at=T0, expires_at=None if expires is None else T0 + expires * DAY, source=source,
    )  # fmt: skip


def records(*subjects: str) -> pa.Table:
    return to_table(LogRecord, [{
        "round": "2026-01-05", "record_id": IDS.make("record", str(i)), "conversation_id": IDS.make("c", str(i)), "subject_id": IDS.make("subject", s),
        "timestamp": T0, "domain": "support", "task_type": "generation", "messages": [{"role": "user", "content": "x"}],
        "responses": [{"text": "y", "generation": {"model_id": "m"}}], "source": {"format": "flywheel", "file": "a", "line": i}, "content_sha256": "0" * 64,
    } for i, s in enumerate(subjects)])  # fmt: skip


def test_absence_is_refusal_and_a_grant_holds_from_its_moment_on(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    assert ledger.allowed("labeling", T0) == {}
    ledger.append([event(day=1)])
    assert ledger.allowed("labeling", T0) == {}
    assert set(ledger.allowed("labeling", T0 + DAY)) == {IDS.make("subject", "anna")}
    assert ledger.allowed("training", T0 + DAY) == {}


def test_the_last_word_by_effective_time_decides_however_late_it_is_recorded(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.append([event("granted", 5), event("withdrawn", 2)])
    assert not ledger.allowed("labeling", T0 + 3 * DAY)
    assert ledger.allowed("labeling", T0 + 6 * DAY)
    ledger.append([event("withdrawn", 7)])
    assert not ledger.allowed("labeling", T0 + 8 * DAY)


def test_a_grant_ends_when_it_expires(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.append([event(expires=10)])
    assert ledger.allowed("labeling", T0 + 9.99 * DAY)
    assert not ledger.allowed("labeling", T0 + 10 * DAY)


def test_the_same_statement_heard_twice_is_one_event(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    assert ledger.append([event(), event(), event(day=1)]) == 2
    head = ledger.head()
    assert ledger.append([event(day=1), event()]) == 0
    assert ledger.head() == head
    assert len(list(ledger.events())) == 2


def _append(path: Path, n: int) -> None:
    ConsentLedger(path).append([event(day=d, subject=f"s{n}") for d in range(5)])
    for d in range(5, 10):
        ConsentLedger(path).append([event(day=d, subject=f"s{n}")])


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "consent.jsonl"
    processes = [multiprocessing.get_context("fork").Process(target=_append, args=(path, n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(list(ConsentLedger(path).events())) == 40
    assert ConsentLedger(path).verify() == []


def test_filtering_tells_why_each_record_is_left_out(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.append(
        [
            event(subject="anna"),
            event(subject="anna", purpose="training"),
            event(subject="ben"),
            event("withdrawn", 1, "ben"),
            event(subject="cleo", expires=1),
        ]
    )
    kept, reasons = filter_consented(records("anna", "ben", "cleo", "dora", "anna"), ledger, now=T0 + 2 * DAY, round="2026-01-05")
    assert reasons == {"no_consent": 1, "withdrawn": 1, "expired": 1}
    assert kept["purposes"].to_pylist() == [["labeling", "training"]] * 2
    assert kept["policy_version"].to_pylist() == ["3", "3"]
    both, _ = filter_consented(records("anna"), ledger, purposes=("labeling", "evaluation"), now=T0 + 2 * DAY, round="2026-01-05")
    assert both.num_rows == 0


def test_a_withdrawn_consent_removes_the_row_from_any_table(tmp_path: Path) -> None:
    ledger = ConsentLedger(tmp_path / "consent.jsonl")
    ledger.append([event(subject="anna"), event(subject="ben"), event("withdrawn", 1, "ben")])
    table = pa.table({"subject_id": [IDS.make("subject", s) for s in ("anna", "ben")] + [None], "x": [1, 2, 3]})
    assert allowed_rows(table, ledger, "labeling", T0 + 2 * DAY)["x"].to_pylist() == [1]
    assert allowed_rows(table, ledger, "training", T0 + 2 * DAY).num_rows == 0
    with pytest.raises(ConsentMissing):
        allowed_rows(table.drop_columns(["subject_id"]), ledger, "labeling", T0)


def test_an_altered_ledger_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "consent.jsonl"
    ConsentLedger(path).append([event(), event("withdrawn", 1)])
    path.write_bytes(path.read_bytes().replace(b'"withdrawn"', b'"granted"'))
    assert any("line 2" in p for p in ConsentLedger(path).verify())
    with pytest.raises(IntegrityError, match="nobody's consent"):  # the changed line may be a withdrawal
        ConsentLedger(path).allowed("labeling", T0 + DAY)


def test_of_a_grant_and_a_withdrawal_of_one_moment_the_withdrawal_stands_in_either_order(tmp_path: Path) -> None:
    for name, actions in (("x", ("granted", "withdrawn")), ("y", ("withdrawn", "granted"))):
        ledger = ConsentLedger(tmp_path / name)
        ledger.append([event(action, 1) for action in actions])
        assert ledger.allowed("labeling", T0 + DAY) == {}


MOVES = st.lists(st.tuples(st.sampled_from(["granted", "withdrawn"]), st.integers(0, 6), st.none() | st.integers(0, 8)), max_size=8)


@settings(max_examples=60, deadline=None)
@given(moves=MOVES, at=st.integers(0, 9))
def test_the_fold_is_the_last_effective_event(tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[str, int, Any]], at: int) -> None:
    ledger = ConsentLedger(tmp_path_factory.mktemp("l") / "c.jsonl")
    ledger.append([event(a, d, expires=e if a == "granted" else None, source=str(i)) for i, (a, d, e) in enumerate(moves)])
    heard = [(d, i, a, e) for i, (a, d, e) in enumerate(moves) if d <= at]
    last = max(heard, key=lambda m: (m[0], m[2] == "withdrawn", m[1]), default=None)  # of one moment, the withdrawal
    expected = last is not None and last[2] == "granted"
    if last is not None and expected:
        expires = last[3]
        expected = expires is None or expires > at
    assert bool(ledger.allowed("labeling", T0 + at * DAY)) == expected
