"""docs/settings.md is what the settings say."""

from __future__ import annotations

from pathlib import Path

from flywheel.settings import Section, Settings
from flywheel.settings_page import settings_markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def test_the_page_in_the_repository_is_the_present_one() -> None:
    assert PAGE.read_text() == settings_markdown(), "run: python -m flywheel.settings_page > docs/settings.md"


def test_every_key_is_listed_and_described() -> None:
    page = settings_markdown()
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            for key, inner in section.model_fields.items():
                assert f"| `{name}.{key}` |" in page
                assert inner.description, f"{name}.{key} has no description"
        else:
            assert f"| `{name}` |" in page
            assert field.description, f"{name} has no description"
