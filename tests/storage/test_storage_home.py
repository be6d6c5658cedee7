"""The restricted zone is closed to others, whoever made its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from flywheel.errors import AccessRefused
from flywheel.settings import Settings
from flywheel.storage import Home


def test_a_restricted_zone_made_by_hand_is_closed_to_others(tmp_path: Path) -> None:
    """As README's `mkdir -p "$FLYWHEEL_HOME/restricted/landing"` leaves it under an ordinary umask."""
    (tmp_path / "restricted" / "landing").mkdir(parents=True)
    (tmp_path / "restricted").chmod(0o755)
    assert Home(Settings.load(home=tmp_path)).restricted.stat().st_mode & 0o777 == 0o700


def test_one_that_is_not_ours_to_close_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "restricted").mkdir()
    (tmp_path / "restricted").chmod(0o755)

    def denied(self: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", denied)
    with pytest.raises(AccessRefused, match="chmod 700"):
        _ = Home(Settings.load(home=tmp_path)).restricted
