"""`flywheel ingest` and `flywheel quarantine`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import typer

from flywheel.errors import AccessRefused, BadInput
from flywheel.ingestion import Imported, import_landing
from flywheel.ingestion.elsewhere import row_keys
from flywheel.ingestion.quarantine import RowKey, row_key
from flywheel.output import frame, print_frame, print_table
from flywheel.records import LogRecord
from flywheel.settings import Settings
from flywheel.storage import Home, from_table
from flywheel.weeks import parse_round, round_of

JSON = typer.Option(False, "--json", help="One JSON object on standard output.")


def ingest(
    path: str = typer.Argument(help="Folder or file (fsspec URL allowed): what would come in from it?"),
    round: str = typer.Option("", "--round", help="Only this round; all rounds that the rows fall into when left out."),
    as_json: bool = JSON,
) -> None:
    """Read log files without a round and say what would be accepted, what would go to quarantine and which fields are not carried over.
    Nothing is stored. Exit code 0 also when rows are quarantined, 2 when nothing could be read."""
    home = Home(Settings.load())
    found = _every_round(path, [parse_round(round)] if round else None, home)
    if found[0].counts["rows_read"] == 0:
        raise BadInput(f"{path}: no row could be read (files: {found[0].counts['files']})")
    records = [r for f in found for r in from_table(LogRecord, f.records)]
    counts = found[0].counts | {k: sum(f.counts[k] for f in found) for k in ("accepted", "duplicates", "quarantined")}
    counts |= {"other_rounds": found[0].counts["other_rounds"] if round else 0, "quarantined_elsewhere": 0}
    losses: Counter[str] = Counter()
    for f in found:
        losses.update(f.losses)
    refused = sorted((q for f in found for q in f.quarantine.to_pylist()), key=lambda q: (q["file"], q["line"]))
    rows = [{k: q[k] for k in ("file", "line", "reason", "field", "message")} for q in refused]
    coverage = Counter((r.domain, r.task_type) for r in records)
    if as_json:
        result = {"coverage": [{"domain": d, "task_type": t, "records": n} for (d, t), n in sorted(coverage.items())]}
        print_frame(frame("ingest", input={"path": path, "round": round}, counts=counts, result=result, quarantine=rows, losses=losses))
        return
    print_table(f"{path}", ["what", "rows"], list(counts.items()), empty="")
    print_table(
        "Quarantine", ["reason", "rows"], sorted(Counter(q["reason"] for q in rows).items()), empty="Nothing would go to quarantine."
    )
    print_table("Fields not carried over", ["field", "rows"], sorted(losses.items()), empty="Every field is carried over.")


def _every_round(path: str, rounds: list[str] | None, home: Home) -> list[Imported]:
    """What each of `rounds` would take in; without them, each round that a row falls into. A row without usable time is in the first only."""
    now = home.now()

    def read(round: str, elsewhere: frozenset[RowKey] = frozenset()) -> Imported:
        return import_landing(path, round=round, ids=home.ids, settings=home.settings.ingestion, now=now, quarantined_elsewhere=elsewhere)

    first = read(rounds[0] if rounds else round_of(now))
    others = [] if rounds else [w for w in first.weeks if w != round_of(now)]
    return [first, *(read(r, row_keys(first.quarantine)) for r in others)]


def quarantine(
    round: str = typer.Argument("", help="One round; all when left out."),
    show: str = typer.Option("", "--show", metavar="REASON", help="Also print the rows as they came. Needs a reason for looking; audited."),
    as_json: bool = JSON,
) -> None:
    """Rows that could not be used, by file, line, reason and field. Mend them at the source and deliver them again: a row that comes in
    well is taken, and a round's rerun drops it from here."""
    home = Home(Settings.load())
    found = []
    for table in ("quarantine", "label_quarantine"):
        for key in [parse_round(round)] if round else home.lake.rounds(table):
            if home.lake.manifest(table, key):
                found += home.lake.read(table, key).to_pylist()
    # a label that no task claims stands in every round that read the inbox: once is enough
    found = list({(q["stage"], *row_key(q["file"], q["line"], q["raw"])): q for q in reversed(found)}.values())[::-1]
    if show.strip():
        from flywheel.governance import provenance_log

        provenance_log(home).append("restricted_read", {"query": "quarantine", "reason": show, "round": round}, datetime.now(UTC))
    columns = ["round", "stage", "file", "line", "reason", "field"] + (["message", "raw"] if show.strip() else [])
    rows = [{c: Path(q[c]).name if c == "file" else q[c] for c in columns} for q in found]
    if as_json:
        print_frame(frame("quarantine", input={"round": round}, counts={"rows": len(rows)}, result=None, quarantine=rows))
        return
    if show and not show.strip():
        raise AccessRefused("looking at raw rows needs a reason: --show REASON")
    print_table("Quarantine", columns, [tuple(r.values()) for r in rows], empty="Nothing is in quarantine.")
