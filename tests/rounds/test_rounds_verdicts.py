"""Verdicts bind to exactly what was judged, are never changed, and a missing one says how to get it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.errors import GateNotPassed
from flywheel.records import Verdict
from flywheel.rounds import Verdicts

R = "2026-01-05"


def verdict(state: str = "pass", subject: str = "a" * 64, **changes: object) -> Verdict:
    return Verdict.model_validate(
        {
            "gate": "agreement",
            "round": R,
            "subject_sha256": subject,
            "state": state,
            "decided_at": datetime(2026, 1, 13, tzinfo=UTC),
            **changes,
        }
    )


def test_a_pass_for_exactly_these_bytes_opens_the_gate(tmp_path: Path) -> None:
    store = Verdicts(tmp_path)
    store.record(verdict())
    assert store.demand_pass("agreement", R, "a" * 64).state == "pass"


def test_no_verdict_says_which_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(GateNotPassed, match=rf"no agreement verdict for {'a' * 12}.*flywheel round import {R}"):
        Verdicts(tmp_path).demand_pass("agreement", R, "a" * 64)


def test_a_verdict_for_other_bytes_does_not_count(tmp_path: Path) -> None:
    Verdicts(tmp_path).record(verdict(subject="b" * 64))
    with pytest.raises(GateNotPassed, match=r"for other bytes.*does not count"):
        Verdicts(tmp_path).demand_pass("agreement", R, "a" * 64)


@pytest.mark.parametrize("state", ["fail", "pending", "inconclusive"])
def test_anything_but_pass_refuses_and_tells_the_reasons(tmp_path: Path, state: str) -> None:
    Verdicts(tmp_path).record(verdict(state, reasons=["alpha .41"]))
    with pytest.raises(GateNotPassed, match=rf"{state.upper()} \(alpha .41\)"):
        Verdicts(tmp_path).demand_pass("agreement", R, "a" * 64)


def test_the_newest_counts_and_the_old_ones_stay(tmp_path: Path) -> None:
    store = Verdicts(tmp_path)
    store.record(verdict())
    store.record(verdict("fail", reasons=["a paused rater"]))
    with pytest.raises(GateNotPassed):
        store.demand_pass("agreement", R, "a" * 64)
    assert [v.state for v in store.all("agreement", R)] == ["pass", "fail"]


def test_a_rerun_that_says_the_same_adds_nothing(tmp_path: Path) -> None:
    store = Verdicts(tmp_path)
    store.record(verdict())
    again = store.record(verdict(decided_at=datetime(2026, 2, 1, tzinfo=UTC)))
    assert again.decided_at.month == 1
    assert len(store.all("agreement", R)) == 1


def _record(arguments: tuple[str, int]) -> None:
    Verdicts(Path(arguments[0])).record(verdict(subject=f"{arguments[1]:064d}"))


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_record, [(str(tmp_path), n) for n in range(40)]))
    assert len({v.subject_sha256 for v in Verdicts(tmp_path).all("agreement", R)}) == 40


def record_the_same(root: Path) -> None:
    Verdicts(root).record(verdict())


def test_writers_at_once_that_decide_the_same_leave_one(tmp_path: Path) -> None:
    """Both looked before either wrote: found when two processes closed one round at the same moment."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        for attempt in range(25):
            list(pool.map(record_the_same, [tmp_path / str(attempt)] * 4))
    assert [len(Verdicts(tmp_path / str(attempt)).all("agreement", R)) for attempt in range(25)] == [1] * 25
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_writer_that_was_overtaken_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The race held still: the other writes between this one's look and its link."""
    store, real = Verdicts(tmp_path), os.link

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        other = threading.Thread(target=record_the_same, args=(tmp_path,))
        other.start()
        other.join()
        real(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    store.record(verdict())
    assert len(store.all("agreement", R)) == 1
