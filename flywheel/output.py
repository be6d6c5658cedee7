"""How commands speak: one JSON frame on standard output for `--json`, tables and progress for people, errors without a traceback."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
FRAME_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Flywheel command output",
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "input", "counts", "result", "quarantine", "losses", "warnings"],
    "properties": {
        "schema": {"type": "string", "pattern": "^flywheel\\.[a-z_.]+/[0-9]+$"},
        "input": {"type": "object"},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "result": {},
        "quarantine": {"type": "array", "items": {"type": "object"}},
        "losses": {"type": "object", "additionalProperties": {"type": "integer"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}


def frame(
    command: str, *, input: Mapping[str, Any], result: Any, counts: Mapping[str, int] | None = None,
    quarantine: Sequence[Mapping[str, Any]] = (), losses: Mapping[str, int] | None = None, warnings: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """The one object that every `--json` prints. `command` as in `round.status`."""
    return {
        "schema": f"flywheel.{command}/1", "input": dict(input), "counts": dict(counts or {}), "result": result,
        "quarantine": [dict(q) for q in quarantine], "losses": dict(losses or {}), "warnings": list(warnings),
    }  # fmt: skip


def print_frame(value: Mapping[str, Any], quarantine: Iterable[Mapping[str, Any]] = ()) -> None:
    """To standard output; nothing else goes there with `--json`. Rows of `quarantine` stand in the frame's list and are written as they
    come: there may be millions."""
    head, mark, tail = _json(value).partition('\n "quarantine": [')  # inside texts a line end is escaped
    sys.stdout.write(head + mark)
    between = "" if tail.startswith("]") else ","
    for row in quarantine if mark else ():
        sys.stdout.write(f"{between}\n  " + _json(row).replace("\n", "\n  "))
        between = ","
    sys.stdout.write(("\n " if between and tail.startswith("]") else "") + tail + "\n")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str, indent=1)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str, error: bool = False) -> None:
    """A table for people; says `empty` where there are no rows. `error`: on standard error, where standard output is for something else."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # a pipe has no width: give ids room, so that a table can be grepped
    console = Console(width=None if (sys.stderr if error else sys.stdout).isatty() else 200, stderr=error)
    if not rows:
        console.print(empty)
        return
    # as Text: cells hold logs and code, in which [i] and :x: are no markup
    table = Table(title=Text(title), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        numeric = all(isinstance(r[index], int | float) or r[index] is None for r in rows)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(v)) for v in row))
    console.print(table)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.3g}"
    # control characters of a log must not steer the terminal
    return f"{value:,}" if isinstance(value, int) else CONTROL.sub(lambda m: repr(m[0])[1:-1], str(value))


def say(text: str) -> None:
    """A line for people, on standard error (standard output is for results)."""
    sys.stderr.write(text + "\n")


def fail(message: str, exit_code: int) -> NoReturn:
    """End with a message and without a traceback."""
    sys.stderr.write(f"flywheel: {message}\n")
    raise SystemExit(exit_code)
