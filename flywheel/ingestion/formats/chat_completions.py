"""Chat-completions logs: OpenAI request and response side by side (or merged in one object), and NVIDIA's flywheel log, which adds
`workload_id`, `client_id` and an epoch `timestamp`. The Responses API and the old `prompt` completions are read too.

Field names after the API reference and NVIDIA's blueprint; its own validator accepts `messages: [{}]` and rows without `workload_id`, ours
does not. What has no place in a record is counted as lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flywheel.ingestion.formats.chat_completions_call import CALL_FIELDS, RESPONSES_FIELDS, Call, canonical_call, failure, no_call
from flywheel.ingestion.formats.chat_completions_exchange import ASKED, REQUESTS, RESPONSES, Side, request_of, response_of
from flywheel.ingestion.formats.chat_completions_quick import quick_row
from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Skipped, Whole
from flywheel.ingestion.formats.feedback import envelope_feedback
from flywheel.ingestion.formats.pieces import carry_metadata, count_lost, empty, too_deep
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.rows import CanonicalRow
from flywheel.ingestion.turns import demand_object

PASSED_ON = ("id", "timestamp", "conversation_id", "user_id", "domain", "task_type", "language", "template", "profile", "consent")
ENVELOPE = frozenset({*PASSED_ON, "session_id", "feedback", "metadata", *REQUESTS, *RESPONSES, "error"})
MERGED = ENVELOPE | CALL_FIELDS
MERGED_RESPONSES = ENVELOPE | RESPONSES_FIELDS
BESIDE = {"id": "response_id", "user_id": "request_user"}
NVIDIA_KEYS = ("workload_id", "client_id")


def is_call(row: Json) -> bool:
    """Is this row one call in the words of the OpenAI API: request beside response, or one object that is both?"""
    if "choices" in row or "request" in row or isinstance(row.get("response"), Mapping):
        return True
    if "request_body" in row and "response_body" in row:
        return True
    if "error" in row and "model" in row and "responses" not in row and not ASKED.isdisjoint(row):  # a merged one that failed
        return True
    return isinstance(row.get("output"), list) and (row.get("object") == "response" or ("input" in row and "model" in row))


def envelope_row(row: Json, answered: Side | None, format: str, more: frozenset[str], losses: Counter[str]) -> dict[str, Any]:
    """The canonical row of a call and of what the logger wrote beside it; `answered` is the response, where it is an object of its own.
    Raises `Rejected` with the field."""
    asked = request_of(row, format, losses)
    merged = asked is None and answered is None
    if merged:
        call = Call(row, row, "", "", format)
        count_lost(row, (MERGED if "choices" in row else MERGED_RESPONSES) | more, f"{format}: ", losses)
    else:
        response, answered_at = (answered.body, answered.path) if answered is not None else ({}, "response.")
        if asked is None and not ASKED.isdisjoint(row):  # the request's fields lie flat beside the response
            request: Json = {k: row[k] for k in CALL_FIELDS | RESPONSES_FIELDS if k in row and k not in ENVELOPE}
            call = Call(request, response, "", answered_at, format)
            count_lost(row, ENVELOPE | request.keys() | more, f"{format}: ", losses)
        else:
            request, asked_at = (asked.body, asked.path) if asked is not None else ({}, "request.")
            call = Call(request, response, asked_at, answered_at, format)
            taken = {side.name for side in (asked, answered) if side is not None}
            count_lost(row, (ENVELOPE - {*REQUESTS, *RESPONSES}) | taken | more, f"{format}: ", losses)
    made = canonical_call(call, losses)
    from_call = made.pop("metadata", {})
    for key in PASSED_ON:
        if row.get(key) is None:
            continue
        if key in ("id", "user_id") and made.get(key) not in (None, row[key]):  # the logger's own id stands before the provider's
            from_call = {**from_call, BESIDE[key]: made[key]}
        made[key] = row[key]
    if made.get("conversation_id") is None and row.get("session_id") is not None:
        made["conversation_id"] = row["session_id"]
    if made.get("timestamp") is None:
        raise Rejected("missing_field", "timestamp is missing: a record belongs to the week of its request", "timestamp")
    if not empty(row.get("feedback")):
        made["feedback"] = envelope_feedback(row["feedback"], format, losses)
    metadata = row.get("metadata")
    if from_call or not empty(metadata):
        beside = {} if empty(metadata) or merged else demand_object(metadata, "metadata")
        carry_metadata(made, {**beside, **from_call}, format, losses)
    return made


@dataclass(frozen=True)
class ChatCompletions:
    """The readers `openai` and `nvidia`: every row is a record by itself."""

    name: str
    required: tuple[str, ...] = ()

    def claims(self, row: Json) -> bool:
        """Is this row of the format, by its content?"""
        if self.required and not any(key in row for key in self.required):
            return False
        return is_call(row)

    def quick(self, row: Json) -> tuple[CanonicalRow, Counter[str]] | None:
        """The record and its losses, where the row is of the commonest kind."""
        return quick_row(row, self.name, self.required)

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """The row as one record. Raises `Rejected`."""
        for key in self.required:
            if not isinstance(row.get(key), str) or not row[key]:
                raise Rejected("missing_field", f"{key} is missing: which workload does this row belong to?", key)
        found: Counter[str] = Counter()
        try:
            answered = response_of(row, self.name, found)
            if answered is not None and (kind := no_call(answered.body)):
                yield Skipped(kind)
                return
            failed = failure(row, answered)
            made = envelope_row(row, answered, self.name, frozenset(self.required), found) if failed is None else {}
        except RecursionError:
            raise too_deep() from None
        if failed is not None:
            yield Bad("no_response", failed[0], failed[1], row)
            return
        if self.required:
            made["metadata"] = {**made.get("metadata", {}), **{key: row[key] for key in self.required}}
        if found:
            losses.update(found)
        yield Whole(made)

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """Nothing waits for other rows here."""
        return Assembled()


OPENAI = ChatCompletions("openai")
NVIDIA = ChatCompletions("nvidia", NVIDIA_KEYS)
