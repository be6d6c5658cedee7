"""The pin of a round: what the loop knew when the round was opened, replayed by every rerun and backfill.

Without it a live round (one round behind) and its backfill (none behind) would use different models and labelled sets. What is
pinned is what had `effective_at <= cutoff`, the round's end. A new revision needs a reason, and is refused once the batch is out.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pyarrow as pa

from flywheel.errors import RoundRefused
from flywheel.records import RoundContext
from flywheel.storage.arrow import to_table
from flywheel.storage.files import read_json, write_json_once
from flywheel.storage.home import Home
from flywheel.storage.ids import sha256_text
from flywheel.weeks import first_round, parse_round, previous_round, round_end


def find_context(home: Home, round: str) -> RoundContext | None:
    """The newest revision of a round's pin, or None where the round was never opened."""
    revisions = sorted((home.provenance / "rounds" / round).glob("context.*.json"))
    return RoundContext.model_validate(read_json(revisions[-1])) if revisions else None


def demand_context(home: Home, round: str) -> RoundContext:
    """The round's pin. Raises `RoundRefused` where the round was never opened, or was given up."""
    refuse_abandoned(home, round)
    found = find_context(home, round)
    if found is None:
        raise RoundRefused(f"round {round} was never opened: materialize `round_context` (`flywheel round run {round}`) first")
    return found


def refuse_abandoned(home: Home, round: str) -> None:
    """Raises `RoundRefused` for a round that was given up: what later rounds built on (nothing) must not change."""
    abandoned = read_json(home.provenance / "rounds" / round / "abandoned.json")
    if abandoned:
        raise RoundRefused(f"round {round} was abandoned ({abandoned['reason']}) and stays so: later rounds go on without its labels.")


def open_context(
    home: Home, round: str, *, now: datetime, code_version: str, backfill_from: str | None = None, repin_reason: str | None = None
) -> RoundContext:
    """Open a round, or replay its pin.

    `backfill_from` is the first round of the backfill that this run belongs to, if any: inside a backfill the round before must be
    settled, for otherwise all rounds would pin the model of the first. Raises `RoundRefused` when that fails, when settings changed
    under an open round, on a new pin for a published batch, and for an abandoned round.
    """
    parse_round(round, start=home.settings.start)
    refuse_abandoned(home, round)
    standing = find_context(home, round)
    if standing is not None and repin_reason is None:
        _refuse_changed_settings(home, standing)
        return standing
    if standing is not None and home.lake.manifest("labeling_batch", round) is not None:
        raise RoundRefused(f"round {round} is published: its batch is frozen and cannot be pinned anew. Labels bind to what raters saw.")
    if backfill_from is not None and round > backfill_from:
        _demand_settled(home, previous_round(round))
    fresh = _pin(home, round, now=now, code_version=code_version)
    revision = 1 if standing is None else standing.revision + 1
    fresh = fresh.model_copy(update={"revision": revision, "repin_reason": repin_reason})
    path = home.provenance / "rounds" / round / f"context.{revision:04d}.json"
    return RoundContext.model_validate(write_json_once(path, fresh.model_dump(mode="json")))


def _refuse_changed_settings(home: Home, standing: RoundContext) -> None:
    if standing.settings_sha256 == home.settings.sha256() or home.lake.manifest("labeling_batch", standing.round) is not None:
        return
    raise RoundRefused(
        f"round {standing.round} was opened with other settings ({standing.settings_sha256[:12]}, now {home.settings.sha256()[:12]}). "
        f"Restore them, or pin anew and say why: `flywheel round run {standing.round} --repin REASON`."
    )


def _demand_settled(home: Home, before: str) -> None:
    from flywheel.rounds.state import round_state

    found = round_state(home, before)
    if before >= first_round(home.settings) and not found.settled:
        raise RoundRefused(
            f"the round before, {before}, is unsettled ({found.state}): a backfill pins each round to the model of the one before. "
            f"{found.next_step} Or use `flywheel backfill`, which goes in order."
        )


def _pin(home: Home, round: str, *, now: datetime, code_version: str) -> RoundContext:
    from flywheel.dataset import DatasetStore
    from flywheel.labeling import gold_sha256, load_gold, load_guideline
    from flywheel.training import Registry

    cutoff = round_end(round)
    entry = Registry(home.registry).as_of(cutoff, before_round=round)
    store = DatasetStore(home.datasets)
    dataset = store.as_of(cutoff, before_round=round)
    guideline = load_guideline(home.guidelines, cutoff)
    lag = None
    if entry is not None:
        lag = (datetime.fromisoformat(round) - datetime.fromisoformat(entry.round)).days // 7
    return RoundContext(
        round=round, cutoff=cutoff, pinned_at=now,
        model_id=entry.model_id if entry else None, reward_model_id=entry.reward_model_id if entry else None,
        registry_round=entry.round if entry else None, registry_lag_rounds=lag,
        dataset_version=dataset.version if dataset else None,
        dataset_sha256=store.manifest_sha256(dataset.version) if dataset else None,
        guideline_version=guideline.version, guideline_sha256=guideline.sha256,
        gold_sha256=gold_sha256(load_gold(home.gold)),
        settings_sha256=home.settings.sha256(), code_version=code_version,
    )  # fmt: skip


def pool_rounds(home: Home, round: str) -> list[str]:
    """Rounds whose records are in the pool of `round`, oldest first: its own and the `pool_rounds - 1` before."""
    count = home.settings.selection.pool_rounds
    keys = [previous_round(round, back) for back in range(count - 1, -1, -1)]
    return [k for k in keys if k >= first_round(home.settings)]


def pin_pool(home: Home, round: str, record_ids: list[str]) -> set[str]:
    """The record ids that the round may select from: the given ones at the first call, the same ever after (until a new revision),
    so that rows which arrive late enter the next pool and not this one."""
    revision = demand_context(home, round).revision
    path = home.provenance / "rounds" / round / f"pool.{revision:04d}.json"
    standing = read_json(path)
    if standing is None:
        standing = {"sha256": sha256_text("\n".join(sorted(record_ids))), "record_ids": sorted(record_ids)}
        standing = write_json_once(path, standing)
    return set(standing["record_ids"])


def pool_table(home: Home, round: str, *, allowed: Callable[[pa.Table], pa.Table]) -> tuple[pa.Table, dict[str, int]]:
    """The round's pool: redacted records of its weeks, not yet put before raters by an earlier round, within the pin, whose subjects
    allow labeling still (`allowed` gives those rows; records of earlier weeks were asked long ago).

    Each round of the pool must hold a passing residual-leak verdict for exactly its present bytes. Returns the RedactedRecord rows
    sorted by record id (`round` set to this round) and counts. Raises `GateNotPassed`."""
    import pyarrow.compute as pc

    from flywheel.rounds.verdicts import Verdicts

    verdicts = Verdicts(home.provenance / "verdicts")
    parts = []
    for key in pool_rounds(home, round):
        manifest = home.lake.manifest("redacted_logs", key)
        if manifest is None:
            continue
        verdicts.demand_pass("residual_leak", key, manifest.sha256)
        parts.append(home.lake.read("redacted_logs", key))
    from flywheel.records import RedactedRecord

    table = pa.concat_tables(parts) if parts else to_table(RedactedRecord, [])
    published = {
        r for key in home.lake.rounds("labeling_batch") if key < round
        for r in home.lake.read("labeling_batch", key, ["record_id"])["record_id"].to_pylist() if r
    }  # fmt: skip
    counts = {"redacted_in_window": table.num_rows}
    fresh = table.filter(pc.invert(pc.is_in(table["record_id"], pa.array(sorted(published), pa.string()))))
    counts["already_published"] = table.num_rows - fresh.num_rows
    pinned = pin_pool(home, round, fresh["record_id"].to_pylist())
    pool = fresh.filter(pc.is_in(fresh["record_id"], pa.array(sorted(pinned), pa.string())))
    counts["late_for_this_round"] = fresh.num_rows - pool.num_rows
    standing = allowed(pool)
    counts["withdrawn_since"] = pool.num_rows - standing.num_rows
    pool = standing
    counts["pool"] = pool.num_rows
    pool = pool.set_column(0, pool.schema.field(0), pa.array([round] * pool.num_rows, pa.string()))
    return pool.sort_by("record_id"), counts
