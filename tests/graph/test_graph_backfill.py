"""A backfill goes in order, or stops: otherwise every round would be pinned to the model of the first."""

from __future__ import annotations

from assets.ingestion import backfill_start
from flywheel.storage import Home
from tests.small_rounds import R1, R2, R3, run, succeed


def test_a_run_outside_a_backfill_has_no_first_round() -> None:
    assert backfill_start({"dagster/partition": R2}) is None
    assert backfill_start({"flywheel/backfill": R2}) == R2
    assert backfill_start({"dagster/backfill": "abc"}) == R1


def test_a_backfill_from_the_ui_that_opens_a_round_too_early_is_refused(small_home: Home) -> None:
    refused = run(small_home, "weekly_round", R3, select=["round_context"], tags={"dagster/backfill": "abc"})
    assert not refused.success
    assert f"{R2}, is unsettled" in refused.message
    assert "flywheel backfill" in refused.message


def test_the_schedule_opens_a_round_while_the_one_before_is_being_labelled(small_home: Home) -> None:
    succeed(small_home, "weekly_round", R3, select=["round_context"])
