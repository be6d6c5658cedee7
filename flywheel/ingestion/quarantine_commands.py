"""`flywheel quarantine list | show | retry`: rows that could not be used, looked at, mended, tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from flywheel.errors import AccessRefused, BadInput
from flywheel.ingestion.quarantine import RowKey, row_key
from flywheel.output import frame, print_frame, print_table, say
from flywheel.settings import Settings
from flywheel.storage import Home, sha256_text
from flywheel.weeks import parse_round

TABLES = ("quarantine", "label_quarantine")
PLACE = ("id", "round", "stage", "file", "line", "reason", "field")
LISTED = 1_000  # rows in a table for people
WORDS = {
    "accepted": "comes in with", "settled": "no longer refused", "deliver_again": "good, but its file is gone", "refused": "still refused",
    "no_text": "its file is gone",
}  # fmt: skip
Found = dict[str, Any]


class OrList(TyperGroup):
    """`flywheel quarantine R` is `flywheel quarantine list R`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


quarantine = typer.Typer(
    cls=OrList, add_completion=False, rich_markup_mode=None,
    help="Rows that could not be used: list them, show them as they came, see what would become of them today. `flywheel quarantine R` lists "
    "round R. Lines of consent files: `flywheel consent quarantine`.",
)  # fmt: skip
ROUND = typer.Option("", "--round", metavar="R", help="Only this round.")
CODE = typer.Option("", "--code", metavar="CODE", help="Only this reason code, as malformed_json (docs/formats.md).")
FILE = typer.Option("", "--file", metavar="NAME", help="Only rows of this file (its name, or the end of its path).")
IDS = typer.Argument(
    None, metavar="[ID]...", help="Ids that the list shows, or their beginnings; all rows that the options name when left out."
)
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")


@quarantine.command("list")
def list_(
    round: str = typer.Argument("", metavar="[R]", help="One round; all when left out."),
    code: str = CODE,
    file: str = FILE,
    stage: str = typer.Option("", "--stage", help="ingestion (log rows) or labeling (label files)."),
    as_json: bool = JSON,
) -> None:
    """Where the rows are and why, without their content. A row leaves the list when a run of its round finds it mended or gone."""
    if stage not in ("", "ingestion", "labeling"):
        raise BadInput(f"--stage {stage!r} is neither ingestion nor labeling")
    reasons: Counter[tuple[str, str]] = Counter()
    rows: list[tuple[Any, ...]] = []
    for q in _stored(Home(Settings.load()), round, code, file):
        if stage in ("", q["stage"]):
            reasons[q["stage"], q["reason"]] += 1
            if as_json or len(rows) < LISTED:
                rows.append(tuple(_shown(q).values()))
    if as_json:
        result = {"reasons": [{"stage": s, "reason": r, "rows": n} for (s, r), n in sorted(reasons.items())]}
        print_frame(frame("quarantine.list", input={"round": round, "code": code, "file": file, "stage": stage}, counts={"rows": len(rows)},
                          result=result), (dict(zip(PLACE, r, strict=True)) for r in rows))  # fmt: skip
        return
    print_table("Quarantine", PLACE, rows, empty="Nothing is in quarantine.")
    if more := reasons.total() - len(rows):
        say(f"{more:,} more: name them with --code or --file, or use --json")
    if len(reasons) > 1:
        print_table("By reason", ["stage", "reason", "rows"], [(s, r, n) for (s, r), n in sorted(reasons.items())], empty="")


@quarantine.command()
def show(
    ids: list[str] = IDS,
    reason: str = typer.Option("", "--reason", metavar="TEXT", help="Why you look. Required; kept in the audit log."),
    round: str = ROUND,
    code: str = CODE,
    file: str = FILE,
    as_json: bool = JSON,
) -> None:
    """Rows as they came, with what is wrong. They may hold personal data: each look is audited."""
    home = Home(Settings.load())
    found = _chosen(home, ids, code, file, round)
    _audited(home, "show", reason, found)
    rows = [_shown(q) | {"byte_offset": q["byte_offset"], "message": q["message"], "raw": q["raw"]} for q in found]
    if as_json:
        print_frame(frame("quarantine.show", input={"ids": ids or [], "round": round, "code": code, "file": file, "reason": reason},
                          counts={"rows": len(rows)}, result=None, quarantine=rows))  # fmt: skip
        return
    print_table("Quarantine", ["id", "file", "line", "reason", "field", "message", "raw"],
                [tuple(r[c] for c in ("id", "file", "line", "reason", "field", "message", "raw")) for r in rows], empty="")  # fmt: skip


@quarantine.command()
def retry(
    ids: list[str] = IDS,
    round: str = ROUND,
    code: str = CODE,
    file: str = FILE,
    out: str = typer.Option(
        "", "--out", metavar="FILE.jsonl", help="Write the rows that need mending or delivering again there, as they came. Needs --reason."
    ),
    reason: str = typer.Option("", "--reason", metavar="TEXT", help="Why you look: for --out, and to see what is wrong in words; audited."),
    as_json: bool = JSON,
) -> None:
    """What would become of log rows today: with this version's reader, the present settings and clock, and what has been delivered since.

    Nothing comes in by this command; it names the run that takes a row in. Rows that stay refused: --out FILE.jsonl --reason TEXT, mend them
    there, deliver the file into the landing folder.
    """
    from flywheel.ingestion.inputs import inputs
    from flywheel.ingestion.look import checked_output, write_lines
    from flywheel.ingestion.progress import Progress
    from flywheel.ingestion.retry import retried, text_of, whole

    home = Home(Settings.load())
    if out and not reason.strip():
        raise AccessRefused("--out writes raw rows, which needs a reason: --reason TEXT")
    if out == "-" and as_json:
        raise BadInput("--out - and --json both want standard output: name a file for the rows")
    chosen = _chosen(home, ids, code, file, round)
    labels = [q for q in chosen if q["stage"] == "labeling"]
    rows = [q for q in chosen if q["stage"] == "ingestion"]
    if reason.strip():
        _audited(home, "retry", reason, rows)
    target = checked_output(out, inputs([home.landing])) if out else ""
    with Progress() as progress:
        again = retried(home, rows, progress) if rows else []
    told = []
    for a in again:
        one = _shown(a.row) | {"outcome": a.outcome, "would_be_in_round": a.round, "reason_now": a.reason, "field_now": a.field}
        told.append(one | ({"message": a.message} if reason.strip() else {}))
    counts = {"rows": len(rows), **{name: sum(a.outcome == name for a in again) for name in WORDS}}
    warnings = []
    if labels:
        warnings.append(f"{len(labels)} rows are of label files: retry is for log rows. Mend them at the source and deliver them again; "
                        "`flywheel round import R` reads them.")  # fmt: skip
    needed = [a.row for a in again if a.outcome in ("refused", "deliver_again")]
    cut = [q for q in needed if not whole(q)]
    written = None
    if target:
        written = {"file": out, "rows": write_lines(target, iter([text_of(q) for q in needed if whole(q)]))}
        if cut:
            warnings.append(
                f"{len(cut)} rows are not in {out}: the quarantine does not hold their whole text; mend the files that they came from"
            )
    steps = _next_steps(home, again, out)
    if as_json:
        print_frame(frame("quarantine.retry", input={"ids": ids or [], "round": round, "code": code, "file": file}, counts=counts,
                          result={"next": steps, "output": written}, quarantine=told, warnings=warnings))  # fmt: skip
        return
    shown = [(t["id"], t["file"], t["line"], t["reason"], f"{WORDS[t['outcome']]}" + (f" {t['would_be_in_round']}" if t["outcome"] == "accepted" else ""),
              t["reason_now"], t["field_now"], *([t["message"]] if reason.strip() else [])) for t in told]  # fmt: skip
    columns = ["id", "file", "line", "was", "now", "because", "field", *(["what is wrong"] if reason.strip() else [])]
    print_table("Retried", columns, shown, empty="No log row is in quarantine." if not labels else "No log row among them.")
    for step in [*warnings, *steps]:
        say(step)
    if written is not None:
        say(f"{written['rows']:,} rows written to {out}")


def _next_steps(home: Home, again: Sequence[Any], out: str) -> list[str]:
    from flywheel.rounds import round_state

    steps = []
    for round in sorted({a.round for a in again if a.outcome == "accepted"}):
        n = sum(a.round == round and a.outcome == "accepted" for a in again)
        state = round_state(home, round).state
        later = "" if state == "collecting" else f" (the round is {state}: what comes in late enters the next pool)"
        steps.append(f"{n} rows of week {round} come in with `flywheel round run {round}`{later}")
    if n := sum(a.outcome == "deliver_again" for a in again):
        steps.append(
            f"{n} rows are good now, but their files are no longer in {home.landing}: write them out (--out FILE.jsonl) and deliver that file"
        )
    if n := sum(a.outcome == "refused" for a in again):
        how = (
            f"mend them in {out} and put that file into {home.landing}"
            if out
            else "mend them at the source, or write them out (--out FILE.jsonl --reason TEXT), mend and deliver that file"
        )
        steps.append(f"{n} rows are still refused: {how}")
    if n := sum(a.outcome == "no_text" for a in again):
        steps.append(f"{n} rows or files are not held whole here: deliver the files that they came from again")
    return steps


def _stored(home: Home, round: str, code: str = "", file: str = "") -> Iterator[Found]:
    """Rows of both tables that the options name, each once: a label that no task claims stands in every round that read the inbox."""
    seen = set[tuple[str, RowKey]]()
    for table in TABLES:
        for key in [parse_round(round)] if round else home.lake.rounds(table):
            if not home.lake.manifest(table, key):
                continue
            for batch in home.lake.batches(table, key):
                for q in batch.to_pylist():
                    name = q["stage"], row_key(q["file"], q["line"], q["raw"])
                    if not _named(q, code, file) or name in seen:
                        continue
                    seen.add(name)
                    q["id"] = home.ids.make("quarantined", q["stage"], q["file"], str(q["line"]), sha256_text(q["raw"]))[:12]
                    yield q


def _named(row: Found, code: str, file: str) -> bool:
    return code in ("", row["reason"]) and (not file or f"/{row['file']}".endswith(f"/{file.lstrip('/')}"))


def _chosen(home: Home, ids: Sequence[str] | None, code: str, file: str, round: str) -> list[Found]:
    starts = {i: i.lower() for i in ids or []}
    found = [q for q in _stored(home, round, code, file) if not starts or any(q["id"].startswith(s) for s in starts.values())]
    for given, start in starts.items():
        if not any(q["id"].startswith(start) for q in found):
            raise BadInput(f"no row in quarantine has the id {given}" + (" and what the options ask for" if code or file or round else ""))
    return found


def _audited(home: Home, what: str, reason: str, rows: Sequence[Found]) -> None:
    """Written down before anything is shown."""
    from flywheel.governance import provenance_log

    if not reason.strip():
        raise AccessRefused("looking at raw rows needs a reason: --reason TEXT")
    payload = {"query": f"quarantine {what}", "reason": reason, "rows": len(rows), "ids": [q["id"] for q in rows[:100]]}
    provenance_log(home).append("restricted_read", payload, datetime.now(UTC))


def _shown(row: Mapping[str, Any]) -> Found:
    """A row's place. Label files are named by their last part, logs as in the landing folder."""
    return {c: Path(row["file"]).name if c == "file" and row["stage"] == "labeling" else row[c] for c in PLACE}
