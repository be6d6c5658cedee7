"""`flywheel ingest`: logs of any dialect read from outside, without a round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import typer

from flywheel.errors import BadInput
from flywheel.ingestion.inputs import Inputs, inputs
from flywheel.ingestion.landing import Imported
from flywheel.ingestion.look import Look, checked_output, looking, told, warnings_of, write_lines
from flywheel.ingestion.progress import Progress
from flywheel.ingestion.quarantine import readable
from flywheel.output import CONTROL, frame, print_frame, print_table, say
from flywheel.settings import Settings
from flywheel.storage import Home
from flywheel.weeks import parse_round

FORMATS = ("auto", "flywheel", "openai", "nvidia", "batch", "stored_completion", "otel", "phoenix", "langfuse", "tensorzero")
COLUMNS = ("file", "line", "byte_offset", "reason", "field", "message")
SHOWN = 12
ROWS_AT_ONCE = 8_192
PATHS = typer.Argument(
    metavar="PATH...", help="Files, folders or fsspec URLs (s3://..., memory://...); JSON lines, JSON, Parquet, gzip, Zstandard."
)


def ingest(
    paths: list[str] = PATHS,
    format: str = typer.Option(
        "", "--format", metavar="F", help=f"How rows are read: {', '.join(FORMATS)}. Default: the setting ingestion.format."
    ),
    out: str = typer.Option(
        "", "--out", metavar="FILE.jsonl", help="Write the canonical records there (raw ids and texts!); - is standard output."
    ),
    round: str = typer.Option("", "--round", metavar="R", help="Only this week, named by its Monday, as 2026-01-05."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
) -> None:
    """Read logs of any dialect without a round: what would be accepted, what would go to quarantine and why, which fields are not carried over.

    All paths are read together, so that parts of one call find each other (a batch's input and output files, spans and log events, answers
    and their feedback). Nothing is stored, no run state is needed. docs/formats.md describes every format.

    Exit code 0 also when rows are quarantined, 2 when nothing could be read.
    """
    if out == "-" and as_json:
        raise BadInput("--out - and --json both want standard output: name a file for the records")
    if format and format not in FORMATS:
        raise BadInput(f"--format {format!r} is none of {', '.join(FORMATS)}")
    settings = Settings.load()
    reading = settings.ingestion.model_copy(update={"format": format} if format else {})
    key = parse_round(round) if round else None
    found = inputs(paths)
    shown = [readable(p.encode("utf-8", "surrogateescape")) for p in paths]
    if not found.files:
        raise BadInput(
            f"{', '.join(shown)}: no log file" + (f"; {len(found.ignored):,} others, as {found.ignored[0]}" if found.ignored else "")
        )
    target = checked_output(out, found) if out else ""
    with Progress() as progress, looking(found, reading, Home(settings).now(), progress) as opened:
        look = told(opened, key, len(found.ignored))
        written = None
        if target and not look.nothing_read:
            total = look.imported.counts["accepted"]
            written = {"file": out, "records": write_lines(target, progress.counted(opened.canonical_rows(key), "writing records:", total))}
    _tell(shown, round, reading.format, look, found, written, as_json, error=out == "-")
    if look.nothing_read:
        raise BadInput(_nothing(look))


def _nothing(look: Look) -> str:
    refused = [f"{q['file']}: {q['message']}" for q in look.imported.quarantine.select(["file", "message"]).to_pylist()]
    more = f"; and {len(refused) - 3:,} more files" if len(refused) > 3 else ""
    return "nothing could be read. " + (CONTROL.sub("?", "; ".join(refused[:3])) + more if refused else "No file holds a finished line.")


def _tell(
    paths: Sequence[str], round: str, format: str, look: Look, found: Inputs, written: dict[str, Any] | None, as_json: bool, *, error: bool
) -> None:
    imported, warnings = look.imported, warnings_of(found, look)
    if as_json:
        result = {
            "coverage": [{"domain": d, "task_type": t, "records": n} for (d, t), n in sorted(look.coverage.items())],
            "formats": dict(sorted(look.formats.items())), "weeks": imported.weeks, "skipped": imported.skipped, "output": written,
        }  # fmt: skip
        print_frame(frame("ingest", input={"paths": list(paths), "round": round, "format": format}, counts=imported.counts, result=result,
                          losses=imported.losses, warnings=warnings), _rows(imported.quarantine))  # fmt: skip
        return

    def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str = "") -> None:
        if rows or empty:
            print_table(title, columns, _short(rows), empty=empty, error=error)

    table("Rows", ["what", "count"], [(k.replace("_", " "), v) for k, v in imported.counts.items() if v or k == "accepted"])
    table("Read as", ["format", "items"], sorted(look.formats.items()))
    if len(imported.weeks) > 1:
        table("Weeks", ["round", "rows"], sorted(imported.weeks.items()))
    table("Records", ["domain", "task type", "records"], [(d, t, n) for (d, t), n in look.coverage.most_common()])
    table("No model call, skipped", ["kind", "items"], sorted(imported.skipped.items()))
    table("Quarantine", ["reason", "rows", "first at", "what is wrong there"], _reasons(imported),
          "Nothing would go to quarantine.")  # fmt: skip
    table("Fields not carried over", ["field", "rows"], sorted(imported.losses.items()), "Every field is carried over.")
    for warning in warnings:
        say(f"note: {warning}")
    if written is not None:
        say(f"{written['records']:,} records written to {written['file']}" if not error else f"{written['records']:,} records")


def _short(rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    if len(rows) <= SHOWN + 1:
        return list(rows)
    rest = rows[SHOWN:]
    total = sum(r[-1] for r in rest) if all(isinstance(r[-1], int) for r in rest) else None
    return [*rows[:SHOWN], (f"{len(rest):,} more (--json has all)", *[None] * (len(rows[0]) - 2), total)]


def _rows(quarantine: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in quarantine.select(COLUMNS).to_batches(max_chunksize=ROWS_AT_ONCE):
        yield from batch.to_pylist()


def _reasons(imported: Imported) -> list[tuple[str, int, str, str]]:
    codes = imported.quarantine["reason"]
    first = {code: imported.quarantine.slice(pc.index(codes, code).as_py(), 1).to_pylist()[0] for code in imported.reasons}
    return [(code, n, f"{first[code]['file']}:{first[code]['line']}", first[code]["message"]) for code, n in imported.reasons.items()]
