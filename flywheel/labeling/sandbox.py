"""What ran, and what it showed, beside each code answer.

Until the hardened sandbox exists, only code that the demo world generated, inside its syntax-tree allow-list, is run (in an
interpreter of its own, never by Python); everything else is marked `not_run` with the reason. Silence would look like success.
"""

from __future__ import annotations

import pyarrow as pa

from flywheel.records import Message, Pair, Response
from flywheel.storage import from_table, to_table


def check_code_answers(pairs: pa.Table) -> tuple[pa.Table, dict[str, int]]:
    """`Pair` rows with a sandbox result on every code answer that has none, in the same order, and answers by verdict."""
    verdicts: dict[str, int] = {}
    rows = []
    for pair in from_table(Pair, pairs):
        if pair.domain != "code":
            rows.append(pair)
            continue
        checked = {side: _checked(pair.prompt, getattr(pair, side)) for side in ("response_a", "response_b")}
        for response in checked.values():
            verdict = response.generation.sandbox.verdict if response.generation.sandbox else "not_run"
            verdicts[verdict] = verdicts.get(verdict, 0) + 1
        rows.append(pair.model_copy(update=checked))
    return to_table(Pair, rows), dict(sorted(verdicts.items()))


def _checked(prompt: list[Message], response: Response) -> Response:
    if response.generation.sandbox is not None:
        return response
    from flywheel.shopforge import message_text, run_generated_code

    result = run_generated_code(message_text(prompt), response.text)
    return response.model_copy(update={"generation": response.generation.model_copy(update={"sandbox": result})})
