"""`flywheel demo`: whole weekly rounds of the demo world on embedded defaults."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path

import typer

from assets.commands.round import JSON, settle
from flywheel.errors import RoundRefused
from flywheel.output import frame, print_frame, say
from flywheel.rounds import first_round, next_round, round_end, round_state
from flywheel.settings import Settings
from flywheel.storage import Home, write_atomically
from flywheel.storage.ids import install_key

# Public on purpose: everything in a demo home is generated, and with a fixed key every machine gets the same ids and hashes.
DEMO_KEY = b"flywheel demo: nothing is secret"
SETTINGS = """# Written by `flywheel demo`. Generated data: the clock is fixed so that every run gives the same hashes.
clock = "{clock}"

[training]
base = "shopforge-tiny"
"""


def demo(
    context: typer.Context,
    weeks: int = typer.Option(2, "--weeks", min=1, max=20, help="Rounds to run."),
    logs: int = typer.Option(2_000, "--logs", min=200, help="Logged inferences a week."),
    home: str = typer.Option("", "--home", help="Folder of the demo's run state (default: data/demo)."),
    as_json: bool = JSON,
) -> None:
    """Generate weeks of ShopForge logs and run every round: redaction, selection, labels by simulated raters, agreement gate, dataset,
    reward model, DPO, evaluation, promotion, report. What is done already is not done again; interrupted, it goes on where it was."""
    started = time.monotonic()
    before = context.parent.params.get("home") if context.parent else ""  # `flywheel --home H demo` means the same
    home = home or before or "data/demo"
    os.environ["FLYWHEEL_HOME"] = home
    state = prepare_home(Path(home), weeks)
    keys = demo_rounds(state, weeks)
    for number, key in enumerate(keys, 1):
        if not as_json:
            say(f"week {number} of {weeks}: round {key} ({round_state(state, key).state})")
        deliver_logs(state, key, logs)
        settle(state, key, backfill_from=keys[0], simulated=True, progress=not as_json)
    _finish(state, keys, time.monotonic() - started, as_json)


def prepare_home(home: Path, weeks: int) -> Home:
    """A demo home: fixed keys, fixed clock, generated gold items. Raises `RoundRefused` on a folder that holds a real run state."""
    marker, toml = home / "DEMO", home / "flywheel.toml"
    if not marker.exists() and (home / "restricted").exists():
        raise RoundRefused(
            f"{home} holds a real run state; the demo writes generated data and simulated labels: choose another folder with --home"
        )
    write_atomically(marker, b"Generated data and simulated labels only.\n")
    first = first_round(Settings.load(home=home))
    last = first
    for _ in range(max(weeks, 20) - 1):  # the clock does not depend on --weeks: more weeks later change nothing of the first ones
        last = next_round(last)
    clock = (round_end(last) + timedelta(days=28)).isoformat()
    if not toml.exists():
        write_atomically(toml, SETTINGS.format(clock=clock).encode())
    state = Home(Settings.load(home=home))
    install_key(state.restricted / "keys" / "id.key", DEMO_KEY)
    install_key(state.restricted / "keys" / "vault.key", DEMO_KEY)
    gold = home / "gold" / "shopforge.jsonl"
    if not gold.exists():
        from flywheel.shopforge import gold_items

        lines = [item.model_dump_json() for item in gold_items(60, seed=state.settings.seed)]
        write_atomically(gold, ("\n".join(lines) + "\n").encode())
    return state


def demo_rounds(home: Home, weeks: int) -> list[str]:
    """Keys of the first `weeks` rounds."""
    keys = [first_round(home.settings)]
    while len(keys) < weeks:
        keys.append(next_round(keys[-1]))
    return keys


def deliver_logs(home: Home, key: str, n: int) -> Path:
    """The week's log file in the landing folder, unless it is there. The assistant that answers is the one promoted by then: better
    logs close the loop."""
    from flywheel.shopforge import write_logs
    from flywheel.training import ModelStore, Registry, load_generator

    target = Path(home.landing) / f"shopforge-{key}.jsonl"
    if target.exists():
        return target
    entry = Registry(home.registry).as_of(round_end(key), before_round=key)
    respond = None
    if entry is not None and entry.model_id is not None and entry.decision == "promoted":
        generator = load_generator(ModelStore(home.models).path(entry.model_id), home.settings.training)
        seed = home.settings.seed_for("production", key)

        def respond(prompts: list[str]) -> list[str]:
            temperature = home.settings.evaluation.production_temperature
            return [answers[0] for answers in generator.generate(prompts, n=1, temperature=temperature, seed=seed)]

    return write_logs(Path(home.landing), round=key, n=n, seed=home.settings.seed_for("logs", key), respond=respond)


def _finish(home: Home, keys: list[str], seconds: float, as_json: bool) -> None:
    from flywheel.reporting import report_path, report_summary

    last = keys[-1]
    page = report_path(home, last)
    hashes = {f"{m.table}[{m.round}]": m.sha256 for m in home.lake.manifests() if m.round in keys}
    if as_json:
        states = {k: round_state(home, k).state for k in keys}
        print_frame(frame("demo", input={"weeks": len(keys), "home": str(home.root)}, counts={"rounds": len(keys)},
                          result={"states": states, "report": str(page), "hashes": hashes, "summary": report_summary(home, last)}))  # fmt: skip
        return
    for line in report_summary(home, last):
        typer.echo(line)
    typer.echo(f"{len(keys)} rounds in {seconds:.0f} s. Look around: flywheel --home {home.root} up")
    typer.echo(f"Report: {page.resolve()}")
