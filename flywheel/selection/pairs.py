"""Pairs: two answers to one logged prompt, both from the log or the second one sampled from the model as of the round."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Literal

import numpy as np
import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.records import Generation, Message, Pair, RedactedRecord, Response
from flywheel.selection.duplicates import near_duplicate_groups
from flywheel.selection.prompts import (
    normalise,
    prompt_sha256,
    prompt_text,
    response_sha256,
    response_text,
)
from flywheel.selection.prompts import (
    prompt_cluster as default_cluster,
)
from flywheel.selection.seeds import derive_seed
from flywheel.settings import SelectionSettings
from flywheel.storage import Ids, from_table, to_table

Sampler = Callable[[list[list[Message]], int, int], list[list[str]]]
Redact = Callable[[list[str], list[str], list[str]], list[str]]
Cluster = Callable[[list[Message]], str]

CANDIDATES = 3


def build_pairs(
    pool: pa.Table, *, round: str, ids: Ids, sample: Sampler | None, model_id: str | None, redact: Redact, settings: SelectionSettings,
    seed: int, prompt_cluster: Cluster | None = None,
) -> tuple[pa.Table, dict[str, int]]:  # fmt: skip
    """At most one pair a record of the pool (`redacted_logs` of one or more rounds), sorted by pair_id, and what became of each record.

    A record with two different logged answers (its first two) needs no sample. Of the others at most `settings.prefilter` go to
    `sample(prompts, 3, seed)`; the first candidate that says something, and something else than the log, is response B after it
    passed `redact(texts, conversation_ids, rounds)` (of each record its own). Response A is always the logged one; who sees which side is decided at labeling.

    The counts add up: records = from_log + sampled + no_contrast + near_duplicate_prompt + beyond_prefilter + no_second_response +
    repeated_record. Raises `BadInput` when a sample has no model id, or sampler or redactor return another number of texts.
    """
    if sample is not None and not model_id:
        raise BadInput("sampled responses need the id of the model that wrote them: give model_id with sample")
    unique: dict[str, RedactedRecord] = {}
    rows = from_table(RedactedRecord, pool)
    for record in sorted(rows, key=lambda r: (r.record_id, r.round)):
        unique.setdefault(record.record_id, record)
    counts: Counter[str] = Counter(records=len(rows), repeated_record=len(rows) - len(unique))
    logged: list[tuple[RedactedRecord, Response, Response, Literal["log", "sampled"]]] = []
    single: list[RedactedRecord] = []
    for record in unique.values():
        second = next((r for r in record.responses[1:] if _differs(response_text(r), record.responses[0])), None)
        if second is None:
            single.append(record)
        else:
            logged.append((record, record.responses[0], second, "log"))
    counts["from_log"] = len(logged)
    if sample is None or model_id is None:
        counts["no_second_response"] = len(single)
    else:
        chosen = _prefilter(single, settings, derive_seed(seed, round, "prefilter"), counts)
        sampling_seed = derive_seed(seed, round, "second_response") % 2**31
        texts = _second_texts(chosen, sample, redact, sampling_seed)
        for record, text in zip(chosen, texts, strict=True):
            if text is None:
                counts["no_contrast"] += 1
            else:
                answer = Response(text=text, generation=Generation(model_id=model_id, seed=sampling_seed))
                logged.append((record, record.responses[0], answer, "sampled"))
                counts["sampled"] += 1
    cluster = prompt_cluster or default_cluster
    made = [_pair(record, a, b, origin, round=round, ids=ids, cluster=cluster) for record, a, b, origin in logged]
    counts["pairs"] = len(made)
    made.sort(key=lambda p: p.pair_id)
    return to_table(Pair, made), {name: counts[name] for name in sorted({*counts, *COUNTED})}


COUNTED = (
    "records", "pairs", "from_log", "sampled", "no_contrast", "near_duplicate_prompt", "beyond_prefilter", "no_second_response",
    "repeated_record",
)  # fmt: skip


def _differs(text: str, logged: Response) -> bool:
    return bool(text.strip()) and normalise(text) != normalise(response_text(logged))


def _prefilter(records: list[RedactedRecord], settings: SelectionSettings, seed: int, counts: Counter[str]) -> list[RedactedRecord]:
    """A uniform draw over records, one of each near-duplicate prompt, at most `settings.prefilter` of them, in drawn order.

    The walk over records (not over groups) keeps the traffic's proportions for the random arm. Only where a domain would get
    fewer than its selection floor can use is it raised to that.
    """
    groups = near_duplicate_groups(
        [r.record_id for r in records],
        [prompt_text(prompt_of(r)) for r in records],
        [prompt_text(prompt_of(r)) for r in records],
        settings.near_duplicate_similarity,
    )
    walk: list[int] = []
    seen: set[tuple[str, str]] = set()
    for i in np.random.default_rng(seed).permutation(len(records)).tolist():
        key = (records[i].domain, groups[i])
        if key not in seen:
            seen.add(key)
            walk.append(i)
    counts["near_duplicate_prompt"] = len(records) - len(walk)
    counts["beyond_prefilter"] = max(len(walk) - settings.prefilter, 0)
    domains = sorted({r.domain for r in records})
    floor = min(math.ceil(settings.domain_floor * settings.budget), settings.prefilter // max(len(domains), 1))
    kept: set[int] = set()
    for domain in domains:
        kept.update([i for i in walk if records[i].domain == domain][:floor])
    kept.update([i for i in walk if i not in kept][: max(settings.prefilter - len(kept), 0)])
    return [records[i] for i in walk if i in kept]


def _second_texts(records: list[RedactedRecord], sample: Sampler, redact: Redact, seed: int) -> list[str | None]:
    """For each record the first usable candidate, redacted; None where all repeat the log or are blank. Candidates are redacted
    one rank at a time: most records need only their first."""
    if not records:
        return []
    candidates = sample([prompt_of(r) for r in records], CANDIDATES, seed)
    if len(candidates) != len(records):
        raise BadInput(f"the sampler returned candidates for {len(candidates)} of {len(records)} prompts")
    found: list[str | None] = [None] * len(records)
    for rank in range(CANDIDATES):
        open_rows = [i for i, text in enumerate(found) if text is None and rank < len(candidates[i])]
        of = [records[i] for i in open_rows]
        said = [candidates[i][rank] for i in open_rows]
        safe = redact(said, [r.conversation_id for r in of], [r.round for r in of]) if of else []
        if len(safe) != len(open_rows):
            raise BadInput(f"redaction returned {len(safe)} of {len(open_rows)} generated texts")
        for i, text in zip(open_rows, safe, strict=True):
            if _differs(text, records[i].responses[0]):
                found[i] = text
    return found


def prompt_of(record: RedactedRecord) -> list[Message]:
    """The conversation up to the turn that is compared, whole: earlier turns, tool calls and their results. Some logs repeat the answer as
    the last message of the request; there the prompt ends before it. (A last turn of the assistant that is no logged answer stays: the
    answer went on from it.)"""
    messages = list(record.messages)
    answers = {normalise(response_text(r)) for r in record.responses}
    while len(messages) > 1 and messages[-1].role == "assistant" and normalise(_said(messages[-1])) in answers:
        messages.pop()
    return messages


def _said(message: Message) -> str:
    return "\n".join([message.content, *(f"{c.name}({c.arguments})" for c in message.tool_calls)])


def _pair(
    record: RedactedRecord, a: Response, b: Response, origin: Literal["log", "sampled"], *, round: str, ids: Ids, cluster: Cluster
) -> Pair:  # fmt: skip
    messages = prompt_of(record)
    return Pair(
        round=round, pair_id=ids.make("pair", record.record_id, response_sha256(a), response_sha256(b)), record_id=record.record_id,
        conversation_id=record.conversation_id, subject_id=record.subject_id, domain=record.domain, task_type=record.task_type,
        language=record.language, prompt=messages, response_a=a, response_b=b, prompt_sha256=prompt_sha256(messages),
        prompt_cluster=cluster(messages), template=record.template, feedback=record.feedback,
        redaction_version=record.redaction_version, second_response=origin,
    )  # fmt: skip
