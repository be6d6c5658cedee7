"""Values that stand in generated text: people in every form of their names, addresses, answers, user names, and what is no personal data."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Sequence

from flywheel.governance.ner.grammar import Piece, Slot
from flywheel.governance.ner.lists import listed, lists, part_of, titled
from flywheel.governance.ner.shapes import cased, clock, date, invented, mistyped, postcode, product_code
from flywheel.governance.ordinary import NAMES_TOO, ORDINARY

PARTICLES = ("van", "van der", "de", "de la", "del", "von", "di", "da", "dos", "bin", "al", "el", "le", "la", "ten", "st.")
_NICK = ("Bobby", "Mickey", "Jay", "Tiny", "Ace", "Red", "Kiki", "Momo", "Didi", "Bibi", "Lolo", "Vee", "Zee", "Gigi", "Jojo", "Nana")


class Values:
    """All slots of the grammar for one part of the name lists."""

    def __init__(self, *, develop: bool) -> None:
        first = [*listed("first_names.txt.gz"), *lists()["EXTRAFIRST"]]
        last = [*listed("last_names.txt.gz"), *lists()["EXTRALAST"]]
        names = {"first": [n for n in first if (part_of(n) == 0) == develop], "last": [n for n in last if (part_of(n) == 0) == develop]}
        self.first = _thirds(names["first"], develop)
        self.last = _thirds(names["last"], develop)
        self.common = [n.capitalize() for n in sorted(NAMES_TOO) if (part_of(n) == 0) == develop]
        self.words = listed("words.txt.gz")
        own = {w.casefold() for n in (*names["first"], *names["last"]) for w in n.split()}
        self.proper = tuple(w for w in listed("capitalised.txt.gz") if w.casefold() not in own)  # Pittsburgh, Celsius
        self.frequent = tuple(sorted(w for w in ORDINARY if len(w) > 2))
        self.adjectives = tuple(w for w in self.words if re.search(r"(?:able|ful|ous|ive|ish|less|ed|ing|ly|al|ic|y)$", w))
        self.nouns = tuple(w for w in self.words if not w.endswith(("ly", "ed", "ing", "ous")))
        self.develop = develop

    # names

    def one_first(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.07:
            return rng.choice(self.common)
        if draw < 0.12:
            return invented(rng)
        if draw < 0.14:
            return rng.choice(_NICK)
        return titled(rng.choice(rng.choice(self.first)))

    def one_last(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.05:
            return rng.choice(self.common)
        if draw < 0.10:
            return invented(rng)
        if draw < 0.12:
            return rng.choice(self.words).capitalize()
        if draw < 0.14:
            return rng.choice(self.proper)
        name = titled(rng.choice(rng.choice(self.last)))
        draw = rng.random()
        if draw < 0.05:
            return f"{name}-{titled(rng.choice(rng.choice(self.last)))}"
        if draw < 0.10:
            particle = rng.choice(PARTICLES)
            return f"{particle if rng.random() < 0.7 else particle.title()} {name}"
        if draw < 0.12:
            return rng.choice(("O'", "Mc", "Mac", "D'")) + name
        return name

    def full(self, rng: random.Random) -> str:
        first, last = self.one_first(rng), self.one_last(rng)
        draw = rng.random()
        if draw < 0.70:
            return f"{first} {last}"
        if draw < 0.78:
            return f"{first} {rng.choice(string.ascii_uppercase)}. {last}"
        if draw < 0.84:
            return f"{first} {self.one_first(rng)} {last}"
        if draw < 0.88:
            return f"{rng.choice(string.ascii_uppercase)}. {last}"
        if draw < 0.91:
            return f"{first} {rng.choice(string.ascii_uppercase)}."
        if draw < 0.94:
            return f"{first[0]}.{rng.choice(string.ascii_uppercase)}. {last}"
        if draw < 0.97:
            return f"{first} {last} {self.one_last(rng)}"
        return f"{first} {last} {rng.choice(('Jr.', 'Sr.', 'III', 'Jr'))}"

    def person(self, rng: random.Random) -> list[Piece]:
        draw = rng.random()
        if draw < 0.42:
            return [(cased(rng, self.one_first(rng)), "PERSON")]
        if draw < 0.86:
            return [(cased(rng, self.full(rng)), "PERSON")]
        if draw < 0.91:
            return self.with_title(rng)
        if draw < 0.96:
            return [(cased(rng, self.one_last(rng)), "PERSON")]
        return [(cased(rng, f"{self.one_last(rng)}, {self.one_first(rng)}"), "PERSON")]

    def with_title(self, rng: random.Random) -> list[Piece]:
        name = self.one_last(rng) if rng.random() < 0.75 else self.full(rng) if rng.random() < 0.6 else self.one_first(rng)
        return [(rng.choice(lists()["TITLE"]) + " ", ""), (cased(rng, name), "PERSON")]

    def user_name(self, rng: random.Random) -> str:
        first, last = (re.sub(r"[^a-z]", "", n.lower()) or "x" for n in (self.one_first(rng), self.one_last(rng)))
        word, number = rng.choice(self.frequent), str(rng.randrange(1, 2_010))
        return rng.choice(
            (f"{first}{number}", f"{first[0]}{last}", f"{first}.{last}", f"{first}_{last}", f"{first[0]}{last}{number}", f"{last}{first[0]}",
             f"{word}_{first}", f"{word}{number}", f"{first.capitalize()}{last.capitalize()}", f"{first}_{number}", f"the{first}", f"{word}{word}{number}",
             f"x{first}x", f"{first}{last[:3]}{number}")
        )  # fmt: skip

    # addresses

    def street_name(self, rng: random.Random) -> str:
        known = lists()
        base = rng.choice(known["STREETBASE"]) if rng.random() < 0.6 else titled(rng.choice(rng.choice(self.last)))
        return f"{base} {rng.choice(known['STREETTYPE'])}"

    def address(self, rng: random.Random) -> str:
        number = rng.randrange(1, 9_999 if rng.random() < 0.5 else 200)
        city = self.city(rng)
        draw = rng.random()
        if draw < 0.12:  # continental
            street = titled(rng.choice(rng.choice(self.last))) + rng.choice(
                ("straße", "strasse", "weg", "allee", "gasse", "laan", "straat", "gata")
            )
            return f"{street} {number % 200 + 1}" + (f", {rng.randrange(10_000, 99_999)} {city}" if rng.random() < 0.7 else "")
        if draw < 0.20:
            kind = rng.choice(("Rue de", "Rue", "Via", "Calle", "Avenida", "Rua", "Plaza", "Ulica", "Avenue de"))
            name = titled(rng.choice(rng.choice(self.last)))
            end = f", {rng.randrange(10_000, 99_999)} {city}" if rng.random() < 0.6 else ""
            return (f"{number % 200 + 1} {kind} {name}" if rng.random() < 0.5 else f"{kind} {name} {number % 200 + 1}") + end
        text = f"{number}{rng.choice(('', '', '', 'A', 'b'))} {rng.choice(('', '', '', 'North ', 'S. ', 'W '))}{self.street_name(rng)}"
        if rng.random() < 0.2:
            text += rng.choice((", Apt ", " apt ", " Unit ", ", Suite ", " #", ", Flat ")) + str(rng.randrange(1, 400))
        draw = rng.random()
        if draw < 0.25:
            text += f", {city}"
        elif draw < 0.45:
            text += f", {city}, {rng.choice(('CA', 'NY', 'TX', 'OR', 'WA', 'PA', 'IL', 'FL', 'OH', 'MA'))} {rng.randrange(10_000, 99_999)}"
        elif draw < 0.55:
            text += f", {city} {postcode(rng)}"
        return text

    def city(self, rng: random.Random) -> str:
        return rng.choice(lists()["CITY"] if rng.random() < 0.6 else self.proper)

    def place(self, rng: random.Random) -> str:
        """Anywhere: a town that may be on no map, a street, a shop with somebody's name."""
        draw = rng.random()
        if draw < 0.25:
            return self.city(rng)
        if draw < 0.50:
            word = rng.choice(self.frequent if rng.random() < 0.5 else self.words)
            return (word + rng.choice(lists()["PLACEEND"])).capitalize()
        if draw < 0.62:
            return titled(rng.choice(rng.choice(self.last))) + (f" {rng.choice(lists()['VENUETYPE'])}" if rng.random() < 0.5 else "")
        if draw < 0.68:
            return f"{rng.choice(('San', 'Santa', 'El', 'Los', 'Las', 'Le', 'La', 'New', 'Saint', 'St.', 'Fort', 'Lake', 'Mount', 'Port', 'North'))} {self.city(rng)}"
        if draw < 0.76:
            return rng.choice(self.words).capitalize()
        if draw < 0.82:
            return invented(rng)
        if draw < 0.88:
            return rng.choice(lists()["REGION"])
        return self.a_street(rng) if rng.random() < 0.5 else self.venue(rng)

    def road(self, rng: random.Random) -> str:
        """As directions name a road: mostly without saying that it is one, and often by a person's name."""
        draw = rng.random()
        if draw < 0.35:
            return titled(rng.choice(rng.choice(self.last)))
        if draw < 0.55:
            return rng.choice(lists()["STREETBASE"])
        if draw < 0.62:
            kind = rng.choice(("El", "Via", "Paseo", "Calle", "La", "Los", "Rio", "Camino", "Rue", "Le"))
            return f"{kind} {rng.choice(self.proper if rng.random() < 0.4 else self.words).capitalize()}" + rng.choice(
                ("", " Real", " Verde", " Grande")
            )
        if draw < 0.70:
            return rng.choice(self.words).capitalize()
        if draw < 0.75:
            return f"{rng.randrange(1, 120)}{rng.choice(('th', 'st', 'nd'))}"
        return self.street_name(rng)

    def shop(self, rng: random.Random) -> str:
        """A restaurant, hotel or shop, which often bears a person's name."""
        draw = rng.random()
        if draw < 0.25:
            return titled(rng.choice(rng.choice(self.last)))
        if draw < 0.35:
            return titled(rng.choice(rng.choice(self.first))) + rng.choice(("", "'s", "'s Place", "'s Kitchen"))
        if draw < 0.60:
            return rng.choice(self.words).capitalize()
        if draw < 0.70:
            return rng.choice(self.proper)
        if draw < 0.80:
            return f"{rng.choice(('Le', 'La', 'El', 'Il', 'Casa', 'Chez', 'Blue', 'Golden', 'Old', 'Little', 'Big'))} {rng.choice(self.words).capitalize()}"
        if draw < 0.90:
            return f"{rng.choice(self.words).capitalize()} {rng.choice(self.words).capitalize()}"
        return invented(rng)

    def compound(self, rng: random.Random) -> str:
        """Two words written as one, as dictionaries miss them."""
        return rng.choice(self.frequent) + self.word(rng)

    def venue(self, rng: random.Random) -> str:
        known = lists()
        base = rng.choice(
            (rng.choice(known["REGION"]), self.city(rng), titled(rng.choice(rng.choice(self.last))), rng.choice(self.words).capitalize(),
             f"{rng.choice(self.words).capitalize()} {rng.choice(self.words).capitalize()}", f"The {rng.choice(self.words).capitalize()}")
        )  # fmt: skip
        return f"{base} {rng.choice(known['VENUETYPE'])}"

    def organisation(self, rng: random.Random) -> str:
        known = lists()
        if rng.random() < 0.5:
            return rng.choice(known["BRAND"])
        base = rng.choice((titled(rng.choice(rng.choice(self.last))), rng.choice(self.words).capitalize(), self.city(rng)))
        return f"{base} {rng.choice(known['ORGTAIL'])}"

    def word(self, rng: random.Random) -> str:
        return rng.choice(self.frequent) if rng.random() < 0.5 else rng.choice(self.words)

    def slots(self) -> dict[str, Slot]:
        """Everything that a template may name."""

        def plain(draw: Callable[[random.Random], str]) -> Slot:
            return lambda rng: [(draw(rng), "")]

        def typed(kind: str, draw: Callable[[random.Random], str], *, recase: bool = False) -> Slot:
            return lambda rng: [(cased(rng, draw(rng)) if recase else draw(rng), kind)]

        def pick(name: str) -> Callable[[random.Random], str]:
            return lambda rng: rng.choice(lists()[name])

        def answer(rng: random.Random) -> str:
            return rng.choice((self.pet(rng), self.one_last(rng), rng.choice(lists()["CITY"]), self.word(rng).capitalize()))

        return {
            "P": self.person, "P1": typed("PERSON", self.one_first, recase=True), "PF": typed("PERSON", self.full, recase=True),
            "PFUP": typed("PERSON", lambda rng: self.full(rng).upper()), "L": typed("PERSON", self.one_last, recase=True),
            "PLAST": typed("PERSON", lambda rng: f"{self.one_last(rng)}, {self.one_first(rng)}", recase=True), "PL": self.with_title,
            "SPELLED": typed("PERSON", lambda rng: "-".join(self.one_first(rng).upper())),
            "USER": typed("USERNAME", self.user_name), "ADDR": typed("ADDRESS", self.address, recase=True), "POSTCODE": typed("ADDRESS", postcode),
            "PET": typed("SECURITY_ANSWER", self.pet, recase=True), "MAIDEN": typed("SECURITY_ANSWER", self.one_last, recase=True),
            "SCHOOL": typed("SECURITY_ANSWER", pick("SCHOOLNAME"), recase=True), "ANSWER": typed("SECURITY_ANSWER", answer, recase=True),
            "CITY": typed("PLACE", self.city, recase=True), "COUNTRY": typed("PLACE", pick("COUNTRY"), recase=True),
            "PLACE": typed("PLACE", self.place, recase=True), "ROAD": typed("PLACE", self.road, recase=True),
            "SHOP": typed("ORG", self.shop, recase=True), "COMPOUND": plain(self.compound), "UNIT": plain(pick("UNIT")),
            "VENUETYPE": plain(pick("VENUETYPE")), "PRODUCTCODE": plain(product_code), "REGION": typed("PLACE", pick("REGION"), recase=True), "STREET": typed("PLACE", self.a_street, recase=True),
            "VENUE": typed("PLACE", self.venue, recase=True), "BRAND": typed("ORG", pick("BRAND"), recase=True),
            "ORG": typed("ORG", self.organisation, recase=True), "PROD": plain(pick("PROD")), "FOOD": plain(pick("FOOD")), "NATION": plain(pick("NATION")),
            "LANGUAGE": plain(pick("LANGUAGE")), "DAY": plain(pick("DAY")), "MONTH": plain(pick("MONTH")), "JOB": plain(pick("JOB")),
            "JOBT": plain(lambda rng: rng.choice(lists()["JOB"]).title()), "CAPS": plain(pick("CAPS")), "SOUND": plain(pick("SOUND")),
            "CODELANG": plain(pick("CODELANG")), "CODELIB": plain(pick("CODELIB")), "TITLE": plain(pick("TITLE")), "LETTER": plain(pick("LETTER")),
            "HEADLINE": plain(pick("HEADLINE")), "NOUN": plain(self.noun), "NOUN2": plain(self.word), "NOUNT": plain(lambda rng: self.word(rng).capitalize()),
            "VERB": plain(self.word), "VERBT": plain(lambda rng: self.word(rng).capitalize()), "ADJ": plain(lambda rng: rng.choice(self.adjectives)),
            "WORDTITLE": plain(lambda rng: self.word(rng).capitalize()), "TYPO": plain(lambda rng: mistyped(rng, self.word(rng))),
            "WILL": plain(lambda rng: rng.choice(("will", "may", "can", "Will", "MAY"))), "SMALL": plain(lambda rng: str(rng.randrange(1, 120))),
            "AGE": plain(lambda rng: str(rng.randrange(18, 90))), "NUM": plain(lambda rng: str(rng.randrange(10, 10 ** rng.randrange(3, 9)))),
            "LONGNUM": plain(lambda rng: "".join(rng.choices(string.digits, k=rng.randrange(6, 13)))),
            "PIN": plain(lambda rng: f"{rng.randrange(10_000):04d}"), "HEX": plain(lambda rng: f"{rng.randrange(16**10):010x}"),
            "ID": plain(lambda rng: rng.choice(("SF-", "#", "ORD", "TK-", "A", "INV-2024-", "")) + str(rng.randrange(10_000, 9_999_999))),
            "YEAR": plain(lambda rng: str(rng.randrange(1940, 2027))), "DATE": plain(date), "TIME": plain(clock),
            "MONEY": plain(lambda rng: rng.choice(("${}", "{} dollars", "€{}", "{} EUR", "£{}", "{} credits", "${}.99")).format(rng.randrange(2, 5_000))),
            "EMAIL": plain(lambda rng: f"{self.user_name(rng)}@{rng.choice(('example.com', 'example.org', 'mail.example', 'corp.example'))}"),
            "PHONE": plain(lambda rng: f"{rng.choice(('+1 202 555 01', '(202) 555-01', '020 7946 0', '+49 30 23125 '))}{rng.randrange(10, 99)}"),
        }  # fmt: skip

    def a_street(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.55:
            return self.street_name(rng)
        return rng.choice(lists()["STREETBASE"]) if draw < 0.9 else titled(rng.choice(rng.choice(self.last)))

    def noun(self, rng: random.Random) -> str:
        return rng.choice(self.frequent) if rng.random() < 0.4 else rng.choice(self.nouns)

    def pet(self, rng: random.Random) -> str:
        draw = rng.random()
        if draw < 0.5:
            return rng.choice(lists()["PETNAME"])
        if draw < 0.8:
            return self.one_first(rng)
        return self.word(rng).capitalize()


def _thirds(names: Sequence[str], develop: bool) -> list[list[str]]:
    """Inside the gazetteer and outside of it, each drawn as often as the other."""
    if develop:
        return [list(names)]
    return [[n for n in names if part_of(n) in (1, 2)], [n for n in names if part_of(n) > 2]]
