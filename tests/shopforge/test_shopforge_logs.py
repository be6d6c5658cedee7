"""Production logs of the demo shop."""

import json
import re
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadInput
from flywheel.records import LogRecord
from flywheel.settings import GovernanceSettings, IngestionSettings
from flywheel.shopforge import SPOILED, make_personas, message_text, parse_prompt, utility, write_logs
from flywheel.shopforge.personas import ALIAS, CONSENT_STATES, FIRST_NAMES, LAST_NAMES, fill
from flywheel.storage import Ids, from_table
from flywheel.weeks import window

ROUND = "2026-01-05"
N = 900
PERSONAS = make_personas(40, 0)
TEXTS = [
    "Ticket: Hi , I am [PERSON_1] . Please refund order [ORDER_1] . My email is [EMAIL_1] .",
    "Call me on [PHONE_1] . I live at [ADDRESS_1] . My account [ACCOUNT_1] is locked",
    "Your card on file is [CARD_1] . Use the key [SECRET_1] .",
]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_logs(tmp_path_factory.mktemp("landing"), round=ROUND, n=N, seed=3)


@pytest.fixture(scope="module")
def good(path):
    """The good records as written, exact duplicates once."""
    found = {}
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "-bad-" not in row["id"]:
            found.setdefault(row["id"], row)
    return list(found.values())


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    one, two, other_round, other_seed = (
        write_logs(tmp_path / name, round=r, n=80, seed=s).read_bytes()
        for name, r, s in (("1", ROUND, 5), ("2", ROUND, 5), ("3", "2026-01-12", 5), ("4", ROUND, 6))
    )
    assert one == two
    assert len({one, other_round, other_seed}) == 3


def test_the_file_is_private(path):
    assert path.name == f"shopforge-{ROUND}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600


def test_ingestion_accepts_every_good_record_and_quarantines_each_spoiled_line_for_its_reason(path):
    from flywheel.ingestion import import_landing

    now = datetime(2026, 1, 20, tzinfo=UTC)
    found = import_landing(str(path.parent), round=ROUND, ids=Ids(b"k" * 32), settings=IngestionSettings(), now=now)
    assert found.counts["accepted"] == N
    assert found.counts["duplicates"] == 3
    assert found.counts["quarantined"] == len(SPOILED)
    assert Counter(found.quarantine["reason"].to_pylist()) == Counter(SPOILED.values())
    assert found.losses == {}
    records = from_table(LogRecord, found.records)
    assert {r.domain for r in records} == {"support", "code"}
    start, end = window(ROUND)
    assert all(start <= r.timestamp < end for r in records)


def test_a_clean_file_holds_nothing_spoiled(tmp_path):
    lines = write_logs(tmp_path, round=ROUND, n=10, seed=0, spoiled=False).read_bytes().splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 10


def test_one_record_is_the_least(tmp_path):
    with pytest.raises(BadInput, match="n is 0"):
        write_logs(tmp_path, round=ROUND, n=0, seed=0)
    with pytest.raises(BadInput, match="did you mean 2026-01-05"):
        write_logs(tmp_path, round="2026-01-06", n=1, seed=0)
    assert write_logs(tmp_path, round=ROUND, n=1, seed=0).exists()


def test_the_consent_states_have_their_shares(good):
    def state(row):
        consent = row.get("consent")
        if consent is None:
            return "missing"
        if "withdrawn_at" in consent:
            return "withdrawn"
        if "expires_at" in consent:
            return "expired"
        return "full" if len(consent["purposes"]) == 3 else "labeling_only"

    shares = {s: n / len(good) for s, n in Counter(map(state, good)).items()}
    assert set(shares) == set(CONSENT_STATES)
    assert 0.86 < shares["full"] < 0.97
    assert all(0 < share < 0.07 for name, share in shares.items() if name != "full")


def test_a_customer_has_one_consent_in_every_round(tmp_path, good):
    later = write_logs(tmp_path, round="2026-01-12", n=300, seed=3, spoiled=False)
    stated = {row["user_id"]: row.get("consent") for row in good}
    rows = [json.loads(line) for line in later.read_bytes().splitlines()]
    met_before = [row for row in rows if row["user_id"] in stated]
    assert len(met_before) > 50
    assert all(row.get("consent") == stated[row["user_id"]] for row in met_before)


def test_personal_data_lies_in_realistic_places(good):
    texts = {
        "message": [r["messages"][0]["content"] for r in good],
        "response": [a["text"] for r in good for a in r["responses"]],
        "comment": [r.get("feedback", {}).get("comment", "") for r in good],
        "note": [r["metadata"].get("agent_note", "") for r in good],
    }
    names = [r["profile"]["name"] for r in good]
    assert any(name in text for name, text in zip(names, texts["message"], strict=True))
    assert any(r["profile"]["email"] in t for r, t in zip(good, texts["message"], strict=True))
    assert any(r["profile"]["phone"] in t for r, t in zip(good, texts["message"], strict=True))
    assert any(r["profile"]["address"] in t for r, t in zip(good, texts["message"], strict=True))
    assert any("sk_live_" in t for t in texts["message"])
    assert any("sk_live_" in t for t in texts["response"])
    assert any(re.search(r"card on file is 4000 00\d\d \d{4} \d{4}", t) for t in texts["response"])
    assert any("@example." in t for t in texts["comment"])
    assert any("Spoke to" in t for t in texts["note"])
    assert any("@" in r["user_id"] for r in good)
    assert any("@" not in r["user_id"] for r in good)
    assert not any(ALIAS.search(json.dumps(r)) for r in good)


def test_ids_have_the_configured_form(good):
    forms = [re.compile(p) for p in GovernanceSettings().identifiers.values()]
    assert all(forms[1].fullmatch(r["profile"]["account_id"]) for r in good)
    tickets = [r["metadata"]["ticket"] for r in good if "ticket" in r["metadata"]]
    assert tickets
    assert all(forms[2].fullmatch(t) for t in tickets)
    assert any(forms[0].search(r["messages"][0]["content"]) for r in good)


def test_every_prompt_is_of_a_training_cluster_and_many_recur(good):
    prompts = [parse_prompt(r["messages"][0]["content"]) for r in good]
    assert all(p is not None and p.split == "train" for p in prompts)
    assert len({p.cluster for p in prompts}) < 0.8 * len(prompts)


def test_two_logged_answers_differ(good):
    twice = [r["responses"] for r in good if len(r["responses"]) > 1]
    assert 0.05 < len(twice) / len(good) < 0.2
    assert all(a["text"] != b["text"] for a, b in twice)


def test_feedback_follows_the_answers_worth(good):
    worth = {"up": [], "down": []}
    for r in good:
        thumbs = r.get("feedback", {}).get("thumbs")
        if thumbs:
            worth[thumbs].append(utility(r["messages"][0]["content"], r["responses"][0]["text"]).u)
    mean = {k: sum(v) / len(v) for k, v in worth.items()}
    assert 0.2 < sum(map(len, worth.values())) / len(good) < 0.6
    assert mean["up"] > mean["down"] + 0.5


def test_a_model_may_answer_and_gets_placeholder_prompts(tmp_path):
    seen = []

    def respond(prompts):
        seen.extend(prompts)
        return [f"Order [ORDER_1] is noted ( {i} ) ." for i in range(len(prompts))]

    out = write_logs(tmp_path, round=ROUND, n=40, seed=1, respond=respond, model="dpo-1", spoiled=False)
    rows = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert all(parse_prompt(p) is not None and p.endswith("\nReply:\n") for p in seen)
    assert {a["model"] for r in rows for a in r["responses"]} == {"dpo-1"}
    assert all(re.match(r"Order SF-\d{6} is noted", a["text"]) for r in rows for a in r["responses"])


def test_a_model_that_answers_too_little_is_refused(tmp_path):
    with pytest.raises(BadInput, match="gave 1 answers"):
        write_logs(tmp_path, round=ROUND, n=5, seed=1, respond=lambda _: ["x"])


@settings(deadline=None)
@given(st.sampled_from(TEXTS), st.sampled_from(PERSONAS))
def test_filling_and_replacing_gives_the_placeholder_text_back(text, persona):
    filled = fill(text, persona)
    assert not ALIAS.search(filled)
    for kind, value in sorted(persona.values().items(), key=lambda pair: -len(pair[1])):
        filled = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"[{kind}_1]", filled)
    assert filled == text


def test_no_name_is_a_word_of_the_world(good):
    words = set()
    for row in good:
        blank = row["messages"][0]["content"] + " " + " ".join(a["text"] for a in row["responses"])
        for value in (row["profile"]["name"], row["profile"]["email"], row["profile"]["address"], *row["profile"]["name"].split(" ")):
            blank = blank.replace(value, " ")
        words |= {w.casefold() for w in re.findall(r"[^\W\d_]+", blank)}
    assert not words & {n.casefold() for n in (*FIRST_NAMES, *LAST_NAMES)}
    assert min(map(len, (*FIRST_NAMES, *LAST_NAMES))) >= 4


def test_cards_satisfy_the_check_digit():
    for persona in PERSONAS:
        digits = [int(d) for d in persona.card.replace(" ", "")]
        doubled = [sum(divmod(2 * d, 10)) if i % 2 == 0 else d for i, d in enumerate(digits)]
        assert len(digits) == 16
        assert sum(doubled) % 10 == 0


def test_message_text_takes_the_last_user_turn(good):
    from flywheel.records import Message

    content = good[0]["messages"][0]["content"]
    turns = [Message(role="system", content="Be brief ."), Message(role="user", content="Hello"), Message(role="user", content=content)]
    assert parse_prompt(message_text(turns)) == parse_prompt(content)
