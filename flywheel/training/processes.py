"""Training happens in a process of its own: the caller never imports torch, and its memory goes back when the process ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flywheel.errors import TrainingFailed
from flywheel.settings import TrainingSettings

PROGRESS = re.compile(r"^progress (.*)$")
LAST_LINES = 12
WORK_FOLDER = re.compile(r"^\.[a-z]+-(\d+)-\w+$")


@contextmanager
def work_folder(root: Path, name: str) -> Iterator[Path]:
    """A temporary folder `.<name>-<pid>-...` below `root`, gone afterwards. Those of killed processes are removed first; every reader
    passes over names that start with a dot."""
    root.mkdir(parents=True, exist_ok=True)
    for folder in root.glob(".*"):
        found = WORK_FOLDER.match(folder.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-{os.getpid()}-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def run_module(
    module: str, job: Path, *, settings: TrainingSettings, log: Path, progress: Callable[[str], None] | None = None
) -> None:  # fmt: skip
    """Run `python -m module job`, output to `log`. Raises `TrainingFailed` with the last lines on failure or timeout.

    The module's own watch (`watch_parent`) ends it when this process dies, so that a killed run leaves no orphan at work.
    """
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_", "WANDB_", "MLFLOW_", "ACCELERATE_"))},
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_DATASETS_CACHE": str(job.parent / "datasets"), "HF_HOME": str(job.parent / "hf"), "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(settings.threads), "MKL_NUM_THREADS": str(settings.threads), "PYTHONHASHSEED": "0", "TQDM_DISABLE": "1",
        "PYTHONPATH": os.pathsep.join(p for p in (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")) if p),
    }  # fmt: skip
    if settings.device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    else:
        environment["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # cuBLAS repeats its sums only so
    with open(log, "wb") as sink:
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
            [sys.executable, "-m", module, str(job)], stdout=sink, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment
        )
        deadline, seen = time.monotonic() + settings.timeout_s, 0
        try:
            while True:
                try:
                    code = process.wait(timeout=0.2 if progress else max(0.1, deadline - time.monotonic()))
                    break
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= deadline:
                        raise TrainingFailed(
                            f"{module} ran longer than training.timeout_s = {settings.timeout_s} s. {_last_lines(log)}"
                        ) from None
                    if progress:
                        seen = _report(log, seen, progress)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if progress:
        _report(log, seen, progress)
    if code != 0:
        raise TrainingFailed(f"{module} ended with code {code}. {_last_lines(log)}")


def _report(log: Path, seen: int, progress: Callable[[str], None]) -> int:
    with open(log, "rb") as file:
        file.seek(seen)
        text = file.read()
    complete = text.rfind(b"\n") + 1
    for line in text[:complete].decode(errors="replace").splitlines():
        found = PROGRESS.match(line)
        if found:
            progress(found[1])
    return seen + complete


def _last_lines(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-LAST_LINES:]
    failed = [line for line in lines if line.startswith("failed: ")]
    return failed[-1].removeprefix("failed: ") if failed else "Last lines:\n" + "\n".join(lines)


def watch_parent() -> None:
    """In the subprocess: end at once when the process that started this one has died."""
    import threading

    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(9)

    threading.Thread(target=watch, daemon=True).start()
