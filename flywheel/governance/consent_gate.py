"""The consent gate: does every row of a stored table have a basis at this moment?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import pyarrow as pa

from flywheel.governance.consent import ConsentLedger
from flywheel.governance.consent_rules import NO_RETENTION, Retention, limited, permitted
from flywheel.records import Purpose, Verdict


def consent_verdict(
    tables: Iterable[pa.Table], ledger: ConsentLedger, *, sha256: str, round: str, now: datetime, purpose: Purpose = "labeling",
    retention: Retention = NO_RETENTION,
) -> Verdict:  # fmt: skip
    """The gate's verdict on exactly these bytes (`sha256`), given a few rows at a time: passes when every row is permitted for `purpose` now.
    The reasons count the rows that are not, never naming a subject. The thresholds name the days of retention that it judged by."""
    rows, counts = 0, Counter[str]()
    for table in tables:
        rows += table.num_rows
        counts.update(permitted(table, ledger, purpose, now, retention).reasons)
    refused = {reason: n for reason, n in counts.items() if n}
    why = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in refused.items())
    said = f"{sum(refused.values())} of {rows} rows have no basis for {purpose} now ({why}): rerun `consented_logs`"
    days = {f"retention_days.{basis}": n for basis, n in sorted(retention.get(purpose, {}).items())} if limited(retention, purpose) else {}
    return Verdict(
        gate="consent", round=round, subject_sha256=sha256, state="fail" if refused else "pass", reasons=[said] if refused else [],
        thresholds={"purpose": purpose, **days}, decided_at=now,
    )  # fmt: skip
