"""Numbers and colons of code that look like phone numbers and network addresses: literals, hashes, times, versions, slices.

What somebody writes as a phone number carries a +, brackets or separators, or a word says what it is; these are left alone here.
"""

from __future__ import annotations

import itertools
import re

from flywheel.governance.code_text import code_of

_KEPT = re.compile(
    r"(?i)(?:phone|mobile|\bcell|tele|(?<![a-z])tel(?![a-z])|(?<![a-z])fax|contact|whatsapp|\bcall\b|(?<![a-z])sms|msisdn)"
)  # on the same line before
_OTHER = re.compile(
    r"(?i)(?:\b(?:ts|time|epoch|iat|exp|nbf|seed|hash|crc|checksum|size|bytes|offset|line|pid|port|build|revision|nonce|isbn|upc|ean|gtin|sku|asin|barcode)|_at|timestamp|(?<![a-z])unix)"
    r"(?:[-_]?1[03])?[\"']?\s*(?:is|of|number|no\.?|=>|:=|==|=|:)?\s*$"
)
_RADIX = re.compile(r"(?:0[xob][0-9A-Fa-f]*|[A-Za-z_#]|\d\.|\*\*|\^)$")
# limits of integer types, and the moduli of contest tasks
_CONSTANTS = frozenset(
    [
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "1000000007",
        "1000000009",
        "998244353",
        "9223372036854775807",
        "0123456789",
        "1103515245",
    ]
)
_DECIMAL = re.compile(r"0\.\d+|\d{1,2}\.\d{6,}|\d{6,}\.\d{1,2}")
_VERSION = re.compile(r"(?i)(?:\b(?:v|ver\.?|version|release|build|rev)\s?|[=~<>]=\s?|@|[a-z]-)$")
_GROUP = re.compile(r"[0-9A-Fa-f]+")


def is_literal(text: str, start: int, end: int) -> bool:
    """Is the phone-like run of digits at [start, end) some other number? Only where nothing but digits was written."""
    while start < end and text[start] in "([{- ":
        start += 1
    value = text[start:end]
    if _DECIMAL.fullmatch(value) and not text[end : end + 2].startswith("."):
        return True
    if not value.isdigit():
        return False
    before = text[max(0, start - 24) : start]
    if _KEPT.search(text, max(text.rfind("\n", max(0, start - 200), start) + 1, start - 200, 0), start):
        return False
    if value in _CONSTANTS or _OTHER.search(before) or _RADIX.search(before) or (before[-1:] == "-" and not before[-2:-1].isalnum()):
        return True
    code = code_of(text)
    return bool(code) and (value in code.words or code.is_bare(start, end) or (code.is_string(start, end) and _counts_up(value)))


def _counts_up(digits: str) -> bool:
    return all((int(b) - int(a)) % 10 in (1, 9) for a, b in itertools.pairwise(digits))


def is_no_address(text: str, start: int, end: int) -> bool:
    """Is the address-like text at [start, end) a slice (`a[::3]`), a scope (`abc::def`) or a version (`==1.2.3.4`)? An address that leads to
    somebody has three groups, or one of three digits and more."""
    value = text[start:end]
    if ":" not in value:
        return _VERSION.search(text, max(0, start - 12), start) is not None
    groups = _GROUP.findall(value)
    if not any(c.isdigit() for c in value) or (text[start - 1 : start].isalnum() if start else False):
        return True
    return "::" in value and len(groups) < 3 and not any(len(g) > 2 for g in groups)
