"""Configuration: one place, typed, unknown keys refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.errors import SettingsError
from flywheel.settings import Settings


def test_strongest_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flywheel.toml").write_text("seed = 5\n[selection]\nbudget = 70\nstrategy = 'random'\n")
    monkeypatch.setenv("FLYWHEEL_SELECTION__BUDGET", "80")
    loaded = Settings.load(home=tmp_path)
    assert (loaded.seed, loaded.selection.budget, loaded.selection.strategy) == (5, 80, "random")
    assert Settings.load(home=tmp_path, seed=9).seed == 9


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("sede = 1\n", "sede"),
        ("[selection]\nbugdet = 1\n", "selection.bugdet"),
        ("[selection]\nbudget = 0\n", "selection.budget"),
        ("start = 2026-01-06\n", "Tuesday"),
        ("seed = = 1\n", "TOML"),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, toml: str, named: str) -> None:
    (tmp_path / "flywheel.toml").write_text(toml)
    with pytest.raises(SettingsError, match=named) as caught:
        Settings.load(home=tmp_path)
    assert "flywheel.toml" in str(caught.value)


def test_a_misspelt_variable_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYWHEEL_SELECTOIN__BUDGET", "80")
    with pytest.raises(SettingsError, match="FLYWHEEL_SELECTOIN__BUDGET is not a setting"):
        Settings.load(home=tmp_path)


def test_the_hash_ignores_where_things_lie_and_sees_what_changes_results(tmp_path: Path) -> None:
    base = Settings.load(home=tmp_path)
    assert base.sha256() == Settings.load(home=tmp_path / "elsewhere", clock="2026-01-01T00:00:00+00:00").sha256()
    assert base.sha256() != Settings.load(home=tmp_path, seed=1).sha256()


def test_seeds_differ_by_purpose_and_round(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)
    assert len({settings.seed_for(p, r) for p in ("pairs", "batch") for r in ("2026-01-05", "2026-01-12")}) == 4
    assert settings.seed_for("pairs", "2026-01-05") == Settings.load(home=tmp_path).seed_for("pairs", "2026-01-05")
