"""OpenAI's Batch API: answers in the output file, prompts in the input file, joined by `custom_id`.

Neither file names its batch, and `custom_id` is unique within one batch only. So an answer is joined to a prompt only where one prompt can
have been meant; where two could, the answers go to quarantine, for a wrong prompt under an answer is worse than no record.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flywheel.ingestion.formats.chat_completions_call import Call, canonical_call, no_call
from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Part, Skipped
from flywheel.ingestion.formats.pieces import carry_metadata, count_lost, empty, error_name, label, maybe_json, object_or_json, too_deep
from flywheel.ingestion.quarantine import Rejected
from flywheel.ingestion.turns import demand_object

NAME = "batch"
INPUT = frozenset({"custom_id", "method", "url", "body"})
OUTPUT = frozenset({"id", "custom_id", "response", "error", "timestamp", "conversation_id", "user_id", "consent"})
RESPONSE = frozenset({"status_code", "request_id", "body"})
ENVELOPE = ("timestamp", "conversation_id", "user_id", "consent")
NO_CALLS = {"embeddings": "embedding", "moderations": "moderation", "images": "image"}  # by what the input's url or the answer speaks of
DATED = re.compile(r"-\d{4}(-?\d\d){0,2}|-\d{3}")  # gpt-4o answers as gpt-4o-2024-08-06, gpt-3.5-turbo as gpt-3.5-turbo-0125


class Batch:
    """Input and output lines of one `custom_id` make one record."""

    name = NAME

    def claims(self, row: Json) -> bool:
        """Is this a line of a batch's input, output or error file?"""
        if "custom_id" not in row:
            return False
        return "response" in row or "error" in row or ("body" in row and ("url" in row or "method" in row))

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        """A prompt or an answer that waits for the other, or an answer that never came. Raises `Rejected`."""
        custom_id = row.get("custom_id")
        if not isinstance(custom_id, str) or not custom_id:
            raise Rejected("invalid_field", "custom_id must be text, and not empty", "custom_id")
        if "body" in row and "response" not in row:
            kind = _kind_of_url(row.get("url"))
            yield Skipped(kind) if kind else Part(f"batch:{custom_id}", dict(row))
            return
        failed = _failure(row)
        if failed is not None:
            yield Bad("no_response", failed[0], failed[1], row)
            return
        body = object_or_json(demand_object(row.get("response"), "response").get("body"), "response.body")
        kind = no_call(body)
        yield Skipped(kind) if kind else Part(f"batch:{custom_id}", dict(row))

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """Each answer with its prompt."""
        made = Assembled()
        prompts: dict[str, list[int]] = defaultdict(list)  # identical prompts are one
        answers: dict[str, list[int]] = defaultdict(list)  # so are identical answers (an output file that was delivered twice)
        for index, part in enumerate(parts):
            try:
                if "body" in part and "response" not in part:
                    prompts[_same(part["body"])].append(index)
                else:
                    answers[_same(part)].append(index)
            except RecursionError:
                error = too_deep()
                made.bad[index] = Bad(error.reason, error.message, error.field, part)
        answered: set[str] = set()
        for prompt, indexes in _joined(parts, prompts, list(answers.values())):
            if prompt is None:
                for index in indexes:
                    made.bad[index] = _unjoined(key, parts[index], bool(prompts))
                continue
            answered.add(prompt)
            for index in indexes:
                found: Counter[str] = Counter()
                try:
                    made.rows.append((index, _row(parts[prompts[prompt][0]], parts[index], found)))
                    losses.update(found)
                except Rejected as error:
                    made.bad[index] = Bad(error.reason, error.message, error.field, parts[index])
                except RecursionError:
                    made.bad[index] = Bad("invalid_field", "nested too deeply to be read", None, parts[index])
        for prompt, indexes in prompts.items():
            if prompt not in answered:
                made.skipped.update(dict.fromkeys(indexes, "unanswered"))
        return made


def _kind_of_url(url: Any) -> str | None:
    if not isinstance(url, str):
        return None
    return next((kind for word, kind in NO_CALLS.items() if f"/{word}" in url), None)


def _failure(row: Json) -> tuple[str, str] | None:
    """Message and field, where the line says that there is no answer."""
    if not empty(row.get("error")):
        return f"the batch gave no answer: {error_name(row['error'])}", "error"
    response = row.get("response")
    if response is None:
        return "the batch gave no answer, and no error", "response"
    response = demand_object(response, "response")
    status = response.get("status_code")
    if isinstance(status, int) and status >= 400:
        body = response.get("body")
        error = body.get("error") if isinstance(body, Mapping) else None
        return f"the batch gave no answer: status {status}" + (f", {error_name(error)}" if error else ""), "response.status_code"
    return None


def _same(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _joined(parts: Sequence[Json], prompts: Mapping[str, list[int]], answers: list[list[int]]) -> Iterator[tuple[str | None, list[int]]]:
    """Each group of identical answers with the prompt that it answers, or with None where that cannot be known.

    Of several prompts the model decides. Several answers to one prompt need as many deliveries of it: the same file sent twice to the API
    looks like a second batch whose input file was forgotten, and then the prompt would be a wrong one.
    """
    chosen: dict[int, str | None] = {}
    for number, indexes in enumerate(answers):
        fitting = list(prompts) if len(prompts) == 1 else [p for p, at in prompts.items() if _fits(parts[at[0]], parts[indexes[0]])]
        chosen[number] = fitting[0] if len(fitting) == 1 else None
    for prompt in set(chosen.values()) - {None}:
        claimed = [n for n, p in chosen.items() if p == prompt]
        lengths = {(label(_body(parts[answers[n][0]]).get("model")), _prompt_tokens(parts[answers[n][0]])) for n in claimed}
        models = {model for model, _ in lengths}
        if len(claimed) > len(prompts[str(prompt)]) or len(lengths) > len(models):
            chosen.update(dict.fromkeys(claimed))
    for number, indexes in enumerate(answers):
        yield chosen[number], indexes


def _body(answer: Json) -> Mapping[str, Any]:
    return object_or_json(answer["response"]["body"], "response.body")


def _prompt_tokens(answer: Json) -> str:
    usage = _body(answer).get("usage")
    return label(usage.get("prompt_tokens", usage.get("input_tokens"))) if isinstance(usage, Mapping) else ""


def _fits(prompt: Json, answer: Json) -> bool:
    body = maybe_json(prompt["body"])
    asked = body.get("model") if isinstance(body, Mapping) else None
    answered = _body(answer).get("model")
    if not isinstance(asked, str) or not isinstance(answered, str):
        return False
    return answered == asked or (answered.startswith(asked) and DATED.fullmatch(answered[len(asked) :]) is not None)


def _unjoined(key: str, answer: Json, some: bool) -> Bad:
    custom_id = key.partition(":")[2]
    if not some:
        message = f"the batch input file with custom_id {custom_id!r} was not delivered: put it beside"
        return Bad("missing_field", message, "request.messages", answer)
    message = f"custom_id {custom_id!r} is ambiguous: several batches use it, and nothing says which prompt this answers"
    return Bad(
        "invalid_field", f"{message}; deliver the input file of each batch, or use ids that are unique across batches", "custom_id", answer
    )


def _row(prompt: Json, answer: Json, losses: Counter[str]) -> dict[str, Any]:
    response = demand_object(answer["response"], "response")
    call = Call(object_or_json(prompt["body"], "body"), object_or_json(response["body"], "response.body"), "body.", "response.body.", NAME)
    count_lost(prompt, INPUT, f"{NAME}: ", losses)
    count_lost(answer, OUTPUT, f"{NAME}: ", losses)
    count_lost(response, RESPONSE, f"{NAME}: response.", losses)
    made = canonical_call(call, losses)
    found = made.pop("metadata", {})
    for key in ENVELOPE:
        if answer.get(key) is not None:
            made[key] = answer[key]
    carry_metadata(made, {**found, "custom_id": answer["custom_id"]}, NAME, losses)
    return made


BATCH = Batch()
