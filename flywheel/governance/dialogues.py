"""Labelled dialogues for measuring: one JSON object a line, plain or gzip.

`{"turns": [[speaker, text, [[start, end, TYPE], ...]], ...], "profile": {field: value}}`; other keys are ignored. Offsets count characters.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from flywheel.errors import BadInput, NotFound
from flywheel.governance.profile_layer import profile_fields

GZIP = b"\x1f\x8b"
ASSISTANTS = frozenset({"agent", "assistant", "bot", "system_agent", "wizard", "operator", "advisor", "support"})
SPEECHLESS = frozenset({"system", "developer", "tool", "note"})
Fields = tuple[tuple[str, str], ...]
Gold = tuple[int, int, str]


@dataclass(frozen=True)
class Turn:
    """What somebody said and what of it is personal. `role` is `user`, `assistant`, or None for what nobody says."""

    role: str | None
    text: str
    gold: tuple[Gold, ...]


@dataclass(frozen=True)
class Dialogue:
    """One labelled conversation; `personal` and `raw_ids` come from its profile."""

    turns: tuple[Turn, ...]
    personal: Fields
    raw_ids: Fields


def read_dialogues(path: Path) -> Iterator[Dialogue]:
    """Every dialogue of a file. Raises `NotFound` or `BadInput` naming file, line and what is wrong with it."""
    number = 0
    for number, line in enumerate(_lines(path), start=1):
        place = f"{path.name} line {number}"
        try:
            value = json.loads(line)
        except ValueError:
            raise BadInput(f"{place} is no JSON; each line must be one dialogue: {_FORM}") from None
        yield dialogue(value, place)
    if number == 0:
        raise BadInput(f"{path.name} holds no dialogue")


_FORM = '{"turns": [[speaker, text, [[start, end, TYPE], ...]], ...], "profile": {...}}'


def _lines(path: Path) -> Iterator[str]:
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name a file of dialogues")
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            for line in file:
                if line.strip():
                    yield line.decode("utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path.name} is no UTF-8 text (byte {error.start}: {error.reason}); is it another kind of file?") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadInput(f"{path.name}: its gzip compression is damaged or cut short ({error})") from None


def dialogue(value: Any, place: str) -> Dialogue:
    """One dialogue from parsed JSON. Raises `BadInput` that names `place` and what is wrong."""
    if not isinstance(value, dict) or not isinstance(value.get("turns"), list):
        raise BadInput(f"{place} has no list `turns`; the form is {_FORM}")
    profile = value.get("profile") or {}
    if not isinstance(profile, Mapping):
        raise BadInput(f"{place}: profile must be an object of account fields")
    flat = {f"{k}.{i}": str(v) for k, vs in profile.items() for i, v in enumerate(vs if isinstance(vs, list) else [vs]) if v is not None}
    personal, raw_ids = profile_fields(flat)
    return Dialogue(tuple(_turn(t, f"{place}, turn {i}") for i, t in enumerate(value["turns"], start=1)), personal, raw_ids)


def _turn(value: Any, place: str) -> Turn:
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(isinstance(v, str) for v in value[:2]):
        raise BadInput(f"{place} is not [speaker, text, [[start, end, TYPE], ...]]")
    speaker, text = value[0].strip().casefold(), value[1]
    gold = value[2] if len(value) == 3 else []
    if not isinstance(gold, list):
        raise BadInput(f"{place}: its labels are no list")
    for label in gold:
        whole = isinstance(label, list) and len(label) == 3 and isinstance(label[2], str) and all(type(n) is int for n in label[:2])
        if not whole or not 0 <= label[0] < label[1] <= len(text):
            raise BadInput(f"{place}: label {json.dumps(label)[:60]} is not [start, end, TYPE] within its {len(text)} characters")
    role = "assistant" if speaker in ASSISTANTS else None if speaker in SPEECHLESS else "user"
    return Turn(role, text, tuple((a, b, t) for a, b, t in gold))
