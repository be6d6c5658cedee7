"""`flywheel privacy train-ner`."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from flywheel.errors import BadInput
from flywheel.output import frame, print_frame, say

OUT = typer.Option(Path("ner-model"), "--out", help="Folder to write the model to.")
LABELLED = typer.Option(
    [], "--labelled", help='Your own dialogues, {"turns": [[speaker, text, [[start, end, TYPE], ...]], ...]} a line; repeat it.'
)


def train_ner(
    out: Path = OUT,
    seed: int = typer.Option(1, "--seed", help="The same seed, data and version give the same model, bit for bit, on one machine."),
    labelled: list[Path] = LABELLED,
    start: str = typer.Option(
        "", "--from", help="Go on from a model: shipped, or its folder. Default: shipped with --labelled, else from nothing."
    ),
    texts: int = typer.Option(20_000, "--texts", min=1, help="Generated texts a pass; new ones each time."),
    passes: int = typer.Option(12, "--passes", min=1, help="At most so many passes; it ends sooner when nothing gets better."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object on standard output."),
) -> None:
    """Train a recogniser on generated text, and on your own labelled dialogues when given. No network, one processor, minutes.

    Use it by `governance.ner = "<folder>"` in flywheel.toml. One of ten labelled dialogues is kept out of training and measures.
    """
    from flywheel.governance.ner.model import SHIPPED
    from flywheel.governance.ner.network import META, WEIGHTS
    from flywheel.governance.ner.train import train

    chosen = start or ("shipped" if labelled else "")
    folder = SHIPPED if chosen == "shipped" else Path(chosen) if chosen else None
    if folder is not None and not ((folder / META).is_file() and (folder / WEIGHTS).is_file()):
        raise BadInput(f"{folder} holds no model; name a folder that train-ner wrote, or shipped")
    if out.exists() and not (out.is_dir() and ((out / META).is_file() or not any(out.iterdir()))):
        raise BadInput(f"{out} exists and is no model's folder; choose another")
    began = time.monotonic()
    meta = train(out, seed=seed, labelled=labelled, texts=texts, passes=passes, start=folder, progress=say)
    seconds, size = time.monotonic() - began, sum(f.stat().st_size for f in out.iterdir())
    if as_json:
        print_frame(frame("privacy.train_ner", input={"seed": seed, "labelled": [str(p) for p in labelled]},
                          counts={"passes": meta["passes"], "bytes": size}, result={**meta, "path": str(out), "seconds": round(seconds, 1)}))  # fmt: skip
        return
    figures = meta.get("held_out") or meta["development"]
    whose = "your held-out dialogues" if "held_out" in meta else "generated text with other sentences and names"
    typer.echo(
        f"{out}: {size / 1e6:.1f} MB after {meta['passes']} passes in {seconds:.0f} s; on {whose} it finds {figures['person_recall']:.1%} of "
        f"people's names (by letters), {figures['person_precision']:.1%} of what it finds are such"
    )
