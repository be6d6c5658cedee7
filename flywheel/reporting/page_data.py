"""The page's sections on data: where rows went, what was picked, what was quarantined, and the dataset version."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flywheel.dataset import DatasetStore
from flywheel.records import DatasetManifest
from flywheel.reporting import wording
from flywheel.reporting.economics import random_share
from flywheel.reporting.figures import bar, bins, histogram
from flywheel.reporting.funnel import FunnelStep, funnel
from flywheel.reporting.layout import Cell, Code, Column, Figure, Section, Table
from flywheel.storage import Home

BINS = 20


def funnel_section(home: Home, round: str) -> Section:
    """Every step as a bar, with what was lost and why."""
    steps = funnel(home, round)
    widest = max((s.count or 0 for s in steps), default=0) or 1
    rows = [_step(step, before, widest) for step, before in zip(steps, [None, *steps[:-1]], strict=True)]
    columns = (Column("Step"), Column("", "picture"), Column("Rows", "number"), Column("Lost", "number"), Column("Why"))
    table = Table("Rows at each step. Bars share one scale.", columns, rows)
    reached = [s for s in steps if s.count is not None]
    if not reached:
        return Section("funnel", "Funnel", "Not reached: nothing is read yet.")
    last = reached[-1]
    lead = f"{wording.count(reached[0].count)} log rows were read. The last step reached, “{last.name}”, holds {wording.count(last.count)} rows of this round."
    notes = []
    unexplained = sum(s.lost.get("unexplained", 0) for s in steps)
    if unexplained:
        notes.append(f"Lost without a stored reason: {wording.count(unexplained)}. The stage that lost them should say why.")
    return Section("funnel", "Funnel", lead, [table], notes=notes)


def _step(step: FunnelStep, before: FunnelStep | None, widest: int) -> list[Cell]:
    if step.count is None:
        return [step.name, bar(0, label="not reached"), wording.ABSENT, "", "not reached"]
    lost = sum(step.lost.values())
    why = [f"{wording.reason(k)} {wording.count(v)}" for k, v in sorted(step.lost.items(), key=lambda i: (-i[1], i[0]))]
    why += [f"joined: {wording.reason(k)} {wording.count(v)}" for k, v in step.gained.items()]
    share = f", {wording.percent(step.count / before.count, 0)} of the step before" if before and before.count else ""
    picture = bar(step.count / widest, label=f"{step.name}: {wording.count(step.count)} rows{share}")
    return [step.name, picture, wording.count(step.count), wording.count(lost) if lost else "", " · ".join(why)]


def quarantine_section(home: Home, round: str) -> Section:
    """Counts by reason code, from manifests. The rows themselves stay in the restricted zone."""
    rows: list[list[Cell]] = []
    logs, labels = home.lake.manifest("inference_logs", round), home.lake.manifest("annotations", round)
    for origin, table, found in (
        ("log rows", "quarantine", logs.facts.get("quarantine") if logs else None), ("labels", "label_quarantine", labels.facts.get("quarantine") if labels else None),
    ):  # fmt: skip
        stored = home.lake.manifest(table, round)
        if isinstance(found, dict) and found:
            rows += [
                [origin, Code(k, k), wording.reason(k), wording.count(v)] for k, v in sorted(found.items(), key=lambda i: (-i[1], i[0]))
            ]
        elif stored is not None and stored.rows:
            rows.append([origin, Code("–", "no reasons recorded"), "reasons are in the restricted table", wording.count(stored.rows)])
    columns = (Column("What"), Column("Reason code", "code"), Column("Meaning"), Column("Rows", "number"))
    table_ = Table("Rows set aside, by reason.", columns, rows, empty="Nothing was quarantined.")
    lead = "Rows that could not be used are kept with a reason, never dropped. Their content stays in the restricted zone."
    return Section("quarantine", "Quarantine", lead, [table_])


def selection_section(home: Home, round: str) -> Section:
    """Arms and domains of the picks, and how uncertain the model was about pool and picks."""
    title = "Selection"
    if home.lake.manifest("selection", round) is None:
        return Section("selection", title, "Not reached: no pairs are picked yet.")
    table = home.lake.read("selection", round)
    picks = table.to_pylist()
    domains = sorted({p["domain"] for p in picks})
    arms = Counter((p["arm"], p["domain"]) for p in picks)
    rows: list[list[Cell]] = []
    for arm, meaning in (("active", "active"), ("random_evaluation", "random, for evaluation"), ("random_control", "random, as control")):
        strategies = sorted({p["strategy"] for p in picks if p["arm"] == arm})
        total = sum(arms[arm, d] for d in domains)
        share = wording.percent(total / len(picks), 1) if picks else wording.ABSENT
        rows.append(
            [meaning, ", ".join(strategies) or wording.ABSENT, *(wording.count(arms[arm, d]) for d in domains), wording.count(total), share]
        )
    sums = [wording.count(sum(p["domain"] == d for p in picks)) for d in domains]
    foot: list[Cell] = ["all", "", *sums, wording.count(len(picks)), wording.percent(1.0, 1) if picks else wording.ABSENT]
    columns = (
        Column("Arm"),
        Column("Strategy"),
        *(Column(d, "number") for d in domains),
        Column("All", "number"),
        Column("Share", "number"),
    )
    held = random_share(table)
    lead = f"{wording.count(len(picks))} pairs were picked; the random arms hold {wording.percent(held)}."
    figures = _uncertainty_figure(home, round, {p["pair_id"] for p in picks})
    notes = (
        []
        if figures
        else ["No model scored this round (bootstrap): uncertainty is not defined, and the picks follow diversity and chance."]
    )
    return Section("selection", title, lead, [Table("Picks by arm and domain.", columns, rows, foot)], figures, notes)


def _uncertainty_figure(home: Home, round: str, picked: set[str]) -> list[Figure]:
    if home.lake.manifest("uncertainty", round) is None:
        return []
    scored = home.lake.read("uncertainty", round, ["pair_id", "uncertainty", "model_id"]).to_pylist()
    known = [r for r in scored if r["uncertainty"] is not None]
    if not known:
        return []
    values = [r["uncertainty"] for r in known]
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    edges = [low + (high - low) * i / BINS for i in range(BINS)] + [high]
    pool, chosen = bins(values, edges), bins([r["uncertainty"] for r in known if r["pair_id"] in picked], edges)
    label = f"Histogram of uncertainty from {wording.number(low)} to {wording.number(high)}: {len(known)} pairs, {sum(chosen)} picked."
    ticks = tuple(wording.number(low + (high - low) * share) for share in (0, 0.25, 0.5, 0.75, 1))
    caption = f"Uncertainty of model {wording.short(known[0]['model_id'])} over the pool, and over what was picked. Tallest bar: {max(pool)} pairs."
    return [Figure(caption, histogram(pool, chosen, label=label), (("pool", "in the pool"), ("picked", "picked")), ticks)]


def dataset_version(home: Home, round: str) -> DatasetManifest | None:
    """The version that the round's `preference_dataset` records, or None."""
    manifest = home.lake.manifest("preference_dataset", round)
    version = manifest.facts.get("version") if manifest else None
    return DatasetStore(home.datasets).get(version) if isinstance(version, str) else None


def dataset_section(home: Home, round: str) -> Section:
    """Version, parent and hashes; its rows by domain, origin and outcome."""
    found = dataset_version(home, round)
    if found is None:
        return Section("dataset", "Dataset version", "Not reached: this round has published no dataset version.")
    digest = DatasetStore(home.datasets).manifest_sha256(found.version)
    added = next((p for p in found.parts if p.round == round), None)
    lead = f"{found.version} holds {wording.count(found.rows)} rows of {len(found.parts)} rounds; this round's part has {wording.count(added.rows if added else 0)}."
    facts: list[list[Cell]] = [
        ["Version", Code(found.version, found.version)], ["Parent", Code(found.parent or "none: the first", found.parent or "")],
        ["Manifest SHA-256", Code(digest, digest)],
        ["Part SHA-256", Code(added.sha256 if added else wording.ABSENT, "")],
        ["Absent rounds", ", ".join(found.absent_rounds) or "none"], ["Selector", Code(wording.short(found.selector, 40), found.selector)],
        ["Guideline", ", ".join(f"{v} ({sha[:12]})" for v, sha in found.guideline_versions.items()) or wording.ABSENT],
        ["Redaction", ", ".join(found.redaction_versions) or wording.ABSENT], ["In effect from", wording.moment(found.effective_at)],
    ]  # fmt: skip
    named = Table("What names this version beyond doubt.", (Column("Field"), Column("Value", "code")), facts)
    return Section("dataset", "Dataset version", lead, [named, _composition(found)])


def _composition(found: DatasetManifest) -> Table:
    rows: list[list[Cell]] = []
    groups: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Domain", found.rows_by_domain), ("Label origin", found.rows_by_origin), ("Outcome", found.rows_by_outcome),
    )  # fmt: skip
    names = {"a": "response A", "b": "response B", "both_bad": "both bad"}
    for group, counts in groups:
        for i, (key, n) in enumerate(counts.items()):
            share = n / found.rows if found.rows else 0.0
            name = names.get(key, key)
            rows.append(
                [
                    group if i == 0 else "",
                    name,
                    bar(share, label=f"{name}: {wording.percent(share)}"),
                    wording.count(n),
                    wording.percent(share),
                ]
            )
    columns = (Column("By"), Column("Value"), Column("", "picture"), Column("Rows", "number"), Column("Share", "number"))
    return Table(f"What {found.version} holds.", columns, rows, empty="The version has no rows.")
