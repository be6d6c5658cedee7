"""The funnel: counts that add up, reasons from manifests, and silence about nothing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flywheel.records import RedactedRecord, SelectionPick
from flywheel.reporting import FunnelStep, funnel
from flywheel.reporting.funnel import _next
from flywheel.storage import empty_table

R1, R2 = "2026-01-05", "2026-01-12"


def test_a_closed_round_is_followed_from_the_log_to_the_training_rows(home, world):
    world.closed_round(R2)
    steps = {s.name: s for s in funnel(home, R2)}
    assert [(s.name, s.count) for s in steps.values()] == [
        ("logs read", 425), ("accepted", 400), ("consented", 340), ("redacted", 338), ("in the pool", 398), ("paired", 300), ("selected", 120),
        ("given to people", 108), ("labelled", 104), ("accepted as preferences", 110), ("in the dataset", 110), ("trained on", 87),
    ]  # fmt: skip
    assert steps["accepted"].lost == {"other_rounds": 12, "duplicates": 5, "malformed_json": 5, "future_timestamp": 3}
    assert steps["consented"].lost == {"no_consent": 50, "withdrawn": 10}
    assert steps["in the pool"].gained == {"from_earlier_rounds": 100}
    assert steps["given to people"].lost == {"kept_by_judge": 12}
    assert (steps["accepted as preferences"].gained, steps["accepted as preferences"].lost) == ({"kept_by_judge": 12}, {"to_expert": 6})
    assert steps["trained on"].lost == {"random_control": 6, "random_evaluation": 6, "tie": 11}


def test_every_step_follows_from_the_one_before(home, world):
    world.closed_round(R2)
    steps = funnel(home, R2)
    for before, after in pairwise(steps):
        assert after.count == before.count + sum(after.gained.values()) - sum(after.lost.values()), after.name


def test_an_untouched_round_reached_nothing(home):
    assert {s.count for s in funnel(home, R1)} == {None}


def test_a_round_that_stopped_shows_what_it_reached(home, world):
    world.logs(R1)
    world.selection(R1)
    reached = [s.name for s in funnel(home, R1) if s.count is not None]
    assert reached[-1] == "selected"
    world.batch(R1)
    assert [s.name for s in funnel(home, R1) if s.count is not None][-1] == "given to people"


def test_what_no_stage_explains_is_called_unexplained(home, world):
    world.logs(R1)
    home.lake.write("redacted_logs", R1, empty_table(RedactedRecord))
    home.lake.write("selection", R1, empty_table(SelectionPick))
    steps = {s.name: s for s in funnel(home, R1)}
    assert steps["redacted"].lost == {"unexplained": 340}
    assert steps["selected"].count == 0


def test_late_labels_of_earlier_rounds_join_and_are_named(home, world):
    world.closed_round(R2)
    from flywheel.records import Preference

    rows = home.lake.read("preferences", R2).to_pylist()
    late = {**rows[0], "pair_id": f"{R1}p7"}
    world.write("preferences", R2, Preference, [late, *rows[:-3]], fate={"to_expert": 500, "excluded": 3})
    accepted = funnel(home, R2)[9]
    assert accepted.gained["late_labels"] == 1
    assert "unexplained" not in {**accepted.gained, **accepted.lost}, "counts of other rounds' pairs are not taken for this round's"


def test_an_abandoned_round_ends_in_an_empty_preference_set(home, world):
    world.logs(R1)
    world.selection(R1)
    world.batch(R1)
    world.labels(R1, "fail")
    world.abandon(R1)
    accepted = funnel(home, R1)[9]
    assert (accepted.count, accepted.lost) == (0, {"abandoned": 104})


def test_a_model_that_was_not_trained_trained_on_nothing(home, world):
    world.closed_round(R1)
    from flywheel.records import ModelRow

    world.write("dpo_model", R1, ModelRow, [{"model_id": "m", "kind": "dpo", "trained": False, "n_pairs": 0}])
    assert funnel(home, R1)[-1] == FunnelStep("trained on", 0, {"no_model_was_trained": 110})


@given(
    st.integers(0, 10_000), st.integers(0, 10_000), st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 5_000)),
    st.dictionaries(st.sampled_from(["c", "d"]), st.integers(0, 5_000)),
)  # fmt: skip
def test_the_balance_holds_whatever_the_stages_say(before, count, lost, gained):
    step = _next("x", FunnelStep("y", before), count, lost, gained)
    assert step.count == before + sum(step.gained.values()) - sum(step.lost.values())
    assert all(v > 0 for v in (*step.lost.values(), *step.gained.values()))
