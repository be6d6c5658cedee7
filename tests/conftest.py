"""Shared fixtures: a fresh run state each."""

from __future__ import annotations

import os
import shutil
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.settings import Settings
from flywheel.storage import Home

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True, scope="session")
def _signals_as_in_a_terminal() -> None:
    """A test run started in the background of a script inherits ignored signals, and hands them on to every process it starts."""
    for number in (signal.SIGTERM, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's FLYWHEEL_* variables must not change what is tested."""
    for name in [n for n in os.environ if n.startswith("FLYWHEEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(Settings.load(home=tmp_path / "home"))


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo home with round 1 closed (no model trained: kept) and round 2 published and unlabelled. Copied by each test."""
    from tests import small_rounds as small

    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("FLYWHEEL_")]:
            patch.delenv(name)
        home = small.new_home(tmp_path_factory.mktemp("small") / "home", small.UNTRAINED)
        small.open_round(home, small.R1)
        small.close_round(home, small.R1)
        small.open_round(home, small.R2, logs=80)
    return home.root


@pytest.fixture(scope="session")
def trained_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished rounds with training, by the real `flywheel demo`, never interrupted. For slow tests; copied by each."""
    from tests import small_rounds as small

    folder = tmp_path_factory.mktemp("trained") / "home"
    small.new_home(folder)
    done = small.flywheel(folder, "demo", "--weeks", "2", "--logs", str(small.LOGS), "--home", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture
def small_home(small_template: Path, tmp_path: Path) -> Home:
    """A copy of the small home: round 1 closed, round 2 published."""
    return Home(Settings.load(home=shutil.copytree(small_template, tmp_path / "small")))


@pytest.fixture
def trained_home(trained_template: Path, tmp_path: Path) -> Home:
    """A copy of the home with two finished rounds."""
    return Home(Settings.load(home=shutil.copytree(trained_template, tmp_path / "trained")))


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
