"""A dictionary of English (some 65,000 words), and what people type that is no word: read when first asked for."""

from __future__ import annotations

import gzip
import re
from functools import lru_cache
from importlib import resources

_SOUND = re.compile(
    r"(?:u+h*m+|h+m+|m+h*m+|u+h+|a+h+|o+h+|e+h+|er+m*|o+ps+|w?hoops|du+h|u+gh?|a+rgh+|yu+p+|ye+a+h*|ye+s+|no+|na+h|nope|ha(?:ha)+h?|he(?:he)+|lo+l|ok(?:ay|ey|i)?e?s*|he+y+|hi+|bye+"
    r"|tha+nks+|plea*se+|so+|we+l+|wa+it|wo+w|yay+|my+|asap|btw|fyi|imo|idk|omg|pls|plz|thx|tysm|tks|rsvp|faq|tbh|afaik|brb|np|dunno|gonna|wanna|gotta|lemme|kinda|cuz|tho|dang|darn|damn|gosh|geez|jeez|yikes|urgh|cya|ya|yu|boi|bro|outta|aight|al+right|hm+|congrats|oki|nvm|lmao|rofl|dude)",
    re.I,
)


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    data = (resources.files("flywheel.governance.ner") / "data" / "words.txt.gz").read_bytes()
    return frozenset(gzip.decompress(data).decode().split("\n"))


def is_english(word: str) -> bool:
    """Is this in the dictionary in lower case (whatever its case here)?"""
    return word.casefold() in _words()


def is_sound(word: str) -> bool:
    """Hmm, Oops, Thankss, ASAP."""
    return _SOUND.fullmatch(word) is not None
