"""OpenAI's stored completions (`store: true`): completion objects that hold their request's parameters but not its messages, which are
fetched page by page from `/chat/completions/{id}/messages`; a message's id is the completion's with its number behind it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.chat_completions_call import CHAT_REQUEST, CHAT_RESPONSE, Call, canonical_call
from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped
from flywheel.ingestion.formats.pieces import carry_metadata, count_lost, empty
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_object

NAME = "stored_completion"
COMPLETION = "chat.completion"
# what a stored completion has beyond the answer that the API gave at the time
MARK = "input_user"
ENVELOPE = ("timestamp", "conversation_id", "user_id", "consent")
# a stored object has every parameter, most at its default: that is no content
DEFAULTS: dict[str, Any] = {
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "service_tier": "default",
    "tool_choice": None,
    "response_format": None,
}
KNOWN = CHAT_REQUEST | CHAT_RESPONSE | frozenset(ENVELOPE) | {"request_id", "input_user", "input", "messages"}
PAGE = frozenset({"data", "has_more", "first_id", "last_id", "completion_id", "object", "single"})


class StoredCompletions:
    """A completion and the pages of its messages make one record."""

    name = NAME

    def claims(self, row: Json) -> bool:
        """Is this a stored completion, a page of them, a page of messages, or one such message?"""
        kind = row.get("object")
        if kind == COMPLETION:
            if "request" in row or "workload_id" in row or "choices" not in row:
                return False
            return not ("messages" in row or "prompt" in row) or MARK in row
        data = row.get("data")
        if isinstance(data, list) and (kind == "list" or "completion_id" in row):
            first = data[0] if data else None
            return isinstance(first, Mapping) and (
                first.get("object") == COMPLETION or _number(first.get("id")) is not None or "completion_id" in row
            )
        return "role" in row and "content" in row and "messages" not in row and _number(row.get("id")) is not None

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """The completions and messages in this row."""
        if row.get("object") == COMPLETION:
            yield self._completion(row)
            return
        data = row.get("data")
        if not isinstance(data, list):
            yield self._messages({"data": [dict(row)], "has_more": False, "single": True}, row)
            return
        if not data:
            yield Skipped("empty page")
            return
        messages: list[Any] = []
        for found in data:
            if isinstance(found, Mapping) and found.get("object") == COMPLETION:
                yield self._completion(found)
            else:
                messages.append(found)
        if messages:
            yield self._messages({**row, "data": messages}, row)

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """The completion with its messages in order."""
        made = Assembled()
        pages = [i for i, part in enumerate(parts) if "choices" not in part]
        completions = [i for i, part in enumerate(parts) if "choices" in part]
        for index in completions:
            found: Counter[str] = Counter()
            try:
                made.rows.append((index, _row(parts[index], [parts[i] for i in pages], found)))
                losses.update(found)
            except Rejected as error:
                made.bad[index] = Bad(error.reason, error.message, error.field, parts[index])
            except RecursionError:
                made.bad[index] = Bad("invalid_field", "nested too deeply to be read", None, parts[index])
        if not made.rows:
            made.skipped.update(dict.fromkeys(pages, "messages without a completion"))
        return made

    def _completion(self, row: Mapping[str, Any]) -> Item:
        found = row.get("id")
        if not isinstance(found, str) or not found:
            return Bad("missing_field", "id is missing: which completion is this?", "id", row)
        if not isinstance(row.get("choices"), list):
            return Bad("invalid_field", "choices must be a list", "choices", row)
        return Part(f"stored_completion:{found}", dict(row))

    def _messages(self, page: dict[str, Any], row: Json) -> Item:
        owners = {page["completion_id"]} if isinstance(page.get("completion_id"), str) else set()
        for number, found in enumerate(page["data"]):
            if not isinstance(found, Mapping):
                return Bad("invalid_field", f"data.{number} must be an object", f"data.{number}", row)
            numbered = _number(found.get("id"))
            if numbered is None:
                return Bad(
                    "missing_field", f"data.{number}.id does not say to which completion the message belongs", f"data.{number}.id", row
                )
            owners.add(numbered[0])
        if len(owners) != 1:
            return Bad("invalid_field", "data holds messages of several completions", "data", row)
        return Part(f"stored_completion:{owners.pop()}", page)


def _number(value: Any) -> tuple[str, int] | None:
    """The completion and the number in a message's id."""
    if not isinstance(value, str):
        return None
    owner, dash, number = value.rpartition("-")
    return (owner, int(number)) if dash and owner and number.isascii() and number.isdigit() and len(number) < 7 else None


def _row(completion: Json, pages: list[Json], losses: Counter[str]) -> dict[str, Any]:
    inline = completion.get("messages", completion.get("input"))
    if isinstance(inline, str):
        inline = [{"role": "user", "content": inline}]
    messages = inline if inline is not None else _in_order(pages, completion)
    request = {"messages": messages, **{k: completion[k] for k in CHAT_REQUEST - {"messages"} if k in completion}}
    response = {k: completion[k] for k in CHAT_RESPONSE if k in completion}
    known = KNOWN | {k for k, default in DEFAULTS.items() if completion.get(k) == default}
    for page in pages if inline is None else ():
        count_lost(page, PAGE, f"{NAME}: messages page.", losses)
    made = canonical_call(Call(request, response, "", "", NAME), losses)
    count_lost(completion, known, f"{NAME}: ", losses)
    if completion.get("input_user") is not None:
        made["user_id"] = completion["input_user"]
    metadata = made.pop("metadata", {})
    for key in ENVELOPE:
        if completion.get(key) is not None:
            made[key] = completion[key]
    if not empty(completion.get("request_id")):
        metadata = {**metadata, "request_id": completion["request_id"]}
    carry_metadata(made, metadata, NAME, losses)
    return made


def _in_order(pages: list[Json], completion: Json) -> list[Any]:
    """The messages of all pages by their numbers. Raises `Rejected` where one is missing: half a prompt is another prompt."""
    found: dict[int, Mapping[str, Any]] = {}
    for page in pages:
        for message in page["data"]:
            numbered = _number(message["id"])
            if numbered is None:
                continue
            said = {k: v for k, v in demand_object(message, "data").items() if k not in ("id", "content_parts")}
            if not empty(message.get("content_parts")):
                said["content"] = message["content_parts"]
            if found.setdefault(numbered[1], said) != said:
                raise Rejected("invalid_field", f"message {numbered[1]} was delivered with two texts", "messages")
    if not found:
        text = "messages is missing: the messages of this completion were not delivered, put the list from its /messages beside"
        raise Rejected("missing_field", text, "messages")
    if sorted(found) != list(range(len(found))) or all(page.get("has_more") is True for page in pages):
        raise Rejected("missing_field", "messages is incomplete: a page of the list was not delivered", "messages")
    turns = [found[number] for number in range(len(found))]
    return turns[:-1] if len(turns) > 1 and _is_answer(turns[-1], completion) else turns


def _is_answer(turn: Mapping[str, Any], completion: Json) -> bool:
    """Is the list's last message the answer itself?"""
    if turn.get("role") != "assistant" or len(completion["choices"]) != 1:
        return False
    choice = completion["choices"][0]
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        return False
    return all(
        json.dumps(turn.get(k) or None, sort_keys=True) == json.dumps(message.get(k) or None, sort_keys=True)
        for k in ("content", "tool_calls")
    )


STORED = StoredCompletions()
