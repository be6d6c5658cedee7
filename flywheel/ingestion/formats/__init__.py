"""Log formats: each module turns the rows of one family of logs into canonical rows, and says what it could not carry over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.ingestion.formats.contract import Format

    FORMATS: dict[str, Format]

__all__ = ["FORMATS"]


def __getattr__(name: str) -> Any:
    if name == "FORMATS":  # made at first use: the families import from this package
        from flywheel.ingestion.formats.registry import formats

        return formats()
    raise AttributeError(name)
