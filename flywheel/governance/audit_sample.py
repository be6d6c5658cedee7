"""The human audit sample: some redacted conversations of a round that a person reads, and what that says about all of them.

No detector and no scan sees what nobody knew of; a reader does. The sample is drawn by the round's seed, lies in the restricted zone (it may
hold what got through), and is bound to the hash of the table it was drawn from. Of the answers only counts leave the zone. With k of n
conversations leaking, the exact one-sided 95 % bound of the leak rate is Clopper-Pearson's: 0 of 300 says at most 1 %.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flywheel.errors import BadInput, NotFound
from flywheel.governance.audit import provenance_log
from flywheel.governance.fields import texts_of
from flywheel.records import RedactedRecord
from flywheel.storage import Home, write_atomically
from flywheel.weeks import parse_round

EVENT = "privacy_sample"
CONFIDENCE = 0.95


@dataclass(frozen=True)
class AuditResult:
    """What readers said of a round's sample. `stale`: the table was made anew since."""

    round: str
    conversations: int
    sampled: int
    read: int
    leaking: int
    by: str
    stale: bool

    @property
    def bound(self) -> float:
        """One-sided 95 % upper bound of the share of conversations that leak."""
        return clopper_pearson_upper(self.leaking, self.read)


def clopper_pearson_upper(leaking: int, n: int, confidence: float = CONFIDENCE) -> float:
    """The largest rate that `leaking` of `n` does not rule out (Clopper and Pearson 1934); 1 where nothing was read."""
    if n == 0 or leaking >= n:
        return 1.0
    from scipy.stats import beta

    return float(beta.ppf(confidence, leaking + 1, n - leaking))


def sample_path(home: Home, round: str) -> Path:
    """Where a round's sample lies."""
    return home.restricted / "audit" / f"sample-{round}.jsonl"


def draw_sample(home: Home, round: str, n: int = 0) -> tuple[Path, int, int]:
    """Write `n` conversations (0: as the settings say) as lines to be answered: path, how many, of how many. The same round and settings
    give the same sample. Raises `NotFound` for a round without redacted logs."""
    key = parse_round(round)
    manifest = home.lake.manifest("redacted_logs", key)
    if manifest is None:
        raise NotFound(f"round {key} has no redacted logs yet")
    talks: dict[str, list[dict[str, Any]]] = {}
    for row in home.lake.read("redacted_logs", key).to_pylist():
        talks.setdefault(row["conversation_id"], []).append(row)
    rng = random.Random(home.settings.seed_for("privacy_sample", key))
    chosen = rng.sample(sorted(talks), min(n or home.settings.governance.audit_sample, len(talks)))
    lines = [json.dumps({"round": key, "redacted_sha256": manifest.sha256, "conversations": len(talks), "sampled": len(chosen)})]
    for talk in chosen:
        rows = sorted(talks[talk], key=lambda r: (r["timestamp"], r["record_id"]))
        texts = [text for number, row in enumerate(rows) for text in _texts(row, number)]
        lines.append(json.dumps({"conversation_id": talk, "leaks": None, "note": "", "texts": texts}, ensure_ascii=False))
    path = sample_path(home, key)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomically(path, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"), mode=0o600)
    return path, len(chosen), len(talks)


def _texts(row: dict[str, Any], number: int) -> Iterator[dict[str, str]]:
    row = {**row, "metadata": json.loads(row["metadata"]) if isinstance(row["metadata"], str) else row["metadata"] or {}}
    for text in texts_of(RedactedRecord, row):
        if text.action == "redact":
            yield {"where": f"{number}.{text.path}", "text": text.value}


def take_answers(home: Home, round: str, answers: Path, by: str) -> AuditResult:
    """Take in the sample with `leaks` answered (a number: how many personal values stand in the conversation), wholly or in part, and put
    the counts on record. Raises `BadInput` for lines that are not of the sample, `NotFound` without one."""
    key = parse_round(round)
    drawn = sample_path(home, key)
    if not drawn.exists():
        raise NotFound(f"no sample of round {key} was drawn: flywheel privacy sample {key}")
    if not by.strip():
        raise BadInput("say who read it: --by NAME (a pseudonym will do)")
    head, *sampled = (json.loads(line) for line in drawn.read_text().splitlines())
    wanted = {s["conversation_id"] for s in sampled}
    said: dict[str, int] = {}
    notes = []
    for number, line in enumerate(_read(answers).splitlines(), start=1):
        place = f"{answers.name} line {number}"
        try:
            value = json.loads(line) if line.strip() else {"redacted_sha256": head["redacted_sha256"]}
        except ValueError:
            raise BadInput(f"{place} is no JSON") from None
        if not isinstance(value, dict):
            raise BadInput(f"{place} is no JSON object")
        if "conversation_id" not in value:
            if value.get("redacted_sha256") != head["redacted_sha256"]:
                raise BadInput(f"{place}: these are answers to another sample; draw and read the present one")
            continue
        talk, leaks = value["conversation_id"], value.get("leaks")
        if talk not in wanted:
            raise BadInput(f"{place}: conversation {str(talk)[:32]} is not in the sample of round {key}")
        if leaks is None:
            continue
        if type(leaks) is not int or leaks < 0:
            raise BadInput(f"{place}: leaks must be a whole number, 0 where nothing personal stands")
        said[talk] = leaks
        notes.append({"conversation_id": talk, "leaks": leaks, "note": value.get("note", "")})
    if not said:
        raise BadInput(f"{answers.name} answers nothing: fill in `leaks` of each conversation that was read")
    kept = "".join(json.dumps(n, ensure_ascii=False) + "\n" for n in notes)
    write_atomically(drawn.with_name(f"answers-{key}.jsonl"), kept.encode("utf-8", "surrogatepass"), mode=0o600)
    payload = {
        "round": key, "redacted_sha256": head["redacted_sha256"], "conversations": head["conversations"], "sampled": head["sampled"], "read": len(said),
        "leaking": sum(n > 0 for n in said.values()), "by": by.strip()[:64],
    }  # fmt: skip
    provenance_log(home).append_once(f"{EVENT}/{key}", EVENT, payload, home.now())
    result = audit_result(home, key)
    assert result is not None  # noqa: S101 - it has just been recorded
    return result


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}") from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise BadInput(f"{path} is no text file") from None


def audit_result(home: Home, round: str) -> AuditResult | None:
    """The newest answers about a round; None before any."""
    found = [e["payload"] for e in provenance_log(home).events(EVENT) if e["payload"]["round"] == round]
    if not found:
        return None
    newest, manifest = found[-1], home.lake.manifest("redacted_logs", round)
    stale = manifest is None or manifest.sha256 != newest["redacted_sha256"]
    return AuditResult(round, newest["conversations"], newest["sampled"], newest["read"], newest["leaking"], newest["by"], stale)
