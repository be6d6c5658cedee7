"""The rows of one round as a content-addressed Parquet part, and what a manifest says about all parts of a version."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import Preference
from flywheel.storage import arrow_schema

SCHEMA = arrow_schema(Preference).remove_metadata()


def conform_part(preferences: pa.Table, round: str) -> pa.Table:
    """`preferences` in the Preference schema, sorted by pair id, `dataset_version` null: a part's bytes must not depend on the
    version that it enters. Raises `BadInput` naming the pair on rows of another round, a pair twice, a chosen side that contradicts
    the outcome, or two identical responses (nothing can be learnt from them, and trainers mangle them silently)."""
    missing, extra = set(SCHEMA.names) - set(preferences.column_names), set(preferences.column_names) - set(SCHEMA.names)
    if missing or extra:
        raise BadInput(f"preferences[{round}]: missing columns {sorted(missing)}, unexpected columns {sorted(extra)}")
    at = SCHEMA.get_field_index("dataset_version")
    table = preferences.select(SCHEMA.names).set_column(at, SCHEMA.field(at), pa.nulls(preferences.num_rows, pa.string()))
    try:
        table = table.cast(SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise BadInput(f"preferences[{round}]: {error}") from None
    _refuse_bad_rows(table, round)
    return table.sort_by("pair_id").combine_chunks()


def _refuse_bad_rows(table: pa.Table, round: str) -> None:
    seen: set[str] = set()
    for row in table.select(["round", "pair_id", "outcome", "chosen", "rejected", "response_a", "response_b"]).to_pylist():
        where = f"preferences[{round}], pair {row['pair_id']}"
        if row["round"] != round:
            raise BadInput(f"{where}: field round is {row['round']}; publish each round by itself")
        if row["pair_id"] in seen:
            raise BadInput(f"{where}: occurs twice; aggregate a pair's annotations to one row before publishing")
        seen.add(row["pair_id"])
        sides = {"a": ("a", "b"), "b": ("b", "a")}.get(row["outcome"], (None, None))
        if (row["chosen"], row["rejected"]) != sides:
            raise BadInput(f"{where}: outcome {row['outcome']} with chosen {row['chosen']}, rejected {row['rejected']}; expected {sides}")
        if sides[0] and same_answer(row["response_a"], row["response_b"]):
            raise BadInput(f"{where}: response_a and response_b are identical; drop the pair before labeling (`build_pairs` does)")


def same_answer(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Two Response structs say exactly the same: text and tool calls."""
    return bool(one["text"] == other["text"] and (one["tool_calls"] or []) == (other["tool_calls"] or []))


def describe(parts: list[pa.Table]) -> dict[str, Any]:
    """The manifest fields that follow from the rows of all parts (`DatasetManifest`)."""
    rows = [
        row
        for part in parts
        for row in part.select(
            ["domain", "origin", "outcome", "response_a", "response_b", "guideline_version", "guideline_sha256", "redaction_version"]
        ).to_pylist()
    ]
    generations = [row[side]["generation"] for row in rows for side in ("response_a", "response_b")]
    guidelines: dict[str, str] = {}
    for row in rows:
        known = guidelines.setdefault(row["guideline_version"], row["guideline_sha256"])
        if known != row["guideline_sha256"]:
            raise BadInput(
                f"guideline {row['guideline_version']} occurs with two texts ({known[:12]}, {row['guideline_sha256'][:12]}): "
                "a changed guideline needs a new version"
            )
    return {
        "rows": len(rows),
        "rows_by_domain": _counted(rows, "domain"),
        "rows_by_origin": _counted(rows, "origin"),
        "rows_by_outcome": _counted(rows, "outcome"),
        "contains_simulated": any(row["origin"] == "simulated" for row in rows),
        "model_ids": sorted({g["model_id"] for g in generations}),
        "guideline_versions": dict(sorted(guidelines.items())),
        "sandbox_versions": sorted({g["sandbox"]["sandbox_version"] for g in generations if g["sandbox"]}),
        "redaction_versions": sorted({row["redaction_version"] for row in rows}),
    }


def _counted(rows: list[dict[str, Any]], column: str) -> dict[str, int]:
    return dict(sorted(Counter(row[column] for row in rows).items()))
