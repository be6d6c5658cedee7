"""The short way of chat completions gives what the long way gives, or leaves the row to it."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.ingestion.formats.chat_completions import NVIDIA, OPENAI, ChatCompletions
from flywheel.ingestion.formats.contract import Whole
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.row_check import checked_row
from flywheel.ingestion.rows import CanonicalRow
from tests.ingestion.dialects import openai_writers as openai
from tests.ingestion.dialects.interactions import INTERACTIONS, Json

USUAL = ("plain", "system", "calls", "tools", "talking_and_calling", "multi_turn", "two_answers", "unicode", "template")


def long_way(reader: ChatCompletions, row: Json) -> tuple[CanonicalRow, Counter[str]] | None:
    """What the engine makes of the row's items; None where it is refused."""
    losses: Counter[str] = Counter()
    try:
        (item,) = reader.items(row, losses)
        return (checked_row(item.row, reader.name, losses)[0], losses) if isinstance(item, Whole) else None
    except Rejected:
        return None


def usual(name: str, reader: ChatCompletions) -> Json:
    write = openai.nvidia if reader is NVIDIA else openai.side_by_side
    return json.loads(json.dumps(write(INTERACTIONS[name])[0]))


@pytest.mark.parametrize("reader", [OPENAI, NVIDIA])
@pytest.mark.parametrize("name", USUAL)
def test_usual_rows_take_the_short_way_and_come_out_the_same(name: str, reader: ChatCompletions) -> None:
    row = usual(name, reader)
    assert reader.quick(row) == long_way(reader, row)
    assert reader.quick(row) is not None


@pytest.mark.parametrize("name", ["logprobs", "refusal", "images", "judged", "failed"])
def test_rows_with_more_in_them_go_the_long_way(name: str) -> None:
    assert OPENAI.quick(usual(name, OPENAI)) is None


@pytest.mark.parametrize(
    ("side", "key", "value"),
    [
        ("request", "tools", [{"type": "function"}]), ("request", "stream", True), ("request", "stop", []), ("request", "response_format", {"type": "text"}),
        ("request", "max_completion_tokens", None), ("request", "max_tokens", 5), ("request", "temperature", 1), ("request", "user", None),
        ("request", "model", None), ("request", "model", MODEL := "gpt-4o-mini-2024-07-18"), ("response", "model", None), ("response", "id", None),
        ("response", "system_fingerprint", "fp"), ("response", "service_tier", "default"), ("response", "usage", None), ("response", "created", 1_700_000_000),
        ("response", "usage", {"prompt_tokens": 1, "completion_tokens": None, "completion_tokens_details": {"reasoning_tokens": 8}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["calls", "two_answers"])
def test_fields_that_are_there_or_not_come_out_the_same(name: str, side: str, key: str, value: Any) -> None:
    row = usual(name, OPENAI)
    row[side][key] = value
    assert OPENAI.quick(row) is not None
    assert OPENAI.quick(row) == long_way(OPENAI, row)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, held in inner for p in places(held, (*path, key)))]


ODD = st.sampled_from(
    [
        None,
        "",
        " ",
        "x",
        0,
        1,
        -1,
        True,
        False,
        0.5,
        1e308,
        float("inf"),
        2**63,
        2**70,
        [],
        {},
        [{}],
        ["x"],
        {"a": 1},
        "2026-01-06",
        "\ud800",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(USUAL), st.sampled_from([OPENAI, NVIDIA]), st.data())
def test_whatever_stands_in_a_row_the_short_way_gives_nothing_or_the_same(name: str, reader: ChatCompletions, data: st.DataObject) -> None:
    row = usual(name, reader)
    for path in data.draw(st.lists(st.sampled_from(places(row)[1:]), min_size=1, max_size=2, unique=True)):
        holder = row
        try:
            for step in path[:-1]:
                holder = holder[step]
            if data.draw(st.booleans()):
                holder[path[-1]] = data.draw(ODD)
            elif isinstance(holder, dict):
                holder[data.draw(st.sampled_from(["odd", "name", "content", "error", "id", "consent"]))] = data.draw(ODD)
            else:
                del holder[path[-1]]
        except (TypeError, KeyError, IndexError):
            continue  # the first change took the place away
    before = copy.deepcopy(row)
    found = reader.quick(row)
    assert repr(row) == repr(before)
    if found is not None:
        assert found == long_way(reader, row)
