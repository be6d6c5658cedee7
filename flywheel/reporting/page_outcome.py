"""The page's sections on what the round brought: models compared, and money spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flywheel.records import EvaluationRow, ModelRow, PromotionRow
from flywheel.reporting import wording
from flywheel.reporting.costs import round_costs
from flywheel.reporting.economics import ALL, cost_per_pair, label_efficiency
from flywheel.reporting.figures import axis, interval_mark, spanning
from flywheel.reporting.layout import Badge, Cell, Code, Column, Section, Table
from flywheel.rounds import find_context
from flywheel.storage import Home, from_table

WIN_RATE = "win_rate"


@dataclass(frozen=True)
class Serving:
    """The model that served when the round was opened, and after it was closed (`decision` None: it is not)."""

    before: str | None
    after: str | None
    decision: str | None
    reasons: tuple[str, ...] = ()


def serving(home: Home, round: str) -> Serving:
    """From the promotion table, the evaluation and the round's pin."""
    pinned = find_context(home, round)
    before = pinned.model_id if pinned else None
    evaluated = _rows(home, "evaluation", round, EvaluationRow)
    if before is None and evaluated:
        before = evaluated[0].incumbent_id
    decided = _rows(home, "promotion", round, PromotionRow)
    if not decided:
        return Serving(before, None, None)
    return Serving(before, decided[0].model_id, decided[0].decision, tuple(decided[0].reasons))


def win_rates(home: Home, round: str) -> list[EvaluationRow]:
    """Win-rate rows of a round's evaluation, `all` first."""
    rows = [r for r in _rows(home, "evaluation", round, EvaluationRow) if r.metric == WIN_RATE]
    return sorted(rows, key=lambda r: (r.domain not in (ALL, "overall"), r.domain, r.decoding))


def models_section(home: Home, round: str) -> Section:
    """What was trained, how the candidate compares, and why it was promoted or not."""
    trained = [m for table in ("sft_model", "reward_model", "dpo_model") for m in _rows(home, table, round, ModelRow)]
    evaluated = _rows(home, "evaluation", round, EvaluationRow)
    found = serving(home, round)
    if not trained and not evaluated:
        return Section("models", "Model comparison", "Not reached: nothing is trained yet.")
    tables = [_forest(home, win_rates(home, round))] if evaluated else []
    others = [r for r in evaluated if r.metric != WIN_RATE]
    if others:
        tables.append(_other_metrics(others))
    tables.append(_models(trained))
    reward = _reward(trained)
    if reward:
        tables.append(reward)
    lead = "The candidate is not compared yet."
    if evaluated:
        first = evaluated[0]
        lead = f"{wording.short(first.candidate_id)} against {wording.short(first.incumbent_id)}, which served until now; judged by {first.judge.replace('_', ' ')}."
    if found.decision:
        lead += (
            " Promoted: the candidate serves from the next round on."
            if found.decision == "promoted"
            else " Kept: the candidate does not serve."
        )
    if found.reasons:
        tables.insert(1 if evaluated else 0, _demands(found.reasons))
    return Section("models", "Model comparison", lead, tables)


def _demands(reasons: tuple[str, ...]) -> Table:
    """Each reason of the decision; `met:` and `not met:` become marks."""
    marks = {"met": Badge("met", "good"), "not met": Badge("not met", "bad")}
    rows: list[list[Cell]] = []
    for text in reasons:
        head, _, rest = text.partition(": ")
        rows.append([rest, marks[head]] if head in marks else [text, ""])
    return Table("What the decision rests on.", (Column("Demand"), Column("", "badge")), rows)


def _forest(home: Home, rows: list[EvaluationRow]) -> Table:
    floor = home.settings.evaluation.non_inferiority
    values = [v for r in rows for v in (r.value, r.low, r.high) if v is not None]
    scale = spanning([*values, 0.4, 0.6], [(0.5, "reference"), (floor, "floor")], step=0.05)
    columns = (
        Column("Domain"), Column("Decoding"), Column(f"Win rate and 95 % interval (line: .5; dashed: floor {wording.number(floor)})", "picture"),
        Column("Win rate", "number"), Column("95 % interval", "number"), Column("Prompts", "number"), Column("Clusters", "number"),
    )  # fmt: skip
    cells: list[list[Cell]] = []
    for r in rows:
        tone = "good" if r.low is not None and r.low > 0.5 else "bad" if r.high is not None and r.high < 0.5 else ""
        said = f"{r.domain}, {r.decoding}: win rate {wording.number(r.value, 3)}, interval {wording.interval(r.low, r.high, 3)}"
        cells.append([
            r.domain, r.decoding.replace("_", " "), interval_mark(scale, r.value, r.low, r.high, label=said, tone=tone), wording.percent(r.value),
            wording.percent_interval(r.low, r.high), wording.count(r.n_prompts), wording.count(r.n_clusters),
        ])  # fmt: skip
    return Table("Win rate of the candidate; ties count half.", columns, cells, ["", "", axis(scale), "", "", "", ""], "No win rates.")


def _other_metrics(rows: list[EvaluationRow]) -> Table:
    columns = (Column("Measure"), Column("Domain"), Column("Decoding"), Column("Value", "number"), Column("95 % interval", "number"))
    cells: list[list[Cell]] = [
        [wording.metric(r.metric), r.domain, r.decoding.replace("_", " "), wording.number(r.value, 3), wording.interval(r.low, r.high, 3)]
        for r in sorted(rows, key=lambda r: (r.metric, r.domain, r.decoding))
    ]
    return Table("Other measures of the comparison.", columns, cells)


def _models(trained: list[ModelRow]) -> Table:
    columns = (
        Column("Model"),
        Column("Id", "code"),
        Column("Made from", "code"),
        Column("Dataset"),
        Column("Pairs", "number"),
        Column("", "badge"),
    )
    rows: list[list[Cell]] = [
        [
            {"sft": "fine-tuned (SFT)", "dpo": "preference-tuned (DPO)", "reward": "reward model"}.get(m.kind, m.kind),
            Code(wording.short(m.model_id), m.model_id), Code(wording.short(m.parent_model_id), m.parent_model_id or ""),
            m.dataset_version or wording.ABSENT, wording.count(m.n_pairs), Badge("trained", "good") if m.trained else Badge("handed through", "quiet"),
        ]
        for m in trained
    ]  # fmt: skip
    return Table("Models of this round.", columns, rows)


def _reward(trained: list[ModelRow]) -> Table | None:
    found = next((m for m in trained if m.kind == "reward" and m.trained), None)
    measured = {d: v for d, v in (found.metrics if found else {}).items() if isinstance(v, dict) and "accuracy" in v}
    if not measured:
        return None
    columns = (
        Column("Domain"),
        Column("Accuracy", "number"),
        Column("Log-loss", "number"),
        Column("Calibration error", "number"),
        Column("Rows", "number"),
    )
    rows: list[list[Cell]] = [
        [d, wording.percent(v["accuracy"]), wording.number(v.get("nll"), 3), wording.number(v.get("ece"), 3), wording.count(v.get("n"))]
        for d, v in sorted(measured.items(), key=lambda item: (item[0] != ALL, item[0]))
    ]
    return Table("Reward model on rows that it did not see (cross-validated by prompt cluster).", columns, rows)


def money_section(home: Home, round: str) -> Section:
    """Costs, cost per accepted pair beside the reference, labels per pair and per .01 of reward-model accuracy."""
    costs = round_costs(home, round)
    if costs.num_rows == 0:
        return Section("money", "Money", "Nothing is spent yet.")
    per_pair = cost_per_pair(costs, home.lake.read_rounds("preferences", [round]))
    whole = per_pair[0]
    reference = home.settings.economics.reference_pair_usd
    lead = f"{wording.usd(whole.total_usd)} spent so far; no pair is accepted yet."
    if whole.usd_per_pair is not None:
        lead = f"{wording.usd(whole.total_usd)} spent, {wording.usd(whole.usd_per_pair)} for each accepted pair (reference from the source: {wording.usd(reference)})."
    tables = [_cost_table(costs.to_pylist(), whole.total_usd), _pair_table(per_pair, reference)]
    efficiency = label_efficiency(home, round)
    notes = ["Compute time is in the runs' metadata, not in these figures. An accepted pair is one decided for a response."]
    if efficiency:
        columns = (
            Column("Domain"), Column("Labels", "number"), Column("Accuracy before", "number"), Column("Accuracy now", "number"),
            Column("Labels per .01", "number"), Column(""),
        )  # fmt: skip
        rows: list[list[Cell]] = [
            [
                e.domain, wording.count(e.labels), wording.percent(e.accuracy_before), wording.percent(e.accuracy_after),
                wording.number(e.labels_per_point, 0), e.explanation,
            ] for e in efficiency
        ]  # fmt: skip
        tables.append(Table("Labels bought for each .01 of reward-model accuracy.", columns, rows))
    else:
        notes.append("Labels per .01 of reward-model accuracy: not yet known.")
    return Section("money", "Money", lead, tables, notes=notes)


def _cost_table(rows: list[dict[str, Any]], total_usd: float) -> Table:
    columns = (
        Column("For"), Column("Domain"), Column("Quantity", "number"), Column("Unit"), Column("Unit price", "number"), Column("Amount", "number"),
        Column("Share", "number"),
    )  # fmt: skip
    cells: list[list[Cell]] = [
        [
            wording.KINDS.get(r["kind"], r["kind"]), r["domain"] or wording.ABSENT, wording.count(r["quantity"]), r["unit"],
            wording.usd(r["unit_price_usd"]), wording.usd(r["amount_usd"]), wording.percent(r["amount_usd"] / total_usd if total_usd else None),
        ] for r in rows
    ]  # fmt: skip
    foot: list[Cell] = ["all", "", "", "", "", wording.usd(total_usd), wording.percent(1.0)]
    return Table("Costs of this round.", columns, cells, foot)


def _pair_table(rows: list[Any], reference: float) -> Table:
    columns = (
        Column("Domain"), Column("Accepted pairs", "number"), Column("by the judge", "number"), Column("Labels per pair", "number"),
        Column("Labeling", "number"), Column("Shared costs", "number"), Column("Cost per pair", "number"), Column("Reference", "number"),
    )  # fmt: skip
    cells: list[list[Cell]] = [
        [
            r.domain, wording.count(r.accepted_pairs), wording.count(r.kept_by_judge), wording.number(r.labels_per_pair, 1),
            wording.usd(r.labeling_usd), wording.usd(r.shared_usd), wording.usd(r.usd_per_pair), wording.usd(reference),
        ] for r in rows
    ]  # fmt: skip
    return Table("Cost per accepted pair, gold and repeated labels included.", columns, cells)


def _rows(home: Home, table: str, round: str, model: Any) -> list[Any]:
    return from_table(model, home.lake.read(table, round)) if home.lake.manifest(table, round) else []
