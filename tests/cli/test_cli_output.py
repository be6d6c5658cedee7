"""What commands print is what is stored: cells are no markup, and cannot steer a terminal."""

from __future__ import annotations

import pytest

from flywheel import cli
from flywheel.output import print_table


def test_brackets_and_colons_in_a_cell_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("[x]", ["[bold]c"], [("a[i] = b[/x] :smile: [PERSON_1]",)], empty="")
    said = capsys.readouterr().out
    for text in ("a[i] = b[/x] :smile: [PERSON_1]", "[bold]c", "[x]"):
        assert text in said


def test_control_characters_in_a_cell_are_shown_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["c"], [("\x1b[2Jgone\x07",)], empty="")
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[2Jgone\\x07" in said


def test_a_full_disk_ends_a_command_with_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("flywheel: [Errno 28] No space left on device")
