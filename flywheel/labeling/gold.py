"""Gold items: tasks whose answer is known (honeypots), and attention checks. One JSON object a line, `GoldItem` fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from flywheel.errors import BadInput
from flywheel.labeling.guideline import shipped_folder
from flywheel.records import GoldItem


def load_gold(folder: Path | None) -> list[GoldItem]:
    """All items of `<folder>/*.jsonl` (None: the shipped folder, which may be empty), by gold id. Raises `BadInput` naming file, line
    and field: a gold item that is silently left out would weaken every gate."""
    place = folder if folder is not None else shipped_folder("gold")
    if not place.is_dir():
        if folder is None:
            return []
        raise BadInput(f"{place}: no such folder. Set labeling.gold to the folder of your gold items (*.jsonl), or unset it.")
    found: dict[str, GoldItem] = {}
    for path in sorted(place.glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if not line.strip():
                continue
            item = _parse(path, number, line)
            if item.gold_id in found:
                raise BadInput(f"{path}, line {number}: gold_id {item.gold_id!r} is taken already; ids are unique over all files")
            found[item.gold_id] = item
    return [found[key] for key in sorted(found)]


def _parse(path: Path, number: int, line: bytes) -> GoldItem:
    try:
        item = GoldItem.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(p) for p in first["loc"]) or "(whole line)"
        raise BadInput(f"{path}, line {number}, field {field}: {first['msg']}. data/gold/README.md describes every field.") from None
    if not item.accepted or len(set(item.accepted)) != len(item.accepted):
        raise BadInput(f"{path}, line {number}, field accepted: name each accepted outcome once, at least one of a, b, tie, both_bad")
    if not item.prompt:
        raise BadInput(f"{path}, line {number}, field prompt: empty; a gold item needs at least one message")
    if item.response_a.text == item.response_b.text:
        raise BadInput(f"{path}, line {number}: both responses are the same text; nobody can prefer one")
    return item


def gold_sha256(items: Sequence[GoldItem]) -> str:
    """Hash of a set of gold items, whatever their order: what a round pins."""
    lines = [json.dumps(i.model_dump(mode="json"), sort_keys=True, ensure_ascii=False) for i in sorted(items, key=lambda i: i.gold_id)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
