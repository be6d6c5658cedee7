"""Sensors: what starts when data arrives. Each reads stored state only, and its skip reason says where every open round stands.

What belongs here: triggers. What does not: the rule that a round may close (`flywheel.rounds.round_state`).
https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

from assets.external import label_files
from assets.jobs import ROUND_JOBS, close_round, import_labels, late_logs, report
from flywheel.labeling import Journal, label_set_sha256
from flywheel.rounds import late_rounds, opened_rounds, round_state
from resources.store import Store

RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    job=import_labels, minimum_interval_seconds=30, default_status=RUNNING,
    description="New label files or journal entries: import them for every published round that is not settled.",
)  # fmt: skip
def labels_arrived(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult | dg.SkipReason:
    """New label files or journal entries: import them for every published round that is not settled."""
    home = store.home
    states = [round_state(home, r) for r in opened_rounds(home)]
    waiting = [s for s in states if s.state not in ("collecting", "closed", "abandoned")]
    if not waiting:
        return dg.SkipReason("no round waits for labels. " + "; ".join(f"{s.round} {s.state}" for s in states))
    token = label_set_sha256(home.label_inbox, Journal(home.restricted / "journal.sqlite"))
    if token is None:
        return dg.SkipReason("no labels delivered yet. " + "; ".join(f"{s.round} {s.state}: {s.explanation}" for s in waiting))
    # the run key names exactly this set of labels: the same set is imported once; the cursor keeps it from being reported again
    told = set((context.cursor or "").split())
    keys = {s.round: f"{s.round}:{token}" for s in waiting}
    fresh = [s for s in waiting if keys[s.round] not in told]
    if not fresh:
        return dg.SkipReason("no new labels. " + "; ".join(f"{s.round} {s.state}: {s.explanation}" for s in waiting))
    requests = [dg.RunRequest(run_key=keys[s.round], partition_key=s.round) for s in fresh]
    events = [dg.AssetMaterialization(label_files.key, partition=s.round, metadata={"label_set": token}) for s in fresh]
    return dg.SensorResult(run_requests=requests, asset_events=events, cursor=" ".join(sorted(keys.values())))


@dg.sensor(
    job=late_logs, minimum_interval_seconds=60, default_status=RUNNING,
    description="Rows that came after their week was run, as the newest import saw them: takes them in for the next pool.",
)  # fmt: skip
def late_rows(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult | dg.SkipReason:
    """One run for each earlier week of the newest round's pool that has other rows in the landing folder than it took in."""
    opened = opened_rounds(store.home)
    late = late_rounds(store.home, opened[-1]) if opened else {}
    if not late:
        return dg.SkipReason("no rows came after their week was run")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"{r}:{seen}", partition_key=r) for r, seen in late.items()])


@dg.sensor(
    job=close_round, minimum_interval_seconds=30, default_status=RUNNING,
    description="Closes the oldest unsettled round once its agreement gate has passed for exactly its present annotations.",
)  # fmt: skip
def round_is_ready(context: dg.SensorEvaluationContext, store: Store) -> dg.SensorResult | dg.SkipReason:
    """The oldest unsettled round has a passing verdict for exactly its present annotations: close it. Later ones wait their turn."""
    home = store.home
    states = [round_state(home, r) for r in opened_rounds(home)]
    unsettled = [s for s in states if not s.settled]
    notes = "; ".join(f"{s.round} {s.state}: {s.explanation}" for s in unsettled) or "every opened round is settled"
    if not unsettled or unsettled[0].state != "ready":
        return dg.SkipReason(notes)
    oldest = unsettled[0].round
    key = f"{oldest}:{home.lake.demand('annotations', oldest).sha256}"
    runs = context.instance.get_runs(dg.RunsFilter(job_name=close_round.name, tags={"dagster/run_key": key}), limit=1)
    if runs and runs[0].status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        way = f"mend the cause, then re-execute it, or `flywheel round close {oldest}`"
        return dg.SkipReason(f"{notes}. Closing it failed already (run {runs[0].run_id}): {way}")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, partition_key=oldest)])


def _report_on(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    round = context.dagster_run.tags.get("dagster/partition")
    if round is None:
        return dg.SkipReason(f"run {context.dagster_run.run_id} has no round")
    return dg.RunRequest(run_key=context.dagster_run.run_id, partition_key=round)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, monitored_jobs=ROUND_JOBS, request_job=report, default_status=RUNNING,
    description="Renders the round's page after each of its jobs.",
)  # fmt: skip
def report_after_success(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Render the round's page after each of its jobs."""
    return _report_on(context)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE, monitored_jobs=ROUND_JOBS, request_job=report, default_status=RUNNING,
    description="Renders the round's page also when a gate failed: it says which and why.",
)  # fmt: skip
def report_after_failure(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    """Also when a gate failed: the page then says which and why."""
    return _report_on(context)


SENSORS = [labels_arrived, late_rows, round_is_ready, report_after_success, report_after_failure]
