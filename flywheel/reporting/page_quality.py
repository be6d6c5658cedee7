"""The page's parts on quality: the gates' verdicts, agreement, raters."""

from __future__ import annotations

from typing import Any

from flywheel.records import Verdict
from flywheel.reporting import wording
from flywheel.reporting.figures import Scale, axis, interval_mark, spanning
from flywheel.reporting.layout import Badge, Cell, Code, Column, GateCard, Section, Table
from flywheel.rounds import Verdicts
from flywheel.storage import Home

SUBJECTS = {"consent": "consented_logs", "residual_leak": "redacted_logs", "agreement": "annotations", "promotion": "evaluation"}
TONES = {"pass": "good", "fail": "bad", "inconclusive": "warn", "pending": "quiet", "stale": "warn", "absent": "quiet"}


def gate_verdict(home: Home, gate: str, round: str) -> tuple[str, Verdict | None]:
    """State of a gate and the verdict behind it: `absent` where none was ever given, `stale` where the newest one judged other bytes
    than are stored now."""
    verdicts = Verdicts(home.provenance / "verdicts")
    every = verdicts.all(gate, round)
    manifest = home.lake.manifest(SUBJECTS[gate], round)
    found = verdicts.find(gate, round, manifest.sha256) if manifest else None
    if found is not None:
        return found.state, found
    return ("stale", every[-1]) if every else ("absent", None)


def gate_cards(home: Home, round: str) -> list[GateCard]:
    """One card a gate, in the order of the round."""
    cards = []
    for gate, (title, meaning) in wording.GATES.items():
        state, verdict = gate_verdict(home, gate, round)
        reasons = list(verdict.reasons) if verdict else []
        if state == "stale" and verdict is not None:
            reasons = [f"its last verdict ({verdict.state}) judged other data than is stored now", *reasons]
        reasons = _foremost(reasons)
        badge = Badge(wording.VERDICTS[state], TONES[state])
        cards.append(GateCard(title, meaning, badge, reasons, wording.moment(verdict.decided_at) if verdict else ""))
    return cards


def _foremost(reasons: list[str], most: int = 3) -> list[str]:
    """What decided comes first: unmet demands before met ones, notes last; the rest is counted."""
    weight = {"not met": 0, "met": 2, "note": 3}
    ordered = sorted(reasons, key=lambda text: weight.get(text.split(":", 1)[0], 1))
    return ordered if len(ordered) <= most else [*ordered[: most - 1], f"and {len(ordered) - most + 1} more"]


def agreement_section(home: Home, round: str) -> Section:
    """Alpha by segment against the floor of the gate, and every other statistic beside it."""
    if home.lake.manifest("agreement", round) is None:
        return Section("agreement", "Agreement", "Not reached: no labels are imported yet.")
    found = home.lake.read("agreement", round).to_pylist()
    floor = agreement_floor(home, round)
    alphas = sorted(
        (r for r in found if "alpha" in r["statistic"]), key=lambda r: ("gold" not in r["segment"], r["segment"], r["statistic"])
    )
    known = [v for r in alphas for v in (r["value"], r["low"], r["high"]) if v is not None]
    scale = spanning([*known, 0.0, 1.0], [(floor, "reference")], step=0.25)
    columns = (
        Column("Segment"), Column("Statistic"), Column(f"Value and 95 % interval (line: floor {wording.number(floor)})", "picture"),
        Column("Value", "number"), Column("95 % interval", "number"), Column("Items", "number"), Column("Labels", "number"),
    )  # fmt: skip
    foot: list[Cell] = ["", "", axis(scale), "", "", "", ""]
    empty = "No segment has two labels on one item."
    tables = [Table("Krippendorff’s alpha by segment.", columns, [_agreement_row(r, scale) for r in alphas], foot, empty)]
    others = [r for r in found if "alpha" not in r["statistic"] and r["statistic"] != ITEMS_NEEDED]
    if others:
        tables.append(_other_statistics(others))
    lead = f"How far raters agree beyond chance. The gate asks that alpha on gold items reaches {wording.number(floor)}, judged by its one-sided 95 % bounds."
    needed = next((r["value"] for r in found if r["statistic"] == ITEMS_NEEDED and r["segment"] == "gold"), None)
    notes = [f"At the present alpha, about {wording.count(needed)} gold items would decide the gate."] if needed is not None else []
    return Section("agreement", "Agreement", lead, tables, notes=notes)


ITEMS_NEEDED = "gold_items_needed"


def _other_statistics(rows: list[dict[str, Any]]) -> Table:
    """Segments down, statistics across: these are read beside alpha (which prevalence can pull down), none decides."""
    names = sorted({r["statistic"] for r in rows})
    segments = sorted({r["segment"] for r in rows}, key=lambda s: ("gold" not in s, s))
    at = {(r["segment"], r["statistic"]): r for r in rows}
    cells: list[list[Cell]] = [[_segment(s), *(_with_interval(at.get((s, n))) for n in names)] for s in segments]
    return Table(
        "Other statistics, with 95 % intervals.", (Column("Segment"), *(Column(wording.statistic(n), "number") for n in names)), cells
    )


def _with_interval(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return wording.ABSENT
    bounds = f" ({wording.interval(row['low'], row['high'])})" if row["low"] is not None and row["high"] is not None else ""
    return wording.number(row["value"]) + bounds


def _segment(code: str) -> str:
    return code.replace("_", " ").replace(":", ": ")


def agreement_floor(home: Home, round: str) -> float:
    """Alpha that the gate demanded (as its verdict recorded it), else that of the settings."""
    verdict = gate_verdict(home, "agreement", round)[1]
    used = verdict.thresholds.get("alpha_floor") if verdict else None
    return float(used) if isinstance(used, int | float) else home.settings.quality.alpha_floor


def _agreement_row(row: dict[str, Any], scale: Scale) -> list[Cell]:
    segment, statistic = _segment(row["segment"]), wording.statistic(row["statistic"])
    if row["status"] == "undefined" or row["value"] is None:
        mark = interval_mark(scale, None, None, None, label=f"{segment}, {statistic}: undefined")
        return [
            segment,
            statistic,
            mark,
            Badge("undefined", "quiet"),
            "",
            wording.count(row["n_items"]),
            wording.count(row["n_annotations"]),
        ]
    said = f"{segment}, {statistic}: {wording.number(row['value'])}, interval {wording.interval(row['low'], row['high'])}"
    tone = "main" if "gold" in row["segment"] else "side"
    return [
        segment, statistic, interval_mark(scale, row["value"], row["low"], row["high"], label=said, tone=tone), wording.number(row["value"]),
        wording.interval(row["low"], row["high"]), wording.count(row["n_items"]), wording.count(row["n_annotations"]),
    ]  # fmt: skip


def raters_section(home: Home, round: str) -> Section:
    """One row a rater, paused first: what the round shows about each."""
    if home.lake.manifest("rater_quality", round) is None:
        return Section("raters", "Raters", "Not reached: no labels are imported yet.")
    found = home.lake.read("rater_quality", round).to_pylist()
    order = {"paused": 0, "watch": 1, "active": 2}
    found.sort(key=lambda r: (order[r["state"]], r["rater"]))
    scale = Scale(0.0, 1.0, ((0.5, "reference"),), (0.0, 0.5, 1.0))
    columns = (
        Column("Rater", "code"), Column("State", "badge"), Column("Labels", "number"), Column("Gold", "number"), Column("Gold accuracy", "picture"),
        Column("Accuracy", "number"), Column("95 % interval", "number"), Column("Evidence (llr)", "number"), Column("Peers", "number"),
        Column("Left", "number"), Column("Median time, s", "number"), Column("Why"),
    )  # fmt: skip
    foot: list[Cell] = ["", "", "", "", axis(scale, digits=1), "", "", "", "", "", "", ""]
    table = Table(
        "Raters by pseudonym, paused ones first.", columns, [_rater_row(r, scale) for r in found], foot, "Nobody has labelled yet."
    )
    states = [r["state"] for r in found]
    lead = f"{len(found)} raters: {states.count('active')} active, {states.count('watch')} on watch, {states.count('paused')} paused. Labels of paused raters do not count."
    note = (
        "Evidence: log-likelihood ratio from gold answers for a weak rater (70 % right) against a good one (90 %); higher is worse. "
        "Peers: agreement with other raters. Left: share of decided answers for the left side. Gold: passed of seen."
    )
    return Section("raters", "Raters", lead, [table], notes=[note])


def _rater_row(row: dict[str, Any], scale: Scale) -> list[Cell]:
    tone = {"active": "good", "watch": "warn", "paused": "bad"}[row["state"]]
    said = f"gold accuracy {wording.percent(row['accuracy'], 0)}, interval {wording.percent_interval(row['accuracy_low'], row['accuracy_high'], 0)}"
    return [
        Code(wording.pseudonym(row["rater"]), row["rater"]), Badge(row["state"], tone), wording.count(row["n_annotations"]),
        f"{row['gold_passed']} / {row['n_gold']}",
        interval_mark(scale, row["accuracy"], row["accuracy_low"], row["accuracy_high"], label=said, tone=tone),
        wording.percent(row["accuracy"], 0), wording.percent_interval(row["accuracy_low"], row["accuracy_high"], 0), wording.number(row["evidence_llr"], 1),
        wording.percent(row["peer_agreement"], 0), wording.percent(row["left_share"], 0), wording.number(row["median_active_s"], 0),
        "; ".join(row["reasons"] or []),
    ]  # fmt: skip
