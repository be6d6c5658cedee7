"""The state of a round: one pure function of stored manifests, verdicts and the registry, never of run history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from flywheel.errors import BadInput, RoundRefused
from flywheel.rounds.verdicts import Verdicts
from flywheel.storage.files import read_json, write_json
from flywheel.storage.home import Home
from flywheel.weeks import first_round, next_round

COLLECTING, PUBLISHED, LABELING, GATE_INCONCLUSIVE, GATE_FAILED, READY, CLOSED, ABANDONED = (
    "collecting", "published", "labeling", "gate_inconclusive", "gate_failed", "ready", "closed", "abandoned",
)  # fmt: skip


@dataclass(frozen=True)
class RoundState:
    """`state`, why it is so, and what takes it further."""

    round: str
    state: str
    explanation: str
    next_step: str

    @property
    def settled(self) -> bool:
        """Closed or abandoned: the next round may build on it."""
        return self.state in (CLOSED, ABANDONED)


def round_state(home: Home, round: str) -> RoundState:
    """State of one round."""
    from flywheel.training import Registry

    def at(state: str, explanation: str, next_step: str) -> RoundState:
        return RoundState(round, state, explanation, next_step)

    abandoned = read_json(_abandoned(home, round))
    if abandoned:
        return at(ABANDONED, f"given up: {abandoned['reason']}", "Nothing: later rounds go on without its labels.")
    entry = Registry(home.registry).entry(round)
    # both, for a run may be cut off between them; closing again then says the same
    if entry is not None and home.lake.manifest("promotion", round) is not None:
        return at(
            CLOSED,
            f"{entry.decision}: {entry.model_id} serves" if entry.model_id else entry.decision,
            "Nothing: the next round builds on it.",
        )
    batch = home.lake.manifest("labeling_batch", round)
    if batch is None:
        return at(COLLECTING, "no batch is published yet", f"`flywheel round run {round}` (scheduled on Monday) opens it.")
    annotations = home.lake.manifest("annotations", round)
    waiting = f"Deliver label files to {home.label_inbox}; the sensor imports them (`flywheel round import {round}` by hand)."
    if annotations is None or annotations.rows == 0:
        explanation = f"{batch.rows} tasks are out, no labels yet"
        if not batch.facts.get("honeypot_share"):
            # said now, not when people have worked: the gate measures agreement on gold
            explanation += (
                f"; there is no gold item among them, so the agreement gate cannot pass (put gold into {home.gold} before the next round)"
            )
        return at(PUBLISHED, explanation, waiting)
    verdict = Verdicts(home.provenance / "verdicts").find("agreement", round, annotations.sha256)
    received = f"{annotations.rows} labels on {batch.rows} tasks"
    if verdict is None or verdict.state == "pending":
        return at(LABELING, received, waiting)
    why = "; ".join(verdict.reasons)
    if verdict.state == "inconclusive":
        return at(GATE_INCONCLUSIVE, f"{received}: {why}", f"More labels on gold items. {waiting}")
    if verdict.state == "fail":
        return at(GATE_FAILED, why, f"New labels or adjudication, or `flywheel round abandon {round} --reason TEXT`.")
    return at(READY, f"{received}, agreement passed", f"`flywheel round close {round}` (the sensor does it).")


def known_rounds(home: Home, now: datetime) -> list[str]:
    """Rounds that have ended by `now`, from the first one on, and any that were opened anyway; ascending."""
    from flywheel.weeks import round_end

    keys, key = [], first_round(home.settings)
    while round_end(key) <= now:
        keys.append(key)
        key = next_round(key)
    opened = [p.name for p in (home.provenance / "rounds").glob("*-*-*") if p.is_dir()]
    return sorted({*keys, *opened})


def opened_rounds(home: Home) -> list[str]:
    """Rounds that were opened (pinned), ascending."""
    return sorted(p.parent.name for p in (home.provenance / "rounds").glob("*/context.0001.json"))


def closed_rounds(home: Home) -> set[str]:
    """Rounds that are closed (promoted or kept)."""
    from flywheel.training import Registry

    return {e.round for e in Registry(home.registry).entries()}


def abandon(home: Home, round: str, reason: str, now: datetime) -> RoundState:
    """Give a round up: it adds an empty preference set, so that one dead round does not bar the line. (Where its preferences are in a
    dataset version already, they stay: they passed the gate, and a version is never rewritten.) Raises `BadInput` without a reason,
    `RoundRefused` when the round is closed."""
    from flywheel.records import Preference
    from flywheel.storage.arrow import empty_table

    if not reason.strip():
        raise BadInput("abandoning a round needs a reason: --reason TEXT")
    standing = round_state(home, round)
    if standing.state == CLOSED:
        raise RoundRefused(f"round {round} is closed ({standing.explanation}): what was trained on it cannot be undone by abandoning it")
    if standing.state == ABANDONED:
        return standing
    if home.lake.manifest("preference_dataset", round) is None:
        home.lake.write("preferences", round, empty_table(Preference), facts={"abandoned": reason})
    write_json(_abandoned(home, round), {"round": round, "reason": reason, "recorded_at": now.isoformat(), "state_before": standing.state})
    return round_state(home, round)


def _abandoned(home: Home, round: str) -> Path:
    return home.provenance / "rounds" / round / "abandoned.json"
