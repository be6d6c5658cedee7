"""Label files in: `<inbox>/*.jsonl`, one answer a line, into the journal; what cannot be used goes to quarantine with a reason.

A line is an `AnnotationEvent` (data/README.md, "Label files"): `choice` (left, right, tie, both_bad, skip) says which side of the
presented task was better and is unswapped here; or `decision` (a, b, ...) where the deliverer unswapped already. Facts of a task come
from the task, never from the line. The inbox may be read any number of times: a line that is in the journal is counted as repeated.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from flywheel.labeling.batch import OTHER
from flywheel.labeling.journal import Journal
from flywheel.labeling.label_lines import Line, Refused, label_files, lines_of, object_of
from flywheel.records import AnnotationEvent, LabelingTask, QuarantinedRow, Rater, Side
from flywheel.storage import Ids, to_table
from flywheel.weeks import round_of

SOURCE = "inbox"
SIMULATED_PREFIX = "sim-"
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
KEYED_ID = re.compile(r"[0-9a-f]{32}")
SIMULATED_NAME = re.compile(r"sim-[a-z0-9_.-]{1,60}")
SOURCE_NAME = re.compile(r"[\w][\w .+/-]{0,63}")
CHOICES = ("left", "right", "tie", "both_bad", "skip")

Tasks = Callable[[str], LabelingTask | None] | Mapping[str, LabelingTask]


@dataclass(frozen=True)
class ImportResult:
    """What an import did. `counts`: files, files_ignored (other names than *.jsonl), lines, accepted, repeated, quarantined, unfinished
    (last lines still being written).
    lines == accepted + repeated + quarantined. `reasons`: quarantined lines by reason code. `quarantine`: `QuarantinedRow` table."""

    counts: dict[str, int]
    reasons: dict[str, int]
    quarantine: pa.Table
    event_ids: list[str]


def import_label_files(
    inbox: Path, journal: Journal, *, ids: Ids, tasks: Tasks, raters: Mapping[str, Rater], now: datetime, round: str | None = None
) -> ImportResult:
    """Read every label file once more and append what is new. With `round`, quarantine rows are those of that round's tasks and those
    that no known task claims (stamped with that round); without, all of them, stamped with their task's round or the present one.

    A rater id that is neither registered, simulated (`sim-`) nor a keyed id already is replaced by a keyed pseudonym."""
    find = tasks if callable(tasks) else tasks.get
    files, ignored = label_files(inbox)
    counts = Counter(files=0, files_ignored=ignored, lines=0, accepted=0, repeated=0, quarantined=0, unfinished=0)
    rows: list[QuarantinedRow] = []
    good: list[tuple[Line, AnnotationEvent, str]] = []

    def refuse(line: Line, error: Refused, task_round: str | None) -> None:
        counts["quarantined"] += 1
        if round is None or task_round in (None, round):
            rows.append(_quarantined(line, error, task_round or round or round_of(now)))

    for path in files:
        counts["files"] += 1
        lines, unfinished = lines_of(path)
        counts["unfinished"] += unfinished
        for line in lines:
            counts["lines"] += 1
            task: LabelingTask | None = None
            try:
                value = object_of(line.raw)
                task_id = value.get("task_id")
                task = find(task_id) if isinstance(task_id, str) else None
                event = read_event(value, task, ids=ids, raters=raters, now=now)
            except Refused as error:
                refuse(line, error, task.round if task else None)
                continue
            good.append((line, event, task.round if task else ""))

    result = journal.append([event for _, event, _ in good], SOURCE, at=now)
    conflicting, added = set(result.conflicting), set(result.added)
    for line, event, task_round in good:
        if event.event_id in conflicting:
            message = f"rater {event.rater} has answered task {event.task_id} otherwise before; the first accepted answer stays"
            refuse(line, Refused("duplicate_annotation", message, "decision"), task_round)
        elif event.event_id in added:
            counts["accepted"] += 1
            added.discard(event.event_id)
        else:
            counts["repeated"] += 1
    rows.sort(key=lambda r: (r.file, r.line))
    reasons = dict(sorted(Counter(r.reason for r in rows).items()))
    return ImportResult(dict(counts), reasons, to_table(QuarantinedRow, rows), result.added)


def label_set_sha256(inbox: Path, journal: Journal) -> str | None:
    """Hash of all labels there are: the inbox's files, and the journal's events that came in by other ways. Importing the inbox does not
    change it, so a sensor that watches it starts one run for each delivery. None where there are no labels at all."""
    files, _ = label_files(inbox)
    others = journal.event_ids(except_source=SOURCE)
    if not files and not others:
        return None
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode("utf-8", "surrogateescape"))
    for event_id in others:
        digest.update(f"{event_id}\n".encode())
    return digest.hexdigest()


def event_id(event: AnnotationEvent, ids: Ids) -> str:
    """The id of an answer: the same task, rater and content give the same id, by whatever way it comes in."""
    content = json.dumps(event.model_dump(mode="json", exclude={"event_id", "source"}), sort_keys=True, ensure_ascii=False)
    return ids.make("annotation", event.task_id, event.rater, content)


def read_event(
    value: Mapping[str, Any], task: LabelingTask | None, *, ids: Ids, raters: Mapping[str, Rater], now: datetime
) -> AnnotationEvent:
    """One delivered answer, checked against its task, with `decision` unswapped, rater pseudonymised and id made. Raises `Refused`."""
    fields = {"source": "file", **value}
    for name in ("task_id", "rater"):
        if not isinstance(fields.get(name), str) or not fields[name].strip():
            raise Refused("invalid_field" if fields.get(name) is not None else "missing_field", f"{name} is required, as text", name)
    for name in ("likert_a", "likert_b", "likert_left", "likert_right", "active_s"):
        if isinstance(fields.get(name), bool):
            raise Refused("invalid_field", f"{name} must be a number, is true or false", name)
    delivered_id = fields.pop("event_id", None)
    _unswap(fields, task)
    fields["rater"] = _pseudonym(fields["rater"].strip(), ids, raters)
    try:
        event = AnnotationEvent.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise _from_validation(error) from None
    except TypeError:  # ended_at cannot be compared with started_at
        raise Refused("invalid_field", "one of started_at and ended_at has no offset; write Z for UTC", "started_at") from None
    except (ValueError, RecursionError) as error:
        raise Refused("invalid_field", str(error)) from None
    if task is None:
        raise Refused("unknown_task", f"no published batch has a task {event.task_id}; is the batch of this installation?", "task_id")
    _check_times(event, now)
    if event.guideline_sha256 != task.guideline_sha256:
        message = f"answered under guideline {event.guideline_sha256[:12]}, the task was published under {task.guideline_version} ({task.guideline_sha256[:12]})"
        raise Refused("stale_guideline", message, "guideline_sha256")
    registered = raters.get(event.rater)
    if event.rater.startswith(SIMULATED_PREFIX) != (event.origin == "simulated"):
        raise Refused(
            "origin_mismatch",
            f"origin {event.origin!r} with rater {event.rater!r}: simulated raters, and only those, are named sim-...",
            "origin",
        )
    if registered is not None and registered.origin != event.origin:
        raise Refused("origin_mismatch", f"origin {event.origin!r}, but the rater is registered as {registered.origin!r}", "origin")
    if event.origin == "expert" and registered is None:
        message = f"rater {event.rater} says to be an expert and is not registered: an expert's word decides; add a line to restricted/raters.jsonl"
        raise Refused("origin_mismatch", message, "origin")
    if not SOURCE_NAME.fullmatch(event.source):
        raise Refused("invalid_field", "source is stored openly: a short name (letters, digits, space . + / - _; at most 64)", "source")
    if event.origin == "judge":
        raise Refused("origin_mismatch", "a judge's labels come from `judge_labels`, not from label files", "origin")
    if task.policy_reference_required and event.decision != "skip" and not (event.policy_reference or "").strip():
        raise Refused(
            "missing_policy_reference", "this task needs the guideline's clause that decides it (P1, C2, ...)", "policy_reference"
        )
    made = event_id(event, ids)
    if delivered_id not in (None, made):
        raise Refused("invalid_field", "event_id is made at import; leave it out", "event_id")
    return event.model_copy(update={"event_id": made})


def _unswap(fields: dict[str, Any], task: LabelingTask | None) -> None:
    """What a line says about left and right, said about a and b, in place."""
    choice = fields.pop("choice", None)
    if choice is not None and choice not in CHOICES:
        raise Refused("invalid_field", f"choice is one of {', '.join(CHOICES)}, not {choice!r}", "choice")
    likert = {side: fields.pop(f"likert_{side}") for side in ("left", "right") if f"likert_{side}" in fields}
    if choice in ("left", "right") or likert:
        if task is None:
            raise Refused("unknown_task", "no published batch has this task, so left and right have no meaning", "task_id")
        side_of: dict[str, Side] = {"left": task.presented_left, "right": OTHER[task.presented_left]}
        choice = side_of.get(str(choice), choice)
        _set_once(fields, {f"likert_{side_of[side]}": value for side, value in likert.items()})
    if choice is not None:
        _set_once(fields, {"decision": choice})


def _set_once(fields: dict[str, Any], unswapped: Mapping[str, Any]) -> None:
    for name, value in unswapped.items():
        if fields.get(name, value) != value:
            raise Refused("invalid_field", f"the line says {fields[name]!r}, but by left and right {value!r}; give one of them", name)
        fields[name] = value


def _pseudonym(raw: str, ids: Ids, raters: Mapping[str, Rater]) -> str:
    """A vendor's rater id may be an e-mail address: only known pseudonyms pass as they are. Nobody is called almost like a simulated rater."""
    if raw not in raters and raw.casefold().startswith(SIMULATED_PREFIX) and not SIMULATED_NAME.fullmatch(raw):
        raise Refused("invalid_field", "a simulated rater's name is sim- and lower-case letters, digits, _ . - (no address)", "rater")
    known = raw in raters or raw.startswith(SIMULATED_PREFIX) or KEYED_ID.fullmatch(raw)
    return raw if known else ids.make("rater", raw)


def _check_times(event: AnnotationEvent, now: datetime) -> None:
    for name in ("started_at", "ended_at"):
        value: datetime | None = getattr(event, name)
        if value is None:
            continue
        if value.tzinfo is None:
            raise Refused("invalid_field", f"{value.isoformat()} has no offset; write {value.isoformat()}Z for UTC", name)
        if value < EARLIEST:
            raise Refused("invalid_field", f"{value.isoformat()} lies before the year {EARLIEST.year}: not set, or in another unit?", name)
        if value > now + CLOCK_SKEW:
            raise Refused("future_timestamp", f"{value.isoformat()} lies after the present {now.isoformat()}", name)
    if event.active_s is not None and event.active_s < 0:
        raise Refused("invalid_field", f"active_s is {event.active_s}; seconds are never negative", "active_s")


def _from_validation(error: ValidationError) -> Refused:
    """The first problem, by importance: a missing field says more than what follows from it."""
    order = {"missing": 0, "extra_forbidden": 1}
    first = min(error.errors(), key=lambda e: order.get(e["type"], 2))
    field = ".".join(str(p) for p in first["loc"]) or None
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return Refused("missing_field", f"{field} is required", field)
    if first["type"] == "extra_forbidden":
        return Refused("unknown_field", f"{field} is not a field of a label file (data/README.md)", field)
    for start, reason in (("rationale", "missing_rationale"), ("skip_reason", "missing_skip_reason")):
        if field is None and message.startswith(start):
            return Refused(reason, message, start)
    return Refused("invalid_field", message, field)


def _quarantined(line: Line, error: Refused, round: str) -> QuarantinedRow:
    return QuarantinedRow(
        round=round, stage="labeling", file=line.file, line=line.number, byte_offset=line.offset, reason=error.reason, field=error.field,
        message=str(error), raw=line.raw.decode("utf-8", "backslashreplace"),
    )  # fmt: skip
