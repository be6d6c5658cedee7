"""Our own form. It is closed: an unknown key is refused by name, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flywheel.ingestion.formats.contract import Assembled, Item, Json, Whole

NAME = "flywheel"


class FlywheelFormat:
    """Claims what no other format does."""

    name = NAME

    def claims(self, row: Json) -> bool:
        return True

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        yield Whole(dict(row))

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        raise NotImplementedError("a canonical row is whole")


FLYWHEEL = FlywheelFormat()
