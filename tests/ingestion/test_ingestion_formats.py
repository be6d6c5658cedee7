"""The list of readers."""

from __future__ import annotations

import pytest

from flywheel.ingestion.formats import FORMATS, registry


def test_every_reader_is_there_in_the_order_in_which_rows_are_offered() -> None:
    assert list(FORMATS) == ["otel", "phoenix", "langfuse", "batch", "stored_completion", "tensorzero", "nvidia", "openai", "flywheel"]


@pytest.mark.parametrize("missing", [("otel_of_old", "OTEL"), ("otel", "OTEL_OF_OLD")])
def test_a_reader_that_is_missing_stops_everything(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, str]) -> None:
    monkeypatch.setattr(registry, "ORDER", (missing, *registry.ORDER))
    with pytest.raises((ImportError, AttributeError), match=r"(?i)otel_of_old"):
        registry.formats.__wrapped__()
