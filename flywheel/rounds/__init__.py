"""Rounds: weekly cycles, what each was pinned to, its gates' verdicts, and its state.

In: stored manifests, verdicts and the registry. Out: which round may do what, as pure functions of stored data (never of run history).
"""

from flywheel.rounds.verdicts import Verdicts
from flywheel.rounds.week import first_round, next_round, parse_round, previous_round, round_end, round_of, rounds_between, window

__all__ = [
    "Verdicts", "first_round", "next_round", "parse_round", "previous_round", "round_end", "round_of", "rounds_between", "window",
]  # fmt: skip
