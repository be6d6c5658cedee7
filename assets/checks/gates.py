"""The gates as the UI shows them. A failed blocking check stops its downstream in that run only, so each gate also stores a verdict,
bound to the hash of exactly what it judged, and the next stage demands it (`flywheel.rounds.Verdicts`).

What belongs here: one check a gate. What does not: how a gate judges (`flywheel.governance`, `.quality`, `.training`).
https://docs.dagster.io/guides/test/asset-checks
"""

import warnings
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.partitions import weekly
from flywheel.governance import consent_verdict, residual_verdict, stored_leaks
from flywheel.records import Verdict
from flywheel.rounds import demand_context
from flywheel.training import promotion_verdict
from resources.store import Store

STALE_AFTER_ROUNDS = 3


def gate(asset: str, description: str) -> Any:
    """A blocking, partitioned check. Partitioned checks are Preview in Dagster 1.13; without them the gates of overlapping rounds
    would overwrite each other, so this one warning is accepted (and listed with the others in tests/graph)."""

    def decorate(function: Any) -> dg.AssetChecksDefinition:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*partitions_def.*", category=dg.PreviewWarning)
            return dg.asset_check(asset=asset, blocking=True, description=description, partitions_def=weekly)(function)

    return decorate


def shown(verdict: Verdict) -> dg.AssetCheckResult:
    """The verdict in the UI: pending and inconclusive only warn, for waiting is no failure."""
    waiting = verdict.state in ("pending", "inconclusive")
    severity = dg.AssetCheckSeverity.WARN if waiting else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(passed=verdict.state == "pass", severity=severity, metadata=described(verdict))


def described(verdict: Verdict) -> dict[str, Any]:
    """A verdict for the UI: what was decided and why comes first, hashes last."""
    reasons = "\n".join(f"- {r}" for r in verdict.reasons)
    facts = verdict.model_dump(mode="json", exclude_none=True, exclude={"schema_version", "reasons", "state"})
    return {"state": verdict.state, **({"reasons": dg.MetadataValue.md(reasons)} if reasons else {}), **facts}


@gate("consented_logs", "Every row's subject allows labeling at this moment.")
def consent_gate(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    round = context.partition_key
    manifest = store.home.lake.demand("consented_logs", round)
    rows = (pa.Table.from_batches([b]) for b in store.home.lake.batches("consented_logs", round, ["subject_id", "timestamp"], rows=65_536))
    retention = store.home.settings.governance.retention
    verdict = consent_verdict(rows, store.ledger, sha256=manifest.sha256, round=round, now=store.now(), retention=retention)
    return shown(store.verdicts.record(verdict))


@gate("redacted_logs", "No value that the vault knows occurs in the redacted table.")
def residual_leak_gate(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    round = context.partition_key
    manifest = store.home.lake.demand("redacted_logs", round)
    with store.vault() as vault:
        leaks = stored_leaks(store.home.lake.batches("redacted_logs", round), vault)
    return shown(store.verdicts.record(residual_verdict(manifest.sha256, leaks, round, store.now())))


@gate("uncertainty", f"The model that scores is at most {STALE_AFTER_ROUNDS} rounds old.")
def model_is_current(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    lag = demand_context(store.home, context.partition_key).registry_lag_rounds
    passed = lag is None or lag <= STALE_AFTER_ROUNDS
    return dg.AssetCheckResult(passed=passed, metadata={"lag_rounds": lag if lag is not None else "no model yet (bootstrap)"})


@gate("agreement", "The raters agree on gold items (lower 95 % bound of alpha). Pending and inconclusive only warn.")
def agreement_gate(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    round = context.partition_key
    found = store.verdicts.find("agreement", round, store.home.lake.demand("annotations", round).sha256)
    if found is None:
        return dg.AssetCheckResult(passed=False, metadata={"reason": "no verdict for the present annotations: materialize `agreement`"})
    return shown(found)


@gate(
    "evaluation", "The candidate wins with significance, regresses in no domain and does not drift in length. Otherwise the model is kept."
)
def promotion_gate(context: dg.AssetCheckExecutionContext, store: Store) -> dg.AssetCheckResult:
    round = context.partition_key
    manifest = store.home.lake.demand("evaluation", round)
    table = store.home.lake.read("evaluation", round)
    verdict = store.verdicts.record(
        promotion_verdict(table, sha256=manifest.sha256, round=round, settings=store.home.settings.evaluation, now=store.now())
    )
    # "Not better" is an outcome, not a fault: the round closes with the model kept.
    return dg.AssetCheckResult(passed=verdict.state == "pass", severity=dg.AssetCheckSeverity.WARN, metadata=described(verdict))


GATES = [consent_gate, residual_leak_gate, model_is_current, agreement_gate, promotion_gate]
