"""Task type and domain of a record whose log does not say: simple rules over its text (issue: a taxonomy against labelled exemplars).

Rules run in order and the first that holds decides, so that each record has exactly one type; `generation` and `general` are the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CODE = re.compile(
    r"```|\bdef \w+\(|\bclass \w+[:(]|\bimport \w+|#include\b|\bfunction\s*\w*\(|\bSELECT\b.+\bFROM\b|=>\s*\{|\bTraceback\b"
    r"|\b(?:write|implement|fix|debug|refactor|complete)\b.{0,60}\b(?:function|script|code|class|query|program|method|regex|unit tests?)\b",
    re.I | re.S,
)  # fmt: skip
REFUSAL = re.compile(
    r"^\W*(?:i'?m sorry|sorry|i apologi[sz]e|unfortunately)?[\s,.;:but-]*(?:i|we)\s+(?:can(?:no|')t|am not able to|'?m not able to"
    r"|am unable to|'?m unable to|won'?t|must decline)\b.{0,60}\b(?:help|assist|provide|comply|do that|share|disclose|discuss)",
    re.I,
)
KINDS = (
    ("summarisation", re.compile(r"\b(?:summari[sz]e|summary|tl;?dr|in (?:a|one|two|three) sentences?|key points)\b", re.I)),
    ("classification", re.compile(r"\b(?:classif\w+|categori[sz]e|sentiment|which (?:category|label|class)|label (?:this|the following))\b", re.I)),
    ("extraction", re.compile(r"\b(?:extract|list all|pull out|find all|return (?:the )?json|parse)\b", re.I)),
    ("translation", re.compile(r"\btranslate\b|\btranslation\b", re.I)),
    ("reasoning", re.compile(r"\b(?:step by step|prove|calculate|how many|solve|reason(?:ing)? through|derive)\b", re.I)),
)  # fmt: skip
SUPPORT = re.compile(
    r"\b(?:refund|return(?:ed|s)?|order|shipp\w+|deliver\w+|parcel|package|invoice|billing|charged?|payment|subscription|account|password"
    r"|log ?in|locked|cancel\w*|warranty|support|customer|ticket|complaint|voucher|exchange)\b",
    re.I,
)


def classify_task(messages: Sequence[dict[str, object]], answers: Sequence[str]) -> tuple[str, str]:
    """(task type, domain) from messages (`role`, `content`) and the answers' texts."""
    asked = [str(m.get("content") or "") for m in messages if m.get("role") == "user"]
    last = (asked[-1] if asked else str(messages[-1].get("content") or "") if messages else "")[:4_000]
    is_code = bool(CODE.search(last)) or bool(answers and all("```" in a for a in answers))
    domain = "code" if is_code else "support" if SUPPORT.search(" ".join(asked)[:8_000]) else "general"
    return _type(last, answers, len(asked), is_code), domain


def _type(last: str, answers: Sequence[str], turns: int, is_code: bool) -> str:
    if answers and all(REFUSAL.search(a[:300]) for a in answers):
        return "refusal"
    if is_code:
        return "code"
    for name, pattern in KINDS:
        if pattern.search(last):
            return name
    return "multi_turn" if turns > 1 else "generation"
