"""Ids are keyed, stable, and refuse to be made with another key than before."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flywheel.errors import IntegrityError
from flywheel.storage import Ids


def test_the_same_installation_gives_the_same_id_and_another_one_does_not(tmp_path: Path) -> None:
    assert Ids.load(tmp_path / "a").make("record", "x") == Ids.load(tmp_path / "a").make("record", "x")
    assert Ids.load(tmp_path / "a").make("record", "x") != Ids.load(tmp_path / "b").make("record", "x")


parts = st.lists(st.text(max_size=6), min_size=1, max_size=4)


@given(parts, parts)
def test_different_parts_give_different_ids(first: list[str], second: list[str]) -> None:
    ids = Ids(b"k" * 32)
    assert (ids.make("record", *first) == ids.make("record", *second)) == (first == second)


def test_the_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    Ids.load(tmp_path)
    assert {p.stat().st_mode & 0o077 for p in tmp_path.iterdir()} == {0}


def test_a_lost_key_is_not_replaced_by_a_new_one(tmp_path: Path) -> None:
    Ids.load(tmp_path)
    (tmp_path / "id.key").unlink()
    with pytest.raises(IntegrityError, match="restore it from its backup"):
        Ids.load(tmp_path)
    assert not (tmp_path / "id.key").exists()


def test_another_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ids.load(tmp_path)
    monkeypatch.setenv("FLYWHEEL_ID_KEY", "ab" * 32)
    with pytest.raises(IntegrityError, match="is not the one that this run state was made with"):
        Ids.load(tmp_path)


@pytest.mark.parametrize("text", ["no hex", "abcd", ""])
def test_a_damaged_key_is_an_integrity_error(tmp_path: Path, text: str) -> None:
    Ids.load(tmp_path)
    (tmp_path / "id.key").write_text(text)
    with pytest.raises(IntegrityError):
        Ids.load(tmp_path)


def test_many_ids_at_once_are_the_same_ids() -> None:
    ids, texts = Ids(b"k" * 32), ["", "a", "é😀", "x" * 300]
    together = ids.digests("record", "shop")(texts)
    assert [together[16 * n : 16 * n + 16].hex() for n in range(len(texts))] == [ids.make("record", "shop", t) for t in texts]
