"""The consent gate: does every row of a stored table have a basis at this moment?"""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from flywheel.governance.consent import ConsentLedger, allowed_rows
from flywheel.records import Purpose, Verdict


def consent_verdict(
    table: pa.Table, ledger: ConsentLedger, *, sha256: str, round: str, now: datetime, purpose: Purpose = "labeling"
) -> Verdict:
    """The gate's verdict on exactly these bytes (`sha256`): passes when every row's subject allows `purpose` now. The reason counts the
    rows that do not, never naming a subject."""
    refused = table.num_rows - allowed_rows(table, ledger, purpose, now).num_rows
    reasons = [f"{refused} of {table.num_rows} rows have no basis for {purpose} now: rerun `consented_logs`"] if refused else []
    return Verdict(
        gate="consent", round=round, subject_sha256=sha256, state="fail" if refused else "pass", reasons=reasons,
        thresholds={"purpose": purpose}, decided_at=now,
    )  # fmt: skip
