"""What redaction does to text and records: every field, stable aliases, nothing left over."""

from __future__ import annotations

import itertools
import json
import random
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from flywheel.errors import IntegrityError
from flywheel.governance import Vault, redact_logs, redact_text, redact_texts, residual_leaks, residual_verdict
from flywheel.governance.detection import Detector, Piece
from flywheel.governance.fields import field_rules
from flywheel.governance.normalise import normalise
from flywheel.governance.pattern_layer import PREFILTERS, pattern_spans
from flywheel.governance.residual import exclusion
from flywheel.governance.spans import Span, resolve
from flywheel.records import KEEP, TABLES, ConsentedRecord, RedactedRecord
from flywheel.settings import GovernanceSettings, Settings
from flywheel.storage import Home, Ids, from_table, to_table

SETTINGS = GovernanceSettings()
IDS = Ids(b"k" * 32)
ROUND = "2026-01-05"
T0 = datetime(2026, 1, 6, tzinfo=UTC)
PROFILE = {
    "name": "Katarina Brandvold",
    "email": "kat.b@mail.example",
    "phone": "+44 20 7946 0123",
    "address": "12 Maple Avenue, Portland, OR 97205",
    "tier": "gold",
}


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault.open(Home(Settings(home=tmp_path)))
    yield opened
    opened.close()


def record(
    number: int = 0, asked: str = "Hello", answered: str = "Hi", conversation: str = "c", minute: int = 0, **changes: Any
) -> dict[str, Any]:
    return {
        "round": ROUND, "record_id": IDS.make("record", str(number)), "conversation_id": IDS.make("conversation", conversation),
        "subject_id": IDS.make("subject", conversation), "timestamp": T0 + timedelta(minutes=minute), "domain": "support", "task_type": "generation",
        "messages": [{"role": "user", "content": asked}], "responses": [{"text": answered, "generation": {"model_id": "m-1"}}],
        "source": {"format": "flywheel", "file": "a.jsonl", "line": number}, "content_sha256": "0" * 64, "profile": PROFILE, "metadata": {},
        "purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3", **changes,
    }  # fmt: skip


def redacted(vault: Vault, *rows: dict[str, Any]) -> list[RedactedRecord]:
    return from_table(RedactedRecord, redact(vault, *rows))


def redact(vault: Vault, *rows: dict[str, Any]) -> pa.Table:
    return redact_logs(to_table(ConsentedRecord, rows), vault=vault, settings=SETTINGS, round=ROUND)[0]


def alone(text: str, role: str | None = None) -> list[tuple[str, str]]:
    (spans,) = Detector(SETTINGS).conversation([Piece(text, role=role)])
    return [(s.type, text[s.start : s.end]) for s in spans]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane_doe+x@shop.internal please", [("EMAIL_ADDRESS", "jane_doe+x@shop.internal")]),
        ("jane (at) shop (dot) com", [("EMAIL_ADDRESS", "jane (at) shop (dot) com")]),
        ("call +1 (202) 555-0134 or 020 7946 0123", [("PHONE_NUMBER", "+1 (202) 555-0134"), ("PHONE_NUMBER", "020 7946 0123")]),
        ("order SF-123456 and ac-654321, ticket TK-12345", [("ORDER_ID", "SF-123456"), ("ACCOUNT_ID", "ac-654321"), ("TICKET_ID", "TK-12345")]),
        ("card 4000 0012 3456 7899", [("CREDIT_CARD", "4000 0012 3456 7899")]),
        ("from 203.0.113.7", [("IP_ADDRESS", "203.0.113.7")]),
        ("my name is john smithson and I need help", [("PERSON", "john smithson")]),
        ("Hi, I am Wilhelmina van der Berg.", [("PERSON", "Wilhelmina van der Berg")]),
        ("I'm Søren Kjærgaard", [("PERSON", "Søren Kjærgaard")]),
        ("Ask Dr. Okonkwo about it", [("PERSON", "Okonkwo")]),
        ("my friend Oluwaseun paid", [("PERSON", "Oluwaseun")]),
        ("I live at 221 Baker Street, London .", [("ADDRESS", "221 Baker Street, London")]),
        ("ship it to 12 elmwood st apt 4", [("ADDRESS", "12 elmwood st apt 4")]),
        ("my PIN is 4411", [("PIN", "4411")]),
        ("born on 12/04/1971", [("DOB", "12/04/1971")]),
        ('{"customer_name": "Ada Byron", "note": "x"}', [("PERSON", "Ada Byron")]),
        ("I am happy with it. I'm not sure. This is great, I am Locked out", []),
        ("the total is 1,234,567.89 for 12 items since 2026-01-05 12:30:45", []),
        ("May I return it in June? I will mark it as paid.", []),
    ],
)  # fmt: skip
def test_personal_data_is_found_by_what_it_is(text: str, expected: list[tuple[str, str]]) -> None:
    assert alone(text) == expected


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('api_key = "sk_live_SFDEMOabcDEF1234567890"', "sk_live_SFDEMOabcDEF1234567890"),
        ("# key sk_live_SFDEMOabcDEF1234567890", "sk_live_SFDEMOabcDEF1234567890"),
        ("AKIAIOSFODNN7EXAMPLE is mine", "AKIAIOSFODNN7EXAMPLE"),
        ("token: ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("my password is hunter2!", "hunter2!"),
        ('DB_PASSWORD="tr0ub4dor&3"', "tr0ub4dor&3"),
        ("postgres://app:s3cr3t@db.internal:5432/shop", "postgres://app:s3cr3t@db.internal:5432/shop"),
        ("Authorization: Bearer abcDEF123456.ghiJKL", "abcDEF123456.ghiJKL"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_whole(text: str, secret: str) -> None:
    assert ("SECRET", secret) in alone(text)


@pytest.mark.parametrize("text", [
    "my password is not working", "password = os.environ['PASSWORD']", "token = get_token()", "token: [SECRET_1]", "key = '<your key>'", "PASSWORD=${PASSWORD}",
    "for key in tokens: total += len(key)", "def check(password: str, token=None): return secret_sauce(password)", "the secret is to wait",
])  # fmt: skip
def test_ordinary_code_and_prose_about_secrets_stay(text: str) -> None:
    assert [f for f in alone(text) if f[0] == "SECRET"] == []


def test_an_answer_to_what_the_agent_asked_is_found_and_carried_through_the_conversation() -> None:
    turns = [("assistant", "May I have your full name, please?"), ("user", "quentin abernathy"), ("assistant", "And your account number and PIN?"),
             ("user", "93418043810 and 7402"), ("assistant", "Thank you. What was your mother's maiden name?"), ("user", "Cooper"),
             ("user", "So, abernathy again: is 7402 right?")]  # fmt: skip
    spans = Detector(SETTINGS).conversation([Piece(t, role=r) for r, t in turns])
    found = [[(s.type, t[s.start : s.end]) for s in sp] for (_, t), sp in zip(turns, spans, strict=True)]
    assert found[1] == [("PERSON", "quentin abernathy")]
    assert found[3] == [("ACCOUNT_ID", "93418043810"), ("PIN", "7402")]
    assert found[5] == [("SECURITY_ANSWER", "Cooper")]
    assert found[6] == [("PERSON", "abernathy"), ("PIN", "7402")]


def test_the_profile_is_found_in_parts_other_groupings_and_with_typing_errors(vault: Vault) -> None:
    asked = "kat brandvold here, Katarina. Mail KAT.B@MAIL.EXAMPLE, phone 02079460123, near 12 Mapel Avenue, Portland. Brandvlod is my name; gold tier"
    (found,) = redacted(vault, record(asked=asked))
    assert found.messages[0].content == (
        "[PERSON_1] here, [PERSON_1]. Mail [EMAIL_1], phone [PHONE_1], near [ADDRESS_1]. [PERSON_1] is my name; gold tier"
    )


def test_invisible_characters_and_compatibility_forms_hide_nothing(vault: Vault) -> None:
    (found,) = redacted(vault, record(asked="I am Kata\u200brina Brand\ufeffvold, ｋａｔ.ｂ＠ｍａｉｌ.ｅｘａｍｐｌｅ ok"))
    assert found.messages[0].content == "I am [PERSON_1], [EMAIL_1] ok"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_normalised_offsets_lead_back_to_the_original(text: str) -> None:
    plain = normalise(text)
    for start in range(len(plain.text)):
        a, b = plain.back(start, start + 1)
        assert 0 <= a < b <= len(text)
        assert plain.text[start] in normalise(text[a:b]).text


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 19), st.integers(1, 8), st.sampled_from("ABC"), st.sampled_from(["secret", "pattern", "phrase", "slot"])),
        max_size=8,
    )
)
def test_resolved_spans_do_not_overlap_and_cover_everything_found(raw: list[tuple[int, int, str, str]]) -> None:
    text = "abcdefghij klmnop qrstu"
    spans = [Span(a, min(len(text), a + n), t, layer) for a, n, t, layer in raw]
    settled = resolve(spans, text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(settled))
    covered = {i for s in settled for i in range(s.start, s.end)}
    assert {i for s in spans for i in range(s.start, s.end) if text[i] != " "} <= covered


def test_existing_aliases_stay_and_their_numbers_are_given_to_nobody_else(vault: Vault) -> None:
    (found,) = redacted(
        vault, record(asked="[PERSON_1] asked Katarina Brandvold about [ORDER_2], SF-111111 and SF-222222", answered="Dear [PERSON_1],")
    )
    assert found.messages[0].content == "[PERSON_1] asked [PERSON_2] about [ORDER_2], [ORDER_1] and [ORDER_3]"
    assert found.responses[0].text == "Dear [PERSON_1],"


def test_every_text_field_of_a_record_is_redacted(vault: Vault) -> None:
    leak = "Katarina Brandvold kat.b@mail.example"
    calls = [{"id": "call_1", "name": "lookup", "arguments": json.dumps({"customer": {"name": "Zora Nwosu", "phone": 2025550134}, "n": 3})}]
    row = record(
        messages=[{"role": "user", "content": leak, "name": leak}, {"role": "assistant", "content": "", "tool_calls": calls}],
        responses=[{"text": leak, "tool_calls": calls, "generation": {
            "model_id": "m", "retrieval": {"ids": [leak]}, "guardrails": [{"name": "pii", "decision": "allow", "detail": leak}],
            "sandbox": {"verdict": "error", "sandbox_version": "1", "reason": leak, "findings": [{"rule": "S1", "severity": "low", "message": leak}]}}}],
        feedback={"edited_text": leak, "comment": leak}, source={"format": "flywheel", "file": "kat.b@mail.example.jsonl", "line": 1},
        template={"id": "kat.b@mail.example", "version": "1"}, metadata={"kat.b@mail.example": {"deep": [leak]}, "user_name": "katb77", "n": 5},
    )  # fmt: skip
    table = redact(vault, row)
    text = json.dumps(table.to_pylist(), default=str, ensure_ascii=False)
    for value in ("Katarina", "Brandvold", "kat.b", "Zora", "Nwosu", "2025550134", "katb77"):
        assert value not in text
    (found,) = from_table(RedactedRecord, table)
    assert json.loads(found.responses[0].tool_calls[0].arguments) == {"customer": {"name": "[PERSON_2]", "phone": "[PHONE_1]"}, "n": 3}
    assert found.metadata == {"[EMAIL_1]": {"deep": ["[PERSON_1] [EMAIL_1]"]}, "user_name": "[USER_1]", "n": 5}
    assert residual_leaks(table, vault) == []


def test_two_people_of_one_conversation_are_both_known(vault: Vault) -> None:
    first = record(1, "The parcel for Xanthippe Okonkwo is late", profile={"name": "Xanthippe Okonkwo", "record_id": "raw-77191"})
    second = record(
        2, "It says raw-77191 was for Ptolemy Vandersloot", minute=1, profile={"name": "Ptolemy Vandersloot", "record_id": "raw-77192"}
    )
    text = str([r.model_dump() for r in redacted(vault, first, second)])
    for value in ("Xanthippe", "Okonkwo", "Ptolemy", "Vandersloot", "raw-77191"):
        assert value not in text


def test_who_speaks_is_a_person_and_which_tool_answers_is_not(vault: Vault) -> None:
    turns = [{"role": "user", "content": "Hello", "name": "Xanthippe"}, {"role": "tool", "content": "{}", "name": "get_weather"}]
    (made,) = redacted(vault, record(messages=turns))
    assert [m.name for m in made.messages] == ["[PERSON_1]", "get_weather"]


def test_a_tool_call_without_personal_data_keeps_its_bytes(vault: Vault) -> None:
    arguments = '{"b": 1,   "a":[2]}'
    (found,) = redacted(
        vault, record(messages=[{"role": "assistant", "content": "", "tool_calls": [{"name": "f", "arguments": arguments}]}])
    )
    assert found.messages[0].tool_calls[0].arguments == arguments


def test_every_table_declares_what_happens_to_each_text() -> None:
    for model in TABLES.values():
        field_rules(model)


def test_a_field_without_declaration_is_refused() -> None:
    class Inner(BaseModel):
        kind: Annotated[str, Field(json_schema_extra=KEEP)]
        note: str | None = None

    class Outer(BaseModel):
        items: list[Inner] = []

    with pytest.raises(IntegrityError, match=r"Inner\.note"):
        field_rules(Outer)


def test_a_raw_id_in_an_id_column_is_refused(vault: Vault) -> None:
    with pytest.raises(IntegrityError, match="no keyed id"):
        redact(vault, record(record_id="cust-000123"))


def test_the_same_conversation_reads_the_same_in_any_batch_order_and_rerun(tmp_path: Path) -> None:
    rows = [record(i, f"I am {n}, SF-10000{i} and SF-10000{i + 1}", f"Dear {n}", conversation=f"c{i // 3}", minute=i, profile={})
            for i, n in enumerate(["Ada Byron", "Byron", "Ada", "Grace Hopper", "Ms. Hopper", "Katherine Goble", "Emmy Noether", "Noether"])]  # fmt: skip
    vaults = [Vault.open(Home(Settings(home=tmp_path / str(i)))) for i in range(3)]
    whole = {r.record_id: r for r in redacted(vaults[0], *rows)}
    shuffled = rows[:]
    random.Random(3).shuffle(shuffled)
    assert {r.record_id: r for r in redacted(vaults[1], *shuffled)} == whole
    parts = [
        r
        for c in range(3)
        for r in redacted(vaults[2], *(x for x in shuffled if x["conversation_id"] == IDS.make("conversation", f"c{c}")))
    ]
    assert {r.record_id: r for r in parts} == whole
    assert {r.record_id: r for r in redacted(vaults[0], *rows)} == whole
    assert whole[IDS.make("record", "1")].messages[0].content == "I am [PERSON_1], [ORDER_2] and [ORDER_3]"


def test_generated_text_uses_the_conversations_aliases_and_new_numbers_for_new_values(vault: Vault) -> None:
    redact(vault, record(asked="I am Katarina Brandvold, order SF-111111, also [ORDER_2]"))
    conversation = IDS.make("conversation", "c")
    texts = ["Dear Ms. Brandvold, SF-111111 and SF-999999 are on their way, [PERSON_1].", "SF-999999", "Nothing personal."]
    expected = ["Dear Ms. [PERSON_1], [ORDER_1] and [ORDER_3] are on their way, [PERSON_1].", "[ORDER_3]", "Nothing personal."]
    assert redact_texts(texts, [conversation] * 3, vault=vault, settings=SETTINGS) == expected
    assert redact_texts(texts[::-1], [conversation] * 3, vault=vault, settings=SETTINGS) == expected[::-1]
    assert (
        redact_text("For Zed Okoro", conversation_id="other", vault=vault, settings=SETTINGS, profile={"name": "Zed Okoro"})
        == "For [PERSON_1]"
    )
    assert "SF-999999" in set(vault.values())


def test_a_configured_identifier_must_be_a_usable_pattern() -> None:
    for pattern, message in (("(", "no regular expression"), ("x*", "empty text")):
        with pytest.raises(ValueError, match=message):
            Detector(GovernanceSettings(identifiers={"MEMBER_ID": pattern}))


def test_the_prefilter_loses_nothing_that_presidios_engine_finds() -> None:
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry, predefined_recognizers
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    kinds = [getattr(predefined_recognizers, name)() for name in [*PREFILTERS, "PhoneRecognizer"] if name != "EmailRecognizer"]
    engine = AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=kinds, supported_languages=["en"]),
        nlp_engine=NoOpNlpEngine([{"lang_code": "en", "model_name": "no_op"}]),
    )
    values = ["+1 202-555-0134", "(202) 555-0134", "+49 30 23125 123", "078-05-1120", "4000001234567899", "DE89370400440532013000", "203.0.113.7", "2001:db8::1",
              "00:1B:44:11:3A:B7", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "ext. 12", "5 days", "$1,299.00", "2026-01-05"]  # fmt: skip
    rng = random.Random(5)
    for _ in range(60):
        # words between the numbers: two in a row are one candidate to the phone matcher, which then cuts them anywhere
        text = " ".join(word for _ in range(6) for word in (rng.choice(["call", "order the", "is at", "and ,"]), rng.choice(values)))
        wanted = {(r.start, r.end, r.entity_type) for r in engine.analyze(text, language="en", score_threshold=SETTINGS.minimum_score)}
        ours = {(s.start, s.end, s.type) for s in pattern_spans(text, language="en", minimum_score=SETTINGS.minimum_score)}
        covered = {i for a, b, _ in ours for i in range(a, b)}
        assert all(set(range(a, b)) <= covered for a, b, _ in wanted), (text, wanted - ours)


def test_redaction_never_touches_the_network(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (found,) = redacted(vault, record(asked="x@example.co.uk +1 202 555 0134 4000 0012 3456 7899 203.0.113.7"))
    assert found.messages[0].content == "[EMAIL_1] [PHONE_1] [CARD_1] [IP_1]"


@pytest.mark.parametrize("text", ["Katarina Brandvold", "kATARINA  brandvold", "Ka\u200btarina Brandvold", "KAT.B@mail.example", "xkat.b@mail.examplex",
                                  "+44 (20) 7946-0123", "442079460123", "12 maple avenue, portland, or 97205"])  # fmt: skip
def test_the_residual_scan_sees_a_vault_value_in_any_string_of_a_table(vault: Vault, text: str) -> None:
    from flywheel.governance import Identity

    kinds = {"name": "PERSON", "email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER", "address": "ADDRESS"}
    vault.remember([Identity(IDS.make("subject", "c"), kind, PROFILE[key]) for key, kind in kinds.items()])
    table = pa.table({"a": ["fine", "fine"], "nested": [[{"t": "fine"}], [{"t": f"so {text} it is"}]], "json": ["{}", "{}"]})
    (leak,) = residual_leaks(table, vault)
    assert (leak.row, leak.column) == (1, "nested.t")
    verdict = residual_verdict("f" * 64, [leak], ROUND, T0)
    assert verdict.state == "fail"
    assert text not in verdict.model_dump_json()
    assert residual_verdict("f" * 64, [], ROUND, T0).state == "pass"


def test_a_single_name_counts_in_its_holders_rows_and_an_ordinary_word_only_as_written(vault: Vault) -> None:
    from flywheel.governance import Identity

    mine, other = IDS.make("subject", "a"), IDS.make("subject", "b")
    vault.remember(
        [
            Identity(mine, "PERSON", "Quillon"),
            Identity(mine, "PERSON", "Mark"),
            Identity(mine, "PIN", "1470"),
            Identity(mine, "PERSON", "Bo"),
        ]
    )
    table = pa.table(
        {"subject_id": [mine, mine, other, mine], "t": ["ask quillon", "mark it as paid", "Quillon Mark 1470 Bo", "Mark, pin 1470, 14703"]}
    )
    assert [(x.row, x.type) for x in residual_leaks(table, vault)] == [(0, "PERSON"), (3, "PERSON"), (3, "PIN")]
    assert exclusion("PERSON", "Bo") == "shorter than 4 characters"
    assert exclusion("SECURITY_ANSWER", "order") == "an ordinary word"


def test_a_generated_week_of_the_demo_shop_comes_out_clean_and_still_parses(tmp_path: Path) -> None:
    from flywheel.governance import consent_ledger, filter_consented
    from flywheel.ingestion import import_landing
    from flywheel.shopforge.logs import write_logs
    from flywheel.shopforge.world import parse_prompt
    from flywheel.training.prompts import render_prompt

    home, now = Home(Settings(home=tmp_path)), datetime(2026, 1, 12, 6, tzinfo=UTC)
    write_logs(Path(home.landing), round=ROUND, n=300, seed=0)
    found = import_landing(home.landing, round=ROUND, ids=home.ids, settings=home.settings.ingestion, now=now)
    ledger, vault = consent_ledger(home), Vault.open(home)
    ledger.append(found.consent_events)
    vault.remember(found.identities)
    consented, _ = filter_consented(found.records, ledger, now=now, round=ROUND)
    assert len(residual_leaks(consented, vault)) > 300, "the raw table is full of what the scan must see"
    table, facts = redact_logs(consented, vault=vault, settings=SETTINGS, round=ROUND)
    assert residual_leaks(table, vault) == []
    assert facts["records"] == consented.num_rows
    assert facts["recogniser"] == Detector(SETTINGS).recogniser()
    text = json.dumps(table.to_pylist(), default=str, ensure_ascii=False)
    for profile in (json.loads(p) for p in consented["profile"].to_pylist()):
        assert not any(value in text for value in profile.values())
    rows = from_table(RedactedRecord, table)
    parsed = sum(parse_prompt(render_prompt(r.messages)) is not None for r in rows)
    assert parsed >= 0.99 * len(rows)
