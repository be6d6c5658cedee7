"""What starts what: the schedule, the sensors by tick, and the registry's partition in Dagster."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import dagster as dg
import pytest

from assets.definitions import build_defs
from flywheel.rounds import abandon, round_state
from flywheel.storage import Home
from resources.store import Store
from tests.small_rounds import R1, R2, R3, label, label_with, succeed


def tick(home: Home, sensor: str, instance: dg.DagsterInstance, cursor: str | None = None) -> object:
    defs = build_defs(path=str(home.root))
    context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs, resources={"store": Store(path=str(home.root))})
    return defs.resolve_sensor_def(sensor).evaluate_tick(context)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_monday_opens_the_week_that_has_just_ended() -> None:
    defs = build_defs()
    schedule = defs.resolve_schedule_def("monday_morning")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * 1", "UTC")
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 1, 19, 6, tzinfo=UTC), repository_def=defs.get_repository_def()
    )
    requests = schedule.evaluate_tick(context).run_requests
    assert [r.partition_key for r in requests] == [R2]


def test_labels_arrived_waits_while_there_are_none(small_home: Home, instance: dg.DagsterInstance) -> None:
    shutil.rmtree(small_home.label_inbox)
    (small_home.restricted / "journal.sqlite").unlink()
    found = tick(small_home, "labels_arrived", instance)
    assert not found.run_requests
    assert f"{R2} published" in found.skip_message


def test_labels_arrived_asks_once_for_each_set_of_labels(small_home: Home, instance: dg.DagsterInstance) -> None:
    label(small_home, R2)
    first = tick(small_home, "labels_arrived", instance)
    assert [r.partition_key for r in first.run_requests] == [R2], "the closed round is not asked for"
    assert [(e.asset_key.to_user_string(), e.partition) for e in first.asset_events] == [("label_files", R2)]
    again = tick(small_home, "labels_arrived", instance, cursor=first.cursor)
    assert not again.run_requests
    assert not again.asset_events, "the same files are not reported again at every tick"
    assert "no new labels" in again.skip_message
    label_with(small_home, R2, lambda n, line: line if n else None)
    changed = tick(small_home, "labels_arrived", instance, cursor=again.cursor)
    assert changed.run_requests
    assert changed.run_requests[0].run_key != first.run_requests[0].run_key


def test_labels_arrived_says_so_when_no_round_waits(small_home: Home, instance: dg.DagsterInstance) -> None:
    abandon(small_home, R2, "given up", small_home.now())
    found = tick(small_home, "labels_arrived", instance)
    assert "no round waits" in found.skip_message
    assert f"{R2} abandoned" in found.skip_message


def test_round_is_ready_waits_and_says_where_each_round_stands(small_home: Home, instance: dg.DagsterInstance) -> None:
    found = tick(small_home, "round_is_ready", instance)
    assert not found.run_requests
    assert f"{R2} published" in found.skip_message
    assert R1 not in found.skip_message


def test_round_is_ready_closes_the_oldest_unsettled_round_first(small_home: Home, instance: dg.DagsterInstance) -> None:
    """Round 2 is ready, but round 1 is open again: it bars the line until it is settled."""
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    entry = small_home.registry / f"{R1}.json"
    kept = entry.read_bytes()
    entry.unlink()
    annotations = small_home.lake.read("annotations", R1)
    small_home.lake.write("annotations", R1, annotations.slice(0, 5))
    barred = tick(small_home, "round_is_ready", instance)
    assert not barred.run_requests
    assert f"{R1} labeling" in barred.skip_message
    assert f"{R2} ready" in barred.skip_message
    entry.write_bytes(kept)
    freed = tick(small_home, "round_is_ready", instance)
    assert [r.partition_key for r in freed.run_requests] == [R2]
    assert small_home.lake.demand("annotations", R2).sha256 in freed.run_requests[0].run_key


def test_round_is_ready_passes_over_an_abandoned_round(small_home: Home, instance: dg.DagsterInstance) -> None:
    abandon(small_home, R2, "given up", small_home.now())
    assert "settled" in tick(small_home, "round_is_ready", instance).skip_message


def test_a_close_that_failed_is_not_asked_for_again_in_silence(small_home: Home, instance: dg.DagsterInstance) -> None:
    label(small_home, R2)
    succeed(small_home, "import_labels", R2)
    key = tick(small_home, "round_is_ready", instance).run_requests[0].run_key
    run = dg.DagsterRun(job_name="close_round", status=dg.DagsterRunStatus.FAILURE, tags={"dagster/run_key": key, "dagster/partition": R2})
    instance.add_run(run)
    found = tick(small_home, "round_is_ready", instance)
    assert not found.run_requests
    assert run.run_id in found.skip_message
    assert f"flywheel round close {R2}" in found.skip_message


@pytest.mark.parametrize(("sensor", "event"), [("report_after_success", "PIPELINE_SUCCESS"), ("report_after_failure", "PIPELINE_FAILURE")])
def test_a_report_follows_each_job_of_a_round(sensor: str, event: str) -> None:
    from assets import sensors

    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.DagsterRun(job_name="import_labels", tags={"dagster/partition": R2})
        instance.add_run(run)
        happened = dg.DagsterEvent(event_type_value=event, job_name="import_labels")
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor, dagster_event=happened, dagster_instance=instance, dagster_run=run, partition_key=None
        )
        found = getattr(sensors, sensor)(context)
        assert (found.partition_key, found.run_key) == (R2, run.run_id)


def test_closing_reports_the_registry_partition(small_home: Home, instance: dg.DagsterInstance) -> None:
    succeed(small_home, "close_round", R1, instance=instance)
    event = instance.get_latest_materialization_event(dg.AssetKey("model_registry"))
    assert event is not None
    shown = event.asset_materialization
    assert shown is not None
    assert shown.partition == R1
    assert shown.metadata["decision"].value == "kept"
    assert shown.metadata["model"].value.startswith("base-")


def test_a_later_round_is_opened_while_an_earlier_one_is_labelled(small_home: Home) -> None:
    """Rounds overlap: opening R3 on its Monday does not wait for R2's labels, and pins what was promoted by then."""
    succeed(small_home, "weekly_round", R3, select=["round_context"])
    assert round_state(small_home, R2).state == "published"
    assert round_state(small_home, R3).state == "collecting"
