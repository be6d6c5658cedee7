"""Subprocess entry: train the demo world's tiny language model from nothing. `python -m flywheel.training.base_trainer JOB.json`.

Two stages (facts/training-world.md): first answers *as asked*, so that the model learns to read the requirements; then the log of the
untuned assistant, whose mode is systematically wrong on the tail. The result is able but badly habituated: preference training has
something to gain, in both domains and under greedy decoding too. A base that cannot read, or that is right already, is refused.
"""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flywheel.errors import TrainingFailed
from flywheel.training.base_recipe import Recipe
from flywheel.training.processes import watch_parent

if TYPE_CHECKING:
    from flywheel.shopforge.world import Prompt

Row = tuple[list[int], int]  # token ids, of which so many are the prompt


MAXIMUM_GREEDY_OK, MINIMUM_READING, MINIMUM_ANY_OK, TRIES = 0.6, 0.2, 0.3, 4
ATTEMPTS = 3  # the gate's figures vary with the seed by about .05; another seed is tried before giving up


def train_base(recipe: Recipe, out: Path, seed: int) -> dict[str, Any]:
    """Write model and tokenizer to `out`; gives the gate's figures. Raises `TrainingFailed` when the gate is not met."""
    import torch
    import transformers

    from flywheel.training.phrase_tokenizer import train_tokenizer

    rng = random.Random(seed)
    ability = world_rows(rng, recipe.ability_rows, recipe.code_share, recipe.accuracy)
    habit = world_rows(rng, recipe.habit_rows, recipe.habit_code_share, None)
    tokenizer = train_tokenizer(p.text + answer for p, answer in ability[:6_000] + habit[:6_000])
    transformers.set_seed(seed % 2**32)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=recipe.hidden, intermediate_size=3 * recipe.hidden, num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads, num_key_value_heads=recipe.heads, max_position_embeddings=recipe.context,
        tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    _fit(model, _encode(tokenizer, ability), recipe.ability_epochs, recipe.ability_learning_rate, recipe, rng, "stage 1")
    _fit(model, _encode(tokenizer, habit), recipe.habit_epochs, recipe.habit_learning_rate, recipe, rng, "stage 2")
    model.eval()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    figures: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters()), "vocabulary": len(tokenizer)}
    if recipe.gate_prompts:
        figures |= measure(out, recipe.gate_prompts, torch.get_num_threads())
        check(figures)
    return figures


def world_rows(rng: random.Random, n: int, code_share: float, accuracy: float | None) -> list[tuple[Prompt, str]]:
    """Prompts of the training clusters with answers."""
    from flywheel.shopforge.world import base_response, sample_prompt

    rows: list[tuple[Prompt, str]] = []
    while len(rows) < n:
        prompt = sample_prompt(rng, code_share=code_share)
        if prompt.split == "train":
            rows.append((prompt, base_response(rng, prompt, accuracy)))
    return rows


def _encode(tokenizer: Any, rows: list[tuple[Prompt, str]]) -> list[Row]:
    asked = tokenizer([p.text for p, _ in rows])["input_ids"]
    answered = tokenizer([answer for _, answer in rows])["input_ids"]
    return [([*q, *a, tokenizer.eos_token_id], len(q)) for q, a in zip(asked, answered, strict=True)]


def _fit(model: Any, rows: list[Row], epochs: int, rate: float, recipe: Recipe, rng: random.Random, name: str) -> None:
    """AdamW with warm-up and cosine decay, loss on the answer only; like lengths share a batch."""
    import torch

    size = recipe.batch
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    total, step, losses = epochs * math.ceil(len(rows) / size), 0, []
    model.train()
    for _ in range(epochs):
        for batch in _batches(rows, size, rng):
            width = max(len(ids) for ids, _ in batch)
            ids = torch.tensor([r + [0] * (width - len(r)) for r, _ in batch])
            # right padding under a causal mask: no attention mask is needed, and without one attention is faster
            labels = torch.tensor([[-100] * q + r[q:] + [-100] * (width - len(r)) for r, q in batch])
            factor = min(1.0, (step + 1) / recipe.warm_up_steps) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
            hidden = model.model(input_ids=ids).last_hidden_state
            at = labels[:, 1:] != -100
            logits = model.lm_head(hidden[:, :-1][at])
            loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][at])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            losses.append(float(loss.detach()))
            if step % 50 == 0 or step == total:
                print(f"progress {name} {step}/{total} loss {sum(losses[-50:]) / len(losses[-50:]):.3f}", flush=True)


def _batches(rows: list[Row], size: int, rng: random.Random) -> list[list[Row]]:
    order = list(range(len(rows)))
    rng.shuffle(order)
    chunk = size * 16
    sorted_chunks = [sorted(order[s : s + chunk], key=lambda i: (len(rows[i][0]), i)) for s in range(0, len(order), chunk)]
    batches = [[rows[i] for i in c[s : s + size]] for c in sorted_chunks for s in range(0, len(c), size)]
    rng.shuffle(batches)
    return batches


def measure(folder: Path, n: int, threads: int) -> dict[str, float]:
    """The gate's figures on `n` held-out (dev) prompts a domain: greedy `ok` rate, share of prompts where any of four samples is ok, and
    how far the code domain's second options depend on being asked for (P(2 | asked 2) - P(2 | asked 1))."""
    from flywheel.settings import TrainingSettings
    from flywheel.shopforge.oracle import utility
    from flywheel.shopforge.world import sample_prompt
    from flywheel.training.generation import load_generator

    generator = load_generator(folder, TrainingSettings(threads=threads))
    figures: dict[str, float] = {}
    for domain in ("support", "code"):
        rng = random.Random(f"base gate {domain}")
        prompts: list[Prompt] = []
        while len(prompts) < n:
            prompt = sample_prompt(rng, domain)
            if prompt.split == "dev":
                prompts.append(prompt)
        texts = [p.text for p in prompts]
        greedy = generator.generate(texts, temperature=0)
        samples = generator.generate(texts, n=TRIES, temperature=1.0, seed=1)
        figures[f"greedy_ok_{domain}"] = sum(bool(utility(t, g[0]).ok) for t, g in zip(texts, greedy, strict=True)) / n
        figures[f"any_ok_{domain}"] = sum(any(utility(t, a).ok for a in s) for t, s in zip(texts, samples, strict=True)) / n
        if domain == "code":
            figures["reading"] = _reading(prompts, [s[0] for s in samples])
    return figures


def _reading(prompts: list[Prompt], answers: list[str]) -> float:
    """P(option 2 written | asked) - P(option 2 written | not asked), over all requirements of answers that can be read."""
    from itertools import product

    from flywheel.shopforge.code import DANGEROUS_LINE, code_body

    written = {0: [0, 0], 1: [0, 0]}  # asked -> how often option 0, 1 was written
    for prompt, answer in zip(prompts, answers, strict=True):
        function, asked = prompt.slots[0], prompt.slots[1]
        lines = [x.strip() for x in answer.split("\n")[1:]]
        lines = [x for x in lines if x and not x.startswith("#") and x != DANGEROUS_LINE]
        for options in product((0, 1), repeat=3):
            if lines == code_body(str(function), options):  # type: ignore[arg-type]
                for wanted, found in zip(asked, options, strict=True):  # type: ignore[arg-type]
                    written[int(wanted)][found] += 1
                break
    share = {asked: counts[1] / max(1, sum(counts)) for asked, counts in written.items()}
    return share[1] - share[0]


def check(figures: dict[str, Any]) -> None:
    """Raise `TrainingFailed` with every figure unless the base leaves room to improve and can be improved."""
    problems = []
    for domain in ("support", "code"):
        if figures[f"greedy_ok_{domain}"] > MAXIMUM_GREEDY_OK:
            problems.append(f"greedy answers in {domain} are right too often (more than {MAXIMUM_GREEDY_OK}): nothing to gain")
        if figures[f"any_ok_{domain}"] < MINIMUM_ANY_OK:
            problems.append(
                f"fewer than {MINIMUM_ANY_OK} of the {domain} prompts have a right answer among {TRIES} samples: nothing to learn from"
            )
    if figures["reading"] < MINIMUM_READING:
        problems.append(f"code answers hardly depend on what was asked (difference below {MINIMUM_READING})")
    if problems:
        shown = ", ".join(f"{k} {v:.3f}" for k, v in sorted(figures.items()) if isinstance(v, float))
        raise TrainingFailed("the base model does not pass its gate: " + "; ".join(problems) + f" ({shown})")


def main(job_file: str) -> int:
    """Read the job, train, write `result.json` beside the model."""
    import torch

    watch_parent()
    job = json.loads(Path(job_file).read_bytes())
    torch.set_num_threads(job["threads"])
    torch.use_deterministic_algorithms(True)
    out = Path(job["out"])
    for attempt in range(ATTEMPTS):
        try:
            figures = train_base(Recipe(**job["recipe"]), out, job["seed"] + attempt)
            break
        except TrainingFailed as error:
            print(f"failed: {error}", flush=True)
    else:
        return 1
    figures["attempts"] = attempt + 1
    (out / "base.json").write_text(json.dumps({"figures": figures, "recipe": job["recipe"], "seed": job["seed"]}, sort_keys=True, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
