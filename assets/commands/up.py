"""`flywheel up`: the Dagster UI and daemon over one code server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import typer

from flywheel.errors import FlywheelError
from flywheel.output import say
from flywheel.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[2]


def up(
    port: int = typer.Option(3000, "--port", help="Port of the UI."),
    host: str = typer.Option(
        "127.0.0.1", "--host", help="Address to listen on. The UI has no login: leave it on loopback, or put a proxy before it."
    ),
) -> None:
    """Start the Dagster UI and daemon on the run state and print the address. Ctrl-C stops both. One at a time on a run state.

    The schedule opens last week's round on Monday 06:00 UTC; the sensors import labels and close rounds as they become ready.
    """
    from assets.lost_runs import end_lost_runs, note_processes, only_daemon
    from assets.run import open_instance

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    home = Settings.load().home
    if not _free(host, port):
        raise FlywheelError(f"port {port} on {host} is taken (is another `flywheel up` running?): choose one with --port")
    started = time.monotonic()
    lock = only_daemon(home / "dagster")
    with open_instance(home) as instance:
        for run_id in end_lost_runs(instance, home / "dagster", launched=True):
            say(f"run {run_id} was cut off earlier: marked so")
    logs = home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    code_port = _any_free_port()
    workspace = logs / "workspace.yaml"
    workspace.write_text(f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {code_port}, location_name: flywheel}}\n")
    environment = {
        **os.environ,
        "FLYWHEEL_HOME": str(home.resolve()),
        "PYTHONPATH": str(CHECKOUT),
        "DAGSTER_HOME": str((home / "dagster").resolve()),
    }
    commands = {
        "code-server": [
            "dagster",
            "code-server",
            "start",
            "-m",
            "assets.definitions",
            "-d",
            str(CHECKOUT),
            "-p",
            str(code_port),
            "-h",
            "127.0.0.1",
        ],
        "webserver": ["dagster-webserver", "-h", host, "-p", str(port), "-w", str(workspace.resolve())],
        "daemon": ["dagster-daemon", "run", "-w", str(workspace.resolve())],
    }
    say(f"starting on {home} ...")
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = _start(name, command, logs, environment, lock)
        note_processes(lock, [os.getpid(), *(p.pid for p in running.values())])
        _wait_until_ready(f"http://{host}:{port}", running, logs)
        say(f"ready in {time.monotonic() - started:.1f} s: http://{host}:{port}   (logs: {logs}; Ctrl-C stops)")
        while all(p.poll() is None for p in running.values()):
            time.sleep(0.5)
        dead = next(n for n, p in running.items() if p.poll() is not None)
        raise FlywheelError(f"{dead} ended by itself; its log: {logs / dead}.log")
    finally:
        _stop(running)


def _start(name: str, command: list[str], logs: Path, environment: dict[str, str], lock: int) -> subprocess.Popen[bytes]:
    from assets.run import program

    with open(logs / f"{name}.log", "ab") as log:
        return subprocess.Popen(
            [program(command[0]), *command[1:]],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=CHECKOUT,
            pass_fds=[lock],
        )


def _wait_until_ready(address: str, running: dict[str, subprocess.Popen[bytes]], logs: Path, timeout_s: float = 120) -> None:
    """Until the UI answers and says that the code location is loaded."""
    query = json.dumps({"query": "{ repositoriesOrError { __typename ... on RepositoryConnection { nodes { name } } } }"}).encode()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        dead = next((n for n, p in running.items() if p.poll() is not None), None)
        if dead:
            raise FlywheelError(f"{dead} did not start; its log: {logs / dead}.log")
        try:
            request = urllib.request.Request(f"{address}/graphql", query, {"Content-Type": "application/json"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310
                if json.load(reply)["data"]["repositoriesOrError"].get("nodes"):
                    return
        except (urllib.error.URLError, OSError, KeyError, ValueError):
            pass
        time.sleep(0.2)
    raise FlywheelError(f"the UI did not answer within {timeout_s:.0f} s; logs: {logs}")


def _stop(running: dict[str, subprocess.Popen[bytes]]) -> None:
    for process in running.values():
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in running.values():
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
