"""A round's state follows from what is stored, and from nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from flywheel.errors import BadInput, RoundRefused
from flywheel.records import Annotation, LabelingTask, PromotionRow, RegistryEntry, Verdict
from flywheel.rounds import Verdicts, abandon, closed_rounds, known_rounds, opened_rounds, round_state
from flywheel.storage import Home, arrow_schema
from flywheel.training import Registry

R1, R2 = "2026-01-05", "2026-01-12"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
EMPTY: dict[Any, Any] = {pa.string(): "x", pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): False, pa.timestamp("us", "UTC"): NOW}


def rows(model: Any, round: str, n: int) -> pa.Table:
    """`n` rows of a table with the least that its columns allow: only their number matters here."""
    schema = arrow_schema(model)

    def value(field: pa.Field) -> Any:
        if field.name == "round":
            return round
        if field.nullable:
            return None
        if pa.types.is_list(field.type):
            return []
        if pa.types.is_struct(field.type):
            return {f.name: value(f) for f in field.type}
        return EMPTY[field.type]

    return pa.Table.from_pylist([{f.name: value(f) for f in schema} for _ in range(n)], schema=schema)


def publish(home: Home, round: str = R1) -> None:
    home.lake.write("labeling_batch", round, rows(LabelingTask, round, 4))


def annotate(home: Home, n: int = 3, round: str = R1) -> str:
    return home.lake.write("annotations", round, rows(Annotation, round, n)).sha256


def decide(home: Home, sha256: str, state: str, round: str = R1) -> None:
    verdict = Verdict(gate="agreement", round=round, subject_sha256=sha256, state=state, reasons=[f"because {state}"], decided_at=NOW)
    Verdicts(home.provenance / "verdicts").record(verdict)


def enter(home: Home, round: str = R1, decision: str = "promoted", *, cut_off: bool = False) -> None:
    """What closing leaves behind: the registry entry, then the promotion table (`cut_off`: not that)."""
    if not cut_off:
        home.lake.write("promotion", round, rows(PromotionRow, round, 1))
    Registry(home.registry).enter(
        RegistryEntry(round=round, decision=decision, model_id="dpo-1", candidate_id="dpo-1", effective_at=NOW, recorded_at=NOW)
    )


def test_nothing_stored_is_collecting(home: Home) -> None:
    state = round_state(home, R1)
    assert (state.state, state.settled) == ("collecting", False)
    assert f"flywheel round run {R1}" in state.next_step


def test_a_batch_is_published_and_labels_make_it_labeling(home: Home) -> None:
    publish(home)
    assert round_state(home, R1).state == "published"
    assert str(home.label_inbox) in round_state(home, R1).next_step
    annotate(home, 0)
    assert round_state(home, R1).state == "published", "an import without labels changes nothing"
    annotate(home)
    assert round_state(home, R1).state == "labeling"


@pytest.mark.parametrize(
    ("verdict", "state"), [("pending", "labeling"), ("inconclusive", "gate_inconclusive"), ("fail", "gate_failed"), ("pass", "ready")]
)
def test_the_verdict_for_exactly_these_annotations_decides(home: Home, verdict: str, state: str) -> None:
    publish(home)
    decide(home, annotate(home), verdict)
    assert round_state(home, R1).state == state
    annotate(home, 2)
    assert round_state(home, R1).state == "labeling", "other annotations: that verdict does not count"


def test_a_registry_entry_closes(home: Home) -> None:
    publish(home)
    decide(home, annotate(home), "pass")
    enter(home)
    state = round_state(home, R1)
    assert (state.state, state.settled) == ("closed", True)
    assert "promoted" in state.explanation
    assert closed_rounds(home) == {R1}


def test_a_closing_that_was_cut_off_is_closed_again(home: Home) -> None:
    publish(home)
    decide(home, annotate(home), "pass")
    enter(home, cut_off=True)
    assert round_state(home, R1).state == "ready"


def test_an_abandoned_round_is_settled_whatever_else_is_stored(home: Home) -> None:
    publish(home)
    decide(home, annotate(home), "fail")
    state = abandon(home, R1, "the gate cannot be passed", NOW)
    assert (state.state, state.settled) == ("abandoned", True)
    assert home.lake.demand("preferences", R1).rows == 0
    assert "cannot be passed" in state.explanation


def test_abandoning_twice_keeps_the_first_reason(home: Home) -> None:
    abandon(home, R1, "first", NOW)
    assert "first" in abandon(home, R1, "second", NOW).explanation


def test_abandoning_needs_a_reason_and_an_open_round(home: Home) -> None:
    with pytest.raises(BadInput, match="needs a reason"):
        abandon(home, R1, " ", NOW)
    enter(home)
    with pytest.raises(RoundRefused, match="is closed"):
        abandon(home, R1, "too late", NOW)


def test_known_rounds_are_those_that_have_ended(home: Home) -> None:
    assert known_rounds(home, datetime(2026, 1, 11, 23, 59, tzinfo=UTC)) == []
    assert known_rounds(home, datetime(2026, 1, 12, tzinfo=UTC)) == [R1]
    (home.provenance / "rounds" / "2026-03-02").mkdir(parents=True)
    assert known_rounds(home, datetime(2026, 1, 19, tzinfo=UTC)) == [R1, R2, "2026-03-02"]
    assert opened_rounds(home) == []
