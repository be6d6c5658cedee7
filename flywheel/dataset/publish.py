"""One round's preferences into the installation's dataset."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa

from flywheel.dataset.store import DatasetStore
from flywheel.records import DatasetManifest, RoundContext, Verdict
from flywheel.storage import Home


def publish_round(
    home: Home, preferences: pa.Table, *, pinned: RoundContext, verdict: Verdict, annotations_sha256: str, now: datetime, backfill: bool = False
) -> tuple[DatasetManifest, pa.Table]:  # fmt: skip
    """Publish `preferences` (Preference rows, already filtered by consent for training) of the pinned round on the present head.

    Gives the version that accepted them and the round's rows in it (`preference_dataset`). It takes effect `now`; in a backfill at
    the round's cutoff, so that the next round of the same backfill may pin it. Raises as `DatasetStore.publish`.
    """
    store = DatasetStore(home.datasets)
    head = store.head()
    manifest = store.publish(
        preferences, round=pinned.round, verdict=verdict, annotations_sha256=annotations_sha256,
        expected_parent=head.version if head else None, selector=_selector(home, pinned),
        effective_at=min(now, pinned.cutoff) if backfill else now,
    )  # fmt: skip
    return manifest, store.round_rows(manifest.version, pinned.round)


def _selector(home: Home, pinned: RoundContext) -> str:
    """Strategies that picked the round's pairs, and the code they ran in: `hybrid+random@<commit>`."""
    if home.lake.manifest("selection", pinned.round) is None:
        return f"none@{pinned.code_version}"
    strategies = sorted(set(home.lake.read("selection", pinned.round, ["strategy"])["strategy"].to_pylist()))
    return f"{'+'.join(strategies) or 'none'}@{pinned.code_version}"
