"""Rounds: weekly cycles, what each was pinned to, its gates' verdicts, and its state.

In: stored manifests, verdicts and the registry. Out: which round may do what, as pure functions of stored data (never of run history).
"""

from flywheel.rounds.as_of import calibration_as_of, labelled_vectors, policy_model_id, policy_sampler, scenario_cluster, scorer_as_of
from flywheel.rounds.context import demand_context, find_context, open_context, pool_rounds, pool_table
from flywheel.rounds.earlier_turns import earlier_records
from flywheel.rounds.labels import conversations, expert_raters, import_labels, published_pairs
from flywheel.rounds.late import late_rounds
from flywheel.rounds.standing import (
    batch_file,
    close_withdrawn_tasks,
    export_open_tasks,
    of_pairs,
    standing_annotations,
    standing_demonstrations,
    standing_preferences,
    withdrawn_tasks,
)  # fmt: skip
from flywheel.rounds.state import RoundState, abandon, closed_rounds, known_rounds, opened_rounds, round_state
from flywheel.rounds.verdicts import Verdicts
from flywheel.rounds.version import code_version
from flywheel.weeks import first_round, next_round, parse_round, previous_round, round_end, round_of, rounds_between, window

__all__ = [
    "RoundState",
    "Verdicts",
    "abandon",
    "batch_file",
    "calibration_as_of",
    "close_withdrawn_tasks",
    "closed_rounds",
    "code_version",
    "conversations",
    "demand_context",
    "earlier_records",
    "expert_raters",
    "export_open_tasks",
    "find_context",
    "first_round",
    "import_labels",
    "known_rounds",
    "labelled_vectors", "late_rounds",
    "next_round",
    "of_pairs",
    "open_context",
    "opened_rounds",
    "parse_round",
    "policy_model_id",
    "policy_sampler",
    "pool_rounds",
    "pool_table",
    "previous_round",
    "published_pairs",
    "round_end",
    "round_of",
    "round_state",
    "rounds_between",
    "scenario_cluster",
    "scorer_as_of",
    "standing_annotations",
    "standing_demonstrations",
    "standing_preferences",
    "window",
    "withdrawn_tasks",
]  # fmt: skip
