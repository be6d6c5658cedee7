"""Kill -9 and two processes at once: the same hashes as the undisturbed run, nothing partial, nothing doubled, no run left "started"."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from assets.lost_runs import TAG, end_lost_runs, only_daemon, process_name
from assets.run import open_instance
from bench.campaign_kills import STEPS, differences, killed_demo, wrong_now
from flywheel.errors import FlywheelError
from flywheel.storage import Home
from tests.small_rounds import CHECKOUT, LOGS, R1, R2, environment, label, reopen, state_of


@pytest.mark.slow
def test_killed_after_every_stage_it_ends_as_if_never_killed(trained_template: Path, tmp_path: Path) -> None:
    killed = killed_demo(tmp_path / "home", steps=STEPS, logs=LOGS)
    assert killed.problems == []
    assert sum("had ended" not in k for k in killed.kills) == len(STEPS), killed.kills
    assert differences(state_of(reopen(trained_template)), killed.state) == []
    with open_instance(tmp_path / "home") as instance:
        left = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]))
        assert left == [], "a run that was killed must not bar the queue"
        cut_off = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.CANCELED]))
        assert len(cut_off) >= len(STEPS) - 1


@pytest.mark.slow
def test_two_processes_at_once_agree(small_home: Home) -> None:
    """Import and close of the same round by two processes that know nothing of each other: as if one had done it."""
    import shutil

    alone = reopen(Path(shutil.copytree(small_home.root, small_home.root.with_name("alone"))))
    code = """
import pathlib, sys
from tests import small_rounds as small
home = small.reopen(pathlib.Path(sys.argv[1]))
for job in ("weekly_round", "import_labels", "close_round", "report"):
    outcome = small.run(home, job, small.R2)
    if not outcome.success:
        print(job, outcome.failed_step, outcome.message)
        sys.exit(1)
"""

    def begin(home: Home) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, str(home.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=CHECKOUT,
            env=environment(home.root),
        )

    for home in (small_home, alone):
        label(home, R2)
    both = [begin(small_home), begin(small_home)]
    said = [p.communicate()[0] for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    single = begin(alone)
    assert single.communicate()[0] is not None
    assert single.returncode == 0
    assert differences(state_of(alone), state_of(small_home)) == []
    assert wrong_now(small_home.root) == []


def started_run(instance: dg.DagsterInstance, **tags: str) -> str:
    run = dg.DagsterRun(job_name="weekly_round", status=dg.DagsterRunStatus.STARTED, tags={"flywheel/serial": "round", **tags})
    instance.add_run(run)
    return run.run_id


def test_the_run_of_a_dead_process_is_ended_and_a_living_one_is_left(tmp_path: Path) -> None:
    folder = (tmp_path / "dagster").resolve()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import pathlib, sys, time; from assets.lost_runs import process_name; print(process_name(pathlib.Path(sys.argv[1])), flush=True); time.sleep(60)", str(folder)],
        stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(tmp_path),
    )  # fmt: skip
    assert holder.stdout is not None
    name = holder.stdout.readline().strip()
    with open_instance(tmp_path) as instance:
        theirs, mine = started_run(instance, **{TAG: name}), started_run(instance, **{TAG: process_name(folder)})
        daemons = started_run(instance)
        assert end_lost_runs(instance, folder, launched=False) == []
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        assert end_lost_runs(instance, folder, launched=False) == [theirs]
        assert instance.get_run_by_id(theirs).status == dg.DagsterRunStatus.CANCELED
        assert end_lost_runs(instance, folder, launched=True) == [daemons]
        assert instance.get_run_by_id(daemons).status == dg.DagsterRunStatus.FAILURE, "counts as a crash: the daemon tries it again"
        assert instance.get_run_by_id(mine).status == dg.DagsterRunStatus.STARTED


def test_one_daemon_at_a_time_works_on_a_run_state(tmp_path: Path) -> None:
    lock = only_daemon(tmp_path / "dagster")
    with pytest.raises(FlywheelError, match=r"works on .* already"):
        only_daemon(tmp_path / "dagster")
    os.close(lock)
    os.close(only_daemon(tmp_path / "dagster"))


@pytest.mark.slow
def test_the_finished_demo_does_nothing_again(trained_home: Home) -> None:
    """A second `flywheel demo` recomputes nothing and says the same."""
    from tests.small_rounds import flywheel

    before = state_of(trained_home)
    done = flywheel(trained_home.root, "demo", "--weeks", "2", "--logs", str(LOGS), "--home", str(trained_home.root))
    assert done.returncode == 0, done.stderr
    assert "✓" not in done.stderr
    assert state_of(trained_home) == before
    assert R1 in done.stderr
