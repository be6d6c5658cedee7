"""The recogniser itself: spaCy's hashed embeddings and window CNN, one softmax a token. No transition system: scores, and any batch gives
the same ones (a test compares the bits)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thinc.api import Model

# the files of a model's folder
LEXICON, WEIGHTS, META = "lexicon.json.gz", "weights.bin", "meta.json"
FORMAT = 1
TYPES = ("PERSON", "ADDRESS", "SECURITY_ANSWER", "USERNAME", "PLACE", "ORG")
TAGS = ("O", *(f"{mark}-{kind}" for kind in TYPES for mark in "BI"))
# what a folder's meta data may say otherwise
SHAPE: dict[str, int] = {"width": 64, "depth": 4, "pieces": 2, "NORM": 4_000, "PREFIX": 1_500, "SUFFIX": 2_000, "SHAPE": 500, "LANG": 120}
ATTRIBUTES = ("NORM", "PREFIX", "SUFFIX", "SHAPE", "LANG")


def build_network(shape: Mapping[str, int] = SHAPE) -> Model[Any, Any]:
    """Untrained, and without its weights' shapes until `initialize`."""
    from spacy.ml.models.tagger import build_tagger_model
    from spacy.ml.models.tok2vec import MaxoutWindowEncoder, MultiHashEmbed, build_Tok2Vec_model

    embed = MultiHashEmbed(shape["width"], list(ATTRIBUTES), [shape[a] for a in ATTRIBUTES], include_static_vectors=False)
    encode = MaxoutWindowEncoder(shape["width"], window_size=1, maxout_pieces=shape["pieces"], depth=shape["depth"])
    return build_tagger_model(build_Tok2Vec_model(embed, encode), normalize=True)


def initialize(network: Model[Any, Any], docs: list[Any]) -> None:
    """Fix the shapes with a few documents."""
    import numpy as np

    network.initialize(X=docs, Y=[np.zeros((len(d), len(TAGS)), dtype="float32") for d in docs])
