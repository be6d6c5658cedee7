"""Secrets: every common kind is found whole, and ordinary code stays usable. The samples are generated; the rules were tuned on them."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from flywheel.governance.encoded import encoded_spans
from flywheel.governance.secret_layer import secret_spans
from tests.conftest import SHARED
from tests.governance.secret_samples import secrets_in_text

FP_PER_10K_LINES = 1.0


def secrets_of(text: str) -> list[str]:
    return [text[s.start : s.end] for s in secret_spans(text) if s.type == "SECRET"]


def covered(text: str) -> set[int]:
    return {i for s in secret_spans(text) for i in range(s.start, s.end)}


def test_secrets_of_every_common_kind_are_found_whole() -> None:
    kinds = {kind for kind, _, _ in secrets_in_text()}
    assert len(kinds) >= 60
    missed = []
    total = 0
    for seed in range(100, 110):
        for kind, text, secret in secrets_in_text(seed):
            total += 1
            at = text.index(secret)
            if not set(range(at, at + len(secret))) <= covered(text):
                missed.append((kind, text))
    assert len(missed) <= 0.02 * total, missed[:5]


def test_the_standard_library_is_no_secret() -> None:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [
        p for p in sorted(root.glob("*.py")) + sorted(root.glob("[a-e]*/*.py")) if not {"site-packages", "test", "idlelib"} & set(p.parts)
    ]
    lines, found = 0, []
    for path in files:
        text = path.read_text(encoding="utf-8", errors="ignore")
        lines += text.count("\n")
        found += [(path.name, secret) for secret in secrets_of(text)]
    assert lines > 50_000
    assert len(found) <= FP_PER_10K_LINES * lines / 10_000 + 1, found[:20]


@pytest.mark.skipif(not (SHARED / "code").exists(), reason="shared data is not mounted")
@pytest.mark.parametrize("name", ["humaneval", "mbpp_sanitized"])
def test_tasks_and_solutions_hold_no_secret(name: str) -> None:
    found = []
    for line in (SHARED / "code" / f"{name}.jsonl").read_text().splitlines():
        for value in json.loads(line).values():
            for text in value if isinstance(value, list) else [value]:
                found += secrets_of(text) if isinstance(text, str) else []
    assert len(found) <= 1, found


@pytest.mark.parametrize("text", [
    "auth = base64.standard_b64encode(x)", "author = 'Jane'", "token_type = 'bare-quoted-string'", "def f(token: str = 'token') -> None:", "key = keys[0]",
    "print('Enter password: ')", "password = getpass.getpass('Password: ')", "TOKEN_PATTERN = r'[A-Za-z]+'", "api_key=settings.api_key,", "secret = Secret()",
    "https://docs.python.org/3/library/secrets.html", "the password must have 8 characters", "password reset link", "my password isn't accepted",
    "primary_key=True, foreign_key='orders.id'", "PASSWORD_RESET_TIMEOUT = 259200", "assert token.value == 'x'", "sha256:9f86d081884c7d659a2feaa0c55ad015",
    "for token in tokenize(text)", "Undocumented", "include-system-site-packages", "git checkout 3f786850e387550fdab836ed7e6dc881de23001b", "-p options",
])  # fmt: skip
def test_what_only_looks_like_one_stays(text: str) -> None:
    assert secrets_of(text) == []


@pytest.mark.parametrize(("text", "hidden"), [
    ("x aGVsbG8gSmFuZSBEb2UgYnll y", "aGVsbG8gSmFuZSBEb2UgYnll"), ("Zm9yIGphbmVAc2hvcC5leGFtcGxl", "Zm9yIGphbmVAc2hvcC5leGFtcGxl"),
    ("data:text/plain;base64,SsO8cmdlbiBTY2hyw7ZkZXI=", "SsO8cmdlbiBTY2hyw7ZkZXI="), ("4a616e6520446f65206a616e65", "4a616e6520446f65206a616e65"),
])  # fmt: skip
def test_text_in_base64_or_hex_goes_whole(text: str, hidden: str) -> None:
    assert [text[a:b] for a, b in encoded_spans(text)] == [hidden]


def test_hashes_keys_and_words_are_no_encoded_text() -> None:
    for text in ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "internationalization", "AssetMaterialization", "d41d8cd98f00b204", "SW52YWxpZCBc/xyz", "ABCDEFGHIJKLMNOP",
                 "2026010512304500", "SGVsbG8\x00"):  # fmt: skip
        assert list(encoded_spans(text)) == [], text
