"""The page's part on redaction: what a person found in a sample of the round, and what that says about the rest."""

from __future__ import annotations

from flywheel.governance.audit_sample import audit_result
from flywheel.reporting import wording
from flywheel.reporting.layout import Cell, Column, Section, Table
from flywheel.storage import Home


def audit_section(home: Home, round: str) -> Section:
    """Conversations read, how many leaked, and the exact bound of the leak rate."""
    title = "Redaction, read by people"
    found = audit_result(home, round)
    if found is None:
        return Section("audit", title, f"Nobody has read a sample of this round: `flywheel privacy sample {round}` draws one.")
    rows: list[list[Cell]] = [
        ["conversations of the round", wording.count(found.conversations)],
        ["drawn", wording.count(found.sampled)],
        ["read", wording.count(found.read)],
        ["with anything personal left in them", wording.count(found.leaking)],
        ["share that leaks, at most (95 %)", wording.percent(found.bound, 1)],
    ]
    lead = f"{wording.count(found.leaking)} of {wording.count(found.read)} conversations that {found.by} read hold personal data: at most {wording.percent(found.bound, 1)} of all do, with 95 % confidence."
    notes = ["The bound is Clopper and Pearson's, exact and one-sided: it assumes that the reader misses nothing."]
    if found.stale:
        notes.insert(0, "The redacted logs were made anew since: draw and read a new sample.")
    table = Table("The human audit sample.", (Column("What"), Column("", "number")), rows)
    return Section("audit", title, lead, [table], notes=notes)
