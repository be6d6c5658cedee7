"""ShopForge: the demo world, in which everything is known.

In: a seed and a round. Out: production logs with invented personal data, a hidden oracle, gold items, held-out prompts and raters who
answer batches. Guarantees: the same arguments give the same bytes; every label says `simulated` and every rater is named `sim-...`; nothing
that the world generates is executed by Python; evaluation prompts come from clusters that no log contains.
"""

from flywheel.shopforge.gold import gold_items, heldout_prompts
from flywheel.shopforge.logs import write_logs
from flywheel.shopforge.oracle import Score, utility
from flywheel.shopforge.personas import Persona, fill, make_personas
from flywheel.shopforge.raters import SIMULATED_RATERS, answer_batch, deliver_simulated_labels
from flywheel.shopforge.sandbox import run_generated_code
from flywheel.shopforge.spoiled import SPOILED
from flywheel.shopforge.world import (
    DOMAINS,
    Prompt,
    base_response,
    ideal_response,
    message_text,
    parse_prompt,
    prompt_cluster,
    render,
    sample_prompt,
)

__all__ = [
    "DOMAINS", "SIMULATED_RATERS", "SPOILED", "Persona", "Prompt", "Score", "answer_batch", "base_response", "deliver_simulated_labels",
    "fill", "gold_items", "heldout_prompts", "ideal_response", "make_personas", "message_text", "parse_prompt", "prompt_cluster", "render",
    "run_generated_code", "sample_prompt", "utility", "write_logs",
]  # fmt: skip
