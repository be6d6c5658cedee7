"""`--help` teaches, comes at once and imports nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flywheel.cli import COMMANDS
from flywheel.output import FRAME_SCHEMA
from tests.small_rounds import CHECKOUT, environment

HEAVY = ("torch", "transformers", "presidio_analyzer", "trl", "sentence_transformers", "spacy", "sklearn", "scipy", "matplotlib", "dagster")
PAGES = [
    [], *[[c] for c in COMMANDS], *[["round", c] for c in ("run", "import", "close", "status", "abandon")],
    *[["consent", c] for c in ("grant", "withdraw", "show")], *[["quarantine", c] for c in ("list", "show", "retry")], ["audit", "verify"], ["audit", "export"], ["model", "list"],
]  # fmt: skip


def test_every_command_helps_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import contextlib, io, json, sys
from flywheel.cli import main
pages = []
for page in {PAGES!r}:
    sys.argv = ["flywheel", *page, "--help"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    pages.append(out.getvalue())
print(json.dumps({{"pages": pages, "heavy": sorted(m for m in sys.modules if m in {HEAVY!r})}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=CHECKOUT, env=environment(tmp_path), check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    for page, text in zip(PAGES, found["pages"], strict=True):
        assert "Usage:" in text, page
        about = text.split("Usage:", 1)[1].split("Options:")[0].splitlines()[1:]
        assert len(" ".join(about).split()) >= 4, f"{page}: no word on what it does"


def test_the_overview_names_the_exit_codes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flywheel.cli", "--help"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment(tmp_path),
        check=False,
    )
    assert "0 done; 1 failed; 2 bad input; 3 refused" in " ".join(done.stdout.split())
    assert all(name in done.stdout for name in COMMANDS)


def test_help_writes_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "flywheel.cli", "round", "--help"],
        capture_output=True,
        cwd=CHECKOUT,
        env=environment(tmp_path / "home"),
        check=True,
    )
    assert not (tmp_path / "home").exists()


def test_the_published_schema_of_frames_is_the_one_in_use() -> None:
    assert json.loads((CHECKOUT / "docs" / "command-output.schema.json").read_text()) == FRAME_SCHEMA


def test_an_unknown_command_is_bad_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flywheel.cli", "rounds"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=environment(tmp_path),
        check=False,
    )
    assert done.returncode == 2
    assert "rounds" in done.stderr


@pytest.mark.parametrize("module", sorted({m for m, _, _ in COMMANDS.values()}))
def test_every_command_module_exists(module: str) -> None:
    assert (CHECKOUT / (module.replace(".", "/") + ".py")).is_file()
