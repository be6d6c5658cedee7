"""Redaction of a stored round: shards of whole conversations, spread over processes, taken up again after a kill, in flat memory.

The same rows give the same files in any number of processes, interrupted or not. One process, this one, writes the vault: each shard's
values when the shard is done, the aliases of the round in one transaction at its end.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from flywheel.errors import FlywheelError
from flywheel.governance.redaction import added_up
from flywheel.governance.redaction_checkpoints import Checkpoint, Checkpoints, Note
from flywheel.governance.redaction_shards import Assemble, Done, Work, fingerprint, redact_here, redact_shard, start
from flywheel.governance.redaction_spill import SHARD_ROWS, Known, Spill, number_of_shards
from flywheel.governance.vault import Vault
from flywheel.settings import GovernanceSettings
from flywheel.storage.partition import PartitionWriter

MOST_WORKERS = 8  # each holds the recogniser and a shard: some hundred megabytes
ALONE = 2  # shards that one process redacts sooner than others are started
TOLD = 20  # times that progress is told
Earlier = Callable[[Known], Iterable[pa.Table]]
"""Rows of earlier weeks whose conversation goes on in this round."""


class RoundRedaction:
    """`with RoundRedaction(...) as work: facts = work.run(...)`, then commit the partition, then `work.sweep()`. Killed anywhere and called
    again, it does what is left."""

    def __init__(
        self, folder: Path, round: str, *, vault: Vault, settings: GovernanceSettings, assemble: Assemble,
        tell: Callable[[str], None] = lambda _: None, shard_rows: int = SHARD_ROWS,
    ) -> None:  # fmt: skip
        self.round, self.vault, self.settings, self.assemble, self._tell = round, vault, settings, assemble, tell
        self._shard_rows = shard_rows
        self._checkpoints = Checkpoints(folder / round, lambda: tell(f"another process redacts {round}: waiting for it"))

    def __enter__(self) -> RoundRedaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._checkpoints.__exit__(kind, error, trace)

    def run(self, allowed: Iterable[pa.Table], earlier: Earlier, *, rows: int, partition: PartitionWriter) -> dict[str, Any]:
        """Redact the rows that `allowed` gives (ConsentedRecord, in order) into `partition`. `rows`: how many the stored table has, allowed
        still or not; it decides into how many shards they go. Returns facts for the manifest: `stats` (`Redacted.stats`), `conversations`
        (what assembly said). Raises like `redact_records`; `FlywheelError` when a worker was ended from outside."""
        shards = number_of_shards(rows, self._shard_rows)
        with Spill(self._checkpoints.folder, shards) as spill:
            taken = spill.take("rows", allowed)
            spill.take("earlier", earlier(spill.conversations))
            work = Work(
                self.round, self.settings, self.assemble, fingerprint(self.settings, self.vault.kid), self._checkpoints.folder, spill.folder, spill.key
            )  # fmt: skip
            finished, assembly = self._redact(work, shards, taken)
        self._store(finished, partition)
        return {"stats": added_up([c.stats for c in finished]), "conversations": dict(assembly)}

    def sweep(self) -> None:
        """The partition is in place: remove the checkpoints."""
        self._checkpoints.sweep()

    # --- shards -------------------------------------------------------------------------------------------------------------------------

    def _redact(self, work: Work, shards: int, rows: int) -> tuple[list[Checkpoint], Counter[str]]:
        finished: list[Checkpoint] = []
        assembly: Counter[str] = Counter()
        kept = written = 0
        with self._workers(work, shards) as submit:
            for number, future in enumerate(_a_few_ahead(submit, shards, (self.settings.workers or MOST_WORKERS) + 2)):
                done = future()
                assembly.update(done.assembly)
                checkpoint = self._taken_up(done)
                kept += checkpoint is not None
                if checkpoint is None:
                    checkpoint = self._finish(done if done.fresh is not None else submit(number, True)())
                finished.append(checkpoint)
                written += checkpoint.rows
                if (number + 1) % max(1, shards // TOLD) == 0 or number + 1 == shards:
                    again = f", {kept} of them done before" if kept else ""
                    self._tell(f"redaction {self.round}: {number + 1} of {shards} shards, {written} of {rows} records{again}")
        return finished, assembly

    def _taken_up(self, done: Done) -> Checkpoint | None:
        """The checkpoint of a shard that was done before, if it is whole and the vault holds what it found."""
        if done.fresh is not None:
            return None
        found = self._checkpoints.find(done.key)
        if found is None or not self.vault.holds((token, subject, talk) for talk, _, token, subject in found.notes() if token):
            return None
        return found

    def _finish(self, done: Done) -> Checkpoint:
        """Values into the vault first: a checkpoint says that they are there."""
        fresh = done.fresh
        assert fresh is not None  # noqa: S101 - asked by the caller
        tokens = self.vault.tokens(f for f, _ in fresh.findings)
        notes: set[Note] = {(f.conversation_id, a, t, f.subject_id) for (f, a), t in zip(fresh.findings, tokens, strict=True)}
        notes.update((conversation, alias, "", "") for conversation, alias in fresh.literals)
        return self._checkpoints.put(done.key, notes, done.rows, done.sha256, fresh.stats)

    @contextmanager
    def _workers(self, work: Work, shards: int) -> Iterator[Callable[[int, bool], Callable[[], Done]]]:
        """`submit(shard, again)` gives what waits for the result. Few shards are worked on in this process, when they are waited for."""
        workers = self.settings.workers or min(_cores(), MOST_WORKERS)
        if workers == 1 or shards <= ALONE:
            yield lambda number, again: lambda: redact_shard(work, number, again=again)
            return
        pool = ProcessPoolExecutor(min(workers, shards), get_context("spawn"), start, (work,))
        try:
            yield lambda number, again: _waiting(pool.submit(redact_here, number, again))
        except BrokenProcessPool:
            raise FlywheelError(
                f"redaction of {self.round}: a worker process was ended from outside (out of memory?). What is done is kept: run it again, with a "
                "lower governance.workers if memory is short"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    # --- the end ------------------------------------------------------------------------------------------------------------------------

    def _store(self, finished: list[Checkpoint], partition: PartitionWriter) -> None:
        parts = ((c.conversations(), [(talk, alias, token) for talk, alias, token, _ in c.notes()]) for c in finished)
        self.vault.note_round(self.round, parts)
        filled = [c for c in finished if c.rows] or finished[:1]
        for number, checkpoint in enumerate(filled):
            path = partition.scratch(number)
            with suppress(OSError):
                os.link(checkpoint.rows_path, path)
            if not path.exists():  # the lake lies on another disk
                shutil.copyfile(checkpoint.rows_path, path)
            partition.add(path, checkpoint.rows, checkpoint.sha256)


def _a_few_ahead(submit: Callable[[int, bool], Callable[[], Done]], shards: int, ahead: int) -> Iterator[Callable[[], Done]]:
    """Results to wait for, in the order of the shards; so many under way that no worker idles, so few that their findings stay few."""
    waiting = [submit(number, False) for number in range(min(ahead, shards))]
    for number in range(shards):
        yield waiting.pop(0)
        if number + ahead < shards:
            waiting.append(submit(number + ahead, False))


def _waiting(future: Future[Done]) -> Callable[[], Done]:
    return future.result


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
