"""Whatever a log holds, a reader gives an answer for each item: never an exception but `Rejected`, never an item that is nowhere."""

from __future__ import annotations

import copy
import json
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flywheel.ingestion.formats.contract import Format, Part
from flywheel.ingestion.quarantine import Rejected
from tests.ingestion.format_driver import READERS, SAMPLES, read, sample

NAMES = sorted(
    p.stem for p in SAMPLES.glob("*.jsonl") if p.stem.split("_")[0] in ("openai", "nvidia", "batch", "stored", "langfuse", "tensorzero")
)
GROUPS = [
    ["openai_side_by_side", "openai_merged", "openai_json_text", "openai_responses_api", "openai_prompt_completion", "nvidia"],
    ["batch_input", "batch_output"],
    ["stored_completions", "stored_completion_messages"],
    ["langfuse_observations_v2", "langfuse_scores", "langfuse_legacy_traces", "langfuse_rest_observations"],
    ["tensorzero_inferences", "tensorzero_model_inferences", "tensorzero_feedback"],
]
DEEP: Any = []
for _ in range(3000):
    DEEP = [DEEP]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=2**70, max_value=2**80), st.floats(), st.text(max_size=8),
    st.sampled_from(["assistant", "GENERATION", "ERROR", "\ud800"]),
    st.sampled_from(["", "{", "[1", "[]", "{}", '{"role": 1}', '[{"role": "user"}]', "[[[[", "-1", "1e999", "nan"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += places(item, (*path, index))
    return found


def change(value: Any, path: tuple[Any, ...], new: Any, how: str) -> None:
    """Put `new` at the place, remove it, or write the value there as JSON text."""
    for step in path[:-1]:
        value = value[step]
    if how == "remove" and isinstance(value, dict):
        del value[path[-1]]
    elif how == "as text":
        value[path[-1]] = json.dumps(value[path[-1]], default=str)
    elif how == "twice" and isinstance(value, list):
        value.append(copy.deepcopy(value[path[-1]]))
    elif how == "beside" and isinstance(value, dict):
        value["unheard of"] = new
    else:
        value[path[-1]] = new


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_any_change_to_a_log_leaves_every_item_accounted_for(data: st.DataObject) -> None:
    rows = sample(*data.draw(st.sampled_from(GROUPS)))
    for _ in range(data.draw(st.integers(1, 4))):
        row = data.draw(st.sampled_from(range(len(rows))))
        found = places(rows[row])
        if found:
            how = data.draw(st.sampled_from(["replace", "replace", "remove", "as text", "twice", "beside"]))
            change(rows[row], data.draw(st.sampled_from(found)), data.draw(VALUES), how)
    read(rows)  # the driver accounts for every item


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(READERS), st.dictionaries(st.text(max_size=12), VALUES, max_size=6))
def test_a_reader_that_was_named_takes_any_object(reader: Format, row: dict[str, Any]) -> None:
    found = read([row], forced=reader)
    assert found.items >= 1
    assert not found.rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.name)
def test_a_reader_that_was_named_takes_the_rows_of_every_other(reader: Format, name: str) -> None:
    rows = sample(name)
    assert read(rows, forced=reader).items >= len(rows)


def test_nesting_without_end_is_refused_wherever_it_stands() -> None:
    for names in GROUPS:
        rows = sample(*names)
        for row in range(len(rows)):
            for path in places(rows[row]):
                changed = sample(*names)
                change(changed[row], path, DEEP, "replace")
                shallow_read(changed)


def shallow_read(rows: list[Any]) -> None:
    """As `read`, without the comparisons that themselves cannot follow such nesting."""
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    by_name = {r.name: r for r in READERS}
    for row in rows:
        reader = next((r for r in READERS if r.claims(row)), None)
        with suppress(Rejected):
            for item in reader.items(row, Counter()) if reader else ():
                if reader and isinstance(item, Part):
                    groups[reader.name, item.key].append(item.payload)
    for (name, key), payloads in groups.items():
        by_name[name].assemble(key, payloads, Counter())


@pytest.mark.parametrize(
    "text", ["{" * 5000, "[" * 100_000, '{"a": ' * 3000 + "1" + "}" * 3000, "{}" * 10, '{"messages": ', "\x00", "[" + "1," * 50_000 + "1]"]
)
def test_json_text_that_is_broken_or_huge_is_refused_or_stays_text(text: str) -> None:
    (call,) = sample("openai_json_text")
    assert read([{**call, "request": text}]).refusals[0][0] in ("invalid_field", "missing_field")
    (generation, *_) = sample("langfuse_observations_v2")
    assert len(read([{**generation, "input": text, "output": text}]).rows) == 1
    (inference,) = sample("tensorzero_inferences")
    assert read([{**inference, "input": text}]).refusals[0][0] in ("invalid_field", "missing_field")


@example(key="user@example.com is angry about " * 9)
@given(st.text(min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_a_key_that_is_no_name_is_not_repeated_in_the_loss_report(key: str) -> None:
    (call,) = sample("openai_side_by_side")
    call["request"].setdefault(key, "x")
    found = read([call])
    assert all(len(name) < 120 for name in found.losses)
