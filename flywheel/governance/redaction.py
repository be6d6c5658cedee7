"""Redaction: records of consented conversations in, the same records with aliases in place of personal data out.

Deterministic: same records, key, settings and version give the same bytes in any order and process. What was found goes to the vault
under a keyed token; the text holds only the conversation's short alias. A whole round goes by shards: `redaction_round`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from flywheel.errors import BadInput
from flywheel.governance.aliases import assign, literal_aliases, value_key
from flywheel.governance.detection import Detector, Piece
from flywheel.governance.fields import Text, loose_texts, texts_of
from flywheel.governance.identity import alias_name
from flywheel.governance.profile_layer import profile_fields
from flywheel.governance.spans import CERTAIN, Span
from flywheel.governance.vault import Finding, Vault
from flywheel.records import ConsentedRecord, RedactedRecord
from flywheel.settings import GovernanceSettings
from flywheel.storage import arrow_schema, to_table

REDACTION_VERSION = "2"
AHEAD = 500  # conversations that the recogniser reads at once
JSON_COLUMNS = ("metadata", "profile")
CARRIED = tuple(n for n in RedactedRecord.model_fields if n in ConsentedRecord.model_fields)


@dataclass(frozen=True)
class Redacted:
    """Redacted rows, and what the vault must know of them. `findings` holds raw values: it goes nowhere but to the vault.

    `literals` are (conversation, alias) of aliases that the log itself held; `stats`: counts (records, conversations, texts, spans by type and by
    layer), the version of redaction and the recogniser that read (name and hashes, for an audit).
    """

    table: pa.Table
    conversations: list[str]
    findings: list[tuple[Finding, str]]
    literals: list[tuple[str, str]]
    stats: dict[str, Any]


def redact_logs(consented: pa.Table, *, vault: Vault, settings: GovernanceSettings, round: str) -> tuple[pa.Table, dict[str, Any]]:
    """ConsentedRecord rows to RedactedRecord rows in the same order, and counts (`Redacted.stats`); the vault remembers what was found.

    All in memory and in this process: for a stored round see `redaction_round`. Raises like `redact_records`.
    """
    found = redact_records(consented, settings=settings, round=round)
    vault.remember_round(round, found.findings, found.conversations)
    vault.reserve(round, found.literals)
    return found.table, found.stats


def redact_records(consented: pa.Table, *, settings: GovernanceSettings, round: str) -> Redacted:
    """ConsentedRecord rows, whole conversations of them, to RedactedRecord rows in the same order. Needs no key and no vault.

    Every text of a record passes, as the schema declares (`fields`). `content_sha256` becomes the hash of the redacted content: one of raw
    content would let a reader try names. Raises `IntegrityError` on a field without declaration or a raw id in an id column.
    """
    rows = consented.to_pylist()
    for row in rows:
        for name in JSON_COLUMNS:
            row[name] = json.loads(row[name]) if isinstance(row[name], str) else (row[name] or {})
    talks: dict[str, list[int]] = {}
    for index in sorted(range(len(rows)), key=lambda i: (rows[i]["timestamp"], rows[i]["record_id"])):
        talks.setdefault(rows[index]["conversation_id"], []).append(index)
    detector = Detector(settings)
    types: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    findings: list[tuple[Finding, str]] = []
    literals: list[tuple[str, str]] = []
    redacted: dict[int, dict[str, Any]] = {}
    n_texts = 0
    order = sorted(talks)
    texts_ahead: dict[str, list[tuple[int, Text]]] = {}
    for place, conversation_id in enumerate(order):
        if place % AHEAD == 0:
            texts_ahead = {ahead: _talk_texts(rows, talks[ahead], redacted, round) for ahead in order[place : place + AHEAD]}
            detector.look_ahead([piece_of(t) for texts in texts_ahead.values() for _, t in texts])
        records = [rows[i] for i in talks[conversation_id]]
        texts = texts_ahead[conversation_id]
        n_texts += len(texts)
        # each record's own: two people may share a conversation, and every record has its own raw id
        profiles = [profile_fields(record["profile"]) for record in records]
        personal, raw_ids = (tuple(sorted({f for fields in profiles for f in fields[kind]})) for kind in (0, 1))
        found = detector.conversation([piece_of(t) for _, t in texts], personal=personal, raw_ids=raw_ids)
        counts = [Counter[str]() for _ in records]
        taken = [literal for _, text in texts for literal in literal_aliases(text.value)]
        literals.extend((conversation_id, f"[{name}_{number}]") for name, number in taken)
        named = values_found([t.value for _, t in texts], found)
        aliases = iter(assign([(type, value) for type, value, _ in named], taken=taken, anchors=personal))
        given = iter(named)
        for (number, text), spans in zip(texts, found, strict=True):
            replaced = []
            for _ in spans:
                type, value, layer = next(given)
                alias = next(aliases)
                replaced.append(alias)
                counts[number][type] += 1
                layers[layer] += 1
                findings.append((Finding(type, value, records[number]["subject_id"], conversation_id, layer in CERTAIN), alias))
            if spans:
                text.put(with_aliases(text.value, spans, replaced))
        for number in range(len(records)):
            row = redacted[talks[conversation_id][number]]
            _finish_tool_arguments(row)
            row["content_sha256"] = _content_hash(row)
            row["spans"] = [{"type": t, "count": counts[number][t]} for t in sorted(counts[number])]
            types.update(counts[number])
    table = to_table(RedactedRecord, [redacted[i] for i in range(len(rows))])
    facts = {
        "records": len(rows), "conversations": len(talks), "texts": n_texts, "spans": sum(types.values()), "spans_by_type": dict(sorted(types.items())),
        "spans_by_layer": dict(sorted(layers.items())), "redaction_version": REDACTION_VERSION,
        "recogniser": detector.recogniser(),
    }  # fmt: skip
    return Redacted(table.cast(arrow_schema(RedactedRecord)), order, findings, literals, facts)


def added_up(stats: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`Redacted.stats` of several parts as that of the whole."""
    kinds = {name: Counter[str]() for name in ("spans_by_type", "spans_by_layer")}
    total: Counter[str] = Counter(records=0, conversations=0, texts=0, spans=0)
    for part in stats:
        total.update({name: part[name] for name in ("records", "conversations", "texts", "spans")})
        for name, counted in kinds.items():
            counted.update(part[name])
    # one fingerprint, one recogniser: all parts name the same
    recogniser = stats[0]["recogniser"] if stats else {}
    return {
        **total,
        **{name: dict(sorted(c.items())) for name, c in kinds.items()},
        "redaction_version": REDACTION_VERSION,
        "recogniser": recogniser,
    }


def _talk_texts(rows: list[dict[str, Any]], places: list[int], redacted: dict[int, dict[str, Any]], round: str) -> list[tuple[int, Text]]:
    """The texts of a conversation's records, each with its record's number; the rows they lie in go to `redacted`."""
    texts: list[tuple[int, Text]] = []
    for number, place in enumerate(places):
        row = {"redaction_version": REDACTION_VERSION, "spans": [], **{k: rows[place][k] for k in CARRIED}, "round": round}
        redacted[place] = row
        texts.extend((number, text) for text in record_texts(row))
    return texts


def piece_of(text: Text) -> Piece:
    spoken = text.role in ("user", "assistant") and text.path.endswith(".content")
    return Piece(text.value, role=text.role if spoken else None, hint=text.hint, light=text.action == "keep")


def record_texts(row: dict[str, Any]) -> list[Text]:
    """A row's texts; the arguments of tool calls by their own JSON fields (put back by `_finish_tool_arguments`)."""
    made: list[Text] = []
    for text in texts_of(RedactedRecord, row):
        if text.path.endswith(".arguments") and ".tool_calls." in text.path:
            try:
                value = json.loads(text.value)
            except ValueError:
                value = None
            if isinstance(value, (dict, list)):
                text.holder[text.key] = _Arguments(value, text.value)
                made.extend(loose_texts(value, "redact", text.path, None, None))
                continue
        made.append(text)
    return made


class _Arguments:
    """Parsed tool arguments while their texts are being replaced. Unchanged ones keep the log's own bytes."""

    def __init__(self, value: Any, text: str) -> None:
        self.value, self.text = value, text

    def __str__(self) -> str:
        return self.text if self.value == json.loads(self.text) else json.dumps(self.value, ensure_ascii=False)


def _finish_tool_arguments(row: dict[str, Any]) -> None:
    for turn in (*row["messages"], *row["responses"]):
        for call in turn["tool_calls"] or ():
            call["arguments"] = str(call["arguments"])


def values_found(values: Sequence[str], found: Sequence[Sequence[Span]]) -> list[tuple[str, str, str]]:
    """(type, value, layer) of every span in order. One value has one type within a conversation: that of the strongest layer."""
    best: dict[str, Span] = {}
    listed = [(span, value[span.start : span.end]) for value, spans in zip(values, found, strict=True) for span in spans]
    for span, value in listed:
        key = value_key("", value)
        if key not in best or span.priority > best[key].priority:
            best[key] = span
    return [(best[value_key("", value)].type, value, span.layer) for span, value in listed]


def with_aliases(text: str, spans: Iterable[Span], aliases: Iterable[str]) -> str:
    parts, at = [], 0
    for span, alias in zip(spans, aliases, strict=True):
        parts += [text[at : span.start], alias]
        at = span.end
    return "".join([*parts, text[at:]])


def _content_hash(row: Mapping[str, Any]) -> str:
    names = ("timestamp", "domain", "task_type", "language", "messages", "responses", "feedback", "template", "metadata")
    text = json.dumps({n: row[n] for n in names}, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def redact_text(
    text: str,
    *,
    conversation_id: str,
    vault: Vault,
    settings: GovernanceSettings,
    profile: Mapping[str, str] | None = None,
    round: str | None = None,
) -> str:
    """One text that joins a conversation later: a generated response, a rationale. See `redact_texts`."""
    return redact_texts([text], [conversation_id], vault=vault, settings=settings, profiles=[profile or {}], round=round)[0]


def redact_texts(
    texts: Sequence[str], conversation_ids: Sequence[str], *, vault: Vault, settings: GovernanceSettings,
    profiles: Sequence[Mapping[str, str]] | None = None, round: str | None = None,
) -> list[str]:  # fmt: skip
    """Texts that join conversations later. Aliases in them stay; values that the conversation's log held get the alias they have there
    (in `round`, default its newest); other values get numbers that the conversation does not use.

    Each text alone decides its result, given the conversation's log: order and batch do not matter. New values go to the vault.
    """
    if len(texts) != len(conversation_ids) or (profiles is not None and len(profiles) != len(texts)):
        raise BadInput(f"{len(texts)} texts need as many conversation ids and profiles")
    detector = Detector(settings)
    talks: dict[str, tuple[tuple[tuple[str, str], ...], dict[tuple[str, str], str], list[tuple[str, int]], str]] = {}
    findings: list[Finding] = []
    result = []
    detector.look_ahead([Piece(text) for text in texts])
    for index, (text, conversation_id) in enumerate(zip(texts, conversation_ids, strict=True)):
        if conversation_id not in talks:
            rows = vault.known(conversation_id, round)
            said = tuple(sorted({(type, value) for _, type, value in rows if value}))
            known = {(alias_name(type), value_key(alias_name(type), value)): alias for alias, type, value in rows if value}
            reserved = [literal for alias, _, _ in rows for literal in literal_aliases(alias)]
            talks[conversation_id] = (said, known, reserved, vault.subject_of(conversation_id))
        said, known, reserved, subject = talks[conversation_id]
        personal, raw_ids = profile_fields(dict(profiles[index])) if profiles else ((), ())
        found = detector.conversation([Piece(text)], personal=tuple(sorted({*said, *personal})), raw_ids=raw_ids)
        named = values_found([text], found)
        taken = [*reserved, *literal_aliases(text)]
        aliases = assign([(type, value) for type, value, _ in named], taken=taken, known=known, anchors=[*said, *personal])
        findings.extend(Finding(type, value, subject, conversation_id, layer in CERTAIN) for type, value, layer in named)
        result.append(with_aliases(text, found[0], aliases))
    if findings:
        vault.tokens(findings)
    return result
