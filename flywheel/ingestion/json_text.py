"""JSON of whole columns at once, byte for byte what msgspec writes of the same values, one after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TEXT = pa.string()
SPECIAL = '[\\x00-\\x1f"\\\\]'  # what a JSON text must escape
_encode = msgspec.json.encode


def escaped(texts: pa.Array) -> pa.Array:
    """Texts as they stand between quotation marks; null stays null."""
    marked = pc.match_substring_regex(texts, SPECIAL).fill_null(False)
    if not pc.any(marked).as_py():
        return texts
    return pc.replace_with_mask(texts, marked, pa.array([_encode(t)[1:-1] for t in texts.filter(marked).to_pylist()], TEXT))


class Json(NamedTuple):
    """A column as JSON, but for the mark that stands around each value; null stays null."""

    values: pa.Array
    mark: str = ""


def written(values: pa.Array, *, plain: bool) -> Json:
    """Texts or numbers as JSON. `plain`: no text needs an escape."""
    if values.type == TEXT:
        return Json(values if plain else escaped(values), '"')
    if pa.types.is_integer(values.type):
        return Json(values.cast(TEXT))
    # the same few numbers come again and again; by their bits, for 0.0 and -0.0 are equal
    bits = values.view(pa.int64()).dictionary_encode()
    numbers = bits.dictionary.to_numpy(zero_copy_only=False).view(np.float64).tolist()
    return Json(pa.array([_encode(v) for v in numbers], TEXT).take(bits.indices))


def objects(fields: Mapping[str, Json]) -> Json:
    """Objects of these fields, without those that are null; at least one field of each object is not."""
    pieces: list[Any] = []
    open_, before = "", ","  # a first field that may be null leaves a comma where the bracket belongs
    if next(iter(fields.values())).values.null_count == 0:
        before = "{"
    stray = before == ","
    for name, (values, mark) in fields.items():
        head = f"{before}{_encode(name).decode()}:{mark}"
        if values.null_count:
            told = pc.coalesce(pc.binary_join_element_wise(head, values, mark, ""), "")
            pieces += [open_, told] if open_ else [told]
            open_ = ""
        else:
            pieces += [open_ + head, values]
            open_ = mark
        before = ","
    joined = pc.binary_join_element_wise(*pieces, open_ + "}", "")
    return Json(pc.binary_replace_slice(joined, 0, 1, "{") if stray else joined)


def lists(items: Json, like: pa.ListArray) -> Json:
    """Lists of JSON objects, cut as another column is."""
    return Json(pc.binary_join_element_wise("[", pc.binary_join(pa.ListArray.from_arrays(like.offsets, items.values), ","), "]", ""))


def digests(texts: pa.Array) -> bytes:
    """SHA-256 of each text, one after the other."""
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    data, sha256 = memoryview(texts.buffers()[2]), hashlib.sha256
    return b"".join([sha256(data[first:end]).digest() for first, end in pairwise(ends)])
