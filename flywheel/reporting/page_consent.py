"""The page's section on consent and retention: what each stage asked and refused, what ran out, and what will before the next round.

Counts only: the ledger is restricted, and no subject is named.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pyarrow.compute as pc

from flywheel.errors import FlywheelError
from flywheel.governance import ConsentCheck
from flywheel.records import Purpose
from flywheel.reporting import wording
from flywheel.reporting.layout import Cell, Column, Section, Table
from flywheel.storage import Home

STAGES = {
    "consented_logs": "logs", "redacted_logs": "redaction", "response_pairs": "pairs", "selection": "selection", "judge_labels": "judge",
    "labeling_batch": "batch", "annotations": "labels", "preferences": "preferences", "demonstrations": "demonstrations",
    "preference_dataset": "dataset", "sft_model": "fine-tuning", "reward_model": "reward model", "dpo_model": "DPO", "evaluation": "evaluation",
}  # fmt: skip
NEXT_ROUND = timedelta(days=7)


def consent_section(home: Home, round: str, now: datetime) -> Section:
    """Rows refused by stage and reason, rows whose grant or retention ended by purpose and basis, and rows that end within a week."""
    asked = [(stage, purpose, facts) for stage in STAGES for purpose, facts in _facts(home, stage, round).items()]
    if not asked:
        return Section("consent", "Consent and retention", "Not reached: no stage has asked yet.")
    refused = sum(sum(facts["refused"].values()) for _, _, facts in asked)
    lead = (
        f"Every stage asks the consent ledger again before it uses a row. {wording.count(len(asked))} questions were asked, "
        f"{wording.count(refused)} rows refused (a row that one stage refuses reaches no later one)."
    )
    tables = [_refused(asked), _ended(asked)]
    notes = [_retention(home)]
    try:
        tables.append(_ending(home, round, now))
    except FlywheelError as error:  # the page is also written when the ledger answers nothing
        notes.append(f"What ends before the next round cannot be told: {error}")
    return Section("consent", "Consent and retention", lead, tables, notes=notes)


def _facts(home: Home, stage: str, round: str) -> dict[str, dict[str, Any]]:
    manifest = home.lake.manifest(stage, round)
    found: Any = manifest.facts.get("consent") if manifest else None
    return found if isinstance(found, dict) else {}


def _refused(asked: list[tuple[str, str, dict[str, Any]]]) -> Table:
    rows: list[list[Cell]] = []
    for stage, purpose, facts in asked:
        reasons = sorted(facts["refused"].items(), key=lambda i: (-i[1], i[0]))
        why = " · ".join(f"{wording.reason(code)} {wording.count(n)}" for code, n in reasons)
        lost = sum(facts["refused"].values())
        rows.append([STAGES[stage], purpose, wording.count(facts["asked"]), wording.count(lost) if lost else "", why])
    columns = (Column("Stage"), Column("Purpose"), Column("Rows asked for", "number"), Column("Refused", "number"), Column("Why"))
    return Table("What each stage asked, and what it was refused.", columns, rows)


def _ended(asked: list[tuple[str, str, dict[str, Any]]]) -> Table:
    rows: list[list[Cell]] = [
        [STAGES[stage], purpose, e["legal_basis"], wording.reason(e["reason"]), wording.count(e["rows"])]
        for stage, purpose, facts in asked
        for e in facts["ended"]
    ]
    columns = (Column("Stage"), Column("Purpose"), Column("Legal basis"), Column("What ended"), Column("Rows", "number"))
    return Table("Rows whose grant or retention had ended.", columns, rows, empty="No grant and no retention had ended.")


def _ending(home: Home, round: str, now: datetime) -> Table:
    """Rows that may be used now and may not a week later: of the round's redacted logs, and of its part of the dataset."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    uses: tuple[tuple[str, tuple[Purpose, ...]], ...] = (
        ("redacted_logs", ("labeling",)),
        ("preference_dataset", ("training", "evaluation")),
    )
    for name, purposes in uses:
        if home.lake.manifest(name, round) is None:
            continue
        table = home.lake.read(name, round)
        table = table.select([c for c in ("round", "record_id", "subject_id", "timestamp", "arm") if c in table.column_names])
        for purpose in purposes:
            held_out = pc.not_equal(table["arm"], "active") if "arm" in table.column_names else None
            mine = table if held_out is None else table.filter(held_out if purpose == "evaluation" else pc.invert(held_out))
            standing = ConsentCheck(home, now=now).ask(purpose)(mine)
            later = ConsentCheck(home, now=now + NEXT_ROUND).permission(standing, purpose)
            for (basis, reason), n in later.ended.items():
                found[STAGES[name], purpose, basis, reason] += n
            if later.reasons["withdrawn"]:  # said ahead of its time
                found[STAGES[name], purpose, "", "withdrawn"] += later.reasons["withdrawn"]
    rows: list[list[Cell]] = [[where, p, b, wording.reason(r), wording.count(n)] for (where, p, b, r), n in sorted(found.items())]
    columns = (Column("Rows of"), Column("Purpose"), Column("Legal basis"), Column("What ends"), Column("Rows", "number"))
    until = f"{wording.moment(now + NEXT_ROUND)}"
    return Table(
        f"Before the next round: rows that may be used now and not after {until}.", columns, rows, empty="Nothing ends before then."
    )


def _retention(home: Home) -> str:
    days = home.settings.governance.retention
    said = [f"{purpose}: {n} days ({basis})" for purpose, bases in days.items() for basis, n in bases.items()]
    return f"Retention, from a record’s timestamp: {', '.join(said)}." if said else "No retention is set (`governance.retention`)."
