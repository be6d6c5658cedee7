"""Invented customers: names, contacts, ids, cards and secrets, deterministic by seed.

Everything is made up: e-mail domains are reserved (RFC 2606), phone numbers lie in ranges kept for fiction, cards carry the test prefix
4000 00, secrets carry the mark SFDEMO. Ids have the shape of `settings.governance.identifiers`.
"""

from __future__ import annotations

import random
import re
import string
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

FIRST_NAMES = (
    "Amelia", "Oluwaseun", "Katarzyna", "Mateo", "Ingrid", "Rajesh", "Chiara", "Søren", "Fatima", "Nguyen", "Lukas", "Thandiwe", "Giulia",
    "Hiroshi", "Zoltán", "Mehmet", "Camille", "Dmitri", "Aoife", "Tariq", "Beatriz", "Jürgen", "Priya", "Łukasz", "Yasmin", "Gareth", "Noémie",
    "Kwame", "Svetlana", "Ricardo", "Wanjiru", "Elif", "Tobias", "Saoirse", "Haruka", "Bartosz", "Leila", "Emeka", "Astrid", "Vikram",
)  # fmt: skip
LAST_NAMES = (
    "Okafor", "Kowalska", "Fernández", "Lindqvist", "Banerjee", "Moretti", "Kjærgaard", "Rahman", "Tranh", "Hoffmann", "Dlamini", "Ricci",
    "Tanaka", "Vandenberg", "Yıldız", "Dubois", "Volkov", "Gallagher", "Siddiqui", "Carvalho", "Schröder", "Iyer", "Nowakowski", "Haddad",
    "Llewellyn", "Lefèvre", "Mensah", "Petrova", "Guerrero", "Kamau", "Demirci", "Brandt", "O'Sullivan", "Yamamoto", "Zieliński", "Karimi",
    "Nwosu", "Halvorsen", "Chaudhary", "Pemberton",
)  # fmt: skip
PLACES = (
    ("Harrowgate Street", "Leeds LS1 4AB"), ("Lindenallee", "10115 Berlin"), ("Rue des Acacias", "69003 Lyon"), ("Maple Avenue", "Portland, OR 97205"),
    ("Via Garibaldi", "40124 Bologna"), ("Kastanjelaan", "3511 Utrecht"), ("Calle Mayor", "28013 Madrid"), ("Sycamore Drive", "Austin, TX 78704"),
    ("Ulica Lipowa", "31-120 Kraków"), ("Birch Lane", "Bristol BS8 1TH"),
)  # fmt: skip
EMAIL_DOMAINS = ("example.com", "example.org", "example.net")
UNDECOMPOSED = str.maketrans({"ł": "l", "ø": "o", "æ": "ae", "ı": "i", "ß": "ss", "'": ""})

ALIAS = re.compile(r"\[(PERSON|EMAIL|PHONE|ADDRESS|ORDER|ACCOUNT|CARD|SECRET)_\d+\]")

# Shares of customers by what they allowed; the last state has no consent field at all.
CONSENT_STATES = {"full": 0.92, "labeling_only": 0.03, "withdrawn": 0.02, "expired": 0.015, "missing": 0.015}
CONSENT_POLICY = "privacy-2025-03"
_FIRST_CONSENT = datetime(2025, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Persona:
    """One customer, with the order at hand. `name` is the account's name, `called` what the customer writes."""

    number: int
    user_id: str
    name: str
    called: str
    email: str
    phone: str
    address: str
    order: str
    account: str
    card: str
    secret: str
    consent_state: str
    consented_at: datetime

    def values(self) -> dict[str, str]:
        """Value of each placeholder type."""
        return {
            "PERSON": self.called, "EMAIL": self.email, "PHONE": self.phone, "ADDRESS": self.address, "ORDER": self.order,
            "ACCOUNT": self.account, "CARD": self.card, "SECRET": self.secret,
        }  # fmt: skip

    def with_order(self, rng: random.Random) -> Persona:
        """The same customer with another order."""
        return replace(self, order=f"SF-{rng.randrange(100_000, 1_000_000)}")

    def profile(self) -> dict[str, str]:
        """Account fields as the shop's log carries them."""
        return {"name": self.name, "email": self.email, "phone": self.phone, "address": self.address, "account_id": self.account}

    def consent(self) -> dict[str, Any] | None:
        """The log's consent field, None where there is none. All times lie before the first round."""
        if self.consent_state == "missing":
            return None
        purposes = ["labeling"] if self.consent_state == "labeling_only" else ["labeling", "training", "evaluation"]
        found: dict[str, Any] = {
            "purposes": purposes, "legal_basis": "consent", "policy_version": CONSENT_POLICY, "granted_at": _iso(self.consented_at),
        }  # fmt: skip
        if self.consent_state == "withdrawn":
            found["withdrawn_at"] = _iso(self.consented_at + timedelta(days=120))
        if self.consent_state == "expired":
            found["expires_at"] = _iso(self.consented_at + timedelta(days=180))
        return found


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def make_personas(count: int, seed: int) -> list[Persona]:
    """`count` customers. The same seed gives the same customers whatever the round; consent states have their exact shares."""
    rng = random.Random(f"shopforge|personas|{seed}")
    states = _consent_states(count)
    rng.shuffle(states)
    return [_persona(rng, number, state) for number, state in enumerate(states)]


def _consent_states(count: int) -> list[str]:
    rare = [state for state, share in CONSENT_STATES.items() if state != "full" for _ in range(max(1, round(count * share)))]
    return (rare + ["full"] * count)[:count]


def _persona(rng: random.Random, number: int, state: str) -> Persona:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    email = f"{_plain(first)}.{_plain(last)}{number}@{rng.choice(EMAIL_DOMAINS)}"
    street, town = rng.choice(PLACES)
    return Persona(
        number=number,
        user_id=email if rng.random() < 0.2 else f"cust-{number:06d}",
        name=f"{first} {last}",
        called=f"{first} {last}" if rng.random() < 0.7 else first,
        email=email,
        phone=_phone(rng),
        address=f"{rng.randrange(2, 198)} {street}, {town}",
        order=f"SF-{rng.randrange(100_000, 1_000_000)}",
        account=f"AC-{rng.randrange(100_000, 1_000_000)}",
        card=_card(rng),
        secret="sk_live_SFDEMO" + "".join(rng.choices(string.ascii_letters + string.digits, k=18)),
        consent_state=state,
        consented_at=_FIRST_CONSENT + timedelta(hours=rng.randrange(24 * 60)),
    )


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower().translate(UNDECOMPOSED))
    return "".join(c for c in decomposed if c.isascii() and c.isalnum())


def _phone(rng: random.Random) -> str:
    """Ranges kept for fiction: Ofcom's London block, North America's 555-01xx, the Bundesnetzagentur's Berlin block."""
    digits = rng.randrange(1_000)
    return rng.choice(
        (f"+44 20 7946 0{digits:03d}", f"+1 202 555 01{digits % 100:02d}", f"(202) 555-01{digits % 100:02d}", f"+49 30 23125 {digits:03d}")
    )


def _card(rng: random.Random) -> str:
    """A Luhn-valid number with the test prefix."""
    body = "400000" + "".join(str(rng.randrange(10)) for _ in range(9))
    total = sum(sum(divmod(int(d) * (2 if i % 2 == 0 else 1), 10)) for i, d in enumerate(body))
    number = body + str(-total % 10)
    return " ".join(number[i : i + 4] for i in range(0, 16, 4))


def fill(text: str, persona: Persona) -> str:
    """Placeholder text as the customer or the assistant really wrote it."""
    values = persona.values()
    return ALIAS.sub(lambda match: values[match[1]], text)
