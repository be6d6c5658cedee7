"""`flywheel model`."""

from __future__ import annotations

import typer

from flywheel.output import frame, print_frame, print_table
from flywheel.settings import Settings
from flywheel.storage import Home
from flywheel.training import ModelStore, Registry

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help="Models, and which one serves.")


@app.callback()
def model() -> None:
    """Models, and which one serves."""


@app.command("list")
def list_(as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output.")) -> None:
    """Every model with its parent, dataset version and pairs, and what each round decided."""
    home = Home(Settings.load())
    models, entries = ModelStore(home.models).list(), Registry(home.registry).entries()
    serving = entries[-1].model_id if entries else None
    rows = [{
        "model_id": m.model_id, "kind": m.kind, "round": m.round, "parent": m.parent_model_id, "dataset": m.dataset_version,
        "pairs": sum(m.n_pairs_by_domain.values()), "simulated": m.trained_on_simulated, "serves": m.model_id == serving,
    } for m in models]  # fmt: skip
    decisions = [
        {"round": e.round, "decision": e.decision, "model_id": e.model_id, "reward_model_id": e.reward_model_id, "reasons": e.reasons}
        for e in entries
    ]
    if as_json:
        print_frame(
            frame(
                "model.list",
                input={},
                counts={"models": len(rows), "rounds": len(decisions)},
                result={"models": rows, "registry": decisions},
            )
        )
        return
    print_table("Models", ["model", "kind", "round", "parent", "dataset", "pairs", "simulated", "serves"],
                [tuple("yes" if v is True else "" if v is False else v for v in r.values()) for r in rows],
                empty="No model yet: the first round makes or registers the base.")  # fmt: skip
    print_table("Registry", ["round", "decision", "model", "reward model"], [(d["round"], d["decision"], d["model_id"], d["reward_model_id"]) for d in decisions],
                empty="No round is closed yet.")  # fmt: skip
