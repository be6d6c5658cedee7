"""Ingestion: logs of several dialects in, one canonical record out, everything else in quarantine with a reason.

In: a landing folder (path or fsspec URL) or file: JSON lines, JSON documents, Parquet, the OpenTelemetry collector's files, plain, gzip or
Zstandard, in any format of `flywheel.ingestion.formats`, mixed as they come. Out: `Imported`: the round's records, the quarantine, consent
events and identities for the ledger and the vault, what was lost and the counts. Guarantees: every item read is accepted, of another
round, a duplicate, joined to another, skipped or in quarantine; the same files give the same table, however often and in whatever
pieces they are delivered; memory does not grow with the files; raw ids stay in restricted tables and the vault.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flywheel.governance.identity import Identity
    from flywheel.ingestion.elsewhere import quarantined_elsewhere
    from flywheel.ingestion.landing import Imported, import_landing, open_landing
    from flywheel.ingestion.quarantine import REASONS
    from flywheel.ingestion.taxonomy import classify_task

# at first use: a worker process imports one module of this package, not all
PLACES = {
    "REASONS": "quarantine", "Identity": "learnt", "Imported": "landing", "classify_task": "taxonomy", "import_landing": "landing",
    "open_landing": "landing", "quarantined_elsewhere": "elsewhere",
}  # fmt: skip
__all__ = [
    "REASONS",
    "Identity",
    "Imported",
    "classify_task",
    "import_landing",
    "open_landing",
    "quarantined_elsewhere",
]


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
