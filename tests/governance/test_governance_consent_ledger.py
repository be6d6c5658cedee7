"""The ledger at scale and against the clock: bulk appends, the chain's bytes, who reads what another process wrote, the two clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import ClockSetBack, IntegrityError
from flywheel.governance import ConsentLedger, Statement, make_consent_event
from flywheel.governance.chain import Chain
from flywheel.governance.consent import refusal
from flywheel.governance.ledger_state import LedgerState
from flywheel.records import ConsentEvent
from flywheel.storage import Ids

IDS = Ids(b"k" * 32)
T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ANNA, BEN = IDS.make("subject", "anna"), IDS.make("subject", "ben")


def said(action: str = "granted", day: float = 0, subject: str = ANNA, purpose: str = "labeling", **more: object) -> Statement:
    fields = {"legal_basis": "consent", "policy_version": "3", "source": "test", **more}
    return Statement(subject_id=subject, purpose=purpose, action=action, effective_at=T0 + day * DAY, **fields)  # type: ignore[arg-type]


def event(statement: Statement, recorded_at: datetime = T0) -> ConsentEvent:
    fields = {k: v for k, v in statement._asdict().items() if k not in ("subject_id", "purpose", "action", "key")}
    return make_consent_event(IDS, statement.subject_id, statement.purpose, statement.action, recorded_at=recorded_at, **fields)


def test_statements_in_bulk_are_the_events_that_they_make(tmp_path: Path) -> None:
    one, many = ConsentLedger(tmp_path / "one"), ConsentLedger(tmp_path / "many")
    statements = [said(), said("withdrawn", 2), said(subject=BEN, expires_at=T0 + 9 * DAY), said()]
    assert one.append([event(s) for s in statements]) == 3
    assert many.append_statements(statements, ids=IDS, recorded_at=T0) == 3
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    assert many.append_statements(statements, ids=IDS, recorded_at=T0 + DAY) == 0, "the same statement heard later is no new event"


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@settings(max_examples=60, deadline=None)
@given(basis=WORDS, source=WORDS, at=TIMES, until=st.none() | TIMES)
def test_a_line_has_the_bytes_of_the_canonical_form(tmp_path_factory: pytest.TempPathFactory, basis: str, source: str, at: datetime, until: datetime | None) -> None:  # fmt: skip
    """A ledger that an earlier version wrote is read on, and a reader with nothing but JSON and SHA-256 can check it."""
    folder = tmp_path_factory.mktemp("l")
    made = event(said(legal_basis=basis, source=source, expires_at=until)._replace(effective_at=at), recorded_at=at)
    ConsentLedger(folder / "fast").append([made])
    Chain(folder / "plain").append(lambda _: [{"event": made.model_dump(mode="json")}])
    assert (folder / "fast").read_bytes() == (folder / "plain").read_bytes()
    assert list(ConsentLedger(folder / "plain").events()) == [made]


def test_a_second_key_of_one_name_is_found_out(tmp_path: Path) -> None:
    """One reader takes the first of two, another the last: the bytes count, not what they parse to."""
    path = tmp_path / "c.jsonl"
    ConsentLedger(path).append([event(said("withdrawn"))])
    path.write_bytes(path.read_bytes().replace(b'{"action":"withdrawn"', b'{"action":"granted","action":"withdrawn"'))
    assert ConsentLedger(path).verify() != []
    with pytest.raises(IntegrityError, match="nobody's consent"):
        ConsentLedger(path).allowed("labeling", T0)


@pytest.mark.parametrize("spoil", ["drop", "swap", "again", "reformat", "stranger"])
def test_no_line_can_be_dropped_moved_added_or_rewritten(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "c.jsonl"
    ConsentLedger(path).append([event(said(day=d)) for d in range(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    if spoil == "drop":
        del lines[1]
    elif spoil == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif spoil == "again":
        lines.insert(1, lines[1])
    elif spoil == "reformat":
        lines[1] = json.dumps(json.loads(lines[1])).encode() + b"\n"
    else:
        lines[1] = b'{"kind":"other"}\n'
    path.write_bytes(b"".join(lines))
    for call in (lambda: ConsentLedger(path).allowed("labeling", T0), lambda: ConsentLedger(path).append([event(said(day=9))])):
        with pytest.raises(IntegrityError, match="restore it from its backup"):
            call()


def test_a_torn_end_is_no_event_and_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    ConsentLedger(path).append([event(said())])
    whole = path.read_bytes()
    with open(path, "ab") as file:
        file.write(whole[: len(whole) // 2])
    assert len(ConsentLedger(path).state()) == 1
    assert ConsentLedger(path).head() == json.loads(whole)["hash"]
    ConsentLedger(path).append([event(said(day=1))])
    assert path.read_bytes().startswith(whole)
    assert (len(ConsentLedger(path).state()), ConsentLedger(path).verify()) == (2, [])


def test_what_is_in_memory_is_what_a_fresh_reader_finds(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    ledger = ConsentLedger(path)
    for day in range(3):
        ledger.append([event(said(day=day)), event(said(day=day, subject=BEN, source=f"s{day}"))])
    fresh = LedgerState.load(Chain(path))
    assert fresh.head == ledger.state().head == ledger.head()
    assert list(fresh.events()) == list(ledger.events())
    path.write_bytes(b"")
    assert len(ledger.state()) == 0, "a file that is another one is read again"


def test_a_clock_set_back_is_refused_for_reading_and_writing(tmp_path: Path) -> None:
    """A withdrawal of this morning would sleep until it is this morning again."""
    ledger = ConsentLedger(tmp_path / "c.jsonl")
    ledger.append([event(said(), T0 + DAY), event(said("withdrawn", 1), T0 + DAY)])
    before = ledger.head()
    for now in (T0 + DAY - timedelta(minutes=4), T0 + 2 * DAY):
        assert ledger.allowed("labeling", now) in ({}, ledger.last_words("labeling", now))
    wrong = T0 + DAY - timedelta(minutes=6)
    with pytest.raises(ClockSetBack, match="a withdrawal since then would go unheard"):
        ledger.allowed("labeling", wrong)
    with pytest.raises(ClockSetBack, match="nothing was changed"):
        ledger.append([event(said(subject=BEN), wrong)])
    assert ledger.head() == before


def test_two_clocks_what_was_said_and_what_was_known(tmp_path: Path) -> None:
    """Anna withdrew on day 3; we heard it on day 5. On day 4 her rows were used in good faith, and by what is known now they should not
    have been."""
    ledger = ConsentLedger(tmp_path / "c.jsonl")
    ledger.append([event(said(), T0)])
    ledger.append([event(said("withdrawn", 3), T0 + 5 * DAY)])

    def allowed(day: float, known: float | None) -> bool:
        at = T0 + day * DAY
        return refusal(ledger.decision(ANNA, "labeling", at, None if known is None else T0 + known * DAY), at) is None

    assert (allowed(2, 2), allowed(2, None)) == (True, True)
    assert (allowed(4, 4), allowed(4, None)) == (True, False)
    assert (allowed(6, 6), allowed(6, None)) == (False, False)
    assert ledger.decision(BEN, "labeling", T0 + DAY) is None


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["labeling", "training"]), st.sampled_from(["granted", "withdrawn"]), st.integers(0, 5), st.integers(0, 5)),
    max_size=14,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(events=EVENTS, at=st.integers(0, 6), known=st.none() | st.integers(0, 6))
def test_the_fold_over_columns_is_the_fold_over_events(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, str, int, int]], at: int, known: int | None
) -> None:
    ledger = ConsentLedger(tmp_path_factory.mktemp("l") / "c.jsonl")
    made = [event(said(a, e, IDS.make("subject", s), p, source=str(i)), T0 + r * DAY) for i, (s, p, a, e, r) in enumerate(events)]
    for one in sorted(made, key=lambda e: e.recorded_at):
        ledger.append([one])
    expected: dict[str, ConsentEvent] = {}
    for one in ledger.events():
        if one.purpose == "labeling" and one.effective_at <= T0 + at * DAY and (known is None or one.recorded_at <= T0 + known * DAY):
            before = expected.get(one.subject_id)
            rank = (one.effective_at, one.action == "withdrawn")
            if before is None or rank >= (before.effective_at, before.action == "withdrawn"):
                expected[one.subject_id] = one
    for name in "abc":
        subject = IDS.make("subject", name)
        found = ledger.decision(subject, "labeling", T0 + at * DAY, None if known is None else T0 + known * DAY)
        assert found == expected.get(subject)
