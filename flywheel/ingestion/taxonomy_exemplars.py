"""Labelled exemplars: a question takes the label of the exemplars that lie nearest to it, where they agree clearly enough."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from flywheel.selection import Embed

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
BATCH = 4_096


class Neighbours(BaseModel):
    """How many exemplars vote, from which cosine similarity on, and by how much of the votes the first label must lead the second."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    count: int = Field(5, ge=1, le=100)
    similarity: float = Field(0.25, ge=-1, le=1)
    margin: float = Field(0.2, ge=0, le=1)


class Exemplar(BaseModel):
    """A question whose task type, domain or both are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    text: str = Field(min_length=1, max_length=4_000)
    task_type: Name | None = None
    domain: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Exemplar:
        if self.task_type is None and self.domain is None:
            raise ValueError("an exemplar needs a task_type or a domain")
        return self


def nearest(kind: str, texts: Sequence[str], exemplars: tuple[Exemplar, ...], neighbours: Neighbours, embedder: str) -> list[str | None]:
    """Label (`kind` is task_type or domain) of each text, None where the exemplars do not say clearly."""
    labelled = tuple(e for e in exemplars if getattr(e, kind))
    if not texts or not labelled:
        return [None] * len(texts)
    labels = sorted({str(getattr(e, kind)) for e in labelled})
    of_exemplar = np.array([labels.index(str(getattr(e, kind))) for e in labelled])
    known = _exemplar_vectors(embedder, tuple(e.text for e in labelled))
    unique = list(dict.fromkeys(t for t in texts if t.strip()))
    found: dict[str, str | None] = {}
    for at in range(0, len(unique), BATCH):
        part = unique[at : at + BATCH]
        for text, label in zip(part, _vote(_embedder(embedder)(part) @ known.T, of_exemplar, labels, neighbours), strict=True):
            found[text] = label
    return [found.get(t) for t in texts]


def _vote(similarities: Any, of_exemplar: Any, labels: list[str], neighbours: Neighbours) -> list[str | None]:
    """Each neighbour that is similar enough votes with its similarity."""
    order = np.argsort(-similarities, axis=1, kind="stable")[:, : neighbours.count]
    weights = np.take_along_axis(similarities, order, axis=1)
    weights = np.where(weights >= neighbours.similarity, np.maximum(weights, 0), 0)
    votes = np.zeros((len(similarities), len(labels)))
    rows = np.arange(len(similarities))
    for column in range(order.shape[1]):
        np.add.at(votes, (rows, of_exemplar[order[:, column]]), weights[:, column])
    total = votes.sum(axis=1)
    ranked = np.sort(votes, axis=1)
    second = ranked[:, -2] if votes.shape[1] > 1 else np.zeros(len(votes))
    clear = (total > 0) & (ranked[:, -1] - second >= neighbours.margin * np.maximum(total, 1e-12))
    best = votes.argmax(axis=1)
    return [labels[b] if c else None for b, c in zip(best.tolist(), clear.tolist(), strict=True)]


@cache
def _embedder(name: str) -> Embed:
    from flywheel.selection import load_embedder

    return load_embedder(name)


@cache
def _exemplar_vectors(embedder: str, texts: tuple[str, ...]) -> Any:
    return _embedder(embedder)(list(texts))
