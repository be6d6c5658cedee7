"""Check digits of identifiers: what tells a number that was issued from one that only has its form."""

from __future__ import annotations

import string
from collections.abc import Callable


def luhn(value: str) -> bool:
    """Mod 10 of ISO/IEC 7812 (cards, IMEI, many member numbers): the last digit checks."""
    digits = [int(c) for c in value if c.isdecimal()]
    doubled = (d if i % 2 == 0 else d * 2 - 9 if d > 4 else d * 2 for i, d in enumerate(reversed(digits)))
    return len(digits) > 1 and sum(doubled) % 10 == 0


def mod97(value: str) -> bool:
    """ISO 7064 mod 97-10 (IBAN, LEI). Letters and two digits in front, as an IBAN has them, move to the end first."""
    plain = "".join(c for c in value.upper() if c in string.ascii_uppercase + string.digits)
    if plain[:2].isalpha() and plain[2:4].isdigit():
        plain = plain[4:] + plain[:4]
    return len(plain) > 2 and int("".join(str(int(c, 36)) for c in plain)) % 97 == 1


def mod11(value: str) -> bool:
    """Weights 2, 3, 4 and so on from the right, the check digit last with weight 1 (ISBN-10, NHS number; X is ten)."""
    plain = [10 if c in "xX" else int(c) for c in value if c.isdecimal() or c in "xX"]
    return len(plain) > 1 and sum(d * (i + 1) for i, d in enumerate(reversed(plain))) % 11 == 0


def ean(value: str) -> bool:
    """Weights 1 and 3 in turn from the right (EAN, GTIN, UPC, ISBN-13)."""
    digits = [int(c) for c in value if c.isdecimal()]
    return len(digits) > 1 and sum(d * (3 if i % 2 else 1) for i, d in enumerate(reversed(digits))) % 10 == 0


_TIMES = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
_TURNS = ("0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258")


def verhoeff(value: str) -> bool:
    """Verhoeff's dihedral check (Aadhaar)."""
    digits = [int(c) for c in value if c.isdecimal()]
    state = 0
    for i, digit in enumerate(reversed(digits)):
        state = int(_TIMES[state][int(_TURNS[i % 8][digit])])
    return len(digits) > 1 and state == 0


CHECKS: dict[str, Callable[[str], bool]] = {
    "none": lambda value: True,
    "luhn": luhn,
    "mod97": mod97,
    "mod11": mod11,
    "ean": ean,
    "verhoeff": verhoeff,
}
