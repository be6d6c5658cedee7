"""Runs whose process is gone (kill -9, power cut). Dagster's default launcher does not look after them: they would stay "started" for
ever, and with the serial limit of dagster.yaml bar every later round.

What belongs here: telling a lost run from a living one, and ending it. What does not: running a job again (`assets.run`, the daemon).
A process holds a lock on a file of its own for as long as it lives; the kernel lets go of it however the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from flywheel.errors import FlywheelError

TAG = "flywheel/process"
IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_held: dict[Path, tuple[str, int]] = {}


def process_name(folder: Path) -> str:
    """A name for this process on the instance in `folder`; runs carry it in the tag `flywheel/process`."""
    places = folder / "processes"
    if places not in _held or not (places / _held[places][0]).exists():
        places.mkdir(parents=True, exist_ok=True)
        name = uuid.uuid4().hex
        descriptor = os.open(places / name, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _held[places] = (name, descriptor)
    return _held[places][0]


def end_lost_runs(instance: dg.DagsterInstance, folder: Path, *, launched: bool) -> list[str]:
    """End the runs in progress whose process is gone; gives their ids. `launched`: also those that a daemon launched (only for who
    knows that no daemon lives); these count as crashed, so that the daemon tries them again."""
    ended = []
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
        name = run.tags.get(TAG)
        if name is None and launched:
            instance.report_run_failed(run, "The process of this run ended before the run did.")
        elif name is not None and _gone(folder / "processes" / name):
            instance.report_run_canceled(run, "The process of this run ended before the run did; what was finished is kept.")
        else:
            continue
        ended.append(run.run_id)
    return ended


def _gone(place: Path) -> bool:
    try:
        descriptor = os.open(place, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    place.unlink(missing_ok=True)
    return True


def only_daemon(folder: Path) -> int:
    """Descriptor of the lock that one `flywheel up` holds on an instance; its children inherit it. Raises `FlywheelError` while another
    holds it: two daemons on one instance would start every run twice."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "up.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        pids = ", ".join(map(str, json.loads(path.read_text() or "[]")))
        raise FlywheelError(
            f"`flywheel up` works on {folder.parent} already (processes {pids or 'starting'}). Stop it first, or look at its address; "
            "if its terminal is gone, end these processes"
        ) from None
    return descriptor


def note_processes(descriptor: int, pids: Sequence[int]) -> None:
    """Write who holds the lock, for the message of the one who is refused."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(list(pids)).encode(), 0)
