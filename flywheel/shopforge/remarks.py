"""What a simulated rater writes: short sentences that follow from what is wrong with an answer."""

from __future__ import annotations

from flywheel.shopforge.oracle import Score

FAULTS = {
    "support": ("takes the wrong action under the policy", "misses the tone", "promises too much or repeats personal data", "is padded"),
    "code": ("misses a requirement", "fails tests", "is not safe to run", "is cluttered with comments"),
}


def faults_of(domain: str, score: Score) -> list[str]:
    """What is wrong with one answer, the gravest first."""
    wording = FAULTS["code" if domain == "code" else "support"]
    wrong = (not score.ok, score.tone < 1, score.violation > 0, score.filler >= 2)
    return [sentence for sentence, applies in zip(wording, wrong, strict=True) if applies]


def reason_of(domain: str, a: Score, b: Score) -> str:
    """Why both are bad; names no side, since sides are swapped between raters."""
    found = list(dict.fromkeys([*faults_of(domain, a), *faults_of(domain, b)])) or ["does not help"]
    return "Neither can be sent : one or both " + " ; ".join(found) + " ."


def critique_of(domain: str, decision: str, a: Score, b: Score) -> str:
    """One sentence on a decision."""
    if decision == "tie":
        return "Both do the same for the customer ."
    loser = faults_of(domain, b if decision == "a" else a)
    return "The other answer " + " ; ".join(loser[:2]) + " ." if loser else "The chosen answer reads better ."
