"""Is everything that is stored still what was recorded? Recomputes every hash that a manifest or a chain names."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from flywheel.errors import FlywheelError
from flywheel.governance.chain import Chain
from flywheel.governance.consent import ConsentLedger
from flywheel.governance.provenance import ProvenanceLog
from flywheel.storage import Home, sha256_file


@dataclass(frozen=True)
class AuditReport:
    """What was checked (things of each kind) and what is wrong, each problem naming its place. `heads`: chain -> newest hash, to note
    outside: lines cut off a chain's end show only against such a note."""

    checked: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    heads: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


def provenance_log(home: Home) -> ProvenanceLog:
    """The installation's provenance log."""
    return ProvenanceLog(home.provenance / "provenance.jsonl")


def consent_ledger(home: Home) -> ConsentLedger:
    """The installation's consent ledger."""
    return ConsentLedger(home.restricted / "consent.jsonl")


def consent_quarantine(home: Home) -> Chain:
    """The installation's lines of consent files that could not be used: one of them may be a withdrawal that nobody could read."""
    return Chain(home.restricted / "consent_quarantine.jsonl")


def verify_audit(home: Home) -> AuditReport:
    """Check the provenance chain, the consent ledger's and that of consent lines in quarantine, the annotation journal's, every lake partition's
    file, the dataset chain and every model's files. Never stops at the first problem, and raises nothing for what it finds."""
    report = AuditReport()
    _chain("provenance", provenance_log(home), "events", report)
    _chain("consent_ledger", consent_ledger(home), "events", report)
    _chain("consent_quarantine", consent_quarantine(home), "lines", report)
    _journal(home, report)
    _lake(home, report)
    _datasets(home, report)
    _models(home, report)
    return report


def _chain(name: str, chain: Chain | ProvenanceLog | ConsentLedger, what: str, report: AuditReport) -> None:
    try:
        found = chain.verify()
        report.problems.extend(f"{name}: {p}" for p in found)
        if not found:
            lines = chain.lines() if isinstance(chain, Chain) else chain.events()
            report.checked[f"{name}_{what}"] = sum(1 for _ in lines)
            report.heads[name] = chain.head()
    except (FlywheelError, OSError, ValueError) as error:
        report.problems.append(f"{name}: {error}")


def _journal(home: Home, report: AuditReport) -> None:
    from flywheel.labeling import Journal

    journal = Journal(home.restricted / "journal.sqlite")
    try:
        found = journal.verify()
        report.problems.extend(f"journal: {p}" for p in found)
        if not found:
            report.checked["journal_events"], head = journal.head()
            if report.checked["journal_events"]:
                report.heads["journal"] = head
    except (FlywheelError, sqlite3.Error) as error:
        report.problems.append(f"journal: {error}")


def _lake(home: Home, report: AuditReport) -> None:
    from flywheel.records import TABLES

    lake, partitions = home.lake, 0
    for table in TABLES:
        for name in lake.zone(table).folders(table):
            round = name.removeprefix("round=")
            try:
                manifest = lake.manifest(table, round)
                if manifest is None:
                    continue  # a first write that a crash cut short: never visible
                partitions += 1
                rows = lake.read(table, round).num_rows
                if rows != manifest.rows:
                    report.problems.append(f"{table}[{round}]: {rows} rows, its manifest says {manifest.rows}")
            except FlywheelError as error:
                report.problems.append(str(error))
            except ValueError as error:
                report.problems.append(f"{table}[{round}]: its manifest or file cannot be read: {type(error).__name__}")
    report.checked["lake_partitions"] = partitions


def _datasets(home: Home, report: AuditReport) -> None:
    from flywheel.dataset import DatasetStore

    store = DatasetStore(home.datasets)
    problems = store.verify()
    report.problems.extend(f"datasets: {p}" for p in problems)
    head = None if problems else store.head()
    report.checked["dataset_versions"] = int(head.version.removeprefix("v")) if head else 0
    if head:
        report.heads["dataset"] = store.manifest_sha256(head.version)


def _models(home: Home, report: AuditReport) -> None:
    from flywheel.records import ModelManifest

    count = 0
    for path in sorted(home.models.glob("*/manifest.json")):
        folder = path.parent
        try:
            manifest = ModelManifest.model_validate_json(path.read_bytes())
        except ValueError:
            report.problems.append(f"models: {folder.name}/manifest.json cannot be read")
            continue
        count += 1
        if manifest.model_id != folder.name:
            report.problems.append(f"models: {folder.name} holds the manifest of {manifest.model_id}")
        for name, sha256 in sorted(manifest.files.items()):
            file = folder / name
            if not file.is_file():
                report.problems.append(f"models: {folder.name}/{name} is missing")
            elif sha256_file(file) != sha256:
                report.problems.append(f"models: {folder.name}/{name} is not the file that was stored")
    report.checked["models"] = count
