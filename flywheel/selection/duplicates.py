"""Near-duplicate groups by MinHash over word triples: a group costs one label at most.

Two texts are near-duplicates when their guards are equal (the numbers of the prompt: "5 days" is not "35 days") and the Jaccard
similarity of their word triples, computed exactly for the candidates that MinHash proposes, reaches the threshold. Broder 1997;
banding after Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from flywheel.errors import BadInput
from flywheel.selection.prompts import normalise, numbers

PERMUTATIONS = 128
SEED = 1
MISSED = 1e-3  # the banding proposes a pair at the threshold with at least this complement


def near_duplicate_groups(ids: Sequence[str], texts: Sequence[str], guards: Sequence[str], similarity: float) -> list[str]:
    """The group of each row: the smallest id of its members. Does not depend on the order of the rows.

    `texts` are compared in normal form (`flywheel.selection.prompts.normalise`); rows whose guards' numbers differ are never grouped. A
    row joins the first group (in order of ids) whose representative it resembles. Raises `BadInput` when an id occurs twice.
    """
    if len(set(ids)) != len(ids):
        raise BadInput("near-duplicate grouping needs distinct ids: an id occurs twice in the table")
    order = sorted(range(len(ids)), key=lambda i: ids[i])
    first: dict[tuple[tuple[str, ...], str], int] = {}
    parent = list(range(len(ids)))
    for i in order:  # exact duplicates cost a dictionary look-up, and MinHash sees each text once
        parent[i] = first.setdefault((numbers(guards[i]), normalise(texts[i])), i)
    distinct = list(first.items())
    triples = [_word_triples(text) for (_, text), _ in distinct]
    signatures = _signatures(triples)
    bands = _bands(similarity)
    width = PERMUTATIONS // bands
    leader = list(range(len(distinct)))  # rows of `distinct` ascend by id, so a leader always precedes its followers

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for band in range(bands):
        buckets: dict[tuple[tuple[str, ...], bytes], list[int]] = defaultdict(list)
        keys = np.ascontiguousarray(signatures[:, band * width : (band + 1) * width])
        for row, ((guard, _), _) in enumerate(distinct):
            buckets[guard, keys[row].tobytes()].append(row)
        for rows in buckets.values():
            representatives: list[int] = []
            for row in rows:
                mine = find(row)
                if mine in representatives:
                    continue
                near = next((r for r in representatives if _jaccard(triples[find(r)], triples[mine]) >= similarity), None)
                if near is None:
                    representatives.append(mine)
                else:
                    low, high = sorted((find(near), mine))
                    leader[high] = low
    row_of = {i: row for row, (_, i) in enumerate(distinct)}
    return [ids[distinct[find(row_of[parent[i]])][1]] for i in range(len(ids))]


def _word_triples(text: str) -> frozenset[str]:
    words = ["", *text.split(), ""]  # the edges make triples of texts of one or two words
    return frozenset(" ".join(words[at : at + 3]) for at in range(max(len(words) - 2, 1)))


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


def _bands(similarity: float) -> int:
    """Fewest bands (a divisor of the permutations) that miss a pair at the threshold with probability below MISSED."""
    return next(
        (b for b in (1, 2, 4, 8, 16, 32, 64) if (1 - similarity ** (PERMUTATIONS // b)) ** b < MISSED),
        PERMUTATIONS,
    )


def _signatures(triples: Sequence[frozenset[str]]) -> np.ndarray[tuple[int, int], np.dtype[np.uint32]]:
    import rensa

    if not triples:
        return np.zeros((0, PERMUTATIONS), np.uint32)
    matrix = rensa.RMinHash.digest_matrix_from_token_sets([sorted(t) for t in triples], PERMUTATIONS, SEED)
    return np.array(matrix.to_rows(), dtype=np.uint32).reshape(len(triples), PERMUTATIONS)
