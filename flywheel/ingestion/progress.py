"""What a long command is doing, on standard error: nothing in the first two seconds, then one line that says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Thread
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")
SILENT_S, ON_A_PIPE_S = 2.0, 10.0


class Progress:
    """`with Progress() as progress: progress.now("reading ...")`. On a terminal the line is rewritten, elsewhere there is one now and then."""

    def __init__(self) -> None:
        self._began, self._text = time.monotonic(), ""
        self._more: Callable[[], str] = str
        self._ended, self._terminal, self._shown = Event(), sys.stderr.isatty(), False
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if self._shown and self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def now(self, text: str, more: Callable[[], str] = str) -> None:
        """What is being done; `more` is asked how far it is."""
        self._text, self._more = text, more

    def counted(self, things: Iterable[T], text: str, total: int) -> Iterator[T]:
        """Pass things on and say how many of them came."""
        done = 0
        self.now(text, lambda: f"{done:,} of {total:,}")
        for thing in things:
            done += 1
            yield thing

    def _run(self) -> None:
        wait = SILENT_S
        while not self._ended.wait(wait):
            line = f"{self._text} {self._more()} ({time.monotonic() - self._began:.0f} s)"
            sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
            sys.stderr.flush()
            self._shown, wait = True, SILENT_S / 4 if self._terminal else ON_A_PIPE_S
