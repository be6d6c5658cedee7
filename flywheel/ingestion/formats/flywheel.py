"""Our own form. It is closed: an unknown key is refused by name, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flywheel.ingestion.formats.contract import Assembled, Bad, Item, Json, Whole

NAME = "flywheel"


class FlywheelFormat:
    """Claims what no other format does."""

    name = NAME

    def claims(self, row: Json) -> bool:
        return True

    def items(self, row: Json, losses: Counter[str]) -> Iterator[Item]:
        yield Whole(dict(row))

    def assemble(self, key: str, parts: Sequence[Json], losses: Counter[str]) -> Assembled:
        """A canonical row is whole, so that no pieces of it come here; what came all the same would be refused, not lost."""
        return Assembled(
            bad={n: Bad("invalid_field", "a canonical row is whole, never in pieces", None, part) for n, part in enumerate(parts)}
        )


FLYWHEEL = FlywheelFormat()
