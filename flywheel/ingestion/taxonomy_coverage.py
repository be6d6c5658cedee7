"""Prompt diversity: how many records of which domain, task type and language, and how many different prompts they really hold."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COVERAGE_COLUMNS = ["record_id", "conversation_id", "domain", "task_type", "language", "messages"]
PROMPT_CHARACTERS = 2_000
BATCH = 8_192
NUMBER = r"[0-9]+(?:[.,:][0-9]+)*"
GROUP = ["domain", "task_type", "language"]


def coverage_table(records: pa.Table | Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    """A row for each domain, task type and language: `records`, their `share` of all, `prompt_shapes` (different last turns of the user, with
    letter case, white space and numbers, alias numbers among them, aside) and `conversations`. The largest group of a domain first. Of records
    that come in batches no text is kept."""
    batches = records.to_batches(max_chunksize=BATCH) if isinstance(records, pa.Table) else records
    parts = [_reduced(batch) for batch in batches if batch.num_rows]
    if not parts:
        return []
    wanted = pa.concat_tables(parts)
    counted = wanted.group_by(GROUP).aggregate([("shape", "count"), ("shape", "count_distinct"), ("conversation_id", "count_distinct")])
    rows = [
        {
            **{name: row[name] for name in GROUP}, "language": row["language"] or None, "records": row["shape_count"],
            "share": row["shape_count"] / wanted.num_rows, "prompt_shapes": row["shape_count_distinct"],
            "conversations": row["conversation_id_count_distinct"],
        }
        for row in counted.to_pylist()
    ]  # fmt: skip
    return sorted(rows, key=lambda r: (r["domain"], -r["records"], r["task_type"], r["language"] or ""))


def coverage_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| domain | task type | language | records | share | prompt shapes | conversations |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['domain']} | {r['task_type']} | {r['language'] or '–'} | {r['records']:,} | {100 * r['share']:.1f} % | {r['prompt_shapes']:,} "
        f"| {r['conversations']:,} |"
        for r in rows
    ]
    return "\n".join(lines)


def effective_number(shares: Sequence[float]) -> float:
    """How many groups of one size would be as diverse: the exponential of the entropy."""
    whole = sum(shares)
    return math.exp(-sum(s / whole * math.log(s / whole) for s in shares if s > 0)) if whole else 0.0


def _reduced(batch: pa.RecordBatch) -> pa.Table:
    """What is counted: labels, and texts and ids as hashes (of this process)."""
    columns = {name: pc.fill_null(batch.column(name), "") for name in GROUP}
    for name, texts in (("conversation_id", batch.column("conversation_id")), ("shape", _shape(batch.column("messages")))):
        columns[name] = pa.array(np.fromiter(map(hash, texts.to_pylist()), np.int64, batch.num_rows))
    return pa.table(columns)


def _shape(messages: pa.ListArray) -> pa.Array:
    """A text of each row's last user turn (the last turn of all where no user speaks) without what varies."""
    turns = messages.flatten()
    parents = pc.list_parent_indices(messages).to_numpy()
    rank = np.arange(len(turns)) + len(turns) * pc.equal(turns.field("role"), "user").to_numpy(zero_copy_only=False)
    last = np.full(len(messages), -1, np.int64)
    np.maximum.at(last, parents, rank)
    places = pa.array(last % max(len(turns), 1), mask=last < 0)
    text = pc.utf8_slice_codeunits(turns.field("content").take(places).fill_null(""), 0, PROMPT_CHARACTERS)
    text = pc.replace_substring_regex(pc.utf8_lower(text), NUMBER, "0")
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(text, r"\s+", " "))
