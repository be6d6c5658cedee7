"""TensorZero: rows of `ChatInference` and `JsonInference`, the `ModelInference` rows that name model and tokens, and feedback.

Everything of an episode is one group: feedback names an inference or its episode, a model inference names its inference. Columns after the
gateway's data model; JSON columns come as text (ClickHouse) or as objects (API, Postgres). An inference's time lies in its id (UUIDv7).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped
from flywheel.ingestion.formats.feedback import add_comment, add_feedback
from flywheel.ingestion.formats.pieces import as_text, count_lost, empty, label, maybe_json, too_deep
from flywheel.ingestion.formats.tensorzero_inference import blocks_answer, inference_row
from flywheel.ingestion.quarantine import Rejected

NAME = "tensorzero"
TOLD = ("input", "output", "function_name", "variant_name", "episode_id", "inference_params", "tags")
FEEDBACK = frozenset({"id", "target_id", "inference_id", "target_type", "metric_name", "value", "timestamp", "type", "episode_id"})


class TensorZero:
    """Inferences become records; model inferences and feedback join them."""

    name = NAME

    def claims(self, row: Json) -> bool:
        """Is this a row of one of the gateway's tables?"""
        return _kind(row) != ""

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """A part of an episode. Raises `Rejected`."""
        kind = _kind(row)
        if kind == "datapoint":
            yield Skipped("datapoint")  # a copy in a dataset, not a call
            return
        key = {
            "inference": "episode_id",
            "model": "inference_id",
            "feedback": "inference_id" if "target_id" not in row else "target_id",
        }.get(kind)
        if key is None:
            raise Rejected("invalid_field", "no row of a table of TensorZero", "id")
        own = _uuid(row, _own(row)) if kind == "inference" else None
        if kind == "inference" and empty(row.get("episode_id")):
            yield Part(f"tensorzero:{own}", dict(row))
            return
        found = _uuid(row, key)
        yield Part(f"tensorzero:{found}", dict(row), (f"tensorzero:{own}",) if own is not None else ())

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The inferences of one episode."""
        made = Assembled()
        inferences: dict[str, int] = {}
        models: dict[str, dict[str, Json]] = defaultdict(dict)
        feedback: dict[str, tuple[int, Json]] = {}
        for index, part in enumerate(parts):
            kind = _kind(part)
            if kind == "inference":
                first = inferences.setdefault(str(part[_own(part)]).lower(), index)  # a row that was delivered twice is one
                if _differs(part, parts[first]):
                    made.bad[index] = Bad("id_conflict", "a row with this id came before, with other content", _own(part), part)
            elif kind == "model":
                models[str(part["inference_id"]).lower()].setdefault(label(part.get("id")), part)
            else:
                feedback.setdefault(label(part.get("id")) or f"#{index}", (index, part))
        rows: dict[str, tuple[int, dict[str, Any], Counter[str]]] = {}
        for own in sorted(inferences):  # UUIDv7: by time
            index, found = inferences[own], Counter[str]()
            try:
                called = [models[own][name] for name in sorted(models[own])]
                row = {**parts[index], "id": own}
                rows[own] = (index, inference_row(row, called, time_of(own, _own(parts[index])), found), found)
            except Rejected as error:
                made.bad[index] = Bad(error.reason, error.message, error.field, parts[index])
            except RecursionError:
                made.bad[index] = Bad("invalid_field", "nested too deeply to be read", None, parts[index])
        for index, part in sorted(feedback.values(), key=lambda f: label(f[1].get("id")), reverse=True):  # the latest word counts
            try:
                target = _target(part)
                if target in rows or (rows and target not in inferences):
                    _add(rows[target if target in rows else max(rows)][1], part, losses)
                else:
                    made.skipped[index] = "feedback"  # of an inference that could not be used
            except (Rejected, RecursionError) as error:
                refused = error if isinstance(error, Rejected) else too_deep()
                made.bad[index] = Bad(refused.reason, refused.message, refused.field, part)
        for index, record, found in rows.values():
            if not record.get("feedback", True):
                del record["feedback"]
            made.rows.append((index, record))
            losses.update(found)
        if not rows:
            for index, part in enumerate(parts):
                if _kind(part) != "inference" and index not in made.bad:
                    made.skipped[index] = "model inference" if _kind(part) == "model" else "feedback"
        return made


def time_of(value: str, field: str) -> str:
    """The moment in a UUIDv7, to the millisecond. Raises `Rejected` for an id of another version."""
    try:
        found = UUID(value)
    except ValueError:
        raise Rejected("invalid_field", f"{field} is no UUID", field) from None
    if found.version != 7:
        raise Rejected("invalid_timestamp", f"{field} is no UUIDv7: the time of the inference is not known", field)
    milliseconds = found.int >> 80
    try:
        return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000).isoformat()
    except (OverflowError, ValueError, OSError):
        raise Rejected("invalid_timestamp", f"{field} lies outside the years 1 to 9999", field) from None


def _kind(row: Json) -> str:
    """`inference`, `model`, `feedback`, `datapoint`, or nothing."""
    if "function_name" in row and "input" in row:
        if "dataset_name" in row:
            return "datapoint"
        return "inference" if "variant_name" in row and ("id" in row or "inference_id" in row) else ""
    if "inference_id" in row and ("model_name" in row or "model_provider_name" in row):
        return "model"
    if "value" in row and "id" in row and "trace_id" not in row:
        if "target_id" in row and ("metric_name" in row or "target_type" in row):
            return "feedback"
        if "inference_id" in row and "tags" in row:
            return "feedback"
    return ""


def _own(row: Json) -> str:
    """Where an inference keeps its id: the tables call it `id`, the API `inference_id`."""
    return "id" if "id" in row else "inference_id"


def _uuid(row: Json, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise Rejected("missing_field", f"{field} is missing", field)
    try:
        return str(UUID(value))
    except ValueError:
        raise Rejected("invalid_field", f"{field} is no UUID", field) from None


def _differs(part: Json, other: Json) -> bool:
    """Do two rows of one id tell another call? The API gives objects where the database gives their JSON text, and not the same columns."""
    try:
        both = [k for k in TOLD if not empty(part.get(k)) and not empty(other.get(k))]
        return part != other and any(maybe_json(part[k]) != maybe_json(other[k]) for k in both)
    except RecursionError:
        return True


def _target(part: Json) -> str:
    return label(part.get("target_id", part.get("inference_id"))).lower()


def _add(row: dict[str, Any], part: Json, losses: Counter[str]) -> None:
    """One row of feedback to its inference; one on the episode comes to the episode's last."""
    count_lost(part, FEEDBACK, f"{NAME}: feedback.", losses)
    feedback = row.setdefault("feedback", {})
    value, name = part.get("value"), part.get("metric_name")
    if "inference_id" in part and "metric_name" not in part:
        edited = _demonstration(value, losses)
        if edited and feedback.setdefault("edited_text", edited) != edited:
            losses[f"{NAME}: feedback.value (an earlier demonstration)"] += 1
    elif name is None or name == "comment":
        add_comment(feedback, value)
    elif not add_feedback(feedback, name, value):
        metadata = row.setdefault("metadata", {})
        scores = metadata.get("scores")
        scores = dict(scores) if isinstance(scores, dict) else {}
        if not isinstance(name, str) or not name or len(name) > 256:
            raise Rejected("invalid_field", "metric_name must be text of 1 to 256 characters", "metric_name")
        if name in scores:
            losses[f"{NAME}: feedback.value (an earlier one of the same name)"] += 1
        else:
            scores[name] = value
        metadata["scores"] = scores


def _demonstration(value: Any, losses: Counter[str]) -> str:
    """The text of a demonstration: blocks of a chat function, or the raw text of a JSON function's output."""
    found = maybe_json(value)
    if isinstance(found, dict) and isinstance(found.get("raw"), str):
        return str(found["raw"])
    if isinstance(found, list):
        try:
            answer = blocks_answer(found, "value", losses)
        except Rejected:
            return as_text(value)  # it is no answer in blocks, whatever else it is
        if answer.get("tool_calls"):
            losses[f"{NAME}: feedback.value (tool calls of a demonstration)"] += 1
        return str(answer["text"])
    return "" if value is None else as_text(value)


TENSORZERO = TensorZero()
