from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from flywheel.errors import BadInput
from flywheel.records import Pair, UncertaintyRow
from flywheel.selection import uncertainty_signals
from flywheel.storage import empty_table, from_table, to_table

ROUND = "2026-01-05"


@dataclass
class Scorer:
    answer: object
    model_id: str = "rm-1"

    def predict(self, pairs):
        return np.asarray(self.answer, dtype=float)


@pytest.fixture
def signals(make_pair, tables):
    def run(answer, **options) -> list[UncertaintyRow]:
        n = np.asarray(answer).shape[-1]
        pairs = to_table(Pair, [make_pair(f"p{i:05d}", **options) for i in range(n)])
        _, embeddings, _ = tables(np.ones((n, 2)))
        return from_table(UncertaintyRow, uncertainty_signals(pairs, embeddings, round=ROUND, model=Scorer(answer)))

    return run


def test_signals_of_known_probabilities(signals):
    (row,) = signals([[0.9], [0.5]])
    h = -(0.7 * math.log(0.7) + 0.3 * math.log(0.3))
    mean_h = (-(0.9 * math.log(0.9) + 0.1 * math.log(0.1)) + math.log(2)) / 2
    assert row.p_a == pytest.approx(0.7)
    assert row.entropy == pytest.approx(h)
    assert row.margin == pytest.approx(1 - 0.4)
    assert row.least_confidence == pytest.approx(0.3)
    assert row.epistemic == pytest.approx(h - mean_h)
    assert row.uncertainty == pytest.approx(h / math.log(2))
    assert (row.model_id, row.mean_token_logprob) == ("rm-1", None)


def test_an_even_pair_is_wholly_uncertain_and_a_certain_one_not_at_all(signals):
    even, sure, never = signals([[0.5, 1.0, 0.0]])
    assert (even.uncertainty, even.margin, even.epistemic) == (1.0, 1.0, 0.0)
    assert [sure.uncertainty, never.uncertainty, sure.entropy, never.entropy] == [0.0] * 4


def test_token_log_probabilities_are_averaged_where_the_log_had_them(signals):
    assert signals([[0.5]], logprobs=[-1.0, -2.0])[0].mean_token_logprob == -1.5
    assert signals([[0.5]], logprobs=[])[0].mean_token_logprob is None


def test_without_a_model_every_signal_is_null(tables):
    pairs, embeddings, _ = tables(np.eye(3))
    rows = from_table(UncertaintyRow, uncertainty_signals(pairs, embeddings, round=ROUND, model=None))
    assert len(rows) == 3
    assert {v for r in rows for k, v in r if k not in ("round", "schema_version", "pair_id", "record_id")} == {None}


def test_no_pairs_give_no_rows():
    empty = empty_table(Pair)
    from flywheel.records import EmbeddingRow

    for model in (None, Scorer(np.zeros((3, 0)))):
        assert uncertainty_signals(empty, empty_table(EmbeddingRow), round=ROUND, model=model).num_rows == 0


@pytest.mark.parametrize("answer", [[[0.5, math.nan]], [[0.5, 1.5]], [[0.5, -0.1]]])
def test_an_impossible_probability_names_model_and_pair(signals, answer):
    with pytest.raises(BadInput, match="rm-1: pair p00001"):
        signals(answer)


def test_a_model_that_answers_in_the_wrong_shape_or_a_pair_without_embedding_is_an_error(tables):
    pairs, embeddings, _ = tables(np.eye(2))
    with pytest.raises(BadInput, match=r"shape \(2,\) for 2 pairs"):
        uncertainty_signals(pairs, embeddings, round=ROUND, model=Scorer([0.5, 0.5]))
    with pytest.raises(BadInput, match="p00001"):
        uncertainty_signals(pairs, embeddings.slice(0, 1), round=ROUND, model=None)
