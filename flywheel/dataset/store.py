"""Dataset versions on disk.

    parts/<sha256[:16]>.parquet   the rows of one round, shared by every version that holds them
    v3/manifest.json              parts, parent and the SHA-256 of the parent's manifest
    HEAD                          the newest version and the SHA-256 of its manifest

A version is published by replacing HEAD, last. What a crash leaves before that (a part, a manifest above HEAD) was never published:
the next publication writes over it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from flywheel.dataset.parts import SCHEMA, conform_part, describe
from flywheel.errors import BadInput, GateNotPassed, IntegrityError, NotFound, RoundRefused
from flywheel.records import DatasetManifest, DatasetPart, Verdict
from flywheel.storage import parquet_bytes, read_json, read_parquet, write_atomically, write_json
from flywheel.weeks import parse_round, rounds_between

GATE = "agreement"


class DatasetStore:
    """Versions below `root` (`home.datasets`)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # --- reading ---

    def head(self) -> DatasetManifest | None:
        """The newest version, or None before the first. Raises `IntegrityError` when its manifest is not the one that HEAD names."""
        pointer = self._pointer()
        if pointer is None:
            return None
        version, sha256 = pointer
        if self.manifest_sha256(version) != sha256:
            raise IntegrityError(
                f"datasets/{version}/manifest.json is not the one that HEAD names; `flywheel audit verify` shows the extent"
            )
        return self.get(version)

    def get(self, version: str) -> DatasetManifest:
        """The manifest of a published version. Raises `NotFound` naming the newest one, `IntegrityError` on one that cannot be read."""
        try:
            return DatasetManifest.model_validate_json(self._manifest_bytes(version))
        except ValidationError:
            raise IntegrityError(f"datasets/{version}/manifest.json is damaged; `flywheel audit verify` shows the extent") from None

    def manifest_sha256(self, version: str) -> str:
        """SHA-256 of a version's manifest file: what names the version beyond doubt."""
        return hashlib.sha256(self._manifest_bytes(version)).hexdigest()

    def versions(self) -> list[DatasetManifest]:
        """Every published version, oldest first, each reached through its child's `parent`. Raises `IntegrityError` on a broken chain."""
        chain: list[DatasetManifest] = []
        current = self.head()
        while current is not None:
            chain.append(current)
            if current.parent is None:
                break
            if self.manifest_sha256(current.parent) != current.parent_sha256:
                raise IntegrityError(f"dataset {current.version} names another manifest of its parent {current.parent} than is stored")
            current = self.get(current.parent)
        return chain[::-1]

    def as_of(self, cutoff: datetime, before_round: str) -> DatasetManifest | None:
        """The newest version that took effect by `cutoff` and holds only rounds before `before_round`: what that round may know."""
        known = [v for v in self.versions() if v.effective_at <= cutoff and all(p.round < before_round for p in v.parts)]
        return known[-1] if known else None

    def rows(self, version: str) -> pa.Table:
        """Preference rows of a version, by round and pair id; `dataset_version` is the version that accepted each. Raises
        `IntegrityError` on an altered part."""
        accepted = self._accepted_in(version)
        at = SCHEMA.get_field_index("dataset_version")
        tables = []
        for part in self.get(version).parts:
            table = self.read_part(part)
            tables.append(table.set_column(at, SCHEMA.field(at), pa.array([accepted[part.round]] * part.rows, pa.string())))
        return pa.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table()

    def round_rows(self, version: str, round: str) -> pa.Table:
        """The rows of one round in a version (the partition of the lake's `preference_dataset`); empty where the round is absent."""
        table = self.rows(version)
        return table.filter(pc.equal(table["round"], round))

    def read_part(self, part: DatasetPart) -> pa.Table:
        """A part's rows as stored. Raises `IntegrityError` when its bytes are not those of the manifest."""
        try:
            payload = (self.root / part.file).read_bytes()
        except FileNotFoundError:
            payload = b""
        if hashlib.sha256(payload).hexdigest() != part.sha256:
            raise IntegrityError(
                f"datasets/{part.file} (round {part.round}) is missing or altered; `flywheel audit verify` shows the extent"
            )
        return read_parquet(payload).cast(SCHEMA)

    def verify(self) -> list[str]:
        """Every way in which the stored versions are not what was published; empty when sound (`verify_datasets`)."""
        from flywheel.dataset.verify import verify_datasets

        return verify_datasets(self)

    # --- writing ---

    def publish(
        self, preferences: pa.Table, *, round: str, verdict: Verdict, annotations_sha256: str, expected_parent: str | None,
        effective_at: datetime, selector: str,
    ) -> DatasetManifest:  # fmt: skip
        """Add a round's preferences as a new version, or replace that round's part in a new version.

        `verdict` must be the agreement gate's pass for `annotations_sha256`; `expected_parent` is the version that the caller built
        on (None: the store was empty); `selector` names strategy and code that picked the pairs. The head's own part with the same
        rows: nothing is written and the version that accepted them comes back. Raises `GateNotPassed`, `RoundRefused` when the
        head moved (both versions named), `BadInput` on rows that do not belong, `IntegrityError` on altered files.
        """
        parse_round(round)
        _demand(verdict, round, annotations_sha256)
        if effective_at.tzinfo is None:
            raise BadInput(f"dataset of round {round}: effective_at needs a time zone")
        table = conform_part(preferences, round)
        payload = parquet_bytes(table)
        sha256 = hashlib.sha256(payload).hexdigest()
        part = DatasetPart(round=round, file=f"parts/{sha256[:16]}.parquet", sha256=sha256, rows=table.num_rows)
        with self._lock():
            head = self.head()
            self._refuse_lost_head(head)
            if head is not None and part in head.parts:
                return self.get(self._accepted_in(head.version)[round])
            standing = head.version if head else None
            if standing != expected_parent:
                raise RoundRefused(
                    f"dataset of round {round}: built on {expected_parent or 'the empty store'}, but the newest version is now "
                    f"{standing or 'the empty store'}. Materialize `preference_dataset` for {round} again: it then builds on that."
                )
            kept = [p for p in head.parts if p.round != round] if head else []
            self._write_part(part, payload)
            return self._commit(part, kept, table, head, verdict, annotations_sha256, effective_at, selector)

    def _commit(
        self, part: DatasetPart, kept: list[DatasetPart], table: pa.Table, head: DatasetManifest | None, verdict: Verdict,
        annotations_sha256: str, effective_at: datetime, selector: str,
    ) -> DatasetManifest:  # fmt: skip
        others = {p.round: self.read_part(p) for p in kept}
        _refuse_published_pairs(table, others, part.round)
        parts = sorted([*kept, part], key=lambda p: p.round)
        present = {p.round for p in parts}
        manifest = DatasetManifest(
            version=f"v{int(head.version[1:]) + 1 if head else 1}",
            parent=head.version if head else None,
            parent_sha256=self.manifest_sha256(head.version) if head else None,
            round=part.round, parts=parts,
            absent_rounds=[r for r in rounds_between(parts[0].round, parts[-1].round) if r not in present],
            annotations_sha256=annotations_sha256, verdict_sha256=verdict_sha256(verdict), selector=selector,
            effective_at=effective_at.astimezone(UTC), **describe([*others.values(), table]),
        )  # fmt: skip
        folder = self.root / manifest.version
        write_json(folder / "manifest.json", manifest.model_dump(mode="json"))
        digest = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
        write_json(self.root / "HEAD", {"version": manifest.version, "manifest_sha256": digest})
        return manifest

    def _write_part(self, part: DatasetPart, payload: bytes) -> None:
        path = self.root / part.file
        if path.exists():
            if path.read_bytes() != payload:
                raise IntegrityError(f"datasets/{part.file} holds other bytes than its name says; `flywheel audit verify` shows the extent")
            return
        write_atomically(path, payload)

    # --- inside ---

    def _pointer(self) -> tuple[str, str] | None:
        """(version, SHA-256 of its manifest) that HEAD names, or None before the first publication."""
        try:
            pointer = read_json(self.root / "HEAD")
            return None if pointer is None else (f"v{int(pointer['version'][1:])}", str(pointer["manifest_sha256"]))
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                "datasets/HEAD is damaged; restore it from its backup (`flywheel audit verify` shows the extent)"
            ) from None

    def _refuse_lost_head(self, head: DatasetManifest | None) -> None:
        """A crash leaves at most one manifest above HEAD, which the next publication replaces. More are published versions, which HEAD has
        lost: building on it would write over them."""
        after = int(head.version[1:]) + 2 if head else 2
        if (self.root / f"v{after}" / "manifest.json").exists():
            named = head.version if head else "nothing"
            raise IntegrityError(f"datasets/HEAD names {named}, yet v{after} lies there: restore HEAD from its backup")

    def _manifest_bytes(self, version: str) -> bytes:
        number = version.removeprefix("v")
        newest = (self._pointer() or (None, ""))[0]
        published = number.isdecimal() and newest is not None and 1 <= int(number) <= int(newest[1:])
        if not published or version != f"v{int(number)}":
            raise NotFound(f"dataset version {version!r} does not exist; the newest is {newest or 'none: nothing is published yet'}")
        try:
            return (self.root / version / "manifest.json").read_bytes()
        except FileNotFoundError:
            raise IntegrityError(f"datasets/{version}/manifest.json is missing; `flywheel audit verify` shows the extent") from None

    def _accepted_in(self, version: str) -> dict[str, str]:
        """Round to the version that brought its present part in."""
        accepted: dict[str, tuple[str, str]] = {}
        for found in self.versions():
            accepted = {
                p.round: accepted[p.round] if accepted.get(p.round, ("", ""))[0] == p.sha256 else (p.sha256, found.version)
                for p in found.parts
            }
            if found.version == version:
                break
        return {round: name for round, (_, name) in accepted.items()}

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One publisher at a time, across processes; the kernel lets go when a holder dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def verdict_sha256(verdict: Verdict) -> str:
    """SHA-256 of a verdict as canonical JSON, without the moment of decision: the same decision has the same hash."""
    body = verdict.model_dump(mode="json", exclude={"decided_at"})
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _demand(verdict: Verdict, round: str, annotations_sha256: str) -> None:
    checks = (
        ("gate", verdict.gate, GATE), ("round", verdict.round, round), ("state", verdict.state, "pass"),
        ("subject", verdict.subject_sha256, annotations_sha256),
    )  # fmt: skip
    wrong = [f"its {name} is {found}, not {wanted}" for name, found, wanted in checks if found != wanted]
    if wrong:
        raise GateNotPassed(
            f"dataset of round {round}: the verdict given is no {GATE} pass for annotations {annotations_sha256[:12]} ({'; '.join(wrong)}). "
            f"To get one: materialize `agreement` for the round (`flywheel round import {round}`)."
        )


def _refuse_published_pairs(table: pa.Table, others: dict[str, pa.Table], round: str) -> None:
    mine = set(table["pair_id"].to_pylist())
    for other, rows in others.items():
        twice = sorted(mine & set(rows["pair_id"].to_pylist()))
        if twice:
            raise BadInput(
                f"preferences[{round}], pair {twice[0]} (and {len(twice) - 1} more): already in the part of round {other}; "
                "leave published pairs out (`aggregate_preferences(exclude_pairs=...)`)"
            )
