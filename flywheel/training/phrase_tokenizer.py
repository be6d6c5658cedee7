"""A tokenizer for a tiny model: whole clauses, code lines and placeholders are one token, anything else is byte-level.

A model of 100,000 parameters has no capacity to spell. With one token a phrase a row is about 20 tokens and the model can spend itself on
which phrase follows from which circumstance (facts/training-world.md). Any text still round-trips: bytes are the fallback.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

# In this order: the answer mark; a line of code; a placeholder; a sentence with its full stop; a circumstance between separators.
PIECE = (
    r"\nReply:\n"
    r"|\n[^\n]+"
    r"| ?\[[A-Z]+_\d+\]"
    r"| ?[A-Z][^.;:()!?\n\[\]]+ \.(?= |$)"
    r"| [.,;:)(!?]+(?= |\n|$)"
    r"|(?<=[;:(,]) [^.;,:()!?\n\[]+?(?= [.,;:)(!?])"
    r"| for the | job(?= )"
)
PAD, END = "<pad>", "<eos>"
BYTES_AND_MERGES = 420
MINIMUM_COUNT = 8


def train_tokenizer(texts: Iterable[str]) -> Any:
    """A `PreTrainedTokenizerFast` whose vocabulary is the frequent pieces of `texts` plus byte-level BPE."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    corpus = list(texts)
    split = pre_tokenizers.Split(Regex(PIECE), "isolated")
    counts: Counter[str] = Counter(piece for text in corpus for piece, _ in split.pre_tokenize_str(text))
    frequent = sorted(piece for piece, n in counts.items() if n >= MINIMUM_COUNT and len(piece) > 1)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=BYTES_AND_MERGES, special_tokens=[PAD, END], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    # BPE alone reaches long phrases only through merges that break other phrases apart; added tokens match whole.
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in frequent])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, padding_side="left")
