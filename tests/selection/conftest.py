from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from flywheel.records import EmbeddingRow, Generation, Message, Pair, RedactedRecord, Response, Source, UncertaintyRow
from flywheel.selection.prompts import prompt_cluster, prompt_sha256
from flywheel.storage import Ids, to_table

ROUND = "2026-01-05"


def answer(text: str, model: str = "base-1", **generation) -> Response:
    return Response(text=text, generation=Generation(model_id=model, **generation))


@pytest.fixture
def ids() -> Ids:
    return Ids(bytes(range(32)))


@pytest.fixture
def record() -> Callable[..., RedactedRecord]:
    def make(name: str, prompt: str, *texts: str, domain: str = "support", round: str = ROUND) -> RedactedRecord:
        return RedactedRecord(
            round=round, record_id=name, conversation_id=f"c-{name}", subject_id=f"s-{name}", timestamp=datetime(2026, 1, 6, tzinfo=UTC),
            domain=domain, task_type="generation", messages=[Message(role="user", content=prompt)], responses=[answer(t) for t in texts],
            source=Source(format="flywheel", file="logs.jsonl"), content_sha256="0" * 64, purposes=["labeling"], redaction_version="1",
        )  # fmt: skip

    return make


@pytest.fixture
def pool(record) -> Callable[[list], pa.Table]:
    return lambda records: to_table(RedactedRecord, records)


@pytest.fixture
def make_pair() -> Callable[..., Pair]:
    def make(
        name: str, prompt: str = "", a: str = "yes", b: str = "no", *, domain: str = "support", cluster: str | None = None, record: str | None = None,
        logprobs: list[float] | None = None,
    ) -> Pair:  # fmt: skip
        messages = [Message(role="user", content=prompt or f"prompt of {name}")]
        return Pair(
            round=ROUND, pair_id=name, record_id=record or f"r-{name}", conversation_id=f"c-{name}", subject_id=f"s-{name}", domain=domain,
            task_type="generation", prompt=messages, response_a=answer(a, token_logprobs=logprobs), response_b=answer(b),
            prompt_sha256=prompt_sha256(messages), prompt_cluster=cluster or prompt_cluster(messages), redaction_version="1", second_response="log",
        )  # fmt: skip

    return make


@pytest.fixture
def tables(make_pair):
    """(pairs, embeddings, uncertainty) of a pool with given vectors, uncertainties, domains and groups."""

    def make(vectors, uncertainty=None, domains=None, groups=None, clusters=None, records=None):
        n = len(vectors)
        names = [f"p{i:05d}" for i in range(n)]
        domains = domains or ["support"] * n
        groups = groups or names
        pairs = [
            make_pair(m, domain=domains[i], cluster=clusters[i] if clusters else f"k{i}", record=records[i] if records else None)
            for i, m in enumerate(names)
        ]
        embeddings = [
            {
                "round": ROUND, "pair_id": m, "record_id": pairs[i].record_id, "vector": [], "embedder": "test", "text_sha256": m,
                "duplicate_group": groups[i], "duplicate_count": groups.count(groups[i]),
            }
            for i, m in enumerate(names)
        ]  # fmt: skip
        table = to_table(EmbeddingRow, embeddings)
        matrix = np.asarray(vectors, np.float32)
        if n:
            column = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
            table = table.set_column(table.column_names.index("vector"), "vector", column)
        signals = [
            UncertaintyRow(
                round=ROUND, pair_id=m, record_id=pairs[i].record_id, uncertainty=None if uncertainty is None else float(uncertainty[i]),
                model_id=None if uncertainty is None else "rm-1",
            )
            for i, m in enumerate(names)
        ]  # fmt: skip
        return to_table(Pair, pairs), table, to_table(UncertaintyRow, signals)

    return make


@pytest.fixture
def hash_embed() -> Callable[[list[str]], np.ndarray]:
    """An embedder without weights: a bag of hashed words."""

    def embed(texts: list[str]) -> np.ndarray:
        out = np.zeros((len(texts), 32), np.float32)
        for i, text in enumerate(texts):
            for word in text.split():
                out[i, hashlib.sha256(word.encode()).digest()[0] % 32] += 1
        return out

    return embed


@pytest.fixture
def banking77() -> Path:
    path = Path(__file__).resolve().parents[3] / "shared/data/selection/banking77.jsonl.gz"
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared data folder")
    return path
