"""Secrets in text and code: keys of known vendors, private keys, tokens, passwords in assignments, addresses and sentences.

Own rules; the gitleaks and detect-secrets rule sets were the reading list. A rule with a group named `s` hides only that group.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from flywheel.governance.ordinary import is_ordinary
from flywheel.governance.spans import Span

TYPE = "SECRET"
PREFILTER = re.compile(
    r"-----BEGIN|AKIA|ASIA|AIza|gh[pousr]_|github_pat|glpat|xox|sk[-_]|rk_|pk_|hf_|npm_|pypi-|SG\.|eyJ|Bearer|Basic|://"
    r"|pass|pwd|secret|token|api|key|credential|auth",
    re.I,
)
_KEY = (
    r"(?:[\w.-]*(?:passw(?:or)?d|passwd|passphrase|pwd|secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|auth[_-]?token|access[_-]?token"
    r"|refresh[_-]?token|token|client[_-]?secret|credentials?)[\w.-]*)"
)
RULES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(rule)
    for rule in (
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,8000}?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        r"\bAIza[\w-]{35}",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_\w{20,255}|glpat-[\w-]{16,})",
        r"\bxox[abeoprs]-[\w-]{10,}",
        r"\b(?:sk|rk|pk)[-_](?:live|test|prod|proj|ant|or)?[-_]?[A-Za-z0-9_-]{14,}",
        r"\b(?:hf|npm)_[A-Za-z0-9]{20,}\b|\bpypi-[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,}",
        r"\b[Bb]earer\s+(?P<s>[\w.~+/-]{12,}=*)",
        r"\b[Bb]asic\s+(?P<s>[A-Za-z0-9+/]{16,}={0,2})(?![\w])",
        # the password in a connection string; the whole address goes, for it names host and user too
        r"\b[a-zA-Z][\w+.-]{1,20}://[^\s/:@\"'<>]{1,128}:[^\s/@\"'<>]{1,256}@[^\s\"'<>)\],]{1,256}",
        rf"(?i)[\"']?\b{_KEY}[\"']?\s*(?:=>|:=|[:=])\s*(?:[a-z_]{{0,3}})?(?P<q>[\"'`])(?P<s>[^\"'`\n]{{4,256}})(?P=q)",
        r"(?i)\b[A-Z][A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY)[A-Z0-9_]*\s*=\s*(?P<s>[^\s\"'`;,()\[\]{}]{6,256})",
        r"(?i)\b(?:password|passcode|passwd|passphrase|pwd|api[ _-]?key|secret(?:[ _-]?key)?|access[ _-]?token|auth[ _-]?token)\s*"
        r"(?:is|was|to|:|=)\s*[\"'`]?(?P<w>[^\s\"'`]{4,128})",
        r"(?i)(?:--password|--token|--api-key|-p)[= ](?P<s>[^\s\"'`]{6,128})",
    )
)  # fmt: skip
_LITERAL = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_PLACEHOLDER = re.compile(
    r"(?i)^(?:\[[A-Z_]+_\d+\]|<[^>]*>|\$\{?[\w.]+\}?|%\(?\w+\)?s?|\{\{?.*\}?\}|\*+|x+|\.+|os\.\w+.*|process\.env.*|none|null|true|false)[.,;)]*$"
)
_CALL = re.compile(r"^[A-Za-z_][\w.]*(?:\(|\[)|^(?:self|this|args|config|settings|request|env|os)\.")


def secret_spans(text: str) -> list[Span]:
    """Secrets in `text`. Placeholders (`<token>`, `${TOKEN}`, `[SECRET_1]`), calls and plain words do not count."""
    if not PREFILTER.search(text):
        return []
    found = []
    for rule in RULES:
        for match in rule.finditer(text):
            groups = match.groupdict()
            group: str | int = "s" if groups.get("s") else "w" if groups.get("w") else 0
            start, end = match.span(group)
            value = text[start:end]
            if group == "w":
                bare = value.rstrip(".,;:!?)]}")
                if not _looks_secret(bare):
                    continue
                end = start + len(bare)
            elif group == "s" and (_PLACEHOLDER.match(value) or _CALL.match(value) or (" " in value.strip() and is_prose(value))):
                continue
            found.append(Span(start, end, TYPE, "secret"))
    for match in _LITERAL.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        if (
            re.search(r"(?i)(?:key|token|secret|auth|signature|credential)\w*[\"']?\s*[:=]?\s*[\"']?$", before)
            and _entropy(match.group()) > 3.5
        ):
            found.append(Span(match.start(), match.end(), TYPE, "secret"))
    return found


def _looks_secret(value: str) -> bool:
    """In a sentence ("my password is not working") only what no dictionary holds is a password."""
    if len(value) < 4 or _PLACEHOLDER.match(value) or _CALL.match(value) or is_ordinary(value):
        return False
    return any(c.isdigit() for c in value) or any(not c.isalnum() for c in value[1:]) or not (value.islower() or value.istitle())


def is_prose(value: str) -> bool:
    """Several words, most of them ordinary: an error message, not a passphrase."""
    words = re.findall(r"[A-Za-z']+", value)
    return len(words) > 1 and sum(is_ordinary(w) for w in words) * 2 >= len(words)


def _entropy(value: str) -> float:
    """Shannon entropy, bits a character."""
    n = len(value)
    return -sum(c / n * math.log2(c / n) for c in Counter(value).values())
