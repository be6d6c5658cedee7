"""Langfuse: the blob export (`observations_v2/`, `scores/`; the older `traces/` and `observations/`) and the REST API's camelCase objects.

All rows of a trace are one group, for a score, a retriever or the trace itself may lie in another file than the generation they belong to.
Field names after the blob export's field reference. Times there are UTC without saying so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped
from flywheel.ingestion.formats.langfuse_generation import generation_row, no_output
from flywheel.ingestion.formats.langfuse_rows import in_snake, newest, started
from flywheel.ingestion.formats.langfuse_scores import add_scores, add_siblings
from flywheel.ingestion.formats.pieces import is_id, label, too_deep
from flywheel.ingestion.quarantine import Rejected

NAME = "langfuse"
OBSERVATIONS = frozenset({
    "GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL",
})  # fmt: skip
JOINED = frozenset({"GENERATION", "RETRIEVER", "GUARDRAIL"})  # the others say nothing of a call that the call does not say itself
TRACE_MARKS = ("session_id", "sessionId", "bookmarked", "public", "htmlPath", "user_id", "userId")
SCORE_SOURCES = ("API", "ANNOTATION", "EVAL")


class Langfuse:
    """Generations become records; what else lies in their trace joins them."""

    name = NAME

    def claims(self, row: Json) -> bool:
        """Is this an observation, a score, a trace, or a page of them?"""
        if _is_row(row):
            return True
        data = row.get("data")
        return isinstance(data, list) and "meta" in row and bool(data) and isinstance(data[0], Mapping) and _is_row(data[0])

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """Parts of traces; observations that are no model call are skipped."""
        data = row.get("data")
        if isinstance(data, list) and not _is_row(row):
            for found in data:
                if isinstance(found, Mapping):
                    yield from self._items(found)
                else:
                    yield Bad("invalid_field", "data[] must hold objects", "data", found)
            return
        yield from self._items(row)

    def _items(self, row: Json) -> Iterator[Item]:
        kind, trace = _kind(row), _trace(row)
        if kind not in ("observation", "score", "trace"):
            yield Bad("invalid_field", "neither an observation nor a score nor a trace", "type", row)
        elif kind == "observation" and str(row["type"]).upper() not in JOINED:
            sort = str(row["type"]).lower()
            yield Skipped(sort if sort.upper() in OBSERVATIONS else "observation of another type")
        elif kind == "score" and trace is None:
            yield Skipped("score of no trace")
        elif kind == "observation" and not is_id(row.get("id")):
            yield Bad("invalid_field", "id must be text, and not empty", "id", row)
        elif trace is None:
            field = "id" if kind == "trace" else "trace_id"
            yield Bad("missing_field", f"{field} is missing: to which trace does this belong?", field, row)
        elif kind == "trace":
            inside = [found for key in ("observations", "scores") for found in _objects(row.get(key))]
            yield Part(f"langfuse:{trace}", {k: v for k, v in row.items() if k not in ("observations", "scores")} if inside else dict(row))
            for found in inside:
                yield from self._items(found)
        else:
            yield Part(f"langfuse:{trace}", dict(row))

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The generations of one trace, with the scores, retrievers, guardrails and the trace that belong to them."""
        made = Assembled()
        kinds: dict[str, list[tuple[int, Json]]] = {"GENERATION": [], "RETRIEVER": [], "GUARDRAIL": [], "score": [], "trace": []}
        for index, part in enumerate(parts):
            row = in_snake(part)
            kind = _kind(row)
            kinds[str(row["type"]).upper() if kind == "observation" else kind].append((index, row))
        trace = newest(kinds["trace"])
        rows: list[tuple[int, Json, dict[str, Any], Counter[str]]] = []
        for index, observation in sorted(newest(kinds["GENERATION"]), key=lambda found: started(found[1])):
            failed = no_output(observation)
            if failed is not None:
                made.bad[index] = Bad("no_response", failed[0], failed[1], parts[index])
                continue
            found: Counter[str] = Counter()
            try:
                rows.append((index, observation, generation_row(observation, trace[0][1] if trace else {}, found), found))
            except Rejected as refused:
                made.bad[index] = Bad(refused.reason, refused.message, refused.field, parts[index])
            except RecursionError:
                deep = too_deep()
                made.bad[index] = Bad(deep.reason, deep.message, deep.field, parts[index])
        if not rows:
            for kind in ("RETRIEVER", "GUARDRAIL", "score", "trace"):
                made.skipped.update(dict.fromkeys((i for i, _ in kinds[kind]), kind.lower()))
            return made
        failed_ids = {label(row.get("id")) for index, row in kinds["GENERATION"] if index in made.bad}
        left = add_scores(rows, failed_ids, newest(kinds["score"]), losses)
        left += add_siblings(rows, newest(kinds["RETRIEVER"]) + newest(kinds["GUARDRAIL"]), losses)
        for index, why in left:
            if isinstance(why, Rejected):
                made.bad[index] = Bad(why.reason, why.message, why.field, parts[index])
            else:
                made.skipped[index] = why
        for index, _, record, found in rows:
            made.rows.append((index, record))
            losses.update(found)
        return made


def _is_row(row: Json) -> bool:
    return _kind(row) != ""


def _kind(row: Json) -> str:
    """`observation`, `score`, `trace`, or nothing."""
    if "trace_id" in row or "traceId" in row:
        kind = row.get("type")
        if isinstance(kind, str) and "id" in row and kind.upper() in OBSERVATIONS:
            return "observation"
    if "name" in row and ("value" in row or "string_value" in row or "stringValue" in row):
        if any(key in row for key in ("data_type", "dataType")) or row.get("source") in SCORE_SOURCES:
            return (
                "score"
                if any(k in row for k in ("trace_id", "traceId", "session_id", "sessionId", "dataset_run_id", "datasetRunId"))
                else ""
            )
        return ""
    if "id" in row and "timestamp" in row and "messages" not in row and "responses" not in row and "request" not in row:
        marks = sum(mark in row for mark in TRACE_MARKS)
        if marks >= 2 and ("name" in row or "input" in row or "tags" in row) and "response" not in row and "choices" not in row:
            return "trace"
    return ""


def _trace(row: Json) -> str | None:
    found = row.get("trace_id", row.get("traceId"))
    if found is None and _kind(row) == "trace":
        found = row.get("id")
    return found if isinstance(found, str) and found else None


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [found for found in value if isinstance(found, Mapping)] if isinstance(value, list) else []


LANGFUSE = Langfuse()
