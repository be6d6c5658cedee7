"""Ingestion: logs of several dialects in, one canonical record out, everything else in quarantine with a reason.

In: a landing folder (path or fsspec URL) of JSON lines, plain, gzip or Zstandard, in our canonical form or as chat-completions logs
(OpenAI, NVIDIA), mixed as they come. Out: `Imported`: the round's records, the quarantine, consent events and identities for the ledger and
the vault, what was lost and the counts. Guarantees: every row read is accepted, of another round, a duplicate or in quarantine;
the same files give the same table; a row is accepted once however often it is delivered; raw ids stay in restricted tables and the vault.
"""

from flywheel.governance import Identity
from flywheel.ingestion.elsewhere import quarantine_reasons, quarantined_elsewhere
from flywheel.ingestion.landing import Imported, import_landing
from flywheel.ingestion.quarantine import REASONS
from flywheel.ingestion.tasks import classify_task

__all__ = ["REASONS", "Identity", "Imported", "classify_task", "import_landing", "quarantine_reasons", "quarantined_elsewhere"]
