"""The caller's side of training: rows and recipe in, a stored model out. torch runs in a subprocess only.

A job is named by the hash of everything that decides its weights. A model that was made by the same job is returned as it is; a run
that is killed leaves a temporary folder that no reader looks at and the next run removes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pyarrow as pa

from flywheel.errors import BadInput, TrainingFailed
from flywheel.records import ModelManifest
from flywheel.settings import TrainingSettings
from flywheel.storage.files import read_json, write_atomically, write_json
from flywheel.training.base import library_versions
from flywheel.training.processes import run_module, work_folder
from flywheel.training.reward_model import FACTS_FILE, train_reward_model
from flywheel.training.store import ModelStore

TRAINER_VERSION = "1"
RECIPE_FIELDS = ("learning_rate", "epochs", "batch_size", "max_length", "threads", "device")
DPO_FIELDS = (*RECIPE_FIELDS, "beta", "loss_type", "loss_weights")


def train_dpo(
    preferences: pa.Table, *, parent_model_id: str, store: ModelStore, settings: TrainingSettings, seed: int, round: str | None = None,
    dataset_version: str | None = None, dataset_sha256: str | None = None, held_out_clusters: Collection[str] = (),
    held_out_prompts: Collection[str] = (), progress: Callable[[str], None] | None = None,
) -> ModelManifest:  # fmt: skip
    """Direct preference optimisation of the parent on `Preference` rows; the parent is the reference too.

    Ties and both-bad rows carry no direction and are left out (counted in the manifest's metrics). Deterministic on one thread: the same
    rows, parent, settings and seed give the same weights. `held_out_clusters` (values of prompt_cluster) and `held_out_prompts`
    (`prompt_key` of rendered prompts) may not occur in the rows. Raises `TrainingFailed` (preflight, timeout, divergence), `NotFound`.
    """
    rows = dpo_rows(preferences)
    simulated = "simulated" in preferences["origin"].to_pylist() if preferences.num_rows else False
    left_out = preferences.num_rows - len(rows)
    return _train(
        "dpo", rows, DPO_FIELDS, parent_model_id=parent_model_id, store=store, settings=settings, seed=seed, round=round,
        dataset_version=dataset_version, dataset_sha256=dataset_sha256, held_out_clusters=held_out_clusters,
        held_out_prompts=held_out_prompts, simulated=simulated, facts={"undirected_rows": left_out}, progress=progress,
    )  # fmt: skip


def train_sft(
    demonstrations: pa.Table, *, parent_model_id: str, store: ModelStore, settings: TrainingSettings, seed: int, round: str | None = None,
    dataset_version: str | None = None, dataset_sha256: str | None = None, held_out_clusters: Collection[str] = (),
    held_out_prompts: Collection[str] = (), progress: Callable[[str], None] | None = None,
) -> ModelManifest:  # fmt: skip
    """Supervised fine-tuning of the parent on `Demonstration` rows, loss on the answer only; otherwise as `train_dpo`."""
    rows = sft_rows(demonstrations)
    simulated = "simulated" in demonstrations["origin"].to_pylist() if demonstrations.num_rows else False
    return _train(
        "sft", rows, RECIPE_FIELDS, parent_model_id=parent_model_id, store=store, settings=settings, seed=seed, round=round,
        dataset_version=dataset_version, dataset_sha256=dataset_sha256, held_out_clusters=held_out_clusters,
        held_out_prompts=held_out_prompts, simulated=simulated, facts={}, progress=progress,
    )  # fmt: skip


def store_reward_model(
    preferences: pa.Table, *, store: ModelStore, seed: int, round: str | None = None, dataset_version: str | None = None,
    dataset_sha256: str | None = None,
) -> ModelManifest:  # fmt: skip
    """Train the Bradley-Terry reward model on `Preference` rows and store it; `RewardModel.load(store.path(id))` reads it."""
    with work_folder(store.root, "reward") as work:
        model = train_reward_model(preferences, seed=seed)
        model.save(work)
        directed = [
            d for d, o in zip(preferences["domain"].to_pylist(), preferences["outcome"].to_pylist(), strict=True) if o in ("a", "b")
        ]
        return store.add(
            work, move=True, kind="reward", round=round, base="bradley-terry-hashed", dataset_version=dataset_version,
            dataset_sha256=dataset_sha256, n_pairs_by_domain=_sorted_counts(directed),
            trained_on_simulated="simulated" in preferences["origin"].to_pylist(), seed=seed,
            recipe={"members": len(model.weights), "strength": model.strength, "facts": FACTS_FILE},
            metrics={k: dict(v) for k, v in model.metrics.items()}, library_versions={"numpy": library_versions()["numpy"]},
        )  # fmt: skip


def dpo_rows(preferences: pa.Table) -> list[dict[str, Any]]:
    """Directed rows by pair id: id, domain, cluster, messages, chosen, rejected."""
    columns = preferences.select(["pair_id", "domain", "prompt_cluster", "prompt", "response_a", "response_b", "outcome"]).to_pylist()
    rows = []
    for row in sorted(columns, key=lambda r: str(r["pair_id"])):
        if row["outcome"] not in ("a", "b"):
            continue
        texts = {"a": row["response_a"]["text"], "b": row["response_b"]["text"]}
        chosen = row["outcome"]
        rows.append(
            {
                "id": row["pair_id"], "domain": row["domain"], "cluster": row["prompt_cluster"], "messages": row["prompt"],
                "chosen": texts[chosen], "rejected": texts["b" if chosen == "a" else "a"],
            }
        )  # fmt: skip
    return rows


def sft_rows(demonstrations: pa.Table) -> list[dict[str, Any]]:
    """Rows by pair id: id, domain, cluster, messages, completion."""
    columns = demonstrations.select(["pair_id", "domain", "prompt_cluster", "prompt", "response"]).to_pylist()
    return [
        {"id": r["pair_id"], "domain": r["domain"], "cluster": r["prompt_cluster"], "messages": r["prompt"], "completion": r["response"]}
        for r in sorted(columns, key=lambda r: (str(r["pair_id"]), str(r["response"])))
    ]


def _train(
    kind: str, rows: Sequence[dict[str, Any]], fields: Sequence[str], *, parent_model_id: str, store: ModelStore, settings: TrainingSettings,
    seed: int, round: str | None, dataset_version: str | None, dataset_sha256: str | None, held_out_clusters: Collection[str],
    held_out_prompts: Collection[str], simulated: bool, facts: dict[str, Any], progress: Callable[[str], None] | None,
) -> ModelManifest:  # fmt: skip
    if not rows:
        raise BadInput(f"no rows to train on: every {'preference is a tie or both bad' if kind == 'dpo' else 'demonstration is missing'}")
    parent = store.get(parent_model_id)
    recipe = settings.model_dump(mode="json", include=set(fields))
    payload = "".join(json.dumps(r, sort_keys=True, ensure_ascii=False) + "\n" for r in rows).encode("utf-8", "surrogatepass")
    held_out = {"clusters": sorted(held_out_clusters), "prompts": sorted(held_out_prompts)}
    libraries = library_versions()
    inputs = {
        "kind": kind, "trainer": TRAINER_VERSION, "rows": hashlib.sha256(payload).hexdigest(), "parent": parent_model_id, "recipe": recipe,
        "seed": seed, "round": round, "libraries": libraries, "held_out": held_out, "dataset": [dataset_version, dataset_sha256],
    }  # fmt: skip
    job_sha256 = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
    made = store.find(job_sha256)
    if made is not None:
        return made
    model_dir = store.demand_intact(parent_model_id)
    with work_folder(store.root, "training") as work:
        (work / "model").mkdir()
        write_atomically(work / "rows.jsonl", payload)
        job = {
            "kind": kind, "model": str(model_dir.resolve()), "rows": str(work / "rows.jsonl"), "out": str(work / "model"),
            "scratch": str(work / "scratch"), "recipe": recipe, "seed": seed, "held_out_clusters": held_out["clusters"],
            "held_out_prompts": held_out["prompts"],
        }  # fmt: skip
        write_json(work / "job.json", job)
        run_module("flywheel.training.trainer", work / "job.json", settings=settings, log=work / "log.txt", progress=progress)
        result = read_json(work / "result.json")
        if result is None:
            raise TrainingFailed("the trainer ended without a result")
        return store.add(
            work / "model", move=True, run=result["run"], kind=kind, round=round, parent_model_id=parent_model_id,
            reference_model_id=parent_model_id if kind == "dpo" else None, base=parent.base, dataset_version=dataset_version,
            dataset_sha256=dataset_sha256, n_pairs_by_domain=_sorted_counts([str(r["domain"]) for r in rows]),
            trained_on_simulated=simulated or parent.trained_on_simulated, recipe={**recipe, "job_sha256": job_sha256},
            first_step_margin=result["first_step_margin"], seed=seed, library_versions=libraries,
            metrics={**result["metrics"], "steps": result["steps"], "preflight": result["preflight"], **facts},
        )  # fmt: skip


def _sorted_counts(values: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))
