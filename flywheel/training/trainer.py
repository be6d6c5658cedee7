"""Subprocess entry: supervised fine-tuning or direct preference optimisation by TRL. `python -m flywheel.training.trainer JOB.json`.

DPO: Rafailov et al. 2023, arXiv:2305.18290. Writes the model to the job's `out` and `result.json` beside it; exits with 1 and a line
`failed: ...` where the preflight or the reference check refuses.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

from flywheel.errors import TrainingFailed
from flywheel.training.preflight import check_rows
from flywheel.training.processes import watch_parent

FIRST_MARGIN = 1e-4


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job (see `jobs.py` for its fields). Raises `TrainingFailed`."""
    import datasets
    import torch
    import transformers

    recipe = job["recipe"]
    torch.set_num_threads(recipe["threads"])
    datasets.disable_progress_bars()
    cpu = recipe["device"] == "cpu" or (recipe["device"] == "auto" and not torch.cuda.is_available())
    torch.use_deterministic_algorithms(True, warn_only=not cpu)
    rows = [json.loads(line) for line in Path(job["rows"]).read_text(encoding="utf-8").splitlines()]
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["model"])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if job["kind"] not in ("dpo", "sft"):
        raise TrainingFailed(f"unknown kind of job {job['kind']!r}")
    answers = ("chosen", "rejected") if job["kind"] == "dpo" else ("completion",)
    for row in rows:
        row["prompt"] = _prompt(tokenizer, row)
    report = check_rows(
        rows, tokenizer, max_length=recipe["max_length"], answers=answers, held_out_clusters=frozenset(job["held_out_clusters"]),
        held_out_prompts=frozenset(job["held_out_prompts"]),
    )  # fmt: skip
    dataset = datasets.Dataset.from_list([{c: row[c] for c in ("prompt", *answers)} for row in rows])
    started = time.monotonic()
    trainer = _trainer(job, dataset, tokenizer, cpu)
    trainer.train()
    history = [e for e in trainer.state.log_history if "loss" in e]
    result: dict[str, Any] = {"preflight": report, "steps": trainer.state.global_step, "first_step_margin": None}
    if job["kind"] == "dpo":
        margin = float(history[0]["rewards/margins"])
        if not abs(margin) < FIRST_MARGIN:
            raise TrainingFailed(
                f"the first step's margin is {margin:.2e}, not 0: the reference is not the model that training starts from"
            )
        result["first_step_margin"] = margin
    metrics = {"loss_first": float(history[0]["loss"]), "loss_last": _mean([e["loss"] for e in history[-5:]])}
    if job["kind"] == "dpo":
        metrics["margin_last"] = _mean([e["rewards/margins"] for e in history[-5:]])
        metrics["accuracy_last"] = _mean([e["rewards/accuracies"] for e in history[-5:]])
    if any(math.isnan(v) for v in metrics.values()):
        raise TrainingFailed(f"training diverged: {metrics}; lower training.learning_rate")
    result["metrics"] = metrics
    out = Path(job["out"])
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    result["run"] = {
        "wall_s": time.monotonic() - started,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "device": "cpu" if cpu else torch.cuda.get_device_name(0),
    }
    return result


def _prompt(tokenizer: Any, row: dict[str, Any]) -> str:
    from flywheel.training.prompts import render_for

    return render_for(tokenizer, row["messages"])


def _trainer(job: dict[str, Any], dataset: Any, tokenizer: Any, cpu: bool) -> Any:
    import torch
    import trl

    recipe = job["recipe"]
    bf16 = not cpu and torch.cuda.is_bf16_supported()
    shared: dict[str, Any] = {
        "output_dir": job["scratch"], "num_train_epochs": recipe["epochs"], "learning_rate": recipe["learning_rate"],
        "per_device_train_batch_size": recipe["batch_size"], "max_length": recipe["max_length"], "seed": job["seed"] % 2**32,
        "lr_scheduler_type": "cosine", "warmup_steps": 3, "logging_steps": 1, "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
        "use_cpu": cpu, "bf16": bf16, "gradient_checkpointing": not cpu, "dataloader_pin_memory": not cpu,
    }  # fmt: skip
    progress = _progress(job["kind"])
    if job["kind"] == "sft":
        arguments = trl.SFTConfig(**shared, completion_only_loss=True)
        return trl.SFTTrainer(model=job["model"], args=arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=[progress])
    weights = {"loss_weights": recipe["loss_weights"]} if len(recipe["loss_type"]) > 1 else {}
    arguments = trl.DPOConfig(
        **shared, **weights, beta=recipe["beta"], loss_type=recipe["loss_type"], precompute_ref_log_probs=True,
        precompute_ref_batch_size=max(64, recipe["batch_size"]),
    )  # fmt: skip
    # The path, never an instance: TRL reloads the reference from disk, and a model changed in memory would get a wrong one silently.
    return trl.DPOTrainer(model=job["model"], args=arguments, train_dataset=dataset, processing_class=tokenizer, callbacks=[progress])


def _progress(kind: str) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
            if logs and "loss" in logs and (state.global_step % 5 == 0 or state.global_step == state.max_steps):
                print(f"progress {kind} {state.global_step}/{state.max_steps} loss {float(logs['loss']):.3f}", flush=True)

    return Progress()


def _mean(values: list[Any]) -> float:
    return sum(float(v) for v in values) / len(values)


def main(job_file: str) -> int:
    """Read the job, train, write `result.json` into the job's folder last."""
    watch_parent()
    job = json.loads(Path(job_file).read_bytes())
    try:
        result = train(job)
    except TrainingFailed as error:
        print(f"failed: {error}", flush=True)
        return 1
    (Path(job_file).parent / "result.json").write_text(json.dumps(result, sort_keys=True, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
