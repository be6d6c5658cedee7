"""Seeds: one stream of randomness for each purpose in each round, so that adding a draw somewhere changes none elsewhere."""

from __future__ import annotations

from flywheel.storage import sha256_text


def derive_seed(seed: int, round: str, purpose: str) -> int:
    """A 63-bit seed from the installation's seed, the round and what the numbers are for."""
    return int(sha256_text(f"{seed}:{round}:{purpose}")[:16], 16) >> 1
