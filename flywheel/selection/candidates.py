"""The joined pool of a round: pairs, their vectors and their uncertainty in one order, checked."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flywheel.errors import BadInput
from flywheel.selection.strategies.interface import Floats, Indices, Vectors


@dataclass(frozen=True)
class Candidates:
    """One row a pair, ascending by pair_id. `uncertainty` is None in a bootstrap round."""

    pair_id: list[str]
    record_id: list[str]
    domain: list[str]
    cluster: list[str]
    group: list[str]
    vectors: Vectors
    uncertainty: Floats | None
    embedder: str | None
    model_id: str | None
    sha256: str

    def __len__(self) -> int:
        return len(self.pair_id)

    def representatives(self, taken_groups: set[str], domain: str | None = None) -> Indices:
        """One row of each near-duplicate group that has no label yet: its most uncertain, ties to the lower row. Ascending."""
        best: dict[str, int] = {}
        for i, group in enumerate(self.group):
            if group in taken_groups or (domain is not None and self.domain[i] != domain):
                continue
            if group not in best or (self.uncertainty is not None and self.uncertainty[i] > self.uncertainty[best[group]]):
                best[group] = i
        return np.array(sorted(best.values()), dtype=np.int64)


def join_candidates(pairs: pa.Table, embeddings: pa.Table, uncertainty: pa.Table, *, round: str) -> Candidates:
    """The three tables joined by pair_id. Raises `BadInput` when one lacks a pair of the others, an id occurs twice, a vector is not
    finite, or only some pairs have an uncertainty."""
    pairs, embeddings, uncertainty = (t.sort_by("pair_id") for t in (pairs, embeddings, uncertainty))
    pair_id: list[str] = pairs["pair_id"].to_pylist()
    if len(set(pair_id)) != len(pair_id):
        raise BadInput(f"response_pairs[{round}]: a pair_id occurs twice; materialize `response_pairs` again")
    for name, table in (("embeddings", embeddings), ("uncertainty", uncertainty)):
        other = table["pair_id"].to_pylist()
        if other != pair_id:
            odd = sorted(set(pair_id) ^ set(other)) or sorted(other)
            raise BadInput(
                f"{name}[{round}] does not have the pairs of response_pairs[{round}] (first difference: {odd[0]}); materialize `{name}` again"
            )
    vectors = _vectors(embeddings, round)
    signal = _signal(uncertainty, pair_id, round)
    group: list[str] = embeddings["duplicate_group"].to_pylist()
    columns = [pair_id, pairs["domain"].to_pylist(), pairs["prompt_cluster"].to_pylist(), group]
    digest = hashlib.sha256(json.dumps(columns, ensure_ascii=False).encode())
    digest.update(np.ascontiguousarray(vectors).tobytes())
    digest.update(b"" if signal is None else signal.tobytes())
    return Candidates(
        pair_id=pair_id, record_id=pairs["record_id"].to_pylist(), domain=columns[1], cluster=columns[2], group=group, vectors=vectors,
        uncertainty=signal, embedder=_only(embeddings, "embedder", round), model_id=_only(uncertainty, "model_id", round), sha256=digest.hexdigest(),
    )  # fmt: skip


def _vectors(embeddings: pa.Table, round: str) -> Vectors:
    n = embeddings.num_rows
    column = embeddings["vector"].combine_chunks()
    widths = set(pc.list_value_length(column).to_pylist()) or {1}
    if len(widths) != 1 or widths & {0, None}:
        raise BadInput(f"embeddings[{round}]: vectors of different or no width: {sorted(map(str, widths))}; materialize `embeddings` again")
    vectors: Vectors = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(n, widths.pop())
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        row = embeddings["pair_id"][int(bad.argmax())].as_py()
        raise BadInput(f"embeddings[{round}]: the vector of pair {row} holds a value that is not finite; materialize `embeddings` again")
    return vectors


def _signal(uncertainty: pa.Table, pair_id: list[str], round: str) -> Floats | None:
    column = uncertainty["uncertainty"]
    if column.null_count == len(column):
        return None
    values: Floats = column.to_numpy().astype(np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        raise BadInput(
            f"uncertainty[{round}]: {int(bad.sum())} of {len(values)} pairs have none (first: {pair_id[int(bad.argmax())]}); a model scores "
            "all pairs or none: materialize `uncertainty` again"
        )
    return values


def _only(table: pa.Table, column: str, round: str) -> str | None:
    values: list[Any] = table[column].unique().to_pylist()
    if len(values) > 1:
        raise BadInput(
            f"round {round}: mixed {column}s {sorted(map(str, values))}: vectors and scores of different origin cannot be compared"
        )
    return values[0] if values else None
