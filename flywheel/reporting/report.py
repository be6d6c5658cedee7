"""The round report: one self-contained HTML page, also for a round that is open or whose gate failed."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from flywheel.reporting import wording
from flywheel.reporting.economics import cost_per_pair
from flywheel.reporting.layout import Badge, Code, KeyFigure
from flywheel.reporting.page_consent import consent_section
from flywheel.reporting.page_data import dataset_section, dataset_version, funnel_section, quarantine_section, selection_section
from flywheel.reporting.page_diversity import diversity_section
from flywheel.reporting.page_outcome import Serving, models_section, money_section, serving, win_rates
from flywheel.reporting.page_privacy import audit_section
from flywheel.reporting.page_quality import agreement_section, gate_cards, raters_section
from flywheel.rounds import round_state
from flywheel.storage import Home, write_atomically

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
TONES = {
    "closed": "good", "ready": "good", "gate_failed": "bad", "gate_inconclusive": "warn", "abandoned": "quiet", "published": "info",
    "labeling": "info", "collecting": "quiet",
}  # fmt: skip
ORDER = (
    funnel_section,
    diversity_section,
    agreement_section,
    raters_section,
    selection_section,
    dataset_section,
    models_section,
    money_section,
    quarantine_section,
    audit_section,
)
"""Sections from stored data alone; consent, which is judged at the moment of writing, follows them."""


def report_path(home: Home, round: str) -> Path:
    """Where a round's page lies."""
    return home.reports / f"round-{round}.html"


def render_report(home: Home, round: str, *, now: datetime) -> Path:
    """Write the page of a round from stored manifests, verdicts and open tables; returns its path. The same stored data and `now` give
    the same bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["commands"] = commands
    state = round_state(home, round)
    models = serving(home, round)
    version = dataset_version(home, round)
    page = environment.get_template("round_report.html").render(
        round=round, week=wording.week(round), written=wording.moment(now), state=Badge(wording.STATES.get(state.state, state.state), TONES.get(state.state, "quiet")),
        explanation=state.explanation, next_step=state.next_step, simulated=contains_simulated(home, round),
        models=_models_line(models), dataset=version.version if version else wording.ABSENT,
        gates=gate_cards(home, round), figures=key_figures(home, round), sections=[*(build(home, round) for build in ORDER), consent_section(home, round, now)],
    )  # fmt: skip
    path = report_path(home, round)
    write_atomically(path, page.encode())
    return path


def contains_simulated(home: Home, round: str) -> bool:
    """Any label of the round, or any row of its dataset version, is simulated."""
    version = dataset_version(home, round)
    if version is not None and version.contains_simulated:
        return True
    tables = [t for t in ("annotations", "preferences") if home.lake.manifest(t, round)]
    return any("simulated" in home.lake.read(t, round, ["origin"])["origin"].to_pylist() for t in tables)


def key_figures(home: Home, round: str) -> list[KeyFigure]:
    """The large numbers at the top; a dash where a stage was not reached."""
    return [_pairs_figure(home, round), _cost_figure(home, round), _alpha_figure(home, round), _win_figure(home, round)]


def _pairs_figure(home: Home, round: str) -> KeyFigure:
    label = "Accepted pairs"
    if home.lake.manifest("preferences", round) is None:
        return KeyFigure(label, wording.ABSENT, "not reached")
    outcomes = home.lake.read("preferences", round, ["outcome"])["outcome"].to_pylist()
    decided = sum(o in ("a", "b") for o in outcomes)
    return KeyFigure(label, wording.count(decided), f"and {wording.count(len(outcomes) - decided)} ties or both bad")


def _cost_figure(home: Home, round: str) -> KeyFigure:
    from flywheel.reporting.costs import round_costs

    whole = cost_per_pair(round_costs(home, round), home.lake.read_rounds("preferences", [round]))[0]
    reference = wording.usd(home.settings.economics.reference_pair_usd)
    detail = f"{wording.usd(whole.total_usd)} in all; reference {reference}"
    return KeyFigure("Cost per accepted pair", wording.usd(whole.usd_per_pair), detail)


def _alpha_figure(home: Home, round: str) -> KeyFigure:
    label = "Krippendorff’s alpha on gold"
    rows = home.lake.read("agreement", round).to_pylist() if home.lake.manifest("agreement", round) else []
    alphas = [r for r in rows if "alpha" in r["statistic"] and "gold" in r["segment"] and r["value"] is not None]
    if not alphas:
        return KeyFigure(label, wording.ABSENT, "not reached" if not rows else "undefined")
    main = min(alphas, key=lambda r: (len(r["segment"]), r["statistic"] == "krippendorff_alpha_gate"))
    return KeyFigure(label, wording.number(main["value"]), f"95 % interval {wording.interval(main['low'], main['high'])}")


def _win_figure(home: Home, round: str) -> KeyFigure:
    label = "Win rate of the candidate"
    rows = win_rates(home, round)
    if not rows:
        return KeyFigure(label, wording.ABSENT, "not reached")
    # the production decoding is what users will see; greedy is only a diagnostic
    main = next((r for r in rows if r.decoding != "greedy"), rows[0])
    detail = f"95 % interval {wording.percent_interval(main.low, main.high)}; {main.domain}, {main.decoding.replace('_', ' ')}"
    return KeyFigure(label, wording.percent(main.value), detail)


def _models_line(found: Serving) -> list[tuple[str, Code | str]]:
    before = Code(wording.short(found.before), found.before) if found.before else "none yet"
    if found.decision is None:
        after: Code | str = "not decided"
    else:
        after = Code(wording.short(found.after), found.after or "")
    return [("Model before", before), ("Model after", after)]


def commands(text: str) -> Markup:
    """Plain text as HTML, with `command` in backticks as code."""
    from markupsafe import Markup, escape

    parts = re.split(r"`([^`]*)`", text)
    return Markup("").join(Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts))
