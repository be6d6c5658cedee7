"""The forms in which a value may stand in bytes: as it is, escaped in JSON, percent-encoded, as HTML entities, in base64 or hex.

Each view is folded (Unicode form, case, invisible characters, look-alike letters, spacing), so that a search for folded values finds them
whatever the disguise. Folding here works on whole strings at once; it need not know the way back to the original's characters.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from flywheel.governance.normalise import INVISIBLE, LOOKALIKES

_QUOTES = str.maketrans(
    {"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "´": "'", "`": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "−": "-"}
)
_FOLDED = {**LOOKALIKES, **_QUOTES}
_JSON_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(["\\/bfnrt]))')
_ENTITY = re.compile(r"&(?:#\d|#x|[a-z]{2,6};)", re.I)
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{2}){6,}(?![0-9A-Za-z])")
_SHORT = {"n": " ", "r": " ", "t": " ", "b": " ", "f": " "}
FORMS = ("plain", "escaped", "percent", "entities", "base64", "hex")


def fold(text: str) -> str:
    """The form in which values are compared. The same as `normalise.folded`, and look-alike letters are their Latin ones."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
        return " ".join(text.casefold().translate(_FOLDED).split())
    return " ".join(text.lower().replace("`", "'").split())


def unescape(text: str) -> str:
    """JSON escapes resolved, wherever they stand and however often they were escaped (twice at most)."""
    for _ in range(2):
        changed = _JSON_ESCAPE.sub(_resolved, text)
        if changed == text:
            break
        text = changed
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if not text.isascii() else text


def _resolved(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _SHORT.get(match[3], match[3])


def views(text: str, *, encoded: bool = True) -> Iterator[tuple[str, str]]:
    """(form, folded text) of every way to read `text` that differs from reading it as it is. `encoded`: also base64 and hex."""
    yield "plain", fold(text)
    if "\\" in text and (plain := unescape(text)) != text:
        yield "escaped", fold(plain)
    if "%" in text and _PERCENT.search(text):
        yield "percent", fold(unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace").replace("+", " "))
    if "&" in text and _ENTITY.search(text):
        yield "entities", fold(html.unescape(text))
    if encoded:
        decoded = "\n".join(_from_base64(text))
        if decoded:
            yield "base64", fold(decoded)
        decoded = "\n".join(_readable(bytes.fromhex(m.group())) for m in _HEX.finditer(text))
        if decoded.strip():
            yield "hex", fold(decoded)


def _from_base64(text: str) -> Iterator[str]:
    for match in _BASE64.finditer(text):
        run = match.group()
        if run == run.lower():
            continue  # a word, a number, a hash: base64 of any text has capitals
        run = run.translate(_URL_SAFE)
        for offset in range(4 if len(run) >= 16 else 1):
            part = run[offset:]
            part = part[: len(part) - 1] if len(part) % 4 == 1 else part
            try:
                found = _readable(base64.b64decode(part + "=" * (-len(part) % 4)))
            except (binascii.Error, ValueError):
                continue
            if found:
                yield found


_URL_SAFE = str.maketrans("-_", "+/")
_PRINTABLE = re.compile(rb"[\x20-\x7e\xc2-\xf4\x80-\xbf]{5,}")


def _readable(data: bytes) -> str:
    """The readable runs of some bytes."""
    return "\n".join(run.decode("utf-8", "ignore") for run in _PRINTABLE.findall(data))


def strings_of(data: bytes) -> str:
    """Readable runs of binary data, as `strings` prints them; UTF-16 too."""
    found = _readable(data)
    return f"{found}\n{_readable(data.replace(bytes(1), b''))}" if data.count(0) * 3 > len(data) else found
