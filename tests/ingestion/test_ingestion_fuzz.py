"""Whatever comes: no crash, no lost row, the same table however it is delivered. (`bench.campaign_fuzz_ingestion` is the long form, guided by
coverage; what it found stands in `test_ingestion_fuzz_findings.py`.)"""

from __future__ import annotations

import json
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fuzz_checks import check
from bench.fuzz_deliveries import FORM_NAMES, Piece, bend_line, delivery, pack, seeds, unpack

POOL = seeds()
CALM = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["role", "content", "id", "name", "value", "key", "zz", ""]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
FIELDS = (
    "id", "timestamp", "messages", "responses", "response", "model", "request", "feedback", "template", "profile", "metadata", "consent", "resourceSpans", "choices", "custom_id",
    "trace_id", "span_id", "attributes", "events", "input", "output", "data", "spans", "type", "name", "start_time", "episode_id", "inference_id", "traceId", "observations",
)  # fmt: skip


def test_every_sample_as_it_is_keeps_every_promise() -> None:
    for number, pieces in enumerate(POOL[::4]):
        check(pieces, number)


@settings(CALM, max_examples=22)
@given(seed=st.integers(0, 2**32 - 1))
def test_bent_deliveries_of_every_dialect(seed: int) -> None:
    check(delivery(Random(seed), POOL), seed)


@settings(CALM, max_examples=12)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON, min_size=1, max_size=6), min_size=1, max_size=4),
    form=st.sampled_from(FORM_NAMES),
)
def test_rows_of_known_fields_with_any_values(rows: list[dict[str, object]], form: str) -> None:

    check([Piece(form, b"".join(json.dumps(r).encode("utf-8", "surrogatepass") + b"\n" for r in rows))], len(rows))


@settings(CALM, max_examples=8)
@given(data=st.binary(max_size=400), form=st.sampled_from(FORM_NAMES), seed=st.integers(0, 10_000))
def test_any_bytes_after_a_good_line(data: bytes, form: str, seed: int) -> None:
    good = POOL[0][0].data.splitlines()[seed % 6]
    check([Piece(form, good + b"\n" + data), Piece("plain", data)], seed)


def test_a_delivery_packs_and_unpacks() -> None:
    assert all(unpack(pack(p)) == p for p in POOL)


@settings(CALM, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_bending_never_fails(seed: int) -> None:
    rng = Random(seed)
    lines = rng.choice(POOL)[0].data.split(b"\n")
    assert isinstance(bend_line(lines[0], lines[-1], rng), bytes)
