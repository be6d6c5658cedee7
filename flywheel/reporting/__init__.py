"""Reporting: what a round cost, where its rows went, and one page that tells it.

In: stored manifests, verdicts and lake tables, nothing else (never restricted text). Out: `cost_events`, the funnel, figures of
economy, and one self-contained HTML page for each round.
Guarantees: the same stored data and moment give the same bytes; a stage that was not reached is said to be so, never guessed; rows
whose loss no stage explains are shown as unexplained; nothing in the page is fetched from elsewhere.
"""

from flywheel.reporting.costs import compute_cost_usd, cost_events, round_costs
from flywheel.reporting.economics import LabelEfficiency, PairCost, cost_per_pair, label_efficiency, random_share
from flywheel.reporting.funnel import FunnelStep, funnel
from flywheel.reporting.pictures import agreement_picture, evaluation_picture, selection_picture
from flywheel.reporting.report import render_report, report_path
from flywheel.reporting.summary import report_summary

__all__ = [
    "FunnelStep", "LabelEfficiency", "PairCost", "agreement_picture", "compute_cost_usd", "cost_events", "cost_per_pair",
    "evaluation_picture", "funnel", "label_efficiency", "random_share", "render_report", "report_path", "report_summary", "round_costs",
    "selection_picture",
]  # fmt: skip
