"""A dataset version in the formats that trainers read.

TRL (1.16): always with an explicit prompt, because its prompt extraction on implicit pairs splits inside a word and turns identical
strings into "chosen" and "rejected" (facts/formats.md 4.7). OpenAI, Together, Fireworks: exactly one assistant message on each side.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from flywheel.dataset.parts import same_answer
from flywheel.dataset.splits import HELD_OUT_ARMS, ConsentFilter
from flywheel.errors import BadInput
from flywheel.records import Message
from flywheel.storage import write_atomically, write_json

if TYPE_CHECKING:
    from flywheel.dataset.store import DatasetStore

Format = Literal["trl_conversational", "trl_standard", "openai_preference"]
FORMATS: tuple[Format, ...] = ("trl_conversational", "trl_standard", "openai_preference")
Renderer = Callable[[list[Message]], str]


@dataclass(frozen=True)
class ExportReport:
    """What `write_exports` wrote. `files`: format to name, rows, SHA-256 and the rows left out by reason."""

    version: str
    manifest_sha256: str
    rows_in_version: int
    contains_simulated: bool
    files: dict[str, dict[str, Any]]


def exportable(table: pa.Table, form: Format = "trl_conversational") -> tuple[pa.Table, dict[str, int]]:
    """The Preference rows that `form` can carry for training, and the others counted by reason: `random_evaluation`,
    `random_control`, `tie`, `both_bad`, `empty_response`, and `tool_calls` where the form has only text. Raises `BadInput` naming
    the pair whose two answers are identical."""
    kept, losses = [], Counter[str]()
    columns = ["pair_id", "arm", "outcome", "prompt", "response_a", "response_b"]
    for row in table.select(columns).to_pylist():
        reason = _why_not(row, form)
        kept.append(reason is None)
        if reason:
            losses[reason] += 1
    return table.filter(pa.array(kept, pa.bool_())), dict(sorted(losses.items()))


def _why_not(row: dict[str, Any], form: Format) -> str | None:
    if row["arm"] in HELD_OUT_ARMS:
        return str(row["arm"])
    if row["outcome"] not in ("a", "b"):
        return str(row["outcome"])
    sides = (row["response_a"], row["response_b"])
    if same_answer(*sides):
        raise BadInput(f"pair {row['pair_id']}: chosen and rejected are identical; a trainer learns nothing from it. Drop it upstream.")
    with_calls = any(side["tool_calls"] for side in sides)
    if form == "trl_standard" and (with_calls or any(m["tool_calls"] for m in row["prompt"])):
        return "tool_calls"
    if any(not side["text"] and not side["tool_calls"] for side in sides):
        return "empty_response"
    return None


def export_trl(
    table: pa.Table, *, form: Literal["conversational", "standard"] = "conversational", render: Renderer | None = None
) -> list[dict[str, Any]]:
    """TRL preference rows with an explicit prompt.

    `conversational`: prompt, chosen and rejected are lists of messages. `standard`: prompt is `render(messages)` (default
    `flywheel.training.render_prompt`); chosen and rejected start with a space unless the prompt ends in one (TRL joins the texts as
    they are, and appends the end-of-sequence token). What is left out, and the refusal of identical answers: `exportable`.
    """
    if form == "standard":
        render = render or _default_renderer()
        sides = _sides(exportable(table, "trl_standard")[0])
        texts = [(render(prompt), chosen["text"], rejected["text"]) for prompt, chosen, rejected in sides]
        return [{"prompt": p, "chosen": _parted(p, chosen), "rejected": _parted(p, rejected)} for p, chosen, rejected in texts]
    return [
        {"prompt": [_message(m) for m in prompt], "chosen": [_answer(chosen)], "rejected": [_answer(rejected)]}
        for prompt, chosen, rejected in _sides(exportable(table, "trl_conversational")[0])
    ]


def export_openai(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of the OpenAI preference format (also Together, Fireworks): `input`, and one assistant message on each side."""
    return [
        {
            "input": {"messages": [_message(m) for m in prompt], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [_answer(chosen)],
            "non_preferred_output": [_answer(rejected)],
        }
        for prompt, chosen, rejected in _sides(exportable(table, "openai_preference")[0])
    ]


def write_exports(
    store: DatasetStore, version: str, folder: Path, *, ledger_filter: ConsentFilter, render: Renderer | None = None
) -> ExportReport:
    """Write every format of a version below `folder` as JSONL, and `exports.json` (the report) last.

    `ledger_filter` asks the consent ledger again, for training, now; what it removes is counted as `no_consent`. The same version,
    ledger and renderer give the same bytes.
    """
    rows = store.rows(version)
    allowed = ledger_filter(rows)
    files: dict[str, dict[str, Any]] = {}
    for form in FORMATS:
        lines = _rows_of(allowed, form, render)
        losses = exportable(allowed, form)[1]
        if rows.num_rows > allowed.num_rows:
            losses["no_consent"] = rows.num_rows - allowed.num_rows
        body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        write_atomically(folder / f"{form}.jsonl", body)
        files[form] = {"file": f"{form}.jsonl", "rows": len(lines), "sha256": hashlib.sha256(body).hexdigest(), "left_out": losses}
    manifest = store.get(version)
    report = ExportReport(version, store.manifest_sha256(version), rows.num_rows, manifest.contains_simulated, files)
    write_json(folder / "exports.json", asdict(report))
    return report


def _rows_of(table: pa.Table, form: Format, render: Renderer | None) -> list[dict[str, Any]]:
    if form == "openai_preference":
        return export_openai(table)
    return export_trl(table, form="standard" if form == "trl_standard" else "conversational", render=render)


def _sides(table: pa.Table) -> list[tuple[list[Message], dict[str, Any], dict[str, Any]]]:
    columns = ["prompt", "chosen", "rejected", "response_a", "response_b"]
    return [
        ([Message.model_validate(m) for m in row["prompt"]], row[f"response_{row['chosen']}"], row[f"response_{row['rejected']}"])
        for row in table.select(columns).to_pylist()
    ]


def _calls(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """OpenAI's shape; arguments stay JSON text (a nested object would need the `datasets` Json type)."""
    return [
        {"id": call["id"] or f"call_{number}", "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for number, call in enumerate(calls)
    ]


def _message(message: Message) -> dict[str, Any]:
    row: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        row["name"] = message.name
    if message.tool_calls:
        row["tool_calls"] = _calls([call.model_dump() for call in message.tool_calls])
    if message.tool_call_id is not None:
        row["tool_call_id"] = message.tool_call_id
    return row


def _answer(response: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"role": "assistant", "content": response["text"]}
    if response["tool_calls"]:
        row["tool_calls"] = _calls(response["tool_calls"])
    return row


def _parted(prompt: str, answer: str) -> str:
    return answer if prompt[-1:].isspace() or answer[:1].isspace() else f" {answer}"


def _default_renderer() -> Renderer:
    from flywheel.training import render_prompt

    return render_prompt
