"""Stand-alone pictures of one table: the page's figures with their own colours, words and size, for places that show images (the Dagster
UI). The same table gives the same text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pyarrow as pa

from flywheel.reporting import wording
from flywheel.reporting.figures import ROW_HEIGHT, axis, bar, bins, histogram, interval_mark, spanning

WIDTH, NAMES, VALUES, MARGIN = 760, 210, 170, 16
BINS = 20
# fixed light colours on a white card: an image does not know whether the page around it is dark
STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',Arial,sans-serif;fill:#1b2230}"
    ".soft,.axis text{fill:#5a6475;font-size:12px}.title{font-weight:600;font-size:14px}.minor{display:none}"
    ".forest .span{stroke:#2f5fc4;stroke-width:3;stroke-linecap:round;opacity:.55}.forest .dot{fill:#2f5fc4}"
    ".forest.side .span{stroke:#8a93a3}.forest.side .dot{fill:#8a93a3}.forest.good .span{stroke:#17734a}.forest.good .dot{fill:#17734a}"
    ".forest.bad .span{stroke:#b3261e}.forest.bad .dot{fill:#b3261e}"
    "line.reference{stroke:#b3261e;stroke-width:1.25}line.floor{stroke:#b3261e;stroke-width:1.25;stroke-dasharray:3 3}"
    "line.tick,line.base{stroke:#8a93a3}.track{fill:#eceff4}.fill,.picked{fill:#2f5fc4}.pool{fill:#dbe6fb}"
)


@dataclass(frozen=True)
class _Row:
    name: str
    figure: str
    value: str
    height: int = ROW_HEIGHT


def agreement_picture(agreement: pa.Table, *, floor: float) -> str:
    """Krippendorff's alpha with its interval by segment; the line is the floor of the gate. SVG text."""
    found = sorted(
        (r for r in agreement.to_pylist() if r["statistic"] in ("krippendorff_alpha", "krippendorff_alpha_nominal")),
        key=lambda r: ("gold" not in r["segment"], r["segment"]),
    )
    known = [v for r in found for v in (r["value"], r["low"], r["high"]) if v is not None]
    scale = spanning([*known, 0.0, 1.0], [(floor, "reference")], step=0.25)
    rows = []
    for r in found:
        name = str(r["segment"]).replace("_", " ").replace(":", ": ")
        mark = interval_mark(scale, r["value"], r["low"], r["high"], label=name, tone="main" if "gold" in name else "side")
        bounds = f" ({wording.interval(r['low'], r['high'])})" if r["low"] is not None and r["high"] is not None else ""
        rows.append(_Row(name, mark, "undefined" if r["value"] is None else wording.number(r["value"]) + bounds))
    return _sheet(f"Krippendorff’s alpha by segment, 95 % intervals. Line: floor {wording.number(floor)} (gold decides)", rows, axis(scale))


def evaluation_picture(evaluation: pa.Table, *, floor: float) -> str:
    """Win rate of the candidate by domain and decoding; the line is one half, the dashed one the floor of non-inferiority. SVG text."""
    found = sorted(
        (r for r in evaluation.to_pylist() if r["metric"] == "win_rate"), key=lambda r: (r["domain"] != "all", r["domain"], r["decoding"])
    )
    known = [v for r in found for v in (r["value"], r["low"], r["high"]) if v is not None]
    scale = spanning([*known, 0.4, 0.6], [(0.5, "reference"), (floor, "floor")], step=0.05)
    rows = []
    for r in found:
        name = f"{r['domain']}, {str(r['decoding']).replace('_', ' ')}"
        tone = "good" if r["low"] is not None and r["low"] > 0.5 else "bad" if r["high"] is not None and r["high"] < 0.5 else ""
        mark = interval_mark(scale, r["value"], r["low"], r["high"], label=name, tone=tone)
        rows.append(_Row(name, mark, f"{wording.percent(r['value'])} ({wording.percent_interval(r['low'], r['high'])})"))
    return _sheet(f"Win rate of the candidate, 95 % intervals. Line: one half; dashed: floor {wording.number(floor)}", rows, axis(scale))


def selection_picture(selection: pa.Table, uncertainty: pa.Table) -> str:
    """Share of each arm, and how uncertain the model was about the pool (light) and the picks (dark). SVG text."""
    picks = selection.select(["pair_id", "arm", "domain"]).to_pylist()
    groups = Counter((p["arm"], p["domain"]) for p in picks)
    rows = []
    for (arm, domain), n in sorted(groups.items()):
        name = f"{arm.replace('_', ' ')}, {domain}"
        rows.append(_Row(name, bar(n / len(picks), label=name), f"{n} ({wording.percent(n / len(picks))})"))
    scored = [r for r in uncertainty.select(["pair_id", "uncertainty"]).to_pylist() if r["uncertainty"] is not None]
    title = f"{len(picks)} picks by arm and domain"
    if not scored:
        return _sheet(f"{title}. No model yet: a bootstrap round has no uncertainty", rows)
    edges = _edges([r["uncertainty"] for r in scored])
    chosen = {p["pair_id"] for p in picks}
    picked = [r["uncertainty"] for r in scored if r["pair_id"] in chosen]
    figure = histogram(bins([r["uncertainty"] for r in scored], edges), bins(picked, edges), label="uncertainty")
    low, high = wording.number(edges[0]), wording.number(edges[-1])
    rows.append(_Row("uncertainty, pool and picks", figure, f"from {low} to {high}", 140))
    return _sheet(f"{title}; uncertainty of the pool (light) and of the picks (dark)", rows)


def _edges(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    return [low + (high - low) * i / BINS for i in range(BINS)] + [high]


def _sheet(title: str, rows: Sequence[_Row], foot: Any = "") -> str:
    """Rows of name, figure and value below a title, on a white card."""
    wide = WIDTH - NAMES - VALUES - 2 * MARGIN
    parts, y = [f'<text class="title" x="{MARGIN}" y="26">{escape(title)}</text>'], 40
    for row in rows or [_Row("nothing to show", "", "")]:
        middle = y + row.height / 2 + 4
        parts.append(f'<text x="{MARGIN}" y="{middle:.0f}">{escape(row.name)}</text>')
        parts.append(f'<svg x="{MARGIN + NAMES}" y="{y}" width="{wide}" height="{row.height}" overflow="visible">{row.figure}</svg>')
        parts.append(f'<text class="soft" x="{WIDTH - VALUES}" y="{middle:.0f}">{escape(row.value)}</text>')
        y += row.height
    if foot:
        parts.append(f'<svg x="{MARGIN + NAMES}" y="{y}" width="{wide}" height="24" overflow="visible">{foot}</svg>')
        y += 24
    y += 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"><style>{STYLE}</style>'
        f'<rect width="{WIDTH}" height="{y}" rx="6" fill="#ffffff"/>{"".join(parts)}</svg>'
    )
