"""What a round costs: counted things times prices. Wall-clock time is no count (it differs at every rerun) and stays out of the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from flywheel.records import CostEvent
from flywheel.settings import EconomicsSettings
from flywheel.storage import Home, to_table

QUALITY_KINDS = frozenset({"gold", "attention", "repeat"})
"""Tasks that measure raters and yield no pair. Their labels belong to the cost of the pairs all the same."""


def cost_events(
    *, round: str, annotations: pa.Table, embedded_texts: int, generated_responses: int, settings: EconomicsSettings,
    expert_tasks: Collection[str] = frozenset(),
) -> pa.Table:  # fmt: skip
    """CostEvent rows of a round, sorted by kind and domain.

    Every annotation that was delivered is paid, whatever became of it (banked, discarded, a skip); one event id counts once.
    `annotation` and `expert_annotation` (origin `expert`, or a task in `expert_tasks`) are split by domain; `_quality` is
    appended for gold, attention and repeat tasks. Texts embedded and responses generated have no domain.
    """
    columns = ["event_id", "task_id", "origin", "kind", "domain"]
    events = {row["event_id"]: row for row in annotations.select(columns).to_pylist()}
    counted = Counter[tuple[str, str | None]]()
    for row in events.values():
        tier = "expert_annotation" if row["origin"] == "expert" or row["task_id"] in expert_tasks else "annotation"
        counted[tier + ("_quality" if row["kind"] in QUALITY_KINDS else ""), row["domain"]] += 1
    counted["embedded_text", None] += embedded_texts
    counted["generated_response", None] += generated_responses
    rows = []
    for (kind, domain), quantity in sorted(counted.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        if quantity:
            price = unit_price_usd(kind, settings)
            rows.append({
                "round": round, "kind": kind, "domain": domain, "quantity": float(quantity), "unit": UNITS[kind.removesuffix("_quality")],
                "unit_price_usd": price, "amount_usd": quantity * price,
            })  # fmt: skip
    return to_table(CostEvent, rows)


UNITS = {"annotation": "label", "expert_annotation": "label", "embedded_text": "text", "generated_response": "response"}


def unit_price_usd(kind: str, settings: EconomicsSettings) -> float:
    """Price of one unit of a kind of `cost_events`."""
    return {
        "annotation": settings.annotation_usd, "expert_annotation": settings.expert_annotation_usd,
        "embedded_text": settings.embedded_text_usd, "generated_response": settings.generated_response_usd,
    }[kind.removesuffix("_quality")]  # fmt: skip


def compute_cost_usd(seconds_by_stage: Mapping[str, float], settings: EconomicsSettings) -> dict[str, float]:
    """Price of measured wall-clock seconds, by stage: for a run's metadata, never for a hashed table."""
    return {stage: seconds / 3_600 * settings.compute_hour_usd for stage, seconds in sorted(seconds_by_stage.items())}


def round_costs(home: Home, round: str) -> pa.Table:
    """`cost_events` of a round from what is stored so far: labels of `annotations`, one text for each row of `embeddings`, one
    response for each sampled pair. A label of a task that requires an expert counts as an expert's."""
    lake = home.lake
    annotations = lake.read_rounds("annotations", [round])
    expert_tasks: set[str] = set()
    if lake.manifest("labeling_batch", round) is not None and annotations.num_rows:
        tasks = lake.read("labeling_batch", round, ["task_id", "required_expertise"])
        expert_tasks = set(tasks.filter(pc.equal(tasks["required_expertise"], "expert"))["task_id"].to_pylist())
    embedded = lake.manifest("embeddings", round)
    generated = 0
    if lake.manifest("response_pairs", round) is not None:
        generated = lake.read("response_pairs", round, ["second_response"])["second_response"].to_pylist().count("sampled")
    return cost_events(
        round=round, annotations=annotations, embedded_texts=embedded.rows if embedded else 0, generated_responses=generated,
        settings=home.settings.economics, expert_tasks=expert_tasks,
    )  # fmt: skip
