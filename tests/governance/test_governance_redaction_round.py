"""A stored round is redacted by shards: the same bytes in any number of processes, interrupted or not, and nothing raw left on the way."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import FlywheelError
from flywheel.governance import Vault, redact_logs
from flywheel.governance import redaction_round as module
from flywheel.governance.redaction_checkpoints import Checkpoints
from flywheel.governance.redaction_spill import Spill, number_of_shards, spilled
from flywheel.ingestion.conversations import assemble_conversations
from flywheel.records import ConsentedRecord
from flywheel.storage import Home, to_table
from tests.governance.stored_rounds import BEFORE, NAMES, ROUND, new_home, outcome, redact, rows_of, store, subject_id, talk_id
from tests.small_rounds import CHECKOUT, environment


class Stopped(Exception):
    """The run ends here."""


class StopAfter:
    """Ends a run after so many shards."""

    def __init__(self, shards: int) -> None:
        self.left, self.said = shards, list[str]()

    def __call__(self, said: str) -> None:
        self.said.append(said)
        self.left -= 1
        if not self.left:
            raise Stopped


def interrupted(home: Home, shards: int, **options: object) -> None:
    with pytest.raises(Stopped):
        redact(home, tell=StopAfter(shards), **options)  # type: ignore[arg-type]


def done_before(home: Home, **options: object) -> int:
    """How many shards a run takes up."""
    told = StopAfter(-1)
    redact(home, tell=told, **options)  # type: ignore[arg-type]
    return int(told.said[-1].split(", ")[-1].split()[0]) if "done before" in told.said[-1] else 0


def shard_files(home: Home) -> list[Path]:
    return sorted((home.restricted / "redaction").rglob("*.json"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "home", rows_of(100, 1), rows_of(60, 1, BEFORE))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99), n=st.integers(0, 90), stops=st.lists(st.integers(1, 4), max_size=3), shard_rows=st.sampled_from([8, 16, 32])
)
def test_an_interrupted_round_is_the_uninterrupted_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int, stops: list[int], shard_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    homes = [new_home(folder / name, rows_of(n, seed), rows_of(20, seed, BEFORE)) for name in ("calm", "stopped")]
    redact(homes[0], shard_rows=shard_rows)
    shards = number_of_shards(n, shard_rows)
    for stop in stops:
        interrupted(homes[1], min(stop, shards), shard_rows=shard_rows)
    redact(homes[1], shard_rows=shard_rows)
    assert outcome(homes[0]) == outcome(homes[1])
    assert not (homes[1].restricted / "redaction" / ROUND).exists(), "swept"
    shutil.rmtree(folder)


@pytest.mark.slow
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 99), stops=st.lists(st.integers(1, 5), max_size=1), withdrawn=st.booleans())
def test_three_processes_give_the_bytes_of_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, stops: list[int], withdrawn: bool
) -> None:
    folder = tmp_path_factory.mktemp("round")
    homes = [new_home(folder / name, rows_of(120, seed), rows_of(40, seed, BEFORE)) for name in ("one", "three")]
    without = frozenset({subject_id(3)}) if withdrawn else frozenset()
    for stop in stops:
        interrupted(homes[1], stop, workers=3)
        interrupted(homes[0], stop, workers=1)
    found = [redact(home, workers=workers, without=without) for home, workers in zip(homes, (1, 3), strict=True)]
    assert len(found[0].parts) > 2
    assert outcome(homes[0]) == outcome(homes[1])


def test_one_shard_is_what_redaction_in_memory_gives(tmp_path: Path) -> None:
    rows = rows_of(50, 4)
    homes = [new_home(tmp_path / name, rows) for name in ("stored", "memory")]
    redact(homes[0], shard_rows=1_000)
    with closing(Vault.open(homes[1])) as vault:
        whole, _ = assemble_conversations(to_table(ConsentedRecord, rows))
        table, stats = redact_logs(whole, vault=vault, settings=homes[1].settings.governance, round=ROUND)
    homes[1].lake.write("redacted_logs", ROUND, table, facts={"stats": stats})
    (stored, facts, said), (memory, _, in_memory) = map(outcome, homes)
    assert (stored, facts["stats"], said) == (memory, stats, in_memory)


def test_a_conversation_stays_whole_and_sees_the_weeks_before(home: Home) -> None:
    manifest = redact(home)
    assert len(manifest.parts) > 3
    of_part = [set(pq.read_table(p)["conversation_id"].to_pylist()) for p in files_of(home)]
    assert sum(map(len, of_part)) == len(set().union(*of_part))
    assert manifest.facts["conversations"]["turns_added"] > 0
    assert manifest.facts["stats"]["records"] == manifest.rows == 100


def files_of(home: Home) -> list[Path]:
    return sorted((home.root / "lake" / "redacted_logs" / f"round={ROUND}").glob("*.parquet"))


def test_what_is_done_is_not_done_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(home, 3)
    worked: list[int] = []
    real = module.redact_shard
    monkeypatch.setattr(module, "redact_shard", lambda work, number, again=False: _noting(worked, number, real(work, number, again=again)))
    redact(home)
    assert worked == [3, 4, 5, 6, 7]


def _noting(worked: list[int], number: int, done: module.Done) -> module.Done:
    if done.fresh is not None:
        worked.append(number)
    return done


def test_who_withdraws_between_is_gone_and_other_shards_are_kept(home: Home, tmp_path: Path) -> None:
    interrupted(home, 5)
    gone = frozenset({subject_id(3)})
    kept = done_before(home, without=gone)
    table = home.lake.read("redacted_logs", ROUND)
    assert not pc.any(pc.equal(table["subject_id"], subject_id(3))).as_py()
    calm = new_home(tmp_path / "calm", rows_of(100, 1), rows_of(60, 1, BEFORE))
    redact(calm, without=gone)
    assert outcome(home)[:2] == outcome(calm)[:2]
    assert kept < 5


def test_a_withdrawal_touches_the_shards_of_its_subject_only(tmp_path: Path) -> None:
    rows = rows_of(100, 1)
    for row in rows:
        row["subject_id"] = row["conversation_id"]
    home = new_home(tmp_path / "home", rows)
    interrupted(home, 7)
    store(home, [r for r in rows if r["conversation_id"] != talk_id(5)])
    assert done_before(home) in (6, 7), "consented_logs was written anew without the subject; one shard changed"


def test_erased_values_are_found_again_while_the_rows_are_allowed(home: Home, tmp_path: Path) -> None:
    """An erasure between: the checkpoint says that the vault holds what it does not, so it does not count."""
    interrupted(home, 8)
    with closing(Vault.open(home)) as vault:
        assert vault.erase_subject(subject_id(2)) > 0
    assert 0 < done_before(home) < 8
    calm = new_home(tmp_path / "calm", rows_of(100, 1), rows_of(60, 1, BEFORE))
    redact(calm)
    assert outcome(home) == outcome(calm)


def test_other_settings_or_an_altered_file_are_done_again(home: Home) -> None:
    interrupted(home, 4)
    first = shard_files(home)[0]
    first.with_suffix(".parquet").write_bytes(b"PAR1")
    assert done_before(home) == 3
    interrupted(home, 4)
    changed = home.settings.governance.model_copy(update={"identifiers": {"ORDER_ID": r"\bSF-\d{6}\b"}})
    other = Home(home.settings.model_copy(update={"governance": changed}))
    assert done_before(other) == 0


def test_nothing_raw_lies_in_the_checkpoints_or_the_spill(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    real = module.redact_shard

    def looking(work: module.Work, number: int, again: bool = False) -> module.Done:
        seen.extend(p.read_bytes() for p in work.folder.rglob("*") if p.is_file())
        return real(work, number, again=again)

    monkeypatch.setattr(module, "redact_shard", looking)
    interrupted(home, 8)
    tables = [pq.read_table(pa.BufferReader(data)).to_pylist() for data in seen if data.startswith(b"PAR1")]
    assert len(seen) > 30
    assert len(tables) > 10
    everything = str(tables).encode() + b"".join(seen)
    for name in NAMES:
        assert name.encode() not in everything
        assert name.split()[1].encode() not in everything
    assert b"mail.example" not in everything


def test_a_killed_runs_spill_is_removed(home: Home) -> None:
    left = home.restricted / "redaction" / ROUND / ".spill-killed"
    left.mkdir(parents=True)
    with Checkpoints(home.restricted / "redaction" / ROUND):
        assert not left.exists()


def test_a_second_run_of_the_round_waits_for_the_first(home: Home, tmp_path: Path) -> None:
    folder = home.restricted / "redaction" / ROUND
    ask = "import sys; from pathlib import Path; from flywheel.governance.redaction_checkpoints import Checkpoints; Checkpoints(Path(sys.argv[1]), lambda: print('waits', flush=True)); print('on')"
    with Checkpoints(folder):
        second = subprocess.Popen(
            [sys.executable, "-c", ask, str(folder)], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(tmp_path)
        )
        assert second.stdout is not None
        assert second.stdout.readline() == "waits\n"
    assert second.communicate(timeout=60)[0] == "on\n"


def test_a_shards_rows_come_back_in_order_and_sealed(tmp_path: Path) -> None:
    table = to_table(ConsentedRecord, rows_of(64, 2))
    with Spill(tmp_path, 4) as spill:
        assert spill.take("rows", [table.slice(at, 5) for at in range(0, 64, 5)]) == 64
        back = [spilled(spill.folder, spill.key, "rows", n) for n in range(4)]
        assert spilled(spill.folder, spill.key, "earlier", 0) is None
        assert all(b"Kowalczyk" not in p.read_bytes() for p in spill.folder.iterdir())
        mask = spill.conversations(pa.array([talk_id(1), "other"]))
    parts = [b for b in back if b is not None]
    assert mask.to_pylist() == [talk_id(1) in table["conversation_id"].to_pylist(), False]
    assert [p["timestamp"].to_pylist() == sorted(p["timestamp"].to_pylist()) for p in parts] == [True] * len(parts)
    assert pa.concat_tables(parts).sort_by("record_id").equals(table.sort_by("record_id"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    """Real processes, real SIGKILL of the parent alone: its workers must go with it."""
    rows, earlier = rows_of(400, 6), rows_of(60, 6, BEFORE)
    calm, killed = (new_home(tmp_path / name, rows, earlier) for name in ("calm", "killed"))
    redact(calm)
    rng, workers = random.Random(7), set[int]()
    command = [sys.executable, "-m", "tests.governance.stored_rounds", str(killed.root), "3"]
    for shards in (2, 9):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT, env=environment(tmp_path))
        assert process.stdout is not None
        for _ in range(shards):
            assert "shards" in process.stdout.readline()
        workers |= children_of(process.pid)
        time.sleep(rng.random() / 20)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert killed.lake.manifest("redacted_logs", ROUND) is None
    assert len(workers) >= 4
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [pid for pid in workers if alive(pid)] == []
    assert done_before(killed, workers=3) >= 9
    assert outcome(killed) == outcome(calm)


@pytest.mark.slow
def test_a_worker_that_is_ended_from_outside_is_told_and_costs_only_its_shard(home: Home) -> None:
    def kill_workers(_: str) -> None:
        for child in multiprocessing.active_children():
            child.kill()

    with pytest.raises(FlywheelError, match=r"governance\.workers"):
        redact(home, workers=2, tell=kill_workers)
    assert done_before(home) >= 1


def children_of(pid: int) -> set[int]:
    return {int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False
