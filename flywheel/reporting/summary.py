"""A round in ten lines, for the terminal."""

from __future__ import annotations

from flywheel.reporting import wording
from flywheel.reporting.economics import random_share
from flywheel.reporting.funnel import funnel
from flywheel.reporting.page_data import dataset_version
from flywheel.reporting.page_outcome import serving, win_rates
from flywheel.reporting.page_quality import gate_verdict
from flywheel.reporting.report import contains_simulated, key_figures, report_path
from flywheel.rounds import round_state
from flywheel.storage import Home


def report_summary(home: Home, round: str) -> list[str]:
    """Ten lines: state, funnel, gates, agreement, raters, selection, dataset, models, money, and where the page lies."""
    state = round_state(home, round)
    lake = home.lake
    steps = [s for s in funnel(home, round) if s.count is not None and s.name in SHOWN]
    gates = [f"{title.lower()} {wording.VERDICTS[gate_verdict(home, gate, round)[0]]}" for gate, (title, _) in wording.GATES.items()]
    pairs, cost, alpha, _ = key_figures(home, round)
    states = lake.read("rater_quality", round, ["state"])["state"].to_pylist() if lake.manifest("rater_quality", round) else None
    picks = lake.read("selection", round, ["arm"]) if lake.manifest("selection", round) else None
    version = dataset_version(home, round)
    wins = [
        f"{r.domain} {r.decoding} {wording.percent(r.value)} ({wording.percent_interval(r.low, r.high)})" for r in win_rates(home, round)
    ]
    models = serving(home, round)
    after = f"{models.decision}, {wording.short(models.after)} serves" if models.decision else "not decided"
    simulated = "; SIMULATED LABELS" if contains_simulated(home, round) else ""
    return [
        f"Round {round} ({wording.week(round)}): {wording.STATES.get(state.state, state.state)}{simulated}",
        "Funnel: " + (" > ".join(f"{s.name} {wording.count(s.count)}" for s in steps) or "not reached"),
        "Gates: " + ", ".join(gates),
        f"Agreement: alpha on gold {alpha.value} ({alpha.detail})",
        f"Raters: {len(states)}, {states.count('watch')} on watch, {states.count('paused')} paused"
        if states is not None
        else "Raters: not reached",
        f"Selection: {picks.num_rows} pairs, {wording.percent(random_share(picks))} random"
        if picks is not None
        else "Selection: not reached",
        f"Dataset: {version.version}, {wording.count(version.rows)} rows, parent {version.parent or 'none'}"
        if version
        else "Dataset: not reached",
        f"Models: {after}; win rate " + ("; ".join(wins) or "not reached"),
        f"Money: {cost.value} per accepted pair ({cost.detail}); {pairs.value} accepted pairs",
        f"Report: {report_path(home, round)}",
    ]


SHOWN = ("logs read", "consented", "redacted", "selected", "labelled", "accepted as preferences", "trained on")
