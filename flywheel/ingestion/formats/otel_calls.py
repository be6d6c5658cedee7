"""The records of one trace: spans, log records and judgements put together, every model call once.

A call may be seen several times: as a span and as an event, by two nested instrumentations, or because a batch was exported twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flywheel.ingestion.formats.contract import Assembled, Bad
from flywheel.ingestion.formats.otel_context import Context, read_guardrail, read_retrieval
from flywheel.ingestion.formats.otel_events import Event
from flywheel.ingestion.formats.otel_facts import Facts, read_facts
from flywheel.ingestion.formats.otel_feedback import Judgement, of_annotation, of_evaluation
from flywheel.ingestion.formats.otel_kinds import CALL, CONTENT_EVENTS, DETAILS, EVALUATION, GUARDRAIL, RETRIEVAL
from flywheel.ingestion.formats.otel_messages import Lost, as_text
from flywheel.ingestion.formats.otel_row import absorb, row_of
from flywheel.ingestion.formats.otel_seen import Seen, read_part
from flywheel.ingestion.quarantine import Rejected

USED = CONTENT_EVENTS | {CALL, DETAILS, EVALUATION, GUARDRAIL, RETRIEVAL, "annotation"}


@dataclass(slots=True)
class Call:
    """A model call and the parts that tell of it. `main` is the part that stands for it."""

    main: Seen
    parts: list[Seen] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    messages: list[Seen] = field(default_factory=list)
    facts: Facts | None = None
    judgements: list[Judgement] = field(default_factory=list)
    context: list[Context] = field(default_factory=list)
    into: Call | None = None  # another sighting of the same call that has taken this one in

    def kept(self) -> Call:
        """The sighting that stands for this one in the end."""
        found = self
        while found.into is not None:
            found.into = found.into.into or found.into  # keeps chains short, however long a nest of spans
            found = found.into
        return found


def assemble_trace(parts: Sequence[Mapping[str, Any]], format: str, losses: Counter[str]) -> Assembled:
    """The records of the parts of one trace (or of what is joined by a response's or span's id)."""
    return _Trace(parts, format).assembled(losses)


class _Trace:
    def __init__(self, parts: Sequence[Mapping[str, Any]], format: str) -> None:
        self.parts, self.format, self.result = parts, format, Assembled()
        self.seen: list[Seen] = []
        self.calls: list[Call] = []
        self.by_span: dict[str, Call] = {}
        self.by_response: dict[str, Call] = {}
        for index, payload in enumerate(parts):
            try:
                seen = read_part(payload, index)
            except Rejected as refused:
                self._refuse([index], refused)
                continue
            if seen.sort in USED:
                self.seen.append(seen)
            else:  # looked like a part of a call until its values were read
                self.result.skipped[index] = seen.sort

    def assembled(self, losses: Counter[str]) -> Assembled:
        """Build the calls, join to them what belongs to them, and write their rows."""
        self._collect_spans()
        self._collect_events()
        for call in self.calls:
            self._read(call)
        self.calls = [c for c in self.calls if c.facts is not None]
        lost = Lost(self.format)
        if len(self.seen) > 1 or not self.calls:  # a call alone in its trace has nothing to be joined with
            self._join_sightings()
            self.calls = [c for c in self.calls if c.into is None]
            self._join_judgements(lost)
            self._join_context(lost)
        for call in self.calls:
            self._write(call, losses)
        losses.update(lost.counts)
        return self.result

    def _refuse(self, indices: Sequence[int], refused: Rejected) -> None:
        for index in indices:
            self.result.bad[index] = Bad(refused.reason, refused.message, refused.field, self.parts[index])

    def _collect_spans(self) -> None:
        for seen in self.seen:
            if seen.sort == CALL and seen.span is not None:
                known = self.by_span.get(seen.span)
                if known is None:
                    self._new(seen, seen.span).attributes = dict(seen.attributes)
                else:  # exported twice: one of the two may have been cut short
                    known.parts.append(seen)
                    _fill(known.attributes, seen.attributes)
                    known.main.events = known.main.events or seen.events
                    known.main.evaluations = known.main.evaluations or seen.evaluations

    def _new(self, seen: Seen, span: str | None) -> Call:
        call = Call(seen, [seen])
        self.calls.append(call)
        if span is not None:
            self.by_span[span] = call
        return call

    def _collect_events(self) -> None:
        """Log records that tell of a call: those of a span that is not there are a call themselves."""
        only = self.calls[0] if len(self.calls) == 1 else None
        by_response = {c.attributes["gen_ai.response.id"]: c for c in self.calls if isinstance(c.attributes.get("gen_ai.response.id"), str)}
        for seen in self.seen:
            if seen.sort != DETAILS and seen.sort not in CONTENT_EVENTS:
                continue
            response = seen.attributes.get("gen_ai.response.id")
            call = self.by_span.get(seen.span) if seen.span is not None else None
            if call is None and seen.sort == DETAILS:
                call = by_response.get(response) if isinstance(response, str) else None
            if call is None and seen.span is None and seen.sort != DETAILS:
                if only is None:
                    self._refuse(
                        [seen.index], Rejected("missing_field", "a message that names no span: which call does it belong to?", "spanId")
                    )
                    continue
                call = only
            if call is None:
                call = self._new(seen, seen.span)
                if isinstance(response, str):
                    by_response.setdefault(response, call)
            elif seen is not call.main:
                call.parts.append(seen)
            if seen.sort == DETAILS:
                _fill(call.attributes, seen.attributes)
            else:
                call.messages.append(seen)

    def _read(self, call: Call) -> None:
        try:
            call.facts = read_facts(call.attributes, self._events_of(call), self.format)
        except Rejected as refused:
            self._refuse([p.index for p in call.parts], refused)
            return
        lost: dict[str, int] = {}
        for seen in call.parts:
            for name, times in seen.lost.items():  # what two copies of a span both lost is lost once
                lost[name] = max(times, lost.get(name, 0))
            for key, value in seen.resource.items():
                call.facts.metadata.setdefault(key, value)
            for fields, time in seen.evaluations:
                try:
                    call.judgements.append(of_evaluation(fields, time))
                except Rejected:
                    call.facts.lost.add("gen_ai.evaluation.result (cannot be read)")
        for name, times in lost.items():
            call.facts.lost.add(name, times)

    @staticmethod
    def _events_of(call: Call) -> list[Event]:
        """The call's message events in their order in time."""
        events: list[Event] = list(call.main.events)
        told: set[tuple[str, str, str]] = set()
        for seen in sorted(call.messages, key=lambda s: s.time or ""):
            mark = (seen.time or "", seen.sort, as_text(seen.attributes))
            if seen.time is None or mark not in told:  # the same record twice is one message
                told.add(mark)
                events.append((seen.sort, seen.attributes))
        return events

    def _join_sightings(self) -> None:
        """One call that two instrumentations saw: the same response id, or one inside the other with the same answer (or without any)."""
        for call in self.calls:
            facts = call.facts
            if facts is None:
                continue
            response = facts.said.get("response_id")
            twin = self.by_response[response].kept() if response in self.by_response else None
            above = self._call_of(call.main.parent)
            if twin is None and above is not None and above is not call and above.facts is not None and _nested(above.facts, facts):
                twin = above
            kept = call
            if twin is not None and twin.facts is not None and _agree(twin.facts, facts):
                kept, other = (twin, call) if _order(twin) <= _order(call) else (call, twin)
                self._absorb(kept, other)
            for key in {response, kept.facts.said.get("response_id") if kept.facts else None} - {None}:
                self.by_response[str(key)] = kept

    def _absorb(self, into: Call, call: Call) -> None:
        assert into.facts is not None and call.facts is not None  # noqa: S101, PT018
        absorb(into.facts, call.facts)
        into.parts, more = (into.parts, call.parts) if len(into.parts) >= len(call.parts) else (call.parts, into.parts)
        into.parts += more
        into.judgements += call.judgements
        into.main.failed = into.main.failed and call.main.failed
        call.into = into

    def _call_of(self, span: str | None) -> Call | None:
        """The call that a span is, or is another sighting of."""
        found = self.by_span.get(span) if span is not None else None
        return None if found is None else found.kept()

    def _join_judgements(self, lost: Lost) -> None:
        only = self.calls[0] if len(self.calls) == 1 else None
        for seen in self.seen:
            if seen.sort not in (EVALUATION, "annotation"):
                continue
            try:
                judgement = of_evaluation(seen.attributes, seen.time) if seen.sort == EVALUATION else of_annotation(seen.attributes, lost)
            except Rejected as refused:
                self._refuse([seen.index], refused)
                continue
            response = seen.attributes.get("gen_ai.response.id")
            call = (
                self.by_response[response].kept()
                if isinstance(response, str) and response in self.by_response
                else self._call_of(seen.span)
            )
            if call is None and (seen.sort == EVALUATION or seen.span is None):
                call = only
            if call is None or call.facts is None:
                self.result.skipped[seen.index] = "feedback without its call"
            else:
                call.judgements.append(judgement)
                call.parts.append(seen)

    def _join_context(self, lost: Lost) -> None:
        """Retrievals and guardrails go to the only call there is, to the one above them, or to the one beside them that came next."""
        beside: dict[str, list[tuple[str, int, Call]]] = {}
        for n, call in enumerate(self.calls):
            for parent in {p.parent for p in call.parts if p.parent is not None}:
                beside.setdefault(parent, []).append((call.main.time or "", n, call))
        for calls in beside.values():
            calls.sort(key=lambda c: c[:2])
        told: set[str] = set()
        for seen in self.seen:
            if seen.sort not in (RETRIEVAL, GUARDRAIL) or seen.span in told:  # exported twice: said once
                continue
            if seen.span is not None:
                told.add(seen.span)
            try:
                context = read_retrieval(seen, self.format) if seen.sort == RETRIEVAL else read_guardrail(seen)
            except Rejected as refused:
                self._refuse([seen.index], refused)
                continue
            owner = self.calls[0] if len(self.calls) == 1 else self._call_of(seen.parent)
            if owner is None and seen.parent in beside:
                siblings = beside[seen.parent]
                next_one = bisect_left(siblings, seen.time or "", key=lambda c: c[0])
                if next_one < len(siblings) or seen.sort == GUARDRAIL:  # a guardrail may have judged the answer before it
                    owner = siblings[min(next_one, len(siblings) - 1)][2]
            if context is None or owner is None or owner.facts is None:
                self.result.skipped[seen.index] = seen.sort
                lost.add(f"{seen.sort} span ({'says nothing that has a place' if context is None else 'no call that it belongs to'})")
                continue
            owner.context.append(context)

    def _write(self, call: Call, losses: Counter[str]) -> None:
        assert call.facts is not None  # noqa: S101
        spans = sorted((p for p in call.parts if p.sort == CALL and p.time is not None), key=lambda p: (p.time or "", p.span or ""))
        try:
            row = row_of(call.facts, call.main, spans[0].time if spans else call.main.time, call.judgements, call.context)
        except Rejected as refused:
            self._refuse([p.index for p in call.parts], refused)
            return
        self.result.rows.append((call.main.index, row))
        for name, times in call.facts.lost.counts.items():
            losses[name] += times


def _fill(known: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        known.setdefault(key, value)


def _order(call: Call) -> tuple[bool, bool, str, str]:
    """Which of two sightings stands for the call: a span before events, the conventions before other families, the earlier one."""
    return call.main.sort != CALL, "gen_ai.output.messages" not in call.attributes, call.main.time or "", call.main.span or ""


def _said(facts: Facts) -> list[tuple[Any, Any]]:
    return [(a["text"], [(c["name"], c["arguments"]) for c in a.get("tool_calls", ())]) for a in facts.answers or ()]


def _agree(one: Facts, other: Facts) -> bool:
    return not one.answers or not other.answers or _said(one) == _said(other)


def _nested(above: Facts, below: Facts) -> bool:
    """Is a call inside another one the same call, seen by the layer below? One of them may have recorded no content."""
    ids = {above.said.get("response_id"), below.said.get("response_id")} - {None}
    if len(ids) > 1:
        return False
    if not (above.answers or above.messages) or not (below.answers or below.messages):
        return True
    return bool(above.answers) and _said(above) == _said(below)
