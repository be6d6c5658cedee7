"""Schedules. What belongs here: when a job starts by the clock. What does not: triggers by data (`assets.sensors`).
https://docs.dagster.io/guides/automate/schedules
"""

import dagster as dg

from assets.jobs import weekly_round
from assets.partitions import weekly


@dg.schedule(
    job=weekly_round, cron_schedule="0 6 * * 1", execution_timezone="UTC", default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Monday 06:00 UTC: opens the week that has just ended.",
)  # fmt: skip
def monday_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Monday 06:00 UTC: open the week that has just ended."""
    key = weekly.get_partition_keys(current_time=context.scheduled_execution_time)[-1]
    return dg.RunRequest(partition_key=key, run_key=key)
