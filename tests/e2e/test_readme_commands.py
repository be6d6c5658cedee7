"""The README's own commands, run as they are written: a user's logs to a published batch, a user's labels to a closed round."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROUND = "2026-01-05"
SMALL_BASE = '[training]\nbase = "shopforge-tiny-fast"\n'
FEW_TASKS = SMALL_BASE + "[quality]\nminimum_gold_items = 1\nminimum_segment_items = 1\n[labeling]\nattention_share = 0\nrepeat_share = 0\n"
GOLD = {
    "domain": "support", "accepted": ["a"], "rationale": "P3", "origin": "expert",
    "prompt": [{"role": "user", "content": "I was charged twice for [ORDER_1]."}],
    "response_a": {"text": "I have refunded the second charge.", "generation": {"model_id": "gold"}},
    "response_b": {"text": "Please browse our store for other offers.", "generation": {"model_id": "gold"}},
}  # fmt: skip


def block(name: str) -> str:
    found = re.search(rf"<!-- {name}:[^>]*-->\n```sh\n(.+?)```", (ROOT / "README.md").read_text(), re.S)
    assert found, f"the README has no block {name}"
    return found.group(1)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the commands need of the checkout, elsewhere, so that nothing here is touched. The package itself is the installed one."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    shutil.copytree(ROOT / "data" / "samples", copy / "data" / "samples")
    (copy / ".venv" / "bin").mkdir(parents=True)
    (copy / ".venv" / "bin" / "flywheel").symlink_to(Path(sys.executable).with_name("flywheel"))
    return copy


def sh(checkout: Path, commands: str) -> subprocess.CompletedProcess[str]:
    """The commands in one shell that stops at the first failure, with the exports of the first block."""
    exports = "".join(line + "\n" for line in block("own-logs").splitlines() if line.startswith("export "))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FLYWHEEL_", "DAGSTER_"))} | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["sh", "-e", "-c", exports + commands], check=False, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600
    )


def write_answers(checkout: Path) -> None:
    """Three raters who agree; the shorter answer of a gold task is the right one here."""
    tasks = [json.loads(line) for line in (checkout / "data" / "mine" / "batches" / f"{ROUND}.jsonl").read_text().splitlines()]
    (checkout / "answers").mkdir()
    for rater in ("ada", "ben", "cleo"):
        lines = [
            {"task_id": t["task_id"], "rater": rater, "choice": "left" if len(t["left"]) < len(t["right"]) else "right", "origin": "human",
             "guideline_sha256": t["guideline_sha256"], **({"policy_reference": "P2"} if t["policy_reference_required"] else {})}
            for t in tasks
        ]  # fmt: skip
        (checkout / "answers" / f"{rater}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.slow
def test_your_own_logs_become_a_batch_in_under_ten_lines(checkout: Path) -> None:
    commands = block("own-logs")
    assert len(commands.splitlines()) < 10
    (checkout / "data" / "mine").mkdir()
    (checkout / "data" / "mine" / "flywheel.toml").write_text(SMALL_BASE)

    done = sh(checkout, commands)

    assert done.returncode == 0, done.stderr
    assert "published" in done.stdout
    task = json.loads(done.stdout.splitlines()[-1])
    assert {"task_id", "prompt", "left", "right"} <= set(task)
    batch = (checkout / "data" / "mine" / "batches" / f"{ROUND}.jsonl").read_text()
    assert len(batch.splitlines()) == 11  # twelve rows, one consent withdrawn
    for value in ("Okafor", "mail.example", "SF-204417", "AC-559013", "555 0147", "Larkspur", "sk_live_", "Gudrun"):
        assert value not in batch
    assert (checkout / "data" / "mine" / "restricted").stat().st_mode & 0o077 == 0

    write_answers(checkout)
    refused = sh(checkout, block("own-labels"))
    assert refused.returncode == 3
    assert "add gold items" in refused.stderr


@pytest.mark.slow
def test_your_own_labels_close_the_round(checkout: Path) -> None:
    home = checkout / "data" / "mine"
    (home / "gold").mkdir(parents=True)
    (home / "flywheel.toml").write_text(FEW_TASKS)
    (home / "gold" / "mine.jsonl").write_text(json.dumps({"gold_id": "twice", **GOLD}) + "\n")
    assert sh(checkout, block("own-logs")).returncode == 0
    write_answers(checkout)

    done = sh(checkout, block("own-labels"))

    assert done.returncode == 0, done.stderr
    assert "closed" in sh(checkout, f"flywheel round status {ROUND}").stdout
    assert (home / "reports" / f"round-{ROUND}.html").is_file()
    assert sh(checkout, "flywheel audit verify").returncode == 0


def test_every_link_and_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    from flywheel.cli import COMMANDS

    for command in set(re.findall(r"(?:`|^)flywheel ([a-z]+)", text, re.M)):
        assert command in COMMANDS, command
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)) <= targets
