"""Which rows may be used for what: the random arms are held out, and consent is asked again at every use."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

ConsentFilter = Callable[[pa.Table], pa.Table]
"""Takes Preference rows and gives back those whose subjects allow the purpose now: `partial(allowed_rows, ledger=..., ...)`."""

HELD_OUT_ARMS = ("random_evaluation", "random_control")


def training_rows(table: pa.Table, ledger_filter: ConsentFilter) -> pa.Table:
    """The Preference rows that DPO may learn from: decided for one response (outcome a or b), of the active arm, and allowed by
    `ledger_filter`. Keeps order and columns."""
    decided = pc.is_in(table["outcome"], pa.array(["a", "b"]))
    active = pc.equal(table["arm"], "active")
    return ledger_filter(table.filter(pc.and_(decided, active)))


def training_losses(table: pa.Table) -> dict[str, int]:
    """Why rows of `table` are no training rows, before consent: reason to count, each row under one reason, no zero entries."""
    found: dict[str, int] = {}
    for arm, outcome in zip(table["arm"].to_pylist(), table["outcome"].to_pylist(), strict=True):
        reason = arm if arm in HELD_OUT_ARMS else outcome if outcome in ("tie", "both_bad") else None
        if reason:
            found[reason] = found.get(reason, 0) + 1
    return dict(sorted(found.items()))


def control_rows(table: pa.Table) -> pa.Table:
    """Decided rows of the random control arm: what the reward model is calibrated and measured on (an unbiased slice of traffic)."""
    return _decided_of(table, "random_control")


def evaluation_rows(table: pa.Table) -> pa.Table:
    """Decided rows of the random evaluation arm: never trained on, in any version."""
    return _decided_of(table, "random_evaluation")


def _decided_of(table: pa.Table, arm: str) -> pa.Table:
    return table.filter(pc.and_(pc.equal(table["arm"], arm), pc.is_in(table["outcome"], pa.array(["a", "b"]))))
