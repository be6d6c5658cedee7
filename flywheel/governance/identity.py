"""What kind of personal data a named field holds: `email`, `customer_name`, `profile.phone`, `user_id` ...

Used where a value comes with a name: profile fields, metadata keys, tool arguments, text such as `"name": "Ada"`. The name decides, so that
a value no pattern could find (a first name, a PIN) is known for what it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any


@dataclass(frozen=True, order=True)
class Identity:
    """One raw value that tells who a subject is. `kind` is a type of `ALIASES` or another upper-case name."""

    subject_id: str
    kind: str
    value: str


def flat_fields(profile: Mapping[str, Any]) -> dict[str, str]:
    """A profile as text fields: nested objects by dotted keys, list items by number; empty values and truth values left out."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key in value:
                walk(f"{prefix}.{key}" if prefix else str(key), value[key])
        elif isinstance(value, list):
            for number, item in enumerate(value):
                walk(f"{prefix}.{number}", item)
        elif value is not None and not isinstance(value, bool) and str(value).strip():
            flat[prefix] = str(value)

    walk("", profile)
    return flat


# type -> short name in an alias; any other type is its own name without _ID
ALIASES = {
    "CREDIT_CARD": "CARD", "PHONE_NUMBER": "PHONE", "EMAIL_ADDRESS": "EMAIL", "LOCATION": "ADDRESS", "IBAN_CODE": "IBAN", "CRYPTO": "WALLET",
    "US_SSN": "GOVERNMENT", "IP_ADDRESS": "IP", "MAC_ADDRESS": "MAC", "USERNAME": "USER",
}  # fmt: skip

# the first that fits decides; names are lower case with _ between words
_FIELDS: tuple[tuple[str, str], ...] = (
    (r"(?:.*_)?e?_?mails?(?:_address)?", "EMAIL_ADDRESS"),
    (r"(?:.*_)?ip(?:_address|_addr)?", "IP_ADDRESS"),
    (r"(?:.*_)?mac(?:_address)?", "MAC_ADDRESS"),
    (r"(?:.*_)?(?:phone|mobile|telephone|tel|cell|fax|whatsapp)(?:_?number|_no)?", "PHONE_NUMBER"),
    (r"(?:.*_)?(?:address|addr|street|city|town|zip|zip_?code|post_?code|postal(?:_code)?|address_?(?:line)?_?\d)", "ADDRESS"),
    (r"(?:.*_)?(?:card|card_?number|credit_card|pan|cvv|cvc)", "CREDIT_CARD"),
    (r"(?:.*_)?iban", "IBAN_CODE"),
    (r"(?:.*_)?(?:ssn|social_security\w*|tax_id|national_id|passport\w*|driving_licen[cs]e\w*|driver_?s?_licen[cs]e\w*)", "GOVERNMENT_ID"),
    (r"(?:.*_)?(?:dob|birth_?day|birth_?date|date_of_birth)", "DOB"),
    (r"(?:.*_)?pin(?:_?code|_?number)?", "PIN"),
    (r"(?:.*_)?(?:access|clearance|verification|security|entry|door)_?code", "ACCESS_CODE"),
    (r"(?:.*_)?(?:maiden_?name|security_?answer|pet_?name|pet)", "SECURITY_ANSWER"),
    (r"(?:.*_)?(?:password|passwd|passphrase|secret|api_?key|access_?key|private_?key|(?:access|auth|refresh|api|bearer|session)_token|credentials?)",
     "SECRET"),
    (r"(?:.*_)?(?:user_?name|login|screen_?name|handle)", "USERNAME"),
    (r"(?:.*_)?(?:user|customer|client|subject|member|employee|patient|person)_?(?:id|no|number)", "USER_ID"),
    (r"(?:.*_)?(?:account|acct)(?:_?(?:id|no|number))?", "ACCOUNT_ID"),
    (r"(?:.*_)?order(?:_?(?:id|no|number))?", "ORDER_ID"),
    (r"(?:.*_)?(?:ticket|case)_?(?:id|no|number)", "TICKET_ID"),
    (r"(?:.*_)?(?:conversation|session|thread|chat)_?id", "CONVERSATION_ID"),
    (r"(?:.*_)?(?:record|request|message|trace|span)_?id", "RECORD_ID"),
    (r"(?:(?:full|first|last|middle|given|family|maiden|legal|display|real|customer|user|client|contact|account|account_?holder|holder|recipient"
     r"|sender|owner|employee|agent|patient|guest|person|billing|shipping|delivery|card|card_?holder|profile|host|friend|spouse)_?)*"
     r"(?:name|surname|nickname|forename)", "PERSON"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), kind) for pattern, kind in _FIELDS)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HARMLESS = re.compile(
    r"(?:.*_)?(?:tier|plan|segment|language|lang|locale|country|currency|time_?zone|since|created(?:_at)?|updated(?:_at)?|status|role|gender"
    r"|version|channel|platform|browser|os|device|loyalty|level|score|count|total|amount|active|verified|model|type|kind|source)"
)


def field_name(key: str) -> str:
    """`customerName`, `Customer-Name`, `profile.customer name` -> `customer_name`."""
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", key.rsplit(".", 1)[-1]).lower()).strip("_")


@lru_cache(maxsize=65_536)
def named_type(key: str) -> str | None:
    """The type that a field's name promises, or None. The last part of a dotted key counts, a trailing list number not."""
    name = field_name(re.sub(r"(?:\.\d+)+$", "", key))
    return next((kind for pattern, kind in _COMPILED if pattern.fullmatch(name)), None)


def identifying_type(key: str, value: str) -> str | None:
    """The type of a profile field, or None where it does not tell who someone is (a tier, a country). A field of unknown name counts when
    its value looks like an id, an address or a name (fail closed)."""
    known = named_type(key)
    if known is not None:
        return known
    if "@" in value:
        return "EMAIL_ADDRESS"
    if _HARMLESS.fullmatch(field_name(key)):
        return None
    if sum(c.isdigit() for c in value) >= 6 or len(re.findall(r"\b[A-Z][a-z]+", value)) >= 2:
        return "PROFILE"
    return None


def alias_name(kind: str) -> str:
    """The short name in `[NAME_1]`: `ORDER_ID` -> `ORDER`, `EMAIL_ADDRESS` -> `EMAIL`."""
    return ALIASES.get(kind, kind.removesuffix("_ID"))
