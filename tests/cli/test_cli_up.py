"""`flywheel up`: the real webserver, daemon and code server on a fresh run state, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.sensors import SENSORS
from tests.small_rounds import CHECKOUT, environment

pytestmark = pytest.mark.slow
STOP_S = 15


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, query: str) -> dict[str, Any]:
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310
        data: dict[str, Any] = json.load(reply)["data"]
        return data


def start(home: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flywheel.cli", "up", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        cwd=CHECKOUT, env=environment(home), start_new_session=True,
    )  # fmt: skip


def alive_in_group(group: int) -> list[int]:
    """Processes of a group that are still there (and no zombies)."""
    found = subprocess.run(["ps", "-eo", "pid,pgid,stat"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    return [int(pid) for pid, pgid, stat in (line.split() for line in found) if int(pgid) == group and not stat.startswith("Z")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], int, Path, str]]:
    home, port = tmp_path_factory.mktemp("up") / "home", free_port()
    process = start(home, port)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "ready in" in line:
            break
    yield process, port, home, said
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_prints_the_address_when_the_location_is_loaded(running) -> None:
    process, port, _, said = running
    assert f"http://127.0.0.1:{port}" in said
    assert process.poll() is None
    data = ask(port, "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } } } }")
    entries = data["workspaceOrError"]["locationEntries"]
    assert [(e["name"], e["loadStatus"], e["locationOrLoadError"]["__typename"]) for e in entries] == [
        ("flywheel", "LOADED", "RepositoryLocation")
    ]


def test_schedule_and_sensors_run(running) -> None:
    _, port, _, _ = running
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
        schedules { name scheduleState { status } } sensors { name sensorState { status } } jobs { name } } } } }"""
    node = ask(port, query)["repositoriesOrError"]["nodes"][0]
    assert [(s["name"], s["scheduleState"]["status"]) for s in node["schedules"]] == [("monday_morning", "RUNNING")]
    assert {(s["name"], s["sensorState"]["status"]) for s in node["sensors"]} == {(sensor.name, "RUNNING") for sensor in SENSORS}
    assert {"weekly_round", "import_labels", "close_round", "report", "demo_round"} <= {j["name"] for j in node["jobs"]}


def test_the_daemon_is_healthy(running) -> None:
    _, port, _, _ = running
    wanted = {"SCHEDULER", "SENSOR", "QUEUED_RUN_COORDINATOR"}
    for _ in range(60):
        found = ask(port, "{ instance { daemonHealth { allDaemonStatuses { daemonType healthy required } } } }")
        healthy = {d["daemonType"] for d in found["instance"]["daemonHealth"]["allDaemonStatuses"] if d["healthy"]}
        if wanted <= healthy:
            return
        time.sleep(1)
    pytest.fail(f"healthy after a minute: {healthy}")


def test_a_second_one_is_refused(running) -> None:
    _, port, home, _ = running
    same_port = subprocess.run(
        [sys.executable, "-m", "flywheel.cli", "up", "--port", str(port)], capture_output=True, text=True, cwd=CHECKOUT,
        env=environment(home.with_name("other")), timeout=60, check=False,
    )  # fmt: skip
    assert same_port.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in same_port.stderr
    same_home = subprocess.run(
        [sys.executable, "-m", "flywheel.cli", "up", "--port", str(free_port())], capture_output=True, text=True, cwd=CHECKOUT,
        env=environment(home), timeout=60, check=False,
    )  # fmt: skip
    assert same_home.returncode == 1
    assert "works on" in same_home.stderr
    assert "Traceback" not in same_port.stderr + same_home.stderr


def test_sigterm_stops_all_of_it(running) -> None:
    process, port, _, _ = running
    group = process.pid
    assert len(alive_in_group(group)) >= 4, "itself, code server, webserver, daemon"
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while alive_in_group(group) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive_in_group(group) == []
    assert process.wait(timeout=5) == 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def test_sigterm_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start(tmp_path / "home", free_port())
    assert process.stderr is not None
    for line in process.stderr:
        if "starting" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while alive_in_group(process.pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive_in_group(process.pid) == []
