"""The journal keeps every answer once and for ever, whoever writes at the same time and whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flywheel.errors import BadInput
from flywheel.labeling import Journal, event_id
from flywheel.records import AnnotationEvent
from flywheel.storage import Ids

IDS = Ids(b"k" * 32)


def event(task: str = "t1", rater: str = "r1", decision: str = "a") -> AnnotationEvent:
    made = AnnotationEvent.model_validate(
        {"task_id": task, "rater": rater, "decision": decision, "guideline_sha256": "g", "source": "test", "origin": "human"}
    )
    return made.model_copy(update={"event_id": event_id(made, IDS)})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "restricted" / "journal.sqlite")


def test_an_answer_is_stored_once_however_often_it_is_appended(journal: Journal) -> None:
    first, second = event(), event(task="t2")
    assert journal.append([first], "a").added == [first.event_id]
    result = journal.append([first, second, second], "b")
    assert (result.added, result.repeated) == ([second.event_id], [first.event_id, second.event_id])
    assert [(e.seq, e.event.event_id, e.source) for e in journal.events()] == [(1, first.event_id, "a"), (2, second.event_id, "b")]
    assert [e.seq for e in journal.events(after=1)] == [2]


def test_a_rater_has_one_answer_a_task_and_the_first_stays(journal: Journal) -> None:
    journal.append([event(decision="a")], "a")
    result = journal.append([event(decision="b"), event(rater="r2", decision="b")], "a")
    assert len(result.conflicting) == len(result.added) == 1
    assert [(e.event.rater, e.event.decision) for e in journal.events()] == [("r1", "a"), ("r2", "b")]


def test_an_event_without_id_is_refused(journal: Journal) -> None:
    with pytest.raises(BadInput, match="has no event_id"):
        journal.append([event().model_copy(update={"event_id": None})], "a")


def test_an_empty_journal_has_a_head_no_events_and_no_file(journal: Journal) -> None:
    assert journal.head() == (0, "0" * 64)
    assert journal.events() == journal.verify() == []
    assert not journal.path.exists()


def test_the_file_is_for_its_owner_alone(journal: Journal) -> None:
    journal.append([event()], "a")
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "statement",
    [
        "update events set payload = '{}'",
        "delete from events",
        "insert or replace into events select seq, 'x', kind, task_id, 'r9', source, recorded_at, '{}', salt, commitment, previous, 'y' from events limit 1",
    ],
)
def test_stored_events_cannot_be_changed_removed_or_replaced(journal: Journal, statement: str) -> None:
    journal.append([event()], "a")
    with sqlite3.connect(journal.path) as connection, pytest.raises(sqlite3.DatabaseError, match="append-only"):
        connection.execute(statement)
    assert journal.verify() == []


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("update events set payload = replace(payload, '\"a\"', '\"b\"') where seq = 2", "the answer of event 2 is not what was recorded"),
        ("update events set rater = 'other' where seq = 2", "event 2 is not what was recorded"),
        ("delete from events where seq = 2", "event 2 is missing"),
    ],
)
def test_a_change_around_the_triggers_shows_in_the_chain(journal: Journal, statement: str, says: str) -> None:
    journal.append([event(task=f"t{i}") for i in range(4)], "a")
    with sqlite3.connect(journal.path) as connection:
        connection.executescript("drop trigger events_never_change; drop trigger events_never_go;")
        connection.execute(statement)
    assert any(says in problem for problem in journal.verify())


WRITER = """
import sys
from pathlib import Path
from flywheel.labeling import Journal, event_id
from flywheel.records import AnnotationEvent
from flywheel.storage import Ids
journal, ids = Journal(Path(sys.argv[1])), Ids(b"k" * 32)
for i in range(int(sys.argv[3])):
    made = AnnotationEvent(task_id=f"t{i}", rater=sys.argv[2], decision="a", guideline_sha256="g", source="test", origin="human")
    made = made.model_copy(update={"event_id": event_id(made, ids)})
    journal.append([made], "w")
    print(made.event_id, flush=True)
"""


def start_writer(journal: Journal, rater: str, n: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(journal.path), rater, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_writers_at_the_same_time_lose_and_double_nothing(journal: Journal) -> None:
    """Two of them write the same answers, one others; the file does not exist when they start."""
    writers = [start_writer(journal, rater, 30) for rater in ("same", "same", "else")]
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = journal.events()
    assert len(found) == len({e.event.event_id for e in found}) == 60
    assert journal.verify() == []


def test_what_was_acknowledged_survives_a_kill(journal: Journal) -> None:
    writer = start_writer(journal, "r", 100_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(20)]
    time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [line.strip() for line in writer.communicate()[0].splitlines() if len(line.strip()) == 32]
    stored = [e.event.event_id for e in journal.events()]
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 1
    assert journal.verify() == []
    again = journal.append([event(task=f"t{i}", rater="r") for i in range(3)], "w")
    assert again.added == []
    assert len(again.repeated) == 3
