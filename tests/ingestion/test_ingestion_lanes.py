"""The quick lane gives what the exact way gives, of any lines: or it gives nothing, and they go that way."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flywheel.ingestion import import_landing, lane, parse
from flywheel.ingestion.checks import Checks
from flywheel.ingestion.finish import Finisher
from flywheel.ingestion.json_text import lists, objects, written
from flywheel.ingestion.lane import Lane, NotOrdinary
from flywheel.ingestion.narrow import NESTED, SCHEMA, joined, whole
from flywheel.ingestion.parse import Parser, ParseSettings
from flywheel.ingestion.segments import HALVES, Segment, write_container
from flywheel.ingestion.taxonomy import Taxonomy
from flywheel.settings import IngestionSettings
from flywheel.storage import Ids

KEY, OTHER = "flywheel", 60
PARSE = ParseSettings("auto", "test", 10_000, Ids(b"k" * 32), Taxonomy.load(IngestionSettings()))
CONSENT = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "1", "granted_at": "2025-11-03T09:00:00Z"}
BLANK = st.text(alphabet=" \t\n\x0b\x1c\x1f\x85\xa0\u2003\u3000\u200b\ufeff", max_size=3)
TEXTS = st.one_of(
    st.text(max_size=12), st.text(alphabet='"\\/\n\r\t\x00\x1f\x7f\u2028é😀a', max_size=6), st.sampled_from(["hello", "a b"]), BLANK
)
WORDS = st.text(string.ascii_letters, min_size=1, max_size=8)
NUMBERS = st.one_of(st.floats(), st.integers(), st.sampled_from([0.0, -0.0, 0.7, 1e16, 5e-324, 2**63 - 1, 2**63, -(2**63), 10**30, True]))
TIMES = st.one_of(
    st.datetimes().map(lambda d: d.isoformat() + "Z"), st.datetimes().map(str), TEXTS, NUMBERS,
    st.sampled_from(["2026-01-05T10:00:00Z", "2026-01-05T10:00:00.123456+02:00", "2026-01-05", "1999-12-31T00:00:00Z", "9999-12-31T23:59:59Z", 1767693600]),
)  # fmt: skip
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXTS, v, max_size=3),
    max_leaves=6,
)
SHALLOW = st.dictionaries(
    st.sampled_from(["name", "email", "user_id", "ticket id", 'a"b', "é", "address.0", "since"]),
    st.one_of(WORDS, TEXTS, st.just("ada@x.example")),
    max_size=3,
)


def ordinary(number: int, **changes: Any) -> dict[str, Any]:
    """A row of the usual kind; a change of None takes a field away."""
    row = {
        "id": f"r{number}", "timestamp": f"2026-01-05T10:00:{number % 60:02d}Z", "conversation_id": f"c{number // 3}", "user_id": f"u{number % 5}",
        "domain": "support", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"Where is parcel {number}?"}],
        "responses": [{"text": "On its way.", "model": "m", "temperature": 0.7, "prompt_tokens": 5}, {"text": "Lost.", "model": "m2"}],
        "profile": {"name": f"Ada {number}", "email": f"a{number}@x.example"}, "consent": CONSENT,
    } | changes  # fmt: skip
    return {k: v for k, v in row.items() if v is not None}


MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": st.sampled_from(["user", "assistant", "tool", "robot", None]), "content": st.one_of(st.none(), TEXTS), "name": st.one_of(st.none(), TEXTS),
                  "tool_call_id": TEXTS, "tool_calls": ANYTHING, "more": ANYTHING},
)  # fmt: skip
RESPONSE = st.fixed_dictionaries(
    {"text": TEXTS, "model": TEXTS},
    optional={"temperature": NUMBERS, "top_p": st.one_of(st.none(), NUMBERS), "seed": NUMBERS, "max_tokens": NUMBERS, "finish_reason": TEXTS, "checkpoint": TEXTS,
              "completion_tokens": NUMBERS, "token_logprobs": st.lists(NUMBERS, max_size=2), "guardrails": ANYTHING, "sandbox": ANYTHING, "tool_calls": ANYTHING},
)  # fmt: skip
STATEMENTS = st.fixed_dictionaries(
    {},
    optional={
        "withdrawn_at": TIMES,
        "expires_at": TIMES,
        "purposes": st.one_of(st.lists(st.sampled_from(["training", "labeling", "spam", None])), ANYTHING),
    },
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.none(), TEXTS, NUMBERS, st.sampled_from(["r1", "r2"])), "timestamp": TIMES, "conversation_id": st.one_of(st.none(), TEXTS),
        "user_id": st.one_of(st.none(), TEXTS, NUMBERS), "domain": st.one_of(WORDS, TEXTS), "language": WORDS, "task_type": TEXTS,
        "messages": st.one_of(st.lists(MESSAGE, max_size=3), ANYTHING), "responses": st.one_of(st.lists(RESPONSE, max_size=3), ANYTHING),
        "profile": st.one_of(st.none(), SHALLOW, ANYTHING), "metadata": ANYTHING, "template": ANYTHING, "feedback": ANYTHING, "response": TEXTS,
        "consent": st.one_of(st.none(), ANYTHING, st.builds(lambda c: CONSENT | c, STATEMENTS)),
        "more": ANYTHING,
    },
)  # fmt: skip
USUAL = st.fixed_dictionaries(
    {},
    optional={
        "id": st.one_of(st.none(), WORDS), "user_id": st.none(), "conversation_id": st.one_of(st.none(), WORDS), "language": st.sampled_from(["en", "de"]),
        "messages": st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": TEXTS}, optional={"name": TEXTS}), min_size=1, max_size=3),
        "profile": SHALLOW, "responses": st.lists(st.fixed_dictionaries({"text": TEXTS, "model": WORDS}, optional={"temperature": NUMBERS, "seed": NUMBERS}), min_size=1, max_size=2),
    },
)  # fmt: skip


def dumped(row: dict[str, Any], ascii_only: bool, spaced: bool) -> bytes:
    text = json.dumps(row, ensure_ascii=ascii_only, separators=None if spaced else (",", ":"))
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: Callable[..., Any]) -> bytes:
    """A line that is nearly one."""
    line = dumped(ordinary(draw(st.integers(0, OTHER))), ascii_only=True, spaced=draw(st.booleans()))
    at = draw(st.integers(0, len(line)))
    inserted = draw(st.sampled_from([
        b"", b",", b"}", b"\xff", b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b'"id":"twice",', b'"id":null,', b"NaN", b"\x00", b"\t", b"\xef\xbb\xbf", b"[" * 150, b"1e999", b" ",
    ]))  # fmt: skip
    return line[:at] + inserted + line[at + draw(st.integers(0, 2)) :]


ROWS = st.builds(lambda n, c: ordinary(n, **c), st.integers(0, OTHER), st.one_of(st.just({}), USUAL, CHANGES))
LINES = st.one_of(
    st.builds(dumped, ROWS, st.booleans(), st.booleans()), st.builds(dumped, st.builds(lambda n, c: ordinary(n, **c), st.integers(0, OTHER), USUAL), st.booleans(), st.booleans()),
    damaged(), st.sampled_from([b"", b"  ", b"{}", b"[]", b"null", b'{"id":', b"\xff\xfe", b'{"a":1}{"b":2}', b'{"messages":[{}],"responses":[{}]}']),
)  # fmt: skip


def outcome(data: bytes, *, lines_at_once: tuple[int, ...], patience: int = 1_000) -> tuple[Any, ...]:
    """All that a chunk gives, in one form."""
    with mock.patch.object(lane, "PATIENCE", patience), mock.patch.object(parse, "ROWS", lines_at_once):
        parser = Parser(PARSE)
        found = parser.read(data)
    rows: list[Any] = []
    if found.tables:
        columns = [c for c in found.tables[0].schema.names if c not in NESTED]
        table = whole(joined(found.tables), [*columns, *NESTED])
        statements, losses = list(parser.finisher.statements), list(parser.finisher.losses)
        table.validate(full=True)
        for row in table.to_pylist():
            row["consent"] = None if row["consent"] < 0 else statements[row["consent"]]
            rows.append(repr(row | {"losses": losses[row["losses"]]}))
    known = {(r["subject_id"], r["kind"], r["value"]) for t in parser.finisher.identities for r in t.to_pylist()}
    withdrawn = {(s, list(parser.finisher.statements)[n]) for s, n in found.withdrawn}
    return (
        sorted(rows),
        sorted(found.refused),
        sorted(found.parts),
        found.skipped,
        found.formats,
        found.items,
        found.incomplete,
        known,
        withdrawn,
    )


@settings(deadline=None, max_examples=200)
@given(
    st.lists(LINES, min_size=1, max_size=12),
    st.sampled_from([b"\n", b"\r\n"]),
    st.sampled_from([b"", b"\n", b"\xef\xbb\xbf"]),
    st.booleans(),
    st.sampled_from([(1,), (3, 1), (4, 2)]),
)
def test_any_lines_fare_the_same_in_both_lanes(lines: list[bytes], end: bytes, start: bytes, ended: bool, at_once: tuple[int, ...]) -> None:
    data = start + end.join(lines) + (end if ended else b"")
    assert outcome(data, lines_at_once=at_once) == outcome(data, lines_at_once=lane.ROWS, patience=0)


@settings(deadline=None, max_examples=200)
@given(st.lists(USUAL, min_size=1, max_size=20), st.booleans(), st.booleans(), st.sampled_from([(1,), (4, 2), lane.ROWS]))
def test_usual_rows_fare_the_same_in_both_lanes(
    changes: list[dict[str, Any]], ascii_only: bool, spaced: bool, at_once: tuple[int, ...]
) -> None:
    data = b"\n".join(dumped(ordinary(n, **c), ascii_only, spaced) for n, c in enumerate(changes))
    assert outcome(data, lines_at_once=at_once) == outcome(data, lines_at_once=lane.ROWS, patience=0)


def taken(*lines: dict[str, Any] | bytes) -> bool:
    """Does the quick lane take these lines?"""
    data = b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    finisher = Finisher(PARSE.ids, PARSE.source, PARSE.taxonomy)
    places = {name: list(range(len(lines))) for name in ("seq", "line", "offset", "length")}
    try:
        return finisher.finish_columns(Lane(finisher.checks).read(data, 0, len(data), len(lines)), places) is not None
    except NotOrdinary:
        return False


def test_the_quick_lane_takes_what_is_usual() -> None:
    """Else the tests above would compare the exact way with itself."""
    assert taken(*(ordinary(n) for n in range(30)))
    assert taken(ordinary(0, messages=[{"role": "user", "content": 'A "quote",\na line break, a \\ and 😀'}]), ordinary(1))
    assert taken(ordinary(0, user_id=None, conversation_id=None), ordinary(1, domain=None, profile=None, consent=None))
    assert taken(ordinary(0), ordinary(1, id=None, profile={}), ordinary(2, consent=CONSENT | {"withdrawn_at": "2026-01-01T00:00:00Z"}))


@pytest.mark.parametrize(
    "odd",
    [
        {"more": 1}, {"id": 7}, {"id": " "}, {"timestamp": 1767693600}, {"timestamp": "2026-01-05T10:00:00"}, {"domain": "an e-mail: a@b.c"}, {"metadata": {"a": 1}},
        {"messages": []}, {"messages": [{"role": "robot", "content": "a"}]}, {"messages": [{"role": "user", "content": None}]}, {"messages": [None]},
        {"responses": [{"text": "\u3000", "model": "m"}]}, {"responses": [{"text": "a", "model": ""}]}, {"responses": [{"text": "a", "model": "m", "seed": 2**63}]},
        {"responses": [{"text": "a", "model": "m", "temperature": float("nan")}]}, {"profile": {"user_id": "7"}}, {"profile": {"a": 1}}, {"profile": {"a": " "}},
        {"consent": CONSENT | {"purposes": None}}, {"consent": CONSENT | {"purposes": ["spam"]}}, {"consent": {}}, {"consent": CONSENT | {"expires_at": "soon"}},
    ],
    ids=str,
)  # fmt: skip
def test_the_quick_lane_takes_nothing_odd(odd: dict[str, Any]) -> None:
    row = ordinary(1) | odd
    assert not taken(row)
    assert not taken(ordinary(0), row, ordinary(2))


def test_a_field_that_no_line_of_a_sample_has_is_not_read_past() -> None:
    read, count = Lane(Checks()).read, 20 * lane.SAMPLED
    rare = b"\n".join(json.dumps(ordinary(n, language="en" if n == 5 else None)).encode() for n in range(count))
    often = b"\n".join(json.dumps(ordinary(n, language="en")).encode() for n in range(count))
    with pytest.raises(NotOrdinary):
        read(rare, 0, len(rare), count)
    assert read(often, 0, len(often), count).flat["language"].null_count == 0
    assert read(rare, 0, len(rare), count).flat["language"].null_count == count - 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | TEXTS, st.none() | st.floats(allow_nan=False, allow_infinity=False)),
        min_size=1,
    )
)
@example([(None, 0.0), ('"', -0.0), ("\x7f\x1f", 0.1), ("é", 1e300)])
def test_json_of_columns_is_that_of_values(rows: list[tuple[str | None, float | None]]) -> None:
    import msgspec

    texts = [None if t is None else t.encode("utf-8", "replace").decode() for t, _ in rows]
    numbers = pa.array([f for _, f in rows], pa.float64())
    fields = {
        "a": written(pa.array(texts, pa.string()), plain=False),
        "b": written(numbers, plain=True),
        "last": written(pa.array([1] * len(rows)), plain=True),
    }
    expected = [{k: v for k, v in (("a", t), ("b", f), ("last", 1)) if v is not None} for t, (_, f) in zip(texts, rows, strict=True)]
    assert objects(fields).values.to_pylist() == [msgspec.json.encode(e).decode() for e in expected]
    one = lists(objects(fields), pa.array([[0] * len(rows)]))
    assert one.values.to_pylist() == [msgspec.json.encode(expected).decode()]


def test_what_no_row_has_is_left_out_and_put_back() -> None:
    """A chunk whose rows have few fields beside one whose rows have them all."""
    few = Parser(PARSE).read(json.dumps(ordinary(0)).encode())
    many = ordinary(
        1, feedback={"thumbs": "up"}, template={"id": "t", "version": "1"},
        messages=[{"role": "user", "content": "a", "name": "n"}, {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": "{}"}]}],
        responses=[{"text": "b", "model": "m", "guardrails": [{"name": "g", "decision": "d"}], "token_logprobs": [0.5], "retrieval": {"ids": ["1"]}}],
    )  # fmt: skip
    full = Parser(PARSE).read(json.dumps(many).encode())
    assert "feedback" not in few.tables[0].schema.names
    table = whole(joined([*few.tables, *full.tables]), ["raw_id", *NESTED])
    assert all(table.schema.field(n).type == SCHEMA.field(n).type for n in NESTED)
    first, second = table.to_pylist()
    assert first["feedback"] is None
    assert first["responses"][0]["generation"]["guardrails"] == []
    assert first["messages"][0]["tool_calls"] == []
    assert second["responses"][0]["generation"]["token_logprobs"] == [0.5]
    assert second["messages"][1]["tool_calls"] == [{"id": None, "name": "f", "arguments": "{}"}]


def as_of_old(path: Path) -> None:
    """A segment as the first layout had it: every nested field, and the keys among the rows."""
    segment = Segment.open(path)
    assert segment is not None
    rows = segment.rows_of()
    columns = [*(c for c in rows.schema.names if c not in NESTED), *NESTED]
    full, keys = whole(rows, columns), segment.keys()
    for name in HALVES:
        full = full.append_column(name, keys[name])
    sections = {n: t for n in segment.meta["sections"] if n != "keys" and (t := segment.table(n)) is not None}
    body = {k: v for k, v in segment.meta.items() if k not in ("sections", "batch")}
    write_container(path, {**sections, "rows": full}, {**body, "layout": 1})


def test_a_segment_of_the_first_layout_is_read_as_ever(tmp_path: Path) -> None:
    logs, store, now = tmp_path / "logs", tmp_path / "store", datetime(2026, 1, 12, 6, tzinfo=UTC)
    logs.mkdir()
    for file in range(2):
        rows = [ordinary(n, feedback={"thumbs": "up"} if n % 5 == 1 else None) for n in range(file, 60, 2)]
        (logs / f"{file}.jsonl").write_bytes(b"\n".join(json.dumps(r).encode() for r in rows))

    def read() -> Any:
        found = import_landing(
            str(logs), round="2026-01-05", ids=PARSE.ids, settings=IngestionSettings(), now=now, store=store, watch=["2026-01-05"]
        )
        return found.records, found.counts, found.consent_events, found.identities, found.digests

    before = read()
    paths = sorted(store.glob("segments/*/*.seg"))
    assert len(paths) == 2
    as_of_old(paths[0])
    assert read() == before
    assert Segment.open(paths[0]).meta["layout"] == 1  # type: ignore[union-attr]
    as_of_old(paths[1])
    assert read() == before
