"""Deliveries to fuzz ingestion with: samples of every dialect, bent. Shared by the campaign (`bench.campaign_fuzz_ingestion`) and the
property tests (`tests/ingestion/test_ingestion_fuzz.py`).

A delivery is a list of pieces; a piece is a file's text and the form that it is written in (`FORMS`), so that a fuzzer bends what stands
inside a compressed file and not only its compression. Marks in the text (`@@DEEP900@@`) become what would be too large to carry around.
"""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

SAMPLES = Path(__file__).resolve().parents[1] / "tests" / "ingestion" / "samples"
MARK = re.compile(rb"@@(LONG|DEEP|OBJECTS)(\d{1,7})@@")
MARKS = (
    "@@LONG1000000@@",
    "@@LONG70000@@",
    "@@DEEP97@@",
    "@@DEEP100@@",
    "@@DEEP190@@",
    "@@DEEP450@@",
    "@@DEEP950@@",
    "@@DEEP5000@@",
    "@@OBJECTS300@@",
    "@@OBJECTS980@@",
)
CONSENT = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", "granted_at": "2025-06-01T00:00:00Z"}


class Piece(NamedTuple):
    """One file of a delivery."""

    form: str
    data: bytes


def expanded(data: bytes) -> bytes:
    """The text with its marks made real."""

    def real(found: re.Match[bytes]) -> bytes:
        count = min(int(found[2]), 1_500_000)
        if found[1] == b"LONG":
            return b"x" * count
        return b"[" * count + b"]" * count if found[1] == b"DEEP" else b'{"a":' * count + b"1" + b"}" * count

    return MARK.sub(real, data, count=8)


def _frames(data: bytes) -> bytes:
    packed = [zstandard.compress(line) for line in data.splitlines() if line.strip()]
    return b"".join(len(p).to_bytes(4, "big") + p for p in packed)


def _pretty(data: bytes) -> bytes:
    rows = []
    for line in data.splitlines():
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    try:
        return json.dumps(rows, indent=1).encode()
    except RecursionError:
        return data


def _parquet(data: bytes) -> bytes:
    try:
        table = pa.Table.from_pylist([r for r in map(json.loads, data.splitlines()) if isinstance(r, dict)])
        sink = io.BytesIO()
        pq.write_table(table, sink)
    except Exception:  # not every heap of rows is a table
        return data
    return sink.getvalue()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gzip": lambda d: gzip.compress(d, 1, mtime=0), "zstd": zstandard.compress, "bom": lambda d: b"\xef\xbb\xbf" + d,
    "crlf": lambda d: d.replace(b"\n", b"\r\n"), "unended": lambda d: d.rstrip(b"\n"), "cut": lambda d: d[: len(d) * 7 // 8],
    "members": lambda d: gzip.compress(d[: len(d) // 2], 1) + gzip.compress(d[len(d) // 2 :], 1), "gzip_cut": lambda d: gzip.compress(d, 1)[:-9],
    "zstd_cut": lambda d: zstandard.compress(d)[:-2], "frames": _frames, "frames_cut": lambda d: _frames(d)[:-3], "utf16": lambda d: d.decode("utf-8", "replace").encode("utf-16"),
    "array": lambda d: b"[" + b",\n".join(d.splitlines()) + b"]", "pretty": _pretty, "envelope": lambda d: b'{"data": [' + b",".join(d.splitlines()) + b"]}",
    "parquet": _parquet, "parquet_cut": lambda d: _parquet(d)[:-20],
}  # fmt: skip
LINES = frozenset({"plain", "gzip", "zstd", "bom", "crlf", "unended", "cut", "members"})
FORM_NAMES = tuple(FORMS)


def pack(pieces: Sequence[Piece]) -> bytes:
    """A delivery as bytes, for a fuzzer's corpus."""
    return b"".join(bytes([FORM_NAMES.index(p.form)]) + len(p.data).to_bytes(4, "big") + p.data for p in pieces)


def unpack(data: bytes) -> list[Piece]:
    """The delivery that any bytes stand for."""
    found, at = [], 0
    while at < len(data) and len(found) < 8:
        size = int.from_bytes(data[at + 1 : at + 5], "big")
        found.append(Piece(FORM_NAMES[data[at] % len(FORM_NAMES)], data[at + 5 : at + 5 + size]))
        at += 5 + size
    return found


def seeds() -> list[list[Piece]]:
    """Where the bending begins: every sample, and canonical rows with all that a row may hold."""
    call = {"id": "t", "name": "track", "arguments": '{"order": 1}'}
    full: dict[str, Any] = {
        "user_id": "u1", "conversation_id": "c1", "domain": "support", "language": "en", "template": {"id": "t", "version": "1"}, "consent": CONSENT,
        "feedback": {"thumbs": "up", "score": 0.5, "escalated": False, "comment": "thanks"}, "profile": {"name": "Ada", "home": {"city": "Ulm"}}, "metadata": {"k": 1},
        "responses": [{"text": "Yes.", "model": "m", "tool_calls": [call], "retrieval": {"ids": ["d1"]}, "token_logprobs": [-0.5], "seed": 3, "temperature": 0.5,
                       "guardrails": [{"name": "g", "decision": "pass"}], "sandbox": {"verdict": "passed", "sandbox_version": "1"}}],
    }  # fmt: skip
    rows = []
    for n in range(6):
        row = {
            "id": f"r{n}",
            "timestamp": f"2026-01-{n + 1:02d}T10:00:00Z",
            "messages": [{"role": "user", "content": "Where?"}],
            "responses": [{"text": "There.", "model": "m"}],
        }
        rows.append(json.dumps(row | (full if n % 2 else {})).encode())
    files = [p.read_bytes()[:20_000] for p in sorted(SAMPLES.glob("*")) if p.is_file()]
    return [[Piece("plain", data)] for data in (b"\n".join(rows) + b"\n", *files)]


STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**30, -(10**40), 1e308, -0.0, 5e-324, 1736157600, "", " ", "\0", "a\0b", "\ud800", "\udfff\ud800", "é\u2028\u0085", "\U0001f600" * 3,
    "2026-01-06T10:00:00Z", "9999-12-31T23:59:59-14:00", "NaN", "null", "true", "{", "[]", "[{}]", '"\\ud800"', '{"a": NaN}', '{"a": 1e999}', '{"role": "user", "content": "\\ud800"}',
    [], {}, [[]], [{}], [None], [1, "a"], ["x"], {"": ""}, {"a": None}, {"\ud800": "x"}, {"a.b": {"c": []}}, {"stringValue": "x"}, {"arrayValue": {}}, {"intValue": "x"},
    {"kvlistValue": {"values": [{}]}}, {"role": "user", "parts": []}, CONSENT, {**CONSENT, "withdrawn_at": "2026-01-07T00:00:00Z"}, *MARKS,
)  # fmt: skip
STRANGE_TEXT = (
    "NaN",
    "1e999",
    "-Infinity",
    "9" * 400,
    "1e-999",
    "01",
    "tru",
    '"\\ud800"',
    '"\\u0000"',
    "{}{}",
    ",",
    "@@DEEP950@@",
    "@@OBJECTS300@@",
)
STRANGE_BYTES = (
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\x85",
    b"\x0b",
    b"\xef\xbb\xbf",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\\u",
    b"\x1f\x8b",
    b"@@LONG70000@@",
)


def _somewhere(value: Any, rng: Random) -> tuple[Any, Any]:
    """A container inside `value` and a key or index in it."""
    while True:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.85:
            value = inner
        else:
            return value, key


def bend_value(value: Any, other: Any, rng: Random) -> Any:
    """JSON with one thing in it changed; `other` lends a piece of itself."""
    if not isinstance(value, (dict, list)) or not value:
        return rng.choice(STRANGE)
    at, key = _somewhere(value, rng)
    kind = rng.randrange(9)
    if kind <= 2:
        at[key] = rng.choice(STRANGE)
    elif kind == 3:
        del at[key]
    elif kind == 4 and isinstance(other, (dict, list)) and other:
        from_, what = _somewhere(other, rng)
        at[key if rng.random() < 0.5 or not isinstance(at, dict) else str(what)] = from_[what]
    elif kind == 5:  # JSON inside text, or text that held JSON taken apart
        try:
            at[key] = json.loads(at[key]) if isinstance(at[key], str) else json.dumps(at[key])
        except (ValueError, RecursionError):
            at[key] = json.dumps(at[key])
    elif kind == 6:
        at[key] = [at[key]] if rng.random() < 0.5 else {"a": at[key]}
    elif kind == 7 and isinstance(at, dict):
        at[str(rng.choice(("id", "role", "zz", "", "consent", "timestamp", "\ud800", "a\0", "content", "x" * 300)))] = at.pop(key)
    elif isinstance(at, list):
        at.insert(rng.randrange(len(at) + 1), at[key])
    else:
        at["zz"] = rng.choice(STRANGE)
    return value


def bend_line(line: bytes, other: bytes, rng: Random) -> bytes:
    """A line with one to three things changed in its JSON; any other line in its bytes."""
    try:
        value = json.loads(line)
        lent = json.loads(other)
    except (ValueError, RecursionError):
        return bend_bytes(line, rng)
    for _ in range(rng.randrange(1, 4)):
        value = bend_value(value, lent, rng)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7)
    if rng.random() < 0.1:  # what no writer of JSON writes
        numbers = list(re.finditer(r"(?<=: )(\d+|\"[^\"\\]*\"|null)", text))
        if numbers:
            spot = rng.choice(numbers)
            text = text[: spot.start()] + rng.choice(STRANGE_TEXT) + text[spot.end() :]
    if rng.random() < 0.05 and text.startswith("{"):  # one key twice
        text = text[:-1] + ", " + text[1:]
    return text.encode("utf-8", "surrogatepass")


def bend_bytes(data: bytes, rng: Random) -> bytes:
    """Bytes changed, put in, or left out."""
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at] + rng.choice(STRANGE_BYTES) + data[at:]
    if kind == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    end = min(len(data), at + rng.randrange(1, 40))
    return data[:at] + (b"" if kind == 2 else data[at:end] * 2) + data[end:]


def bend(pieces: Sequence[Piece], pool: Sequence[Sequence[Piece]], rng: Random) -> list[Piece]:
    """A delivery with one thing changed; `pool` lends files."""
    made = list(pieces) or [Piece("plain", b"")]
    at = rng.randrange(len(made))
    piece, lender = made[at], rng.choice(rng.choice(pool) or [Piece("plain", b"")])
    lines, others = piece.data.split(b"\n"), lender.data.split(b"\n")
    n = rng.randrange(len(lines))
    kind = rng.randrange(12)
    if kind <= 4:
        lines[n] = bend_line(lines[n], rng.choice(others), rng)
    elif kind == 5:
        return [*made[:at], Piece(piece.form, bend_bytes(piece.data, rng)), *made[at + 1 :]]
    elif kind == 6:
        return [*made[:at], Piece(rng.choice(FORM_NAMES), piece.data), *made[at + 1 :]]
    elif kind == 7:
        lines.insert(n, rng.choice(lines))
    elif kind == 8:
        lines[n:n] = [rng.choice(others), b""][: rng.randrange(1, 3)]
    elif kind == 9:
        lines[n : n + 2] = [b"".join(lines[n : n + 2])]
    elif kind == 10 and len(lines[n]) > 1:
        cut = rng.randrange(1, len(lines[n]))
        lines[n : n + 1] = [lines[n][:cut], lines[n][cut:]]
    elif len(made) < 4:
        return [*made, lender]
    else:
        return made[:at] + made[at + 1 :]
    return [*made[:at], Piece(piece.form, b"\n".join(lines)), *made[at + 1 :]]


def delivery(rng: Random, pool: Sequence[Sequence[Piece]]) -> list[Piece]:
    """A delivery made up from nothing but chance."""
    made = list(rng.choice(pool))
    for _ in range(rng.randrange(1, 9)):
        made = bend(made, pool, rng)
    return made
