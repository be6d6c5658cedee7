"""Every interaction in every dialect: one canonical record, nothing dropped unsaid. The table below says what a dialect has no place for."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from typer.testing import CliRunner

from flywheel.cli import app
from flywheel.ingestion.formats import FORMATS
from tests.ingestion.dialects import openai_writers as openai
from tests.ingestion.dialects import otel_writers as otel
from tests.ingestion.dialects import store_writers as store
from tests.ingestion.dialects.interactions import INTERACTIONS, Interaction, Json, canonical, comparable
from tests.ingestion.format_driver import read

GROUNDS = frozenset({"retrieval", "guardrails"})
JUDGED = frozenset({"feedback", "template"})
LOGPROBS = frozenset({"token_logprobs"})
ONE_ANSWER = frozenset({"two_answers"})


@dataclass(frozen=True)
class Dialect:
    """`without`: canonical fields that it has no place for. `cannot`: interactions that cannot be told in it. `own_id`: the record's id where
    the provider's is not kept. `failures`: how many items tell of the call that failed (None: it keeps no such call)."""

    write: Callable[[Interaction], list[Json]]
    without: frozenset[str] = frozenset()
    cannot: frozenset[str] = frozenset()
    own_id: Callable[[Interaction], str] | None = None
    failures: int | None = 1


def of_observation(one: Interaction) -> str:
    return one.id if one.name == store.WHOLE_RESPONSE else f"obs-{one.name}"


def of_span(one: Interaction) -> str:
    return f"{one.trace()}:{one.span()}"


LANGFUSE = {"without": frozenset({"finish_reason"}), "own_id": of_observation}
TENSORZERO = {"without": GROUNDS | {"template"}, "cannot": ONE_ANSWER, "failures": None}
DIALECTS = {
    "canonical": Dialect(lambda one: [canonical(one)] if not one.failed else [], failures=None),
    "openai": Dialect(openai.side_by_side, GROUNDS),
    "openai, arguments as objects": Dialect(openai.object_arguments, GROUNDS),
    "openai, bodies as text": Dialect(openai.json_text, GROUNDS),
    "openai, merged": Dialect(openai.merged, GROUNDS),
    "openai, the request flat": Dialect(openai.flat_request, GROUNDS),
    "openai, keyword arguments": Dialect(openai.keyword_arguments, GROUNDS),
    "openai, HTTP exchange": Dialect(openai.http, GROUNDS),
    "openai, HTTP exchange with bodies as text": Dialect(openai.http_text, GROUNDS),
    "openai, two bodies": Dialect(openai.bodies, GROUNDS),
    "openai, chunks of a stream": Dialect(openai.stream, GROUNDS),
    "openai, server-sent events": Dialect(openai.server_sent_events, GROUNDS),
    "openai, Responses API": Dialect(openai.responses_api, GROUNDS | {"seed"}, ONE_ANSWER),
    "nvidia": Dialect(openai.nvidia, GROUNDS),
    "batch": Dialect(openai.batch, GROUNDS | JUDGED),
    "stored completions": Dialect(openai.stored, GROUNDS | JUDGED, failures=None),
    "otel 1.37, attributes as text": Dialect(otel.spans_137_text, LOGPROBS),
    "otel 1.37, structured attributes": Dialect(otel.spans_137_structured, LOGPROBS),
    "otel 1.37, event": Dialect(otel.events_137, LOGPROBS, failures=2),
    "otel 1.37, event of the span": Dialect(otel.span_event_137, LOGPROBS),
    "otel 1.36, log records": Dialect(otel.logs_136, LOGPROBS, failures=2),
    "otel 1.36, named by attribute": Dialect(otel.logs_136_named_by_attribute, LOGPROBS, failures=2),
    "otel 1.36, events of the span": Dialect(otel.span_events_136, LOGPROBS),
    "otel 1.27": Dialect(otel.span_events_127, LOGPROBS),
    "openllmetry": Dialect(otel.openllmetry, LOGPROBS),
    "openllmetry, before the conventions": Dialect(otel.openllmetry_first, LOGPROBS | JUDGED | {"seed"}, own_id=of_span),
    "openinference": Dialect(otel.openinference),
    "openinference, only the raw bodies": Dialect(otel.openinference_raw),
    "two families on one span": Dialect(otel.two_families),
    "two instrumentations": Dialect(otel.two_instrumentations, LOGPROBS, failures=2),
    "otlp in snake_case": Dialect(otel.in_snake_case, LOGPROBS, failures=2),
    "otlp by MessageToJson": Dialect(otel.message_to_json, LOGPROBS, failures=2),
    "otlp, a row a part": Dialect(otel.a_row_a_part, LOGPROBS, failures=2),
    "otlp, exported twice": Dialect(otel.exported_twice, LOGPROBS, failures=4),
    "phoenix": Dialect(store.phoenix),
    "phoenix, two families": Dialect(store.phoenix_two_families),
    "phoenix, lines": Dialect(store.phoenix_lines),
    "phoenix, nested attributes": Dialect(store.phoenix_nested),
    "phoenix, data frame": Dialect(store.phoenix_frame),
    "langfuse": Dialect(store.langfuse, **LANGFUSE),
    "langfuse, objects": Dialect(store.langfuse_objects, **LANGFUSE),
    "langfuse, legacy": Dialect(store.langfuse_legacy, **LANGFUSE),
    "langfuse, REST": Dialect(store.langfuse_rest, **LANGFUSE),
    "tensorzero": Dialect(store.tensorzero, **TENSORZERO),
    "tensorzero, ClickHouse": Dialect(store.tensorzero_clickhouse, **TENSORZERO),
    "tensorzero, JSON function": Dialect(
        store.tensorzero_json_function, TENSORZERO["without"], frozenset({"two_answers", "calls", "talking_and_calling"}), failures=None
    ),
}
# read with the engine only: the parts are read by two formats
BY_TWO_FORMATS = {"phoenix, otlpv1": Dialect(store.phoenix_otlpv1)}


def expected(one: Interaction, dialect: Dialect) -> Json:
    whole = {"finish_reason"} if one.name == store.WHOLE_RESPONSE else set()
    row = canonical(one, dialect.without - whole)
    if dialect.own_id is not None:
        row["id"] = dialect.own_id(one)
    return comparable(row)


def written(one: Interaction, dialect: Dialect) -> list[Json]:
    """The rows as they come out of a file."""
    return [json.loads(line) for line in map(json.dumps, dialect.write(one))]


CELLS = [(name, one) for name, dialect in DIALECTS.items() for one in INTERACTIONS if one not in dialect.cannot and one != "failed"]


@pytest.mark.parametrize(("name", "interaction"), CELLS)
def test_every_dialect_tells_the_same_interaction(name: str, interaction: str) -> None:
    one, dialect = INTERACTIONS[interaction], DIALECTS[name]
    found = read(written(one, dialect), tuple(FORMATS.values()))
    assert [b.message for b in found.bad] == []
    (row,) = found.rows
    assert comparable(row) == expected(one, dialect)
    assert ("another type" in str(found.losses) or "of type" in str(found.losses)) == bool(one.images and name != "canonical")


@pytest.mark.parametrize("name", [name for name, dialect in DIALECTS.items() if dialect.failures is not None])
def test_a_call_that_failed_is_quarantined_with_the_name_of_its_error(name: str) -> None:
    one, dialect = INTERACTIONS["failed"], DIALECTS[name]
    found = read(written(one, dialect), tuple(FORMATS.values()))
    assert found.rows == []
    assert [b.reason for b in found.bad] == ["no_response"] * (dialect.failures or 0)
    assert one.failed in found.bad[0].message


@pytest.mark.parametrize("name", DIALECTS)
def test_the_order_of_rows_changes_nothing(name: str) -> None:
    rows = [row for one in INTERACTIONS.values() if one.name not in DIALECTS[name].cannot for row in written(one, DIALECTS[name])]
    forward, backward = (read(some, tuple(FORMATS.values())) for some in (rows, rows[::-1]))
    assert sorted(map(json.dumps, forward.rows)) == sorted(map(json.dumps, backward.rows))
    assert (forward.losses, forward.skipped) == (backward.losses, backward.skipped)


# --- through the command, from files --------------------------------------------------------------------------------------------------------


def ingested(path: Path, out: Path) -> tuple[Json, list[Json]]:
    """What `flywheel ingest --json --out` says and writes."""
    ran = CliRunner().invoke(app, ["ingest", str(path), "--json", "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout), [json.loads(line) for line in out.read_bytes().splitlines()]


def everything(dialect: Dialect) -> tuple[list[Json], dict[str, Json]]:
    """All rows of a dialect, and the records that they must give by id."""
    told = [one for one in INTERACTIONS.values() if one.name not in dialect.cannot]
    rows = [row for one in told for row in dialect.write(one)]
    return rows, {row["id"]: row for row in (expected(one, dialect) for one in told if not one.failed)}


def lines(rows: list[Json]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def check(said: Json, records: list[Json], wanted: dict[str, Json]) -> None:
    counts = said["counts"]
    of_items = ("accepted", "other_rounds", "duplicates", "quarantined", "quarantined_elsewhere", "joined", "skipped")
    assert counts["rows_read"] == sum(counts[name] for name in of_items)
    assert {r["id"]: comparable(r) for r in records} == wanted
    assert {q["reason"] for q in said["quarantine"]} <= {"no_response", "empty_responses"}


@pytest.mark.parametrize("name", [*DIALECTS, *BY_TWO_FORMATS])
def test_a_file_of_a_dialect_under_a_misleading_name(name: str, tmp_path: Path) -> None:
    rows, wanted = everything({**DIALECTS, **BY_TWO_FORMATS}[name])
    (tmp_path / "langfuse_openai_batch.parquet").write_bytes(lines(rows))
    check(*ingested(tmp_path / "langfuse_openai_batch.parquet", tmp_path / "out.jsonl"), wanted)


def packed(form: str, rows: list[Json]) -> bytes:
    whole = lines(rows)
    if form == "gzip":
        return gzip.compress(whole)
    if form == "zstd":
        return zstandard.compress(whole)
    if form == "a list":
        return json.dumps(rows, indent=1).encode()
    if form == "Windows lines":
        return b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n")
    sink = pa.BufferOutputStream()  # a column for each field; whatever is no text or number as JSON text
    keys = list(dict.fromkeys(k for row in rows for k in row))
    columns = {
        k: pa.array([v if isinstance(v := row.get(k), str) or v is None else json.dumps(v) for row in rows], pa.string()) for k in keys
    }
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("form", ["gzip", "zstd", "a list", "Windows lines"])
@pytest.mark.parametrize(
    "name", ["canonical", "openai", "batch", "stored completions", "otel 1.36, log records", "phoenix", "langfuse, REST", "tensorzero"]
)
def test_a_dialect_in_every_packing(name: str, form: str, tmp_path: Path) -> None:
    rows, wanted = everything(DIALECTS[name])
    (tmp_path / "log.txt").write_bytes(packed(form, rows))
    check(*ingested(tmp_path / "log.txt", tmp_path / "out.jsonl"), wanted)


@pytest.mark.parametrize("name", ["canonical", "openai, bodies as text", "langfuse", "tensorzero, ClickHouse"])
def test_a_dialect_as_parquet_with_json_text_in_its_columns(name: str, tmp_path: Path) -> None:
    rows, wanted = everything(DIALECTS[name])
    (tmp_path / "log.jsonl").write_bytes(packed("parquet", rows))
    check(*ingested(tmp_path / "log.jsonl", tmp_path / "out.jsonl"), wanted)


def test_a_folder_of_all_dialects_holds_each_call_once(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    others = {"two instrumentations", "tensorzero, JSON function"}  # the span has another parent there; the inference another output
    for number, name in enumerate(DIALECTS):
        if DIALECTS[name].own_id is None and name not in others:
            (landing / f"{number:02d}.json").write_bytes(lines(everything(DIALECTS[name])[0]))
    said, records = ingested(landing, tmp_path / "out.jsonl")
    wanted = everything(DIALECTS["canonical"])[1]
    assert {r["id"] for r in records} == set(wanted)
    assert len(records) == len(wanted)
    assert {q["reason"] for q in said["quarantine"]} <= {"no_response", "empty_responses"}


def test_the_parts_of_a_trace_may_lie_in_several_files(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    rows, wanted = everything(DIALECTS["otlp, a row a part"])
    for number in range(3):
        (landing / f"{number}.log").write_bytes(lines(rows[number::3]))
    check(*ingested(landing, tmp_path / "out.jsonl"), wanted)


def test_what_was_written_is_read_back_the_same(tmp_path: Path) -> None:
    rows, wanted = everything(DIALECTS["openinference"])
    (tmp_path / "a.jsonl").write_bytes(lines(rows))
    _, first = ingested(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    said, second = ingested(tmp_path / "b.jsonl", tmp_path / "c.jsonl")
    assert first == second
    assert said["losses"] == {}
    check(said, second, wanted)
