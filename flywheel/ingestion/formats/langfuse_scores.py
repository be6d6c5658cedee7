"""What lies beside a generation in its trace: scores, retrievers, guardrails."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flywheel.ingestion.formats.contract import Json
from flywheel.ingestion.formats.feedback import add_comment, add_feedback
from flywheel.ingestion.formats.langfuse_rows import Rows, started
from flywheel.ingestion.formats.pieces import as_text, count_lost, empty, is_id, label, maybe_json, too_deep
from flywheel.ingestion.quarantine import Rejected

NAME = "langfuse"
Made = tuple[int, Json, dict[str, Any], Counter[str]]
SCORE = frozenset({
    "id", "timestamp", "trace_id", "observation_id", "session_id", "name", "value", "string_value", "comment", "data_type", "source",
    "environment",
    "project_id", "created_at", "updated_at",
})  # fmt: skip
SIBLING = frozenset({
    "id", "type", "trace_id", "start_time", "name", "parent_observation_id", "output", "user_id", "session_id", "trace_name", "environment",
    "release", "tags",
    "project_id", "created_at", "updated_at", "end_time", "level", "bookmarked", "public",
})  # fmt: skip
SIBLING_LOST = "(several generations in the trace, none beside it)"


def add_scores(rows: list[Made], failed: set[str], scores: Rows, losses: Counter[str]) -> list[tuple[int, str | Rejected]]:
    """Each score to its generation; one of the whole trace, or of an observation that is no generation, to the trace's last.

    Names that users' feedback goes by become feedback; any other score, and every automatic one, is kept by name in `metadata.scores`.
    Gives those of a generation that could not be used (their ids: `failed`) as index and kind, those without a name as index and refusal.
    """
    left: list[tuple[int, str | Rejected]] = []
    comments: list[tuple[dict[str, Any], str]] = []
    by_id = {label(observation["id"]): made for _, observation, made, _ in rows}
    for index, score in sorted(scores, key=lambda found: started(found[1]), reverse=True):  # the latest word counts
        name, value = score.get("name"), _value(score)
        if not isinstance(name, str) or not name or len(name) > 256:
            left.append((index, Rejected("invalid_field", "name must be text of 1 to 256 characters", "name")))
            continue
        target = score.get("observation_id")
        if label(target) in failed:
            left.append((index, "score"))
            continue
        count_lost(score, SCORE, f"{NAME}: scores.", losses)
        made = by_id.get(label(target)) if not empty(target) else None
        if made is None:
            made = rows[-1][2]
            if not empty(target):
                losses[f"{NAME}: scores.observation_id (of an observation that is no record)"] += 1
        comment = score.get("comment")
        automatic = score.get("source") == "EVAL"
        feedback = made.setdefault("feedback", {})
        if automatic or not add_feedback(feedback, name, value):
            metadata = made.setdefault("metadata", {})
            kept = metadata.get("scores")
            kept = dict(kept) if isinstance(kept, dict) else {} if kept is None else {"scores": kept}
            if name in kept:
                losses[f"{NAME}: scores.value (an earlier one of the same name)"] += 1
            else:
                kept[name] = {"value": value, "comment": comment} if automatic and not empty(comment) else value
            metadata["scores"] = kept
        if not automatic and isinstance(comment, str) and comment.strip():
            comments.append((feedback, comment))
    for feedback, comment in reversed(comments):  # in the order in which they were written
        add_comment(feedback, comment)
    for _, _, made, _ in rows:
        if not made.get("feedback", True):
            del made["feedback"]
    return left


def _value(score: Json) -> Any:
    """A category's or a text's name is its value; a yes or no comes as 1 or 0."""
    kind = label(score.get("data_type")).upper()
    value, text = score.get("value"), score.get("string_value")
    if kind in ("CATEGORICAL", "TEXT", "CORRECTION") and not empty(text):
        return text
    if kind == "BOOLEAN" and value in (0, 1):
        return bool(value)
    return text if value is None else value


def add_siblings(rows: list[Made], siblings: Rows, losses: Counter[str]) -> list[tuple[int, str | Rejected]]:
    """Retrievers and guardrails to the one generation they can belong to: the only one in the trace, or the only one under the same
    parent. Gives those that belong to none as index and kind, and those that cannot be read as index and refusal."""
    left: list[tuple[int, str | Rejected]] = []
    for index, row in sorted(siblings, key=lambda found: started(found[1])):
        kind = label(row["type"]).lower()
        parent = label(row.get("parent_observation_id"))
        beside = rows if len(rows) == 1 else [r for r in rows if parent and label(r[1].get("parent_observation_id")) == parent]
        if len(beside) != 1:
            losses[f"{NAME}: {kind} {SIBLING_LOST}"] += 1
            left.append((index, kind))
            continue
        try:
            _add_sibling(kind, row, beside[0][2]["responses"], losses)
        except RecursionError:
            left.append((index, too_deep("output")))
    return left


def _add_sibling(kind: str, row: Json, answers: list[dict[str, Any]], losses: Counter[str]) -> None:
    output = maybe_json(row.get("output"))
    found, verdict = (_documents(output), None) if kind == "retriever" else ([], _verdict(row, output))
    count_lost(row, SIBLING, f"{NAME}: {kind}.", losses)
    if kind == "retriever" and _more_than_ids(output):
        losses[f"{NAME}: retriever.output (all but the ids of documents)"] += 1
    for answer in answers:
        if verdict is not None:
            answer.setdefault("guardrails", []).append(verdict)
        else:
            ids = answer.setdefault("retrieval", {"ids": []})["ids"]
            ids += [i for i in found if i not in ids]


def _documents(output: Any) -> list[str]:
    """The ids of the documents that a retriever gave."""
    if isinstance(output, dict):
        output = next(
            (
                output[k]
                for k in ("documents", "docs", "results", "matches", "hits", "chunks", "nodes", "ids")
                if isinstance(output.get(k), list)
            ),
            [],
        )
    found = []
    for document in output if isinstance(output, list) else []:
        if isinstance(document, dict):
            inner = document.get("metadata")
            for holder in (document, inner if isinstance(inner, dict) else {}):
                key = next((k for k in ("id", "document_id", "doc_id", "chunk_id", "source", "url") if is_id(holder.get(k))), None)
                if key is not None:
                    found.append(str(holder[key]))
                    break
        elif is_id(document) and len(str(document)) <= 256:
            found.append(str(document))
    return found


def _more_than_ids(output: Any) -> bool:
    return (
        isinstance(output, dict)
        or (isinstance(output, list) and any(isinstance(d, dict) and len(d) > 1 for d in output))
        or (isinstance(output, str) and output != "")
    )


def _verdict(row: Json, output: Any) -> dict[str, Any]:
    """A guardrail's name and decision."""
    decision: Any = None
    if isinstance(output, dict):
        decision = next(
            (output[k] for k in ("decision", "action", "verdict", "result", "status", "label") if isinstance(output.get(k), str)), None
        )
        if decision is None:
            decision = next((_word(output[k], good) for k, good in VERDICTS.items() if isinstance(output.get(k), bool)), None)
    elif isinstance(output, bool):
        decision = _word(output, True)
    elif isinstance(output, str) and 0 < len(output) <= 64:
        decision = output
    made = {"name": label(row.get("name"))[:128] or "guardrail", "decision": decision if decision is not None else "unknown"}
    told = empty(output) or output == decision or (isinstance(output, dict) and list(output.values()) == [decision])
    return made if told else {**made, "detail": as_text(row["output"])}


VERDICTS = {"passed": True, "allowed": True, "safe": True, "blocked": False, "flagged": False, "triggered": False}


def _word(value: bool, good: bool) -> str:
    return "allow" if value is good else "block"
