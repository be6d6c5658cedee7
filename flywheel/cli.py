"""The `flywheel` command: mounts each stage's commands lazily, so that `flywheel --help` imports no stage.

Commands that run the graph live with it (`assets.commands`); this is the only module of `flywheel` that knows of them.
"""

from __future__ import annotations

import importlib
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from flywheel.errors import FlywheelError
from flywheel.output import fail

# name -> (module, attribute, one line of help)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("assets.commands.demo", "demo", "Run weekly rounds of the demo world, log to promoted model."),
    "up": ("assets.commands.up", "up", "Start the Dagster UI and daemon and print the address."),
    "round": ("assets.commands.round", "app", "Run, import, close, abandon a weekly round; show where each stands."),
    "backfill": ("assets.commands.round", "backfill", "Run several rounds, one after the other."),
    "doctor": ("assets.commands.doctor", "doctor", "Check the installation and the run state."),
    "ingest": ("flywheel.ingestion.commands", "ingest", "Read log files without a round: counts, losses, what would be quarantined."),
    "quarantine": ("flywheel.ingestion.quarantine_commands", "quarantine", "Rows that could not be used: list, show, retry."),
    "consent": ("flywheel.governance.commands", "consent", "Grant, withdraw, show consent of a subject."),
    "audit": ("flywheel.governance.commands", "audit", "Verify that nothing was altered."),
    "privacy": (
        "flywheel.governance.privacy_commands",
        "app",
        "Redact, measure redaction, scan for leaks, see why a record reads as it does.",
    ),
    "vault": ("flywheel.governance.vault_commands", "app", "Keys and values behind the aliases: status, rotation, revealing."),
    "sql": ("flywheel.storage.commands", "sql", "Query every table of the lake (DuckDB)."),
    "model": ("flywheel.training.commands", "app", "Models, and which one serves."),
    "report": ("flywheel.reporting.commands", "report", "Render a round's page and print its summary."),
    "schema": ("flywheel.storage.commands", "schema", "Print the JSON Schema of every record."),
}


class LazyGroup(TyperGroup):
    """Imports a command's module when it is called, not before."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if "--help" in sys.argv[1:2] or len(sys.argv) == 1:  # the overview needs names and lines only
            return typer.main.get_command(_line_only(cmd_name))
        module, attribute, line = COMMANDS[cmd_name]
        found = getattr(_load(module), attribute)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False, rich_markup_mode=None)
            single.command(name=cmd_name, short_help=line)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


def _line_only(name: str) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name=name, help=COMMANDS[name][2])(lambda: None)
    return app


def _load(module: str) -> Any:
    if module.startswith("assets"):
        checkout = Path(__file__).resolve().parents[1]
        root = next((p for p in (checkout, Path.cwd()) if (p / "assets" / "definitions.py").is_file()), None)
        if root is None:
            raise FlywheelError("this command runs the graph, which lies in the checkout (assets/): run it from there, or in the container")
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
    return importlib.import_module(module)


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def root(
    home: str = typer.Option("", "--home", help="Folder of the run state (default: FLYWHEEL_HOME, else data)."),
) -> None:
    """Flywheel: production logs in, better models out, people's judgment where it teaches most.

    A round is one week, named by its Monday. Usual order: `flywheel up`, then the UI does the rest; or by hand: `flywheel round run R`,
    deliver labels, `flywheel round import R`, `flywheel round close R`, `flywheel report R`.

    Exit codes: 0 done; 1 failed; 2 bad input; 3 refused by a gate, consent or the state of a round; 4 integrity or access.
    """
    if home:
        os.environ["FLYWHEEL_HOME"] = home


def main() -> None:
    """Entry point: foreseeable failures end with one line, an interrupt with 130."""
    try:
        app()
    except FlywheelError as error:
        fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept, run the same command again to go on", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except (OSError, sqlite3.OperationalError) as error:  # a full or read-only disk, a missing permission
        fail(f"{error}; nothing half-written is visible: mend that and run the same command again", 1)


if __name__ == "__main__":
    main()
