"""The first model of the loop: the demo world's tiny one, trained here once and cached, or any Hugging Face model.

The training itself runs in a subprocess (`base_trainer.py`): the caller never imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from flywheel.errors import NotFound
from flywheel.records import ModelManifest
from flywheel.settings import TrainingSettings
from flywheel.storage.files import read_json, sha256_file, sync_folder, write_json
from flywheel.training.base_recipe import RECIPES
from flywheel.training.processes import run_module, work_folder
from flywheel.training.store import ModelStore

Progress = Callable[[str], None]
SOURCES = (
    "shopforge/world.py",
    "shopforge/support.py",
    "shopforge/code.py",
    "training/base_trainer.py",
    "training/base_recipe.py",
    "training/phrase_tokenizer.py",
)
LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")


def is_demo_base(settings: TrainingSettings) -> bool:
    """Whether the base is one that this repository trains itself."""
    return settings.base in RECIPES


def ensure_base(settings: TrainingSettings, cache: Path, seed: int, progress: Progress | None = None) -> Path:
    """Folder of the base model, complete and loadable.

    `shopforge-tiny` (and `shopforge-tiny-fast`, for tests) is trained at first use, about a minute on one thread, and kept in
    `<cache>/base/<16 hex digits>`, named by the hash of recipe, seed, world source and library versions; of two processes that train at
    once, the second takes the first one's. Any other name is a local folder or a Hugging Face name (taken from the local hub cache
    when offline). Raises `TrainingFailed` with figures when the tiny base does not pass its gate, `NotFound` for an unknown name.
    """
    if not is_demo_base(settings):
        return _pretrained(settings.base)
    inputs = base_inputs(settings.base, seed)
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    place = cache / "base" / key
    if (place / "base.json").is_file():
        return place
    with work_folder(place.parent, "base") as work:
        out = work / "model"
        out.mkdir()
        job = {"recipe": inputs["recipe"], "seed": seed, "threads": settings.threads, "out": str(out)}
        write_json(work / "job.json", job)
        run_module("flywheel.training.base_trainer", work / "job.json", settings=settings, log=work / "log.txt", progress=progress)
        try:
            os.replace(out, place)
        except OSError:
            if not (place / "base.json").is_file():  # anything but the other process having been faster
                raise
        sync_folder(place.parent)
    return place


def enter_base(settings: TrainingSettings, store: ModelStore, cache: Path, seed: int, progress: Progress | None = None) -> ModelManifest:
    """The base as a model of the store, so that every lineage starts at one of its ids. Idempotent."""
    folder = ensure_base(settings, cache, seed, progress)
    facts = (read_json(folder / "base.json") or {}) if is_demo_base(settings) else {}
    libraries = library_versions()
    return store.add(
        folder, kind="base", base=settings.base, seed=seed if is_demo_base(settings) else 0, recipe=facts.get("recipe", {}),
        metrics=facts.get("figures", {}), library_versions=libraries,
    )  # fmt: skip


def base_inputs(name: str, seed: int) -> dict[str, object]:
    """All that decides the tiny base's weights."""
    package = Path(__file__).resolve().parent.parent
    return {
        "name": name, "recipe": asdict(RECIPES[name]), "seed": seed,
        "sources": {s: sha256_file(package / s) for s in SOURCES}, "libraries": {k: version(k) for k in LIBRARIES},
    }  # fmt: skip


def library_versions() -> dict[str, str]:
    """Versions of what trains, without importing it."""
    return {name: version(name) for name in ("torch", "transformers", "tokenizers", "trl", "numpy", "datasets", "accelerate")}


def _pretrained(name: str) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise NotFound(
            f"training.base {name!r} is neither a folder nor a Hugging Face model that can be had ({type(error).__name__}); "
            "download it first with `hf download`, or use 'shopforge-tiny'"
        ) from None
