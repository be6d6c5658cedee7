"""Sampling from any causal language model: one key-value cache a batch, finished rows dropped, own random numbers.

Each answer has its own stream of uniform numbers, fixed by (seed, position in the request): an answer depends neither on the other
rows of its batch nor on the batch size, and two models asked with one seed share their random numbers (common random numbers, so that
a comparison of similar models has less noise; each model's own distribution is untouched).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flywheel.errors import BadInput, NotFound
from flywheel.records import Message
from flywheel.settings import TrainingSettings
from flywheel.training.prompts import render_for

if TYPE_CHECKING:
    import torch

Sampler = Callable[[Sequence[Sequence[Message]], int, int], list[list[str]]]
SMALL_MODEL_PARAMETERS = 20_000_000
SMALL_MODEL_ROWS, LARGE_MODEL_ROWS = 256, 16


class Generator:
    """A loaded model. `truncated` counts prompts that were cut on the left because they did not fit the context."""

    def __init__(self, model: Any, tokenizer: Any, settings: TrainingSettings, rows: int | None = None) -> None:
        self.model, self.tokenizer, self.settings = model, tokenizer, settings
        size = sum(p.numel() for p in model.parameters())
        self.rows = rows or (SMALL_MODEL_ROWS if size <= SMALL_MODEL_PARAMETERS else LARGE_MODEL_ROWS)
        self.truncated = 0
        self._accepted = set(inspect.signature(model.forward).parameters)
        ends = getattr(model.generation_config, "eos_token_id", None)
        ends = ends if isinstance(ends, list) else [ends]
        self._ends = sorted({int(e) for e in (*ends, tokenizer.eos_token_id) if e is not None})

    def render(self, messages: Sequence[Message | Mapping[str, Any]]) -> str:
        """The text that this model continues (its chat template, else the plain rendering)."""
        return render_for(self.tokenizer, messages)

    def generate(
        self, prompts: Sequence[str], n: int = 1, temperature: float = 1.0, seed: int = 0, max_new_tokens: int | None = None
    ) -> list[list[str]]:
        """`n` answers to each prompt; `temperature` 0 is greedy. The same arguments give the same texts."""
        import torch

        limit = max_new_tokens or self.settings.max_new_tokens
        encoded = [self._fitted(ids, limit) for ids in self._encode(prompts)]
        requests = [(len(encoded[i]), i * n + k, i) for i in range(len(prompts)) for k in range(n)]
        order = sorted(requests)  # like lengths together: little padding
        uniform = np.random.default_rng(seed).random((len(requests), limit)) if temperature > 0 else None
        answers: list[list[int]] = [[] for _ in requests]
        with torch.inference_mode():
            for start in range(0, len(order), self.rows):
                batch = order[start : start + self.rows]
                slots = [slot for _, slot, _ in batch]
                noise = None if uniform is None else torch.from_numpy(uniform[slots]).to(self.model.device)
                for slot, tokens in zip(slots, self._continue([encoded[i] for _, _, i in batch], noise, temperature, limit), strict=True):
                    answers[slot] = tokens
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True, clean_up_tokenization_spaces=False) if answers else []
        return [texts[i * n : (i + 1) * n] for i in range(len(prompts))]

    def mean_logprob(self, prompts: Sequence[str], responses: Sequence[str]) -> np.ndarray:
        """Mean natural log-probability a token of each response (its end-of-sequence token included), shape (n,)."""
        import torch

        bodies = [[*ids, self.tokenizer.eos_token_id] for ids in self._encode(responses, special=False)]
        heads = [self._fitted(ids, len(body)) for ids, body in zip(self._encode(prompts), bodies, strict=True)]
        values = np.zeros(len(bodies))
        order = sorted(range(len(bodies)), key=lambda i: (len(heads[i]) + len(bodies[i]), i))
        with torch.inference_mode():
            for start in range(0, len(order), self.rows):
                batch = order[start : start + self.rows]
                ids, mask = self._padded([heads[i] + bodies[i] for i in batch])
                logits = self.model(input_ids=ids, attention_mask=mask, **self._positions(mask)).logits
                logp = torch.log_softmax(logits[:, :-1].float(), -1).gather(-1, ids[:, 1:, None])[:, :, 0]
                for row, i in enumerate(batch):  # left padding: the response is the tail
                    values[i] = float(logp[row, -len(bodies[i]) :].mean())
        return values

    def _encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=special, return_attention_mask=False)["input_ids"]
        return found

    def _fitted(self, ids: list[int], reserved: int) -> list[int]:
        room = getattr(self.model.config, "max_position_embeddings", None)
        if room is None or len(ids) + reserved <= room:
            return ids
        if reserved >= room:
            raise BadInput(f"{reserved} new tokens do not fit the model's context of {room}; lower training.max_new_tokens")
        self.truncated += 1
        return ids[-(room - reserved) :]

    def _padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        width = max(map(len, rows))
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (width - len(r)) + r for r in rows])
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows])
        return ids.to(self.model.device), mask.to(self.model.device)

    def _positions(self, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if "position_ids" in self._accepted else {}

    def _continue(self, prompts: list[list[int]], noise: torch.Tensor | None, temperature: float, limit: int) -> list[list[int]]:
        import torch
        from transformers import DynamicCache

        ids, mask = self._padded(prompts)
        extra: dict[str, Any] = self._positions(mask)
        if "logits_to_keep" in self._accepted:
            extra["logits_to_keep"] = 1
        cache = DynamicCache(config=self.model.config)
        ends = torch.tensor(self._ends, device=ids.device)
        live = torch.arange(len(prompts), device=ids.device)
        answers: list[list[int]] = [[] for _ in prompts]
        for step in range(limit):
            logits = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra).logits[:, -1]
            chosen = logits.argmax(-1) if noise is None else _inverse_cdf(logits / temperature, noise[live, step])
            done = torch.isin(chosen, ends)
            for row, token, ended in zip(live.tolist(), chosen.tolist(), done.tolist(), strict=True):
                if not ended:
                    answers[row].append(token)
            if bool(done.all()):
                break
            if "position_ids" in extra:
                extra["position_ids"] = extra["position_ids"][:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            ids = chosen[:, None]
            if bool(done.any()):
                kept = (~done).nonzero()[:, 0]
                live, mask, ids = live[kept], mask[kept], ids[kept]
                if "position_ids" in extra:
                    extra["position_ids"] = extra["position_ids"][kept]
                cache.batch_select_indices(kept)
        return answers


def _inverse_cdf(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """One token a row by inverting the cumulative distribution at `uniform`, in double precision (float32 sums over a large
    vocabulary lose the tail)."""
    import torch

    cumulative = torch.softmax(logits.double(), -1).cumsum(-1)
    target = uniform.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def load_generator(model_dir: Path | str, settings: TrainingSettings) -> Generator:
    """Load a model folder (or Hugging Face name) for sampling, float32 on a CPU, its own precision on a GPU. Raises `NotFound`."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    device = torch_device(settings)
    if device == "cpu":
        torch.set_num_threads(settings.threads)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(model_dir))
        model = transformers.AutoModelForCausalLM.from_pretrained(str(model_dir), dtype=torch.float32 if device == "cpu" else "auto")
    except (OSError, ValueError) as error:
        raise NotFound(f"{model_dir} cannot be loaded as a causal language model: {str(error).splitlines()[0]}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Generator(model.to(device).eval(), tokenizer, settings)


def load_sampler(model_dir: Path | str, settings: TrainingSettings) -> Sampler:
    """What `flywheel.selection` asks for second responses: (conversations, answers each, seed) to texts, at `sampling_temperature`."""
    generator = load_generator(model_dir, settings)

    def sample(conversations: Sequence[Sequence[Message]], n: int, seed: int) -> list[list[str]]:
        prompts = [generator.render(messages) for messages in conversations]
        return generator.generate(prompts, n=n, temperature=settings.sampling_temperature, seed=seed)

    return sample


def torch_device(settings: TrainingSettings) -> str:
    """`cpu` or `cuda`. Raises `BadInput` where a GPU was demanded and there is none."""
    import torch

    if settings.device == "cpu" or (settings.device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise BadInput("training.device is 'cuda' but torch sees no GPU; set it to 'cpu' or 'auto', or install a CUDA build of torch")
    return "cuda"
