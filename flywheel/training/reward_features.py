"""What the linear reward model looks at: hashed clauses of the response, alone and crossed with pieces of the prompt.

Sentence embeddings hardly see whether code is right or a policy was followed (facts: .556 against .617-.667 on code); crossing each
clause of the answer with each stated circumstance of the question keeps exactly that interaction, in any text and any language.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WIDTH = 1 << 15
MAXIMUM_CLAUSES, MAXIMUM_PIECES = 40, 48
WORDS_A_LENGTH_UNIT = 30.0
WORD_WEIGHT = 0.3  # words back up clauses where free text never repeats one; lighter, so that they do not drown the crosses
CLAUSE_END = re.compile(r"(?<=[.!?;:])\s+|\n+")
PIECE_END = re.compile(r"\s*[.,;:!?()\[\]{}|/]+\s*|\n+")
BRACKETED = re.compile(r"\[([A-Z_]+\d*)\]")
ANSWER_TAIL = re.compile(r"\s*(Reply|Code|Answer|Assistant):\s*$")


def clauses(text: str) -> list[str]:
    """Sentences and lines, lower case, in order, each once.

    >>> clauses("I am sorry . I have issued a refund .")
    ['i am sorry', 'i have issued a refund']
    """
    parts = (p.strip().rstrip(" .!?;:").lower() for p in CLAUSE_END.split(text))
    return list(dict.fromkeys(p for p in parts if p))[:MAXIMUM_CLAUSES]


def pieces(prompt: str) -> list[str]:
    """Segments of a prompt between punctuation marks, the last ones where there are too many (the question is at the end)."""
    plain = BRACKETED.sub(r"\1", ANSWER_TAIL.sub("", prompt))
    parts = (p.strip().lower() for p in PIECE_END.split(plain))
    return list(dict.fromkeys(p for p in parts if p))[-MAXIMUM_PIECES:]


def features(prompts: Sequence[str], responses: Sequence[str]) -> csr_matrix:
    """Sparse matrix (n, WIDTH + 1) of signed hashed counts; the last column is the length in units of 30 words. CRC-32 is the hash:
    the same on every machine and version."""
    from scipy.sparse import csr_matrix

    indices: list[int] = []
    values: list[float] = []
    starts = [0]
    for prompt, response in zip(prompts, responses, strict=True):
        said = clauses(response)
        asked = pieces(prompt)
        words = dict.fromkeys(response.lower().split())
        names = [f"c\t{c}" for c in said] + [f"x\t{c}\t{p}" for c in said for p in asked]
        hashes = np.array([zlib.crc32(name.encode()) for name in names], dtype=np.int64)
        indices.extend((hashes % WIDTH).tolist())
        values.extend(np.where(hashes >> 31, 1.0, -1.0).tolist())
        light = np.array([zlib.crc32(f"w\t{w}".encode()) for w in words], dtype=np.int64)
        indices.extend((light % WIDTH).tolist())
        values.extend(np.where(light >> 31, WORD_WEIGHT, -WORD_WEIGHT).tolist())
        indices.append(WIDTH)
        values.append(len(response.split()) / WORDS_A_LENGTH_UNIT)
        starts.append(len(indices))
    matrix = csr_matrix(
        (np.array(values), np.array(indices, dtype=np.int64), np.array(starts, dtype=np.int64)), shape=(len(prompts), WIDTH + 1)
    )
    matrix.sum_duplicates()
    return matrix
