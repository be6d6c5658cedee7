"""What fuzzing found (`bench.campaign_fuzz_ingestion`, `bench.fuzz_bombs`), each as small as it would go."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from bench.fuzz_bombs import GROWTH, bombs
from bench.fuzz_checks import check
from bench.fuzz_deliveries import SAMPLES, Piece
from bench.fuzz_promises import read
from flywheel.ingestion.depth import DEEPEST
from flywheel.ingestion.files import decompressed
from flywheel.ingestion.landing import Imported

ROW: dict[str, Any] = {
    "id": "a", "timestamp": "2026-01-06T10:00:00Z", "messages": [{"role": "user", "content": "Where?"}], "responses": [{"text": "There.", "model": "m"}],
}  # fmt: skip


def taken(text: str | bytes, form: str = "plain") -> Imported:
    return check([Piece(form, text.encode() if isinstance(text, str) else text)], 1)


def nested(field: str, inner: str) -> str:
    return json.dumps({**ROW, field: {"a": "?"}}).replace('"?"', inner) + "\n"


def deeper(frames: int, call: Callable[[], Imported]) -> Imported:
    return call() if frames == 0 else deeper(frames - 1, call)


@pytest.mark.parametrize("field", ["metadata", "profile", "consent", "colour"])
@pytest.mark.parametrize("levels", [DEEPEST + 1, 600, 684, 984, 990, 5_000])
def test_nesting_near_the_interpreters_limit_ends_no_import(field: str, levels: int) -> None:
    found = taken(nested(field, "[" * levels + "]" * levels))
    assert found.quarantine["message"].to_pylist() == [f"nested deeper than {DEEPEST} levels"]


@pytest.mark.parametrize("levels", [DEEPEST - 3, DEEPEST, 690, 890])
def test_how_deep_a_row_may_be_does_not_depend_on_where_it_is_read(levels: int) -> None:
    text = nested("metadata", '{"a":' * levels + "1" + "}" * levels)
    here, far_down = taken(text), deeper(300, lambda: taken(text))
    assert here.counts == far_down.counts
    assert here.counts["accepted"] == (levels < DEEPEST)


@pytest.mark.parametrize("levels", [200, 900, 960])
def test_nesting_inside_a_text_that_holds_json_is_bounded_too(levels: int) -> None:
    request = '{"model": "m", "messages": [{"role": "user", "content": "Where?"}], "metadata": {"a": ' + "[" * levels + "]" * levels + "}}"
    response = '{"id": "x", "model": "m", "choices": [{"message": {"role": "assistant", "content": "There."}}]}'
    row = {"timestamp": ROW["timestamp"], "request": request, "response": response}
    assert taken(json.dumps(row) + "\n").counts["quarantined"] == 1


def parquet(*rows: dict[str, Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


@pytest.mark.parametrize("levels", [101, 500, 980, 3_000])
def test_a_parquet_column_of_deep_json_is_one_bad_row_and_no_bad_file(levels: int) -> None:
    columns = {k: v if isinstance(v, str) else json.dumps(v) for k, v in ROW.items()}
    found = taken(parquet({**columns, "metadata": "[" * levels + "]" * levels}, {**columns, "id": "b", "metadata": None}))
    assert (found.counts["accepted"], found.counts["quarantined"]) == (1, 1)


def test_a_parquet_answer_that_only_begins_like_json_does_not_refuse_its_file() -> None:
    request = json.dumps({"model": "m", "messages": ROW["messages"]})
    good = json.dumps({"model": "m", "choices": [{"message": {"role": "assistant", "content": "There."}}]})
    rows = [{"id": str(n), "timestamp": ROW["timestamp"], "request": request, "response": r} for n, r in enumerate(["{no json", good])]
    found = taken(parquet(*rows))
    assert (found.counts["rows_read"], found.counts["accepted"]) == (2, 1)


def test_a_consent_that_is_not_utf8_makes_a_bad_row() -> None:
    line = json.dumps({**ROW, "consent": {"legal_basis": "?"}}).encode().replace(b"?", b"\xff")  # the quick reader leaves consent unread
    assert taken(line + b"\n").quarantine["reason"].to_pylist() == ["wrong_encoding"]


def test_the_quarantine_shows_a_line_without_its_carriage_return_whichever_lane_refused_it() -> None:
    bad = json.dumps({**ROW, "timestamp": "?"})
    assert taken(bad + "\r\n" + '{"id": 1}\r\n').quarantine["raw"].to_pylist() == [bad, '{"id": 1}']


@pytest.mark.parametrize("packed", [zstandard.compress(bytes(300 << 20), 19), gzip.compress(bytes(100 << 20), 9)], ids=["zstd", "gzip"])
def test_a_small_input_is_inflated_a_little_at_a_time(packed: bytes) -> None:
    pieces = [len(p) for p in decompressed(io.BytesIO(packed))]
    assert max(pieces) <= 17 << 20
    assert sum(pieces) in (100 << 20, 300 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["zstd of zero bytes", "gzip of one canonical line", "zstd of an object with one long text", "collector frame of zeros"]
)
def test_a_gigabyte_in_a_small_file_is_refused_in_bounded_memory(name: str) -> None:
    (took,) = bombs([name])
    assert took["held"], (took, GROWTH)


@pytest.mark.parametrize("name", ["otel_137_span_json", "otel_openinference", "langfuse_observations_v2", "tensorzero_inferences"])
def test_a_file_that_is_mended_in_place_leaves_no_refused_part_behind(tmp_path: Path, name: str) -> None:
    good = (SAMPLES / f"{name}.jsonl").read_bytes()
    answers = (b"gen_ai.output.messages", b"llm.output_messages", b"output.value", b'"output"')
    bad = reduce(lambda text, answer: text.replace(answer, answer.replace(b"output", b"nothing")), answers, good)
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "a.jsonl").write_bytes(bad)
    assert read(landing, tmp_path / "store").imported.counts["quarantined"]
    (landing / "a.jsonl").write_bytes(good)
    mended, alone = read(landing, tmp_path / "store").imported, read(landing).imported
    assert mended.quarantine.to_pylist() == []
    assert mended.records.equals(alone.records)
    assert mended.records.num_rows


def test_two_rows_on_a_line_and_a_row_on_two_lines_are_bad_lines_also_where_their_number_is_right() -> None:
    one, two, three = (json.dumps({**ROW, "id": name}) for name in "abc")
    torn = three.replace(', "responses"', ',\n"responses"')
    for text in (
        one + two + "\n" + torn + "\n",
        one + " " + two + "\n" + three[:-1] + "\n}\n",
        one + "\n" + torn + "\n" + two + one + "\n",
    ):
        found = taken(text)
        assert found.counts["accepted"] == text.startswith(one + "\n")
        assert found.counts["accepted"] + found.counts["quarantined"] == text.count("\n")
