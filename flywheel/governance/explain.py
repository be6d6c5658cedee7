"""Why a record reads as it does: what each layer saw alone, which spans stood in the end, and what each became.

For tuning. It shows raw text, so it stays in the restricted zone, needs an auditor with a reason, and every look is on record.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flywheel.errors import BadInput, NotFound
from flywheel.governance.access import demand_auditor, record_look
from flywheel.governance.aliases import assign, literal_aliases
from flywheel.governance.detection import Detector, Fields, Piece
from flywheel.governance.profile_layer import profile_fields
from flywheel.governance.provenance import ProvenanceLog
from flywheel.governance.redaction import JSON_COLUMNS, piece_of, record_texts, values_found, with_aliases
from flywheel.governance.spans import LAYERS, Span
from flywheel.records import ConsentedRecord, RedactedRecord
from flywheel.settings import GovernanceSettings
from flywheel.storage import Home

CARRIED = tuple(n for n in RedactedRecord.model_fields if n in ConsentedRecord.model_fields)


@dataclass(frozen=True)
class Candidate:
    """A span that a layer saw, and what became of it."""

    span: Span
    value: str
    decision: str

    def as_json(self) -> dict[str, Any]:
        s = self.span
        return {"start": s.start, "end": s.end, "type": s.type, "layer": s.layer, "score": round(float(s.score), 3), "value": self.value,
                "decision": self.decision}  # fmt: skip


@dataclass(frozen=True)
class ExplainedText:
    """One text: what stood (with aliases), and every candidate. `line` tells a conversation's records apart."""

    path: str
    text: str
    spans: tuple[Span, ...]
    aliases: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    @property
    def redacted(self) -> str:
        return with_aliases(self.text, self.spans, self.aliases)


def explain_pieces(
    pieces: Sequence[Piece], paths: Sequence[str], settings: GovernanceSettings, *, personal: Fields = (), raw_ids: Fields = ()
) -> list[ExplainedText]:
    """Explain the texts of one conversation. Costs one pass a layer."""
    final = Detector(settings).conversation(pieces, personal=personal, raw_ids=raw_ids)
    alone = [Detector(settings, frozenset([layer])).conversation(pieces, personal=personal, raw_ids=raw_ids) for layer in LAYERS]
    texts = [p.text for p in pieces]
    named = values_found(texts, final)
    taken = [literal for text in texts for literal in literal_aliases(text)]
    aliases = iter(assign([(type, value) for type, value, _ in named], taken=taken, anchors=personal))
    explained = []
    for number, (text, path) in enumerate(zip(texts, paths, strict=True)):
        stood = final[number]
        given = tuple(next(aliases) for _ in stood)
        seen = {span for spans in alone for span in spans[number]} | set(stood)
        ordered = sorted(seen, key=lambda s: (s.start, s.end, -s.priority, s.type))
        candidates = tuple(Candidate(s, text[s.start : s.end], _decision(s, stood, given)) for s in ordered)
        explained.append(ExplainedText(path, text, tuple(stood), given, candidates))
    return explained


def _decision(span: Span, stood: Sequence[Span], aliases: Sequence[str]) -> str:
    """What became of a candidate, in words."""
    over = [(s, a) for s, a in zip(stood, aliases, strict=True) if s.start < span.end and s.end > span.start]
    if not over:
        return "dropped: an alias of the log, or no letter or digit in it"
    same = next(((s, a) for s, a in over if (s.start, s.end, s.type, s.layer) == (span.start, span.end, span.type, span.layer)), None)
    if same is not None:
        return f"replaced by {same[1]}"
    said = []
    for s, alias in over:
        if s.type == span.type:
            said.append(f"joined into {alias} ({s.layer})")
        elif s.priority == span.priority:
            said.append(f"gave way to {s.type} ({s.layer}, longer or earlier) {alias}")
        else:
            said.append(f"gave way to {s.type} ({s.layer}, {'stronger' if s.priority > span.priority else 'rest of it'}) {alias}")
    return "; ".join(said)


@dataclass(frozen=True)
class ExplainedRecord:
    """A record of the restricted zone, explained within its conversation."""

    record_id: str
    round: str
    conversation_id: str
    texts: tuple[ExplainedText, ...]


def find_record(home: Home, record: str, round: str = "") -> tuple[str, str]:
    """(round, record id) for an id or its first eight digits. Raises `NotFound` or `BadInput` when none or several fit."""
    if len(record) < 8 or any(c not in "0123456789abcdef" for c in record):
        raise BadInput("a record is named by its record_id (32 hex digits, or at least the first 8), as the tables and the report show it")
    found: set[tuple[str, str]] = set()
    for manifest in home.lake.manifests():
        if manifest.table == "consented_logs" and (not round or manifest.round == round):
            ids = home.lake.read("consented_logs", manifest.round, ["record_id"])["record_id"].to_pylist()
            found |= {(manifest.round, i) for i in ids if i.startswith(record)}
    if not found:
        raise NotFound(
            f"no consented record begins with {record}{f' in round {round}' if round else ''}; it was never read, or its consent is gone"
        )
    if len({i for _, i in found}) > 1:
        raise BadInput(f"{len({i for _, i in found})} records begin with {record}; give more digits")
    return max(found)


def explain_record(
    home: Home, record: str, *, role: str, reason: str, log: ProvenanceLog, at: datetime, round: str = ""
) -> ExplainedRecord:
    """Explain one record as redaction saw it: with its conversation around it. Raises `AccessRefused`, `NotFound`, `BadInput`."""
    demand_auditor(role, reason, log, "privacy_explain", {"record": record[:32]}, at)
    week, record_id = find_record(home, record, round)
    rows = home.lake.read("consented_logs", week).to_pylist()
    mine = next(r for r in rows if r["record_id"] == record_id)
    talk = sorted((r for r in rows if r["conversation_id"] == mine["conversation_id"]), key=lambda r: (r["timestamp"], r["record_id"]))
    record_look(role, reason, log, "privacy_explain", {"record": record_id, "round": week}, at)
    pieces: list[Piece] = []
    paths: list[str] = []
    wanted: list[bool] = []
    fields: list[tuple[Fields, Fields]] = []
    for row in talk:
        for name in JSON_COLUMNS:
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else (row[name] or {})
        fields.append(profile_fields(row["profile"]))
        shown = {"redaction_version": "", "spans": [], **{k: row[k] for k in CARRIED}}
        for text in record_texts(shown):
            pieces.append(piece_of(text))
            paths.append(text.path)
            wanted.append(row["record_id"] == record_id)
    personal, raw_ids = (tuple(sorted({f for pair in fields for f in pair[kind]})) for kind in (0, 1))
    explained = explain_pieces(pieces, paths, home.settings.governance, personal=personal, raw_ids=raw_ids)
    return ExplainedRecord(record_id, week, mine["conversation_id"], tuple(t for t, w in zip(explained, wanted, strict=True) if w))
