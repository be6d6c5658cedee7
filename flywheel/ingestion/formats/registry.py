"""Every format, in the order in which they are asked: the first that claims a row takes it."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from flywheel.ingestion.formats.contract import Format

# (module, instance)
ORDER = (
    ("otel", "OTEL"), ("phoenix", "PHOENIX"), ("langfuse", "LANGFUSE"), ("batch", "BATCH"),
    ("stored_completions", "STORED"), ("tensorzero", "TENSORZERO"), ("chat_completions", "NVIDIA"),
    ("chat_completions", "OPENAI"), ("flywheel", "FLYWHEEL"),
)  # fmt: skip
# formats whose parts tell of the same calls: Phoenix's annotations belong to spans that a collector may have written
FAMILY = {"phoenix": "otel"}


@cache
def formats() -> dict[str, Format]:
    """Name to format, in order. A reader that is missing stops everything: without it its rows would be read as something else."""
    found: list[Format] = [getattr(import_module(f"{__package__}.{module}"), name) for module, name in ORDER]
    return {f.name: f for f in found}
