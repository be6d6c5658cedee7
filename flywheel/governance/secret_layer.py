"""Secrets in text and code: keys of known vendors, private keys, tokens, passwords in assignments, addresses and sentences.

Own rules; the gitleaks and detect-secrets rule sets were the reading list. A rule with a group hides only that group, and the group's letter
says how its value is judged (`JUDGES`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable

from flywheel.governance.encoded import encoded_spans
from flywheel.governance.ordinary import is_ordinary
from flywheel.governance.spans import Span

TYPE = "SECRET"
LONG = re.compile(r"[A-Za-z0-9+/_-]{12}")
PREFILTER = re.compile(
    r"-----BEGIN|AKIA|ASIA|ABIA|ACCA|AIza|GOCSPX|1//0|gh[pousr]_|github_pat|gl[a-z]{2,5}-|xox|xapp-|hooks\.slack|webhooks/|:AA|[srp]k[-_]|whsec_|hf_|npm_|pypi-"
    r"|SG\.|eyJ|Bearer|Basic|://|key-|-us\d|SK[0-9a-f]|shp[a-z]{2}_|EAAA|do[opr]_v1_|dapi|hv[sb]\.|atlasv1|AGE-SECRET|NRAK|ATATT|figd_|lin_api|login|sshpass|redis-cli|mysql|sig=|-u |8Q~"
    r"|pass?w|pass|pwd|\bpw\b|secret|token|api|key|credential|auth|_pat|webhook|[A-Za-z0-9]{23}\.[A-Za-z0-9_-]{6}\.",
    re.I,
)
# names that promise what a person chose, and what a machine made
_CHOSEN = r"(?:pass?wor[dt]|passwd|contrase[nñ]a|passphrase|passcode|pwd)[\w-]{0,20}"
_KEY = r"(?:secret|(?:api|access|account|private|auth|signing|encryption)[_-]?key|token|(?<![a-z])auth(?![a-z])|credential|_pat(?![a-z])|webhook)[\w-]{0,20}"
RULES: tuple[re.Pattern[str], ...] = tuple(
    re.compile(rule)
    for rule in (
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,8000}?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
        # keys that their issuers mark
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        r"\bAIza[\w-]{35}|\bGOCSPX-[\w-]{20,}|\b1//0[\w-]{30,}",
        r"\b(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_\w{20,255}|gl(?:pat|rt|dt|ptt|ft|soat|cbt|imt|agent)-[\w-]{16,})",
        r"\bxox[abeoprs]-[\w-]{10,}|\bxapp-\d-[\w-]{10,}",
        r"hooks\.slack\.com/(?:services|workflows)/(?P<s>[\w/-]{20,})",
        r"/api/webhooks/(?P<s>\d{10,}/[\w-]{30,})",
        r"\b(?i:sk|rk|pk)[-_](?=[\w-]*\d)(?i:live|test|prod|proj|ant|or)?[-_]?[A-Za-z0-9_-]{14,}|\bwhsec_\w{16,}",
        r"\b(?:hf|npm)_[A-Za-z0-9]{20,}\b|\bpypi-[\w-]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}\b|\bEAAA[\w-]{40,}",
        r"\bdo[opr]_v1_[0-9a-f]{40,}|\bdapi[0-9a-f]{32}\b|\bhv[sbr]\.[\w-]{20,}|\b\w{14}\.atlasv1\.\w{40,}|\bAGE-SECRET-KEY-1[0-9A-Z]{50,}|\bNRAK-[A-Z0-9]{20,}",
        r"\bkey-[0-9a-f]{32}\b|\b[0-9a-f]{32}-us\d{1,2}\b|\bSK[0-9a-f]{32}\b|\b\d{8,10}:AA[\w-]{32,}|\b\w{3}8Q~[\w.~-]{30,}",
        r"\b[A-Za-z0-9]{23,28}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}",
        r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{4,}",
        r"\b[Bb]earer\s+(?P<s>[\w.~+/-]{12,}=*)",
        r"\b[Bb]asic\s+(?P<s>[A-Za-z0-9+/]{16,}={0,2})(?![\w])",
        r"[?&]sig=(?P<s>[\w%+/=-]{20,})",
        # the password in a connection string; the whole address goes, for it names host and user too
        r"\b[a-zA-Z][\w+.-]{1,20}://[^\s/:@\"'<>]{0,128}:[^\s/@\"'<>]{1,256}@[^\s\"'<>)\],]{1,256}",
        r"://(?P<s>[0-9a-f]{32})@",
        # a password by the name before it, in code and configuration
        rf"(?i){_CHOSEN}[\"']?\s*(?:=>|:=|[:=])\s*(?:[a-z_]{{0,3}})?(?P<q>[\"'`])(?P<p>[^\"'`\n]{{4,256}})(?P=q)",
        rf"(?i){_KEY}[\"']?\s*(?:=>|:=|[:=])\s*(?:[a-z_]{{0,3}})?(?P<q>[\"'`])(?P<k>[^\"'`\n]{{6,256}})(?P=q)",
        rf"(?i){_CHOSEN}=(?P<u>[^\s\"'`;&,()\[\]{{}}<>]{{4,256}})",
        rf"(?i){_KEY}=(?P<k>[^\s\"'`;&,()\[\]{{}}<>]{{12,256}})",
        rf"(?im)^[ \t-]*[\w.-]{{0,40}}?{_CHOSEN}[ \t]*[:=][ \t]+(?P<u>[^\s\"'`;,()\[\]{{}}<>]{{4,256}})[ \t]*$",
        rf"(?i){_KEY}[ \t]*[:=][ \t]+(?P<k>[^\s\"'`;,()\[\]{{}}<>]{{12,256}})",
        r"(?i)<(?P<t>[\w.-]{0,20}(?:password|secret|token|apikey))>(?P<u>[^<\s]{4,256})</(?P=t)>",
        r"(?i)(?:api|secret|access)[_-]?key[\"']\s+value=[\"'](?P<k>[^\"']{8,256})[\"']",
        # a password in a sentence
        r"(?i)\b(?:pass?wor[dt]|passcode|passwd|passphrase|pwd|pw|pin code|pass(?=\s+(?:is|was|:)))[ \t]*(?:is|was|to|:|=|are|should be)?[ \t]*[\"'`]?(?P<w>[^\s\"'`]{4,128})",
        r"(?i)\b(?:api[ _-]?key|secret[ _-]?key|access[ _-]?token|auth[ _-]?token|secret)\s*(?:is|was|to|:|=)\s*[\"'`]?(?P<w>[^\s\"'`]{6,128})",
        r"(?i)(?:--password|--token|--api-key|--secret)[= ](?P<u>[^\s\"'`]{4,128})|\s-(?:u|-user)[= ][\w.@-]{1,60}:(?P<w>[^\s\"'`]{4,128})",
        r"(?:docker login|sshpass|redis-cli|mysql|mosquitto_\w+|ldapsearch|smbclient)\b[^\n]{0,60}?\s-[paPw][ =]?[\"']?(?P<w>[^\s\"'`]{6,128})",
        r"(?i)\b(?:credentials?|login)s?(?: are| is)?:? [\w.@-]{2,40}(?::| ?/ )(?P<w>[^\s\"'`]{6,128})",
        r"\bATATT3[\w=-]{30,}|\bfigd_[\w-]{30,}|\blin_api_\w{30,}",
    )
)  # fmt: skip
_LITERAL = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_PLACEHOLDER = re.compile(
    r"(?i)^(?:\[[A-Z_]+_\d+\]|<[^>]*>|\$\{?[\w.]+\}?|%\(?\w+\)?s?|\{\{?.*\}?\}|\*+|x+|\.+|os\.\w+.*|process\.env.*|none|null|true|false)[.,;)]*$"
)
_CALL = re.compile(r"^[A-Za-z_][\w.]*(?:\(|\[)|^(?:self|this|args|config|settings|request|env|os)\.")


_LOOSE_CARD = re.compile(r"(?<![\w.])\d{4}(?:[\s-]{1,6}\d{4}){2,3}(?:[\s-]{1,6}\d{1,3})?(?![\w]|\.\d)")


def loose_cards(text: str) -> list[Span]:
    """Card numbers in groups with any blanks between them (Presidio knows one blank or hyphen), checked by their last digit."""
    found = []
    for match in _LOOSE_CARD.finditer(text):
        digits = [int(c) for c in match.group() if c.isdigit()]
        doubled = [d if i % 2 == 0 else (d * 2 - 9 if d > 4 else d * 2) for i, d in enumerate(reversed(digits))]
        if sum(doubled) % 10 == 0 and digits[0] in (2, 3, 4, 5, 6):
            found.append(Span(*match.span(), "CREDIT_CARD", "secret", 0.9))
    return found


_LOCAL = re.compile(r"[\w.%+'-]+$")
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}")


def plain_emails(text: str) -> list[Span]:
    """Addresses around each @, in linear time: Presidio's pattern gives up on hostile runs after a minute, and what it gave up on would pass."""
    found, at = [], text.find("@")
    while at >= 0:
        window = text[max(0, at - 64) : at]
        local, domain = _LOCAL.search(window), _DOMAIN.match(text, at + 1)
        if local and domain:
            found.append(Span(at - len(local.group()), domain.end(), "EMAIL_ADDRESS", "pattern_strong", 0.5))
        at = text.find("@", at + 1)
    return found


def secret_spans(text: str) -> list[Span]:
    """Secrets in `text`. Placeholders (`<token>`, `${TOKEN}`, `[SECRET_1]`), calls and plain words do not count."""
    found = [Span(start, end, TYPE, "secret") for start, end in encoded_spans(text)] if LONG.search(text) else []
    found.extend(loose_cards(text))
    if "@" in text:
        found.extend(plain_emails(text))
    if not PREFILTER.search(text):
        return found
    for rule in RULES:
        for match in rule.finditer(text):
            named = {g: v for g, v in match.groupdict().items() if v is not None and g in JUDGES}
            if not named:
                found.append(Span(*match.span(), TYPE, "secret"))
                continue
            name, value = next(iter(named.items()))
            start, end = match.span(name)
            if name in ("w", "u"):
                bare = value.rstrip(".,;:!?)]}" if name == "w" else ";,")
                if JUDGES[name](bare, text[match.start() : start]):
                    # a ! or ? at the end may belong to the password as well as to the sentence
                    found.append(Span(start, start + len(value.rstrip(".,;:)]}")), TYPE, "secret"))
            elif JUDGES[name](value, text[match.start() : start]):
                found.append(Span(start, end, TYPE, "secret"))
    for match in _LITERAL.finditer(text):
        before = text[max(0, match.start() - 40) : match.start()]
        if (
            re.search(r"(?i)(?:key|token|secret|auth|signature|credential)\w*[\"']?\s*[:=]?\s*[\"']?$", before)
            and any(c.isdigit() for c in match.group())
            and _entropy(match.group()) > 3.5
        ):
            found.append(Span(match.start(), match.end(), TYPE, "secret"))
    return found


def _is_nothing(value: str) -> bool:
    return bool(_PLACEHOLDER.match(value) or _CALL.match(value) or is_ordinary(value.strip("_-. ")))


def _given(value: str, before: str) -> bool:
    """After a rule that leaves no doubt."""
    return not _is_nothing(value)


def _password(value: str, before: str) -> bool:
    """A quoted literal with a password's name: everything but words that name, describe or stand for one."""
    if _is_nothing(value) or (" " in value.strip() and is_prose(value)):
        return False
    if re.fullmatch(r"[a-z]+(?:[_ .-][a-z]+)*:?\s*", value, re.I) and (
        re.search(r"(?i)pass|pwd|word|key|secret|user|name|none|input|field|prompt", value)
    ):
        return False  # "password", "user_password", "Enter password: "
    return not re.fullmatch(r"[\W_]+|%[\w.()-]*|.*(?:%s|%r|\{\}|\{\w+\}).*", value)


def _generated(value: str, before: str) -> bool:
    """A key, a token: nobody's word. Letters and digits, or long and mixed; no path, no call, no name of a thing."""
    if _is_nothing(value) or " " in value.strip() or len(value) < 8:
        return False
    if (
        re.search(r"[(\[{<|\\]|::|->|%s|\.\.\.", value)
        or (value.count("/") > 4 and _entropy(value) < 4.5)
        or re.fullmatch(r"[\w.-]+\.(?:py|js|ts|json|txt|html?|com|org|net|io)|[a-z_]\w*(?:\.[a-z_]\w*)+", value)
    ):
        return False
    digits, letters = sum(c.isdigit() for c in value), sum(c.isalpha() for c in value)
    if not letters:
        return digits >= 16
    if not digits:
        return len(value) >= 24 and _entropy(value) > 4.0 and not re.fullmatch(r"[A-Za-z]+(?:[-_.][A-Za-z]+)+", value)
    return len(set(value)) >= 6 and _entropy(value) > (2.5 if len(value) < 20 else 3.0) and not re.fullmatch(r"[A-Za-z_.-]+\d{1,2}", value)


def _unquoted(value: str, before: str) -> bool:
    """After `PASSWORD=`: in configuration a value, in code an expression or (`PASSWORD_TIMEOUT = 3600`) a number."""
    if value.replace("_", "").isdigit() and not re.search(r"(?i)(?:word|wd|phrase|code)\s*[:= ]\s*$", before):
        return False
    return (
        not _is_nothing(value)
        and (any(c.isdigit() for c in value) or _odd_signs(value))
        and not re.search(r"[(\[{<|\\]|\w\.\w+\.\w", value)
    )


def _odd_signs(value: str) -> bool:
    return any(c in "!#$%&*+?@^~" for c in value)


def _spoken(value: str, before: str) -> bool:
    """In a sentence ("my password is not working") only what no dictionary holds is a password."""
    if len(value) < 4 or _is_nothing(value) or re.search(r"[(){}\[\]<>=|\\]|^[-%@./:]|\w/\w|\.\w+\.|::", value):
        return False
    said = bool(re.search(r"(?i)(?:is|was|to|:|=|be|are)[ \t]*[\"'`]?$", before))
    if any(c.isdigit() for c in value):
        return said or (
            any(c.isalpha() for c in value) and (_odd_signs(value) or value[0].isupper() or len(value) >= 8) and "_" not in value
        )
    return said and (_odd_signs(value[1:]) or (bool(re.search(r"[a-z][A-Z]", value)) and ":" not in before))


JUDGES: dict[str, Callable[[str, str], bool]] = {"s": _given, "p": _password, "k": _generated, "u": _unquoted, "w": _spoken}


def is_prose(value: str) -> bool:
    """Several words, most of them ordinary: an error message, not a passphrase."""
    words = re.findall(r"[A-Za-z']+", value)
    return len(words) > 1 and sum(is_ordinary(w) for w in words) * 2 >= len(words)


def _entropy(value: str) -> float:
    """Shannon entropy, bits a character."""
    n = len(value)
    return -sum(c / n * math.log2(c / n) for c in Counter(value).values())
