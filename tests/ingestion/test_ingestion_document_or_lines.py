"""Is a file one JSON document or one row a line? Whatever it is taken for, every row of it is accepted or in quarantine."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.ingestion import Imported, import_landing
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids


def row(name: str, text: str = "Hi") -> str:
    return json.dumps({"id": name, "timestamp": "2026-01-06T10:00:00Z", "messages": [{"role": "user", "content": text}],
                       "response": "Hello", "model": "m"})  # fmt: skip


def read(text: str | bytes) -> Imported:
    with TemporaryDirectory() as folder:
        Path(folder, "a.jsonl").write_bytes(text.encode() if isinstance(text, str) else text)
        return import_landing(
            folder, round=None, ids=Ids(b"k" * 32), settings=IngestionSettings(workers=1), now=datetime(2026, 2, 1, tzinfo=UTC)
        )


def places(found: Imported) -> tuple[list[int], list[tuple[int, str]]]:
    """Lines of the accepted rows, and line and reason of the refused ones."""
    quarantine = found.quarantine
    return (
        sorted(s["line"] for s in found.records["source"].to_pylist()),
        list(zip(quarantine["line"].to_pylist(), quarantine["reason"].to_pylist(), strict=True)),
    )


GOOD = [row("b"), row("c")]


@pytest.mark.parametrize(
    ("first", "accepted", "refused"),
    [
        (f"[{row('a')}]", [1, 2, 3], []),  # an array that ends on its line: its elements are rows of that line
        (f"[{row('a')}, {row('d')}]", [1, 1, 2, 3], []),
        (f"[{row('a')}", [2, 3], [(1, "malformed_json")]),  # never closed
        (f"[{row('a')},", [2, 3], [(1, "malformed_json")]),
        (f"[{row('a')}]]", [2, 3], [(1, "malformed_json")]),
        (f"[{row('a')}, 5]", [2, 3], [(1, "not_an_object")]),  # not rows only
        ("[{", [2, 3], [(1, "malformed_json")]),
        ("[", [2, 3], [(1, "malformed_json")]),
        ("[{}]", [2, 3], [(1, "missing_field")]),
        ("{", [2, 3], [(1, "malformed_json")]),
        (row("a")[:-1], [2, 3], [(1, "malformed_json")]),
        ('{"data": [', [2, 3], [(1, "malformed_json")]),
        ('[{"a": "', [2, 3], [(1, "malformed_json")]),
        ("[5]", [2, 3], [(1, "not_an_object")]),
        ("[]", [2, 3], [(1, "not_an_object")]),
        (f"[[{row('a')}]]", [2, 3], [(1, "not_an_object")]),
    ],
)  # fmt: skip
def test_a_bad_first_line_costs_only_itself(first: str, accepted: list[int], refused: list[tuple[int, str]]) -> None:
    assert places(read("\n".join([first, *GOOD, ""]))) == (accepted, refused)


@pytest.mark.parametrize("later", [f"[{row('a')}]", "5", "[{", "}", ""])
def test_what_a_later_line_is_changes_nothing_for_the_first(later: str) -> None:
    found = read("\n".join([f"[{row('f')}]", *GOOD, later, row("z"), ""]))
    assert {1, 2, 3, 5} <= set(places(found)[0])
    assert found.counts["quarantined"] == (later in ("5", "[{", "}"))


def test_arrays_one_a_line_with_a_bad_line_among_them() -> None:
    found = read(f"[{row('a')}, {row('b')}]\n[{row('c')}\n[{row('d')}]\n")
    assert places(found) == ([1, 1, 3], [(2, "malformed_json")])


@pytest.mark.parametrize(
    "text",
    [
        f"[{row('a')}, {row('b')}, {row('c')}]",
        f"[{row('a')}, {row('b')}, {row('c')}]\n\n",
        f"[{row('a')},\n{row('b')},\n{row('c')}]\n",
        f"[{row('a')}\n,{row('b')}\n,{row('c')}\n]\n",
        f"[\n{row('a')},\n{row('b')},\n{row('c')}\n]\n",
        json.dumps([json.loads(row(n)) for n in "abc"], indent=2),
        "\n".join(json.dumps(json.loads(row(n)), indent=2) for n in "abc"),
    ],
)
def test_documents_are_still_documents(text: str) -> None:
    found = read(text)
    assert (found.counts["accepted"], found.counts["quarantined"]) == (3, 0)


def test_a_row_with_a_bad_element_beside_good_ones_in_one_array_line() -> None:
    found = read(f'[{row("a")}, {{"id": "x"}}]\n{row("b")}\n')
    assert places(found) == ([1, 2], [(1, "missing_field")])
    assert json.loads(found.quarantine["raw"][0].as_py()) == {"id": "x"}


JUNK = st.sampled_from(
    ["[{", "[", "]", "{", "}", "5", "null", "[]", "[[]]", '[{"a": 1', '{"data": [', "[{}", '"', '[{"a": "', "x", "[{},", "[1, {}]", "{}"]
)
LINES = st.lists(st.one_of(st.just("row"), st.just("array"), JUNK), min_size=2, max_size=9)


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_rows_in_are_rows_accepted_and_rows_quarantined(kinds: list[str]) -> None:
    """In a file that holds a good line of its own, each line is told on its own; where none is, the file may be a document or one refusal."""
    lines = []
    for n, kind in enumerate(kinds):
        lines.append(row(f"r{n}") if kind == "row" else f"[{row(f'r{n}')}, {row(f's{n}')}]" if kind == "array" else kind)
    found = read("\n".join([*lines, ""]))
    assert found.counts["rows_read"] == found.counts["accepted"] + found.counts["quarantined"]
    if sum(k == "row" for k in kinds) * 2 > len(kinds):
        wanted = {n + 1 for n, k in enumerate(kinds) if k in ("row", "array")}
        accepted, refused = places(found)
        assert set(accepted) == wanted
        assert {n for n, _ in refused} == set(range(1, len(lines) + 1)) - wanted
