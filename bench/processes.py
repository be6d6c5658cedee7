"""A measured process: what it printed last, and the peak memory of all that it started."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


def resident_of(pid: int) -> float:
    """Resident megabytes of one process. Cheap; pages that processes share count in each."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def proportional_of(pid: int) -> float:
    """Megabytes of one process, its part of shared pages (PSS). Takes milliseconds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def megabytes_of_tree(root: int, of: Callable[[int], float]) -> float:
    """Of a process and all that it started."""
    total, open_ = 0.0, [root]
    while open_:
        pid = open_.pop()
        try:
            total += of(pid)
            for task in Path(f"/proc/{pid}/task").iterdir():
                open_ += map(int, (task / "children").read_text().split())
        except (OSError, ValueError):
            continue
    return total


def watched(process: subprocess.Popen[str], of: Callable[[int], float], every: float) -> tuple[Any, float]:
    """The JSON of the last line that it prints, and its peak in megabytes, looked at `every` so many seconds. `SystemExit` where it fails."""
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            peak[0] = max(peak[0], megabytes_of_tree(process.pid, of))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said, _ = process.communicate()
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit("a measured process failed")
    return json.loads(said.strip().splitlines()[-1]), peak[0]
