"""A batch as the labeling stage would publish it: natural pairs of the untuned assistant, gold and attention items."""

import random

import pyarrow as pa

from flywheel.records import Generation, LabelingTask, Message, Response
from flywheel.shopforge import base_response, gold_items, sample_prompt
from flywheel.storage import to_table

ROUND = "2026-01-05"


def _task(number, prompt, a, b, **fields):
    known = {
        "round": ROUND, "task_id": f"task-{number:05d}", "batch_id": "batch", "pair_id": f"pair-{number:05d}", "kind": "natural",
        "task_type": "generation", "prompt": prompt, "response_a": a, "response_b": b, "prompt_cluster": "c", "presented_left": "ab"[number % 2],
        "redundancy": 3, "guideline_version": "v1", "guideline_sha256": "0" * 64, "redaction_version": "1",
        "policy_reference_required": number % 7 == 0,
    }  # fmt: skip
    return LabelingTask.model_validate({**known, **fields})


def make_batch(natural: int, gold_per_domain: int, seed: int = 0) -> pa.Table:
    rng = random.Random(seed)
    tasks, number = [], 0
    while number < natural:
        prompt = sample_prompt(rng)
        texts = base_response(rng, prompt), base_response(rng, prompt)
        if prompt.split != "train" or texts[0] == texts[1]:
            continue
        a, b = (Response(text=t, generation=Generation(model_id="m")) for t in texts)
        tasks.append(
            _task(number, [Message(role="user", content=prompt.content)], a, b, domain=prompt.domain, required_expertise=prompt.domain)
        )
        number += 1
    for item in gold_items(gold_per_domain, seed):
        tasks.append(
            _task(
                number, item.prompt, item.response_a, item.response_b, domain=item.domain, required_expertise=item.domain, kind=item.kind,
                gold_id=item.gold_id,
            )
        )  # fmt: skip
        number += 1
    rng.shuffle(tasks)
    return to_table(LabelingTask, tasks)
