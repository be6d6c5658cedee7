"""No network, ever; and a start that adds little to what Presidio's own import costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.small_rounds import CHECKOUT, environment

BLOCKED = """
import socket, sys
def refuse(*arguments, **named):
    raise SystemExit("a socket was opened: " + repr(arguments))
class Blocked(socket.socket):
    connect = connect_ex = sendto = refuse  # (urllib3 binds ::1 to learn whether there is IPv6)
socket.socket = Blocked
socket.getaddrinfo = socket.gethostbyname = socket.create_connection = refuse
import _socket
_socket.getaddrinfo = refuse
"""
REDACT = """
sys.argv = ["flywheel", "privacy", "redact", sys.argv[1], "--json"]
from flywheel.cli import main
main()
"""
TEXT = "I am Katarina Brandvold, x@example.co.uk, +1 202 555 0134, 4000 0012 3456 7899, 203.0.113.7, my password is hunter22!, SF-123456, DE89370400440532013000"


def python(code: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment(home),
        timeout=300,
    )


def test_a_redaction_from_start_to_end_opens_no_socket(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    done = python(BLOCKED + REDACT, tmp_path / "home", str(tmp_path / "a.txt"))
    assert done.returncode == 0, done.stderr[-2_000:]
    assert {s["type"] for s in json.loads(done.stdout)["result"]["spans"]} >= {
        "EMAIL_ADDRESS",
        "PHONE_NUMBER",
        "CREDIT_CARD",
        "IP_ADDRESS",
        "SECRET",
        "ORDER_ID",
    }
    assert "Traceback" not in done.stderr
    blocked = python(BLOCKED + "socket.create_connection(('example.org', 80))", tmp_path / "home")
    assert "a socket was opened" in blocked.stderr, "the block itself works"


def test_the_first_redaction_loads_nothing_heavy_beyond_presidio(tmp_path: Path) -> None:
    """What it costs in seconds beside Presidio's own import: bench/privacy_start."""
    done = python(
        "import sys\nfrom presidio_analyzer import predefined_recognizers\nbefore = set(sys.modules)\n"
        "from flywheel.governance.detection import Detector, Piece\nfrom flywheel.settings import GovernanceSettings\n"
        f"assert Detector(GovernanceSettings()).conversation([Piece({TEXT!r}, role='user')])[0]\n"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    loaded = set(done.stdout.split())
    assert "flywheel" in loaded
    heavy = {
        "torch",
        "transformers",
        "sentence_transformers",
        "sklearn",
        "scipy",
        "pandas",
        "pyarrow",
        "duckdb",
        "dagster",
        "matplotlib",
        "faker",
        "gliner",
    }
    assert not loaded & heavy
