"""What users thought of an answer, from the many names that logs give it: thumbs, scores, edits, escalation, comments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flywheel.ingestion.formats.pieces import count_lost, empty, number

SEPARATORS = re.compile(r"[-_./\s]+")
UP = frozenset(
    {
        "up",
        "thumbs_up",
        "thumbsup",
        "thumb_up",
        "positive",
        "good",
        "like",
        "liked",
        "upvote",
        "upvoted",
        "helpful",
        "true",
        "yes",
        "+1",
        "👍",
    }
)
DOWN = frozenset({
    "down", "thumbs_down", "thumbsdown", "thumb_down", "negative", "bad", "dislike", "disliked", "downvote", "downvoted", "unhelpful",
    "not_helpful", "false",
    "no", "-1", "👎",
})  # fmt: skip
THUMBS = frozenset({
    "thumbs", "thumb", "thumbs_up_down", "feedback", "user_feedback", "end_user_feedback", "user_thumbs", "vote", "user_vote", "reaction",
    "liked", "like", "helpful", "is_helpful", "thumbs_up", "thumbsup", "upvote",
})  # fmt: skip
AGAINST = frozenset({"thumbs_down", "thumbsdown", "downvote", "dislike", "disliked"})  # true means down
SCORES = frozenset({"score", "rating", "user_rating", "user_score", "stars", "star_rating", "csat", "satisfaction", "user_satisfaction"})
ESCALATED = frozenset({
    "escalated", "escalation", "escalate", "escalated_to_human", "human_handoff", "handoff", "handover", "handed_off", "transferred",
    "transferred_to_agent",
})  # fmt: skip
EDITS = frozenset({
    "edited_text", "edit", "edited", "edited_response", "edited_output", "user_edit", "correction", "corrected", "corrected_text",
    "corrected_output",
    "corrected_response", "demonstration",
})  # fmt: skip
COMMENTS = frozenset({"comment", "comments", "user_comment", "feedback_comment", "feedback_text"})
CANONICAL = frozenset({"thumbs", "score", "escalated", "edited_text", "comment"})


def plain_name(name: str) -> str:
    """`User-Feedback` as `user_feedback`."""
    return SEPARATORS.sub("_", name.strip().lower()).strip("_")


def thumbs_of(value: Any) -> str | None:
    """`up` or `down`; None where the value is neither (3 of 5 stars)."""
    if isinstance(value, bool):
        return "up" if value else "down"
    if isinstance(value, (int, float)):
        return "up" if value == 1 else "down" if value in (0, -1) else None
    if isinstance(value, str):
        word = value.strip().lower()
        word = word if word in ("+1", "-1") else plain_name(word)
        return "up" if word in UP or word == "1" else "down" if word in DOWN or word == "0" else None
    return None


def truth_of(value: Any) -> bool | None:
    """A yes or no, also as 1, "true" or "yes"."""
    thumbs = thumbs_of(value)
    return None if thumbs is None else thumbs == "up"


def add_feedback(feedback: dict[str, Any], name: Any, value: Any) -> bool:
    """Put one named verdict into `feedback`, in its canonical words. False where the name or the value is of no known kind, or another
    value stands there already."""
    if not isinstance(name, str) or len(name) > 64:
        return False
    word = plain_name(name)
    key: str
    made: Any
    if word in THUMBS or word in AGAINST:
        thumbs = thumbs_of(value)
        if thumbs is not None and word in AGAINST:
            thumbs = "down" if thumbs == "up" else "up"
            if thumbs == "up":  # "disliked: false" says nothing for it
                return True
        key, made = ("thumbs", thumbs) if thumbs is not None else ("score", _score(value))
    elif word in SCORES:
        made = _score(value)
        key, made = ("score", made) if made is not None else ("thumbs", thumbs_of(value))
    elif word in ESCALATED:
        key, made = "escalated", truth_of(value)
        if made is False:
            return True  # the default
    elif word in EDITS:
        key, made = "edited_text", value if isinstance(value, str) and value.strip() else None
    elif word in COMMENTS:
        key, made = "comment", value if isinstance(value, str) and value.strip() else None
    else:
        return False
    if made is None or feedback.get(key, made) != made:
        return False
    feedback[key] = made
    return True


def add_comment(feedback: dict[str, Any], comment: Any) -> None:
    """A comment beside a verdict; several are joined by a line break."""
    if isinstance(comment, str) and comment.strip():
        said = feedback.get("comment")
        if said is None:
            feedback["comment"] = comment
        elif comment not in said.split("\n"):
            feedback["comment"] = f"{said}\n{comment}"


def envelope_feedback(value: Any, format: str, losses: Counter[str]) -> Any:
    """`feedback` as a gateway logs it beside a call: the canonical object as it is, other names in canonical words, a bare verdict as
    thumbs or score. What is neither an object nor a verdict stays as it is: the check of the record names it."""
    if isinstance(value, Mapping):
        if value.keys() <= CANONICAL:
            return value
        feedback = {k: v for k, v in value.items() if k in CANONICAL}
        lost = {k for k, v in value.items() if k not in CANONICAL and not empty(v) and not add_feedback(feedback, k, v)}
        count_lost({k: value[k] for k in lost}, frozenset(), f"{format}: feedback.", losses)
        return feedback or None
    feedback = {}
    return feedback if add_feedback(feedback, "feedback", value) else value


def _score(value: Any) -> int | float | None:
    return number(value)
