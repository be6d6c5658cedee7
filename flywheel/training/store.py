"""The model store: each model a folder named by its content, with a manifest beside the weights.

A model arrives in a temporary folder and is renamed into place: a reader sees all of it or nothing. Nothing in it changes later.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from flywheel.errors import IntegrityError, NotFound
from flywheel.records import ModelManifest
from flywheel.storage.files import sha256_file, sync_folder, write_json
from flywheel.training.processes import work_folder

MANIFEST = "manifest.json"
RUN = "run.json"  # wall time, memory: what differs from run to run, hence outside the manifest and its hashes
LINEAGE = ("kind", "round", "parent_model_id", "reference_model_id", "base", "files", "dataset_version", "dataset_sha256", "recipe", "seed")


class ModelStore:
    """Folders `<root>/<kind>-<16 hex digits>/`. The digits are the SHA-256 of the files' hashes and the lineage: the same training
    of the same inputs is the same model, and equal weights from different inputs stay two models."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, folder: Path, *, run: dict[str, Any] | None = None, move: bool = False, **fields: Any) -> ModelManifest:
        """Take a model in. `fields` are `ModelManifest`'s but `model_id` and `files`; `run` is stored beside, unhashed; `move` empties
        `folder` instead of copying it. Adding a model that is there already gives the stored manifest."""
        files = {
            str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (MANIFEST, RUN)
        }
        if not files:
            raise NotFound(f"{folder} holds no model files")
        draft = ModelManifest(model_id="", files=files, **fields)
        manifest = draft.model_copy(update={"model_id": f"{draft.kind}-{_lineage_sha256(draft)[:16]}"})
        place = self.root / manifest.model_id
        if (place / MANIFEST).exists():
            return self.get(manifest.model_id)
        with work_folder(self.root, "incoming") as incoming:
            for name in files:
                target = incoming / name
                target.parent.mkdir(parents=True, exist_ok=True)
                if move:
                    os.replace(folder / name, target)
                else:
                    shutil.copyfile(folder / name, target)
                _sync_file(target)
            if run:
                write_json(incoming / RUN, run)
            write_json(incoming / MANIFEST, manifest.model_dump(mode="json"))
            incoming.chmod(0o755)
            try:
                os.replace(incoming, place)
            except OSError:
                if not (place / MANIFEST).exists():  # anything but another process having put the same model there first
                    raise
            sync_folder(self.root)
        return self.get(manifest.model_id)

    def get(self, model_id: str) -> ModelManifest:
        """The manifest. Raises `NotFound` naming the models that exist."""
        try:
            return ModelManifest.model_validate_json((self.root / model_id / MANIFEST).read_bytes())
        except FileNotFoundError:
            known = ", ".join(self.ids()) or "none yet"
            raise NotFound(f"no model {model_id!r} in {self.root}; stored: {known} (`flywheel model list`)") from None

    def path(self, model_id: str) -> Path:
        """The model's folder, which transformers can load. Raises `NotFound`."""
        self.get(model_id)
        return self.root / model_id

    def run(self, model_id: str) -> dict[str, Any]:
        """What the run that made it took (seconds, memory); empty where not recorded."""
        try:
            found: dict[str, Any] = json.loads((self.path(model_id) / RUN).read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def ids(self) -> list[str]:
        """Ids, ascending."""
        return sorted(p.parent.name for p in self.root.glob(f"[!.]*/{MANIFEST}"))

    def find(self, job_sha256: str) -> ModelManifest | None:
        """The model that this job made, if any did: training is never repeated."""
        return next((m for m in (self.get(i) for i in self.ids()) if m.recipe.get("job_sha256") == job_sha256), None)

    def verify(self, model_id: str) -> list[str]:
        """What is wrong with the stored bytes, one line a file; empty when all is as recorded."""
        manifest, folder = self.get(model_id), self.root / model_id
        problems = []
        for name, expected in sorted(manifest.files.items()):
            path = folder / name
            if not path.is_file():
                problems.append(f"{model_id}/{name}: missing")
            elif sha256_file(path) != expected:
                problems.append(f"{model_id}/{name}: SHA-256 is not the recorded {expected[:12]}")
        if f"{manifest.kind}-{_lineage_sha256(manifest)[:16]}" != model_id:
            problems.append(f"{model_id}/{MANIFEST}: the manifest does not belong to this id")
        return problems

    def demand_intact(self, model_id: str) -> Path:
        """The model's folder, after its hashes were checked. Raises `IntegrityError`."""
        problems = self.verify(model_id)
        if problems:
            raise IntegrityError("; ".join(problems) + ". Restore the folder from a backup or train again.")
        return self.root / model_id

    def list(self) -> list[ModelManifest]:
        """Every manifest, by id."""
        return [self.get(model_id) for model_id in self.ids()]


def _lineage_sha256(manifest: ModelManifest) -> str:
    values = manifest.model_dump(mode="json", include=set(LINEAGE))
    return hashlib.sha256(json.dumps(values, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _sync_file(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
