"""A canonical row is whole: pieces that should not be are refused, each, and none ends the import."""

from __future__ import annotations

from collections import Counter

from flywheel.ingestion.formats.flywheel import FLYWHEEL


def test_pieces_of_a_canonical_row_are_refused_and_not_lost() -> None:
    made = FLYWHEEL.assemble("k", [{"id": "a"}, {"id": "b"}], Counter())
    assert made.rows == []
    assert {n: bad.raw for n, bad in made.bad.items()} == {0: {"id": "a"}, 1: {"id": "b"}}
    assert {bad.reason for bad in made.bad.values()} == {"invalid_field"}
