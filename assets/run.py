"""Running a job of the graph in this process: for the command line and for tests. The UI and the daemon need none of this.

What belongs here: the instance, one run, its progress and its failure in words. What does not: which job comes next (`flywheel.rounds`).
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._utils.error import SerializableErrorInfo

from assets.definitions import build_defs
from assets.lost_runs import TAG, process_name
from flywheel.storage import write_atomically

INSTANCE_FILE = Path(__file__).resolve().parents[1] / "dagster.yaml"


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `message` is what to tell a user; `foreseeable` is false for a bug, whose traceback lies in the run's log."""

    success: bool
    run_id: str
    failed_step: str | None = None
    message: str = ""
    exit_code: int = 0
    foreseeable: bool = True


def open_instance(home: Path) -> dg.DagsterInstance:
    """The persistent instance of a run state, in `<home>/dagster`, configured by the checkout's dagster.yaml."""
    folder = (home / "dagster").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    settings = INSTANCE_FILE.read_bytes()
    target = folder / "dagster.yaml"
    if not target.exists() or target.read_bytes() != settings:
        write_atomically(target, settings)
    os.environ["DAGSTER_HOME"] = str(folder)
    return dg.DagsterInstance.get()


def run_job(
    home: Path, job: str, round: str, *, instance: dg.DagsterInstance, tags: Mapping[str, str] | None = None,
    select: Sequence[str] | None = None, progress: bool = True,
) -> Outcome:  # fmt: skip
    """Run `job` for one round here and now. `select` narrows it to some of its assets. Never raises for a failed run."""
    defs = build_defs(path=str(home), loggers={"flywheel": progress_logger if progress else silent_logger})
    chosen = [dg.AssetKey(a) for a in select] if select else None
    config: dict[str, Any] = {"loggers": {"flywheel": {}}}
    if job == "demo_round":  # a run's own configuration replaces its job's
        config |= {"ops": {"annotations": {"config": {"simulated": True}}}}
    marks = {**(tags or {}), TAG: process_name((home / "dagster").resolve())}
    done = defs.resolve_job_def(job).execute_in_process(
        partition_key=round, instance=instance, tags=marks, raise_on_error=False, asset_selection=chosen, run_config=config
    )
    if done.success:
        return Outcome(True, done.run_id)
    for event in done.all_events:
        if event.is_step_failure:
            return _failure(done.run_id, str(event.step_key), event.step_failure_data.error, done.all_events)
    return Outcome(False, done.run_id, None, "the run failed before its first step; see its log in the UI", 1, foreseeable=False)


def _failure(run_id: str, step: str, error: SerializableErrorInfo | None, events: Sequence[dg.DagsterEvent]) -> Outcome:
    import flywheel.errors as known

    while error is not None and error.cause is not None:
        error = error.cause
    if error is None:
        return Outcome(False, run_id, step, "no reason recorded", 1, foreseeable=False)
    kind = getattr(known, str(error.cls_name), None)
    text = error.message.strip().removeprefix(f"flywheel.errors.{error.cls_name}: ").strip()
    if kind is not None:
        return Outcome(False, run_id, step, text, kind.exit_code)
    if error.cls_name == "DagsterAssetCheckFailedError":
        return Outcome(False, run_id, step, "the gate did not pass: " + _reasons(step, events), known.GateNotPassed.exit_code)
    return Outcome(False, run_id, step, text, 1, foreseeable=False)


def _reasons(step: str, events: Sequence[dg.DagsterEvent]) -> str:
    """What the failed checks of a step say; each gate stores its reasons in the check's metadata."""
    said = []
    for event in events:
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION and event.step_key == step:
            found = event.asset_check_evaluation_data
            if not found.passed:
                shown = {k: v.value for k, v in found.metadata.items()}
                reasons = shown.get("reasons") or [f"{k} {v}" for k, v in shown.items()]
                lines = reasons.splitlines() if isinstance(reasons, str) else map(str, reasons)
                said += [line.removeprefix("- ").strip() for line in lines if line.strip()]
    return "; ".join(said) or "no reason recorded"


class _Progress(logging.Handler):
    """Steps as they start and end, on standard error."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {}) or {}
        event, step = meta.get("dagster_event"), meta.get("step_key")
        kind = getattr(event, "event_type_value", None)
        if kind == "STEP_START" and step:
            self._started[step] = time.monotonic()
            if sys.stderr.isatty():
                sys.stderr.write(f"  … {step}\r")
        elif kind in ("STEP_SUCCESS", "STEP_FAILURE") and step:
            seconds = time.monotonic() - self._started.pop(step, time.monotonic())
            mark = "✓" if kind == "STEP_SUCCESS" else "✗"
            sys.stderr.write(f"  {mark} {step:<44}{seconds:7.1f} s\n")
        elif (
            kind is None
            and record.levelno >= logging.INFO
            and not str(meta.get("orig_message") or "Dependencies for").startswith("Dependencies for")
        ):
            sys.stderr.write(f"    {meta['orig_message']}\n")
        sys.stderr.flush()


def _logger(name: str, handler: logging.Handler) -> logging.Logger:
    made = logging.Logger(name, level=logging.DEBUG)
    made.addHandler(handler)
    return made


@dg.logger(description="One line a step.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    return _logger("flywheel.progress", _Progress())


@dg.logger(description="Nothing: the run's log in the instance has it all.")
def silent_logger(_: dg.InitLoggerContext) -> logging.Logger:
    return _logger("flywheel.silent", logging.NullHandler())


def program(name: str) -> str:
    """Path of a console script that lies beside this interpreter."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else (shutil.which(name) or name)
