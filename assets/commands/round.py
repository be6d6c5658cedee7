"""`flywheel round ...` and `flywheel backfill`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from flywheel.errors import FlywheelError, RoundRefused
from flywheel.output import frame, print_frame, print_table, say
from flywheel.rounds import RoundState, abandon, known_rounds, late_rounds, parse_round, round_state, rounds_between
from flywheel.settings import Settings
from flywheel.storage import Home

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="A weekly round, named by its Monday (2026-01-05)."
)
ROUND = typer.Argument(help="The round's Monday, as 2026-01-05.")
JSON = typer.Option(False, "--json", help="One JSON object on standard output.")


def opened_home() -> Home:
    """The run state that the settings name."""
    return Home(Settings.load())


def execute(home: Home, job: str, round: str, *, tags: dict[str, str] | None = None, progress: bool = True) -> None:
    """Run a job and its report. Raises the failure as an error with its exit code."""
    from assets.lost_runs import end_lost_runs
    from assets.run import open_instance, run_job

    with open_instance(home.root) as instance:
        end_lost_runs(instance, (home.root / "dagster").resolve(), launched=False)
        if progress:
            say(f"{job} {round}")
        outcome = run_job(home.root, job, round, instance=instance, tags=tags, progress=progress)
        if job != "report":
            run_job(home.root, "report", round, instance=instance, progress=False)
    if not outcome.success:
        where = f"{job} {round} stopped at {outcome.failed_step}: " if outcome.failed_step else f"{job} {round}: "
        hint = (
            ""
            if outcome.foreseeable
            else f"\nThis is not a foreseeable failure. The traceback is in the log of run {outcome.run_id} (`flywheel up`)."
        )
        error = FlywheelError(where + outcome.message + hint)
        error.exit_code = outcome.exit_code or 1
        raise error


def _show(home: Home, states: list[RoundState], command: str, as_json: bool, input: dict[str, str]) -> None:
    if as_json:
        print_frame(frame(command, input=input, counts={"rounds": len(states)}, result=[asdict(s) for s in states]))
        return
    rows = [(s.round, s.state, s.explanation, s.next_step) for s in states]
    idle = next((i for i in range(len(states), 0, -1) if states[i - 1].state != "collecting"), 0) + 1
    if len(rows) > idle + 1:  # weeks after the next one, never opened: one line
        rows[idle:] = [(f"{states[idle].round} ... {states[-1].round}", "collecting", f"{len(rows) - idle} more weeks, not opened", "In order, after the one above.")]  # fmt: skip
    print_table("Rounds", ["round", "state", "because", "next"], rows,
                empty=f"No round has ended yet (the first one is {home.settings.start}).")  # fmt: skip


@app.command()
def run(
    round: str = ROUND,
    repin: str = typer.Option(
        "", "--repin", help="Pin the round anew (model, labelled set, settings), with this reason. Never for a published batch."
    ),
    as_json: bool = JSON,
) -> None:
    """From the week's logs to a published labeling batch."""
    home = opened_home()
    key = parse_round(round, start=home.settings.start)
    _refuse_future(home, key)
    execute(home, "weekly_round", key, tags={"flywheel/repin": repin} if repin else None, progress=not as_json)
    take_in_late_rows(home, key, progress=not as_json)
    _show(home, [round_state(home, key)], "round.run", as_json, {"round": key})


@app.command("import")
def import_(round: str = ROUND, as_json: bool = JSON) -> None:
    """Import delivered label files and decide the agreement gate."""
    home = opened_home()
    key = parse_round(round, start=home.settings.start)
    _refuse_in(home, key, "collecting", "abandoned")
    execute(home, "import_labels", key, progress=not as_json)
    _show(home, [round_state(home, key)], "round.import", as_json, {"round": key})


@app.command()
def close(round: str = ROUND, as_json: bool = JSON) -> None:
    """From accepted preferences to the promotion decision. Refused without a passing agreement verdict."""
    home = opened_home()
    key = parse_round(round, start=home.settings.start)
    _refuse_in(home, key, "collecting", "published", "abandoned")
    execute(home, "close_round", key, progress=not as_json)
    _show(home, [round_state(home, key)], "round.close", as_json, {"round": key})


@app.command()
def status(
    round: str = typer.Argument("", help="One round; all that have ended or were opened when left out."), as_json: bool = JSON
) -> None:
    """Where each round stands, why, and what takes it further."""
    home = opened_home()
    keys = [parse_round(round, start=home.settings.start)] if round else known_rounds(home, home.now())
    states = [round_state(home, k) for k in keys]
    if not round:  # weeks before the first one that was opened say nothing
        first = next((i for i, s in enumerate(states) if s.state != "collecting"), max(len(states) - 1, 0))
        states = states[first:]
    _show(home, states, "round.status", as_json, {"round": round})


@app.command("abandon")
def abandon_(
    round: str = ROUND, reason: str = typer.Option(..., "--reason", help="Why; goes into the record."), as_json: bool = JSON
) -> None:
    """Give a round up: it adds an empty preference set, and later rounds go on."""
    home = opened_home()
    key = parse_round(round, start=home.settings.start)
    from flywheel.governance import provenance_log

    state = abandon(home, key, reason, home.now())
    provenance_log(home).append_once(f"abandoned:{key}", "round_abandoned", {"round": key, "reason": reason}, home.now())
    _show(home, [state], "round.abandon", as_json, {"round": key, "reason": reason})


def backfill(
    first: str = typer.Argument(metavar="FROM", help="First round, as 2026-01-05."),
    last: str = typer.Argument(metavar="TO", help="Last round, included."),
    simulated: bool = typer.Option(False, "--simulated", help="Let the demo world's simulated raters answer each batch."),
    as_json: bool = JSON,
) -> None:
    """Run rounds in order, each pinned to the model of the one before: open, import labels, close. Stops at the first round that
    cannot be settled (its labels are missing, or its gate did not pass); run it again to go on from there."""
    home = opened_home()
    keys = rounds_between(parse_round(first, start=home.settings.start), parse_round(last, start=home.settings.start))
    for key in keys:
        _refuse_future(home, key)
    for key in keys:
        settle(home, key, backfill_from=keys[0], simulated=simulated, progress=not as_json)
    _show(home, [round_state(home, k) for k in keys], "backfill", as_json, {"from": keys[0], "to": keys[-1]})


def take_in_late_rows(home: Home, key: str, *, progress: bool) -> None:
    """Rows that came after their week was run: taken in now, for the next pool."""
    for late in late_rounds(home, key):
        if progress:
            say(f"{late}: the landing folder holds other rows of that week than when it was run; they enter the pool after {key}'s")
        execute(home, "late_logs", late, progress=progress)


def report_is_current(home: Home, key: str) -> bool:
    """Whether the round's page was written after the round was settled (a run may be cut off between the two)."""
    from flywheel.reporting import report_path

    page = report_path(home, key)
    outcomes = [home.registry / f"{key}.json", home.provenance / "rounds" / key / "abandoned.json"]
    settled_at = max((p.stat().st_mtime_ns for p in outcomes if p.exists()), default=0)
    return home.lake.manifest("cost_events", key) is not None and page.exists() and page.stat().st_mtime_ns >= settled_at


def settle(home: Home, key: str, *, backfill_from: str, simulated: bool, progress: bool) -> None:
    """Take one round from wherever it stands to settled. Raises `RoundRefused` where that needs people."""
    tags = {"flywheel/backfill": backfill_from}
    if round_state(home, key).settled:
        if not report_is_current(home, key):
            execute(home, "report", key, progress=progress)
        return
    if round_state(home, key).state == "collecting":
        execute(home, "weekly_round", key, tags=tags, progress=progress)
        take_in_late_rows(home, key, progress=progress)
    if round_state(home, key).state != "ready":
        if simulated:
            from flywheel.shopforge import deliver_simulated_labels

            batch = home.lake.read("labeling_batch", key)
            deliver_simulated_labels(batch, home.label_inbox, round=key, seed=home.settings.seed_for("raters", key))
        execute(home, "import_labels", key, tags=tags, progress=progress)
    standing = round_state(home, key)
    if standing.state != "ready":
        raise RoundRefused(f"round {key} is {standing.state}: {standing.explanation}. {standing.next_step}")
    execute(home, "close_round", key, tags=tags, progress=progress)


def _refuse_in(home: Home, key: str, *states: str) -> None:
    """Before a run is started that could only fail."""
    standing = round_state(home, key)
    if standing.state in states:
        raise RoundRefused(f"round {key} is {standing.state}: {standing.explanation}. {standing.next_step}")


def _refuse_future(home: Home, key: str) -> None:
    from flywheel.weeks import round_end

    if round_end(key) > home.now():
        raise RoundRefused(f"round {key} has not ended: its week runs to {round_end(key):%Y-%m-%d %H:%M} UTC")
