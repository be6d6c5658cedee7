"""`flywheel report`."""

from __future__ import annotations

import typer

from flywheel.errors import NotFound
from flywheel.output import frame, print_frame
from flywheel.reporting import funnel, render_report, report_summary
from flywheel.rounds import opened_rounds, parse_round, round_state
from flywheel.settings import Settings
from flywheel.storage import Home


def report(
    round: str = typer.Argument("", help="The round's Monday; the newest opened round when left out."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
) -> None:
    """Render the round's page (one self-contained HTML file) and print its summary. Also for a round that failed or is open."""
    home = Home(Settings.load())
    opened = opened_rounds(home)
    if not opened:
        raise NotFound(f"no round was opened in {home.root} yet: `flywheel round run ROUND`, or `make demo`")
    key = parse_round(round, start=home.settings.start) if round else opened[-1]
    if key not in opened:
        raise NotFound(f"round {key} was never opened; opened are {', '.join(opened)}")
    path = render_report(home, key, now=home.now())
    steps = funnel(home, key)
    if as_json:
        result = {"page": str(path), "state": round_state(home, key).state, "summary": report_summary(home, key),
                  "funnel": [{"name": s.name, "count": s.count, "lost": s.lost} for s in steps]}  # fmt: skip
        print_frame(
            frame(
                "report",
                input={"round": key},
                counts={s.name.replace(" ", "_"): s.count for s in steps if s.count is not None},
                result=result,
            )
        )
        return
    for line in report_summary(home, key):
        typer.echo(line)
    typer.echo(f"Page: {path.resolve()}")
