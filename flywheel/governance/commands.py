"""`flywheel audit`; and `flywheel consent`, which `consent_commands` holds."""

from __future__ import annotations

from pathlib import Path

import typer

from flywheel.governance import verify_audit
from flywheel.governance.consent_commands import consent
from flywheel.output import fail, frame, print_frame, print_table
from flywheel.settings import Settings
from flywheel.storage import Home

__all__ = ["audit", "consent"]

audit = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Prove that nothing was altered.")
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")


@audit.command()
def export(
    path: str = typer.Argument("", help="Where to; <home>/audit.duckdb when left out."),
    as_json: bool = JSON,
) -> None:
    """Write every open table into one read-only DuckDB file for an auditor, put in place by rename: whoever has the old one open
    reads on undisturbed."""
    home = Home(Settings.load())
    target = Path(path) if path else home.root / "audit.duckdb"
    counts = home.lake.export(target)
    if as_json:
        print_frame(frame("audit.export", input={"path": str(target)}, counts=counts, result={"path": str(target)}))
        return
    typer.echo(f"{target}: {len(counts)} tables, {sum(counts.values()):,} rows")


@audit.command()
def verify(as_json: bool = JSON) -> None:
    """Recompute every hash that a manifest or a chain names: provenance, consent ledger, lake, datasets, models. Exit code 4 when
    something was altered."""
    home = Home(Settings.load())
    report = verify_audit(home)
    if as_json:
        print_frame(frame("audit.verify", input={"home": str(home.root)}, counts={**report.checked, "problems": len(report.problems)},
                          result={"ok": report.ok, "problems": report.problems, "heads": report.heads}))  # fmt: skip
    else:
        print_table("Checked", ["what", "count"], list(report.checked.items()), empty="Nothing is stored yet.")
        for name, head in report.heads.items():
            typer.echo(f"head of {name}: {head}  (note it elsewhere: a cut end shows only against such a note)")
        for problem in report.problems:
            typer.echo(f"ALTERED: {problem}")
    if not report.ok:
        fail(f"{len(report.problems)} things are not what was recorded", 4)
