"""The command line as a user meets it: the real entry point, its output, its exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flywheel.output import FRAME_SCHEMA
from flywheel.storage import Home


@dataclass(frozen=True)
class Said:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def frame(self) -> dict[str, Any]:
        """The one object on standard output, which must fit the published schema."""
        value: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(value, FRAME_SCHEMA)
        return value


Command = Callable[..., Said]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`command(home, "round", "status")`: `flywheel.cli.main` in this process, with its arguments and environment."""

    def call(home: Home | Path | None, *arguments: str) -> Said:
        from flywheel.cli import main

        if home is not None:
            monkeypatch.setenv("FLYWHEEL_HOME", str(home.root if isinstance(home, Home) else home))
        monkeypatch.setenv("COLUMNS", "240")
        monkeypatch.setattr(sys, "argv", ["flywheel", *arguments])
        capfd.readouterr()
        code: int | str | None = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        found = capfd.readouterr()
        assert "Traceback" not in found.err, found.err
        return Said(int(code or 0), found.out, found.err)

    return call
