"""Strings that no list holds: names that nobody bears, codes, dates and times; and how people type what a list holds."""

from __future__ import annotations

import random
import string


def cased(rng: random.Random, value: str) -> str:
    """As people type it."""
    draw = rng.random()
    if draw < 0.80:
        return value
    if draw < 0.92:
        return value.lower()
    if draw < 0.95:
        return value.upper()
    if draw < 0.965 and len(value) > 3:
        return value[:2].upper() + value[2:]
    return mistyped(rng, value)


def mistyped(rng: random.Random, word: str) -> str:
    """One slip of the finger."""
    if len(word) < 4:
        return word
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1 :]


_ONSET = tuple("b br ch d dr f g gr h j k kr l m n p r s sh st t th tr v w y z zh".split())  # noqa: SIM905
_VOWEL = ("a", "e", "i", "o", "u", "ai", "ei", "ia", "io", "ou", "aa", "á", "é", "ö", "ü")
_CODA = ("", "", "", "n", "r", "l", "s", "k", "m", "nd", "sz", "sh", "th", "x", "v", "tt")


def invented(rng: random.Random) -> str:
    """A name that nobody bears, for those that no list holds."""
    syllables = (rng.choice(_ONSET) + rng.choice(_VOWEL) + rng.choice(_CODA) for _ in range(rng.randrange(2, 4)))
    return "".join(syllables).capitalize()


def postcode(rng: random.Random) -> str:
    letters, digits = string.ascii_uppercase, string.digits[1:]
    if rng.random() < 0.5:
        return "".join(
            (
                rng.choice(letters),
                rng.choice(letters),
                rng.choice(digits),
                " ",
                rng.choice(digits),
                rng.choice(letters),
                rng.choice(letters),
            )
        )
    return str(rng.randrange(10_000, 99_999))


def product_code(rng: random.Random) -> str:
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.randrange(1, 4)))
    return rng.choice(
        (
            f"{letters}{rng.randrange(1, 999)}",
            f"{rng.randrange(10, 999):03d} {letters}",
            f"{letters}-{rng.randrange(10, 9_999)}",
            f"{letters} {rng.randrange(100)}",
        )
    )


def date(rng: random.Random) -> str:
    day, month, year = rng.randrange(1, 29), rng.randrange(12), rng.randrange(1930, 2027)
    months = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
    name = months[month]
    return rng.choice(
        (f"{day:02d}/{month + 1:02d}/{year}", f"{year}-{month + 1:02d}-{day:02d}", f"{name} {day}, {year}", f"{day} {name} {year}", f"{name[:3]} {day}",
         f"{name} {day}th", f"the {day}th of {name}", f"{month + 1}/{day}/{year % 100:02d}", f"{day}.{month + 1}.{year}")
    )  # fmt: skip


def clock(rng: random.Random) -> str:
    hour, minute = rng.randrange(1, 13), rng.choice((0, 15, 30, 45, rng.randrange(60)))
    return rng.choice(
        (
            f"{hour}:{minute:02d}",
            f"{hour} pm",
            f"{hour}am",
            f"{hour}:{minute:02d} AM",
            f"{hour + 11}:{minute:02d}",
            f"{hour} o'clock",
            "noon",
        )
    )
