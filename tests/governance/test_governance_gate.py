"""The residual gate and the redaction before it agree: what redaction hides once it hides wherever the gate looks, and what stands is a leak."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.governance import Vault, redact_logs, redact_texts, residual_leaks
from flywheel.governance.vault import Finding
from flywheel.records import ConsentedRecord
from flywheel.settings import GovernanceSettings, Settings
from flywheel.storage import Home, Ids, to_table

SETTINGS = GovernanceSettings()
IDS = Ids(b"g" * 32)
ROUND = "2026-01-05"
T0 = datetime(2026, 1, 6, tzinfo=UTC)
GENERATED = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
MARIA, NUMBER = "Katarina Brandvold", "4155552671"


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    opened = Vault.open(Home(Settings(home=tmp_path)))
    yield opened
    opened.close()


def row(conversation: str, asked: str, *answers: str, profile: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "round": ROUND, "record_id": IDS.make("record", conversation), "conversation_id": IDS.make("conversation", conversation),
        "subject_id": IDS.make("subject", conversation), "timestamp": T0, "domain": "code", "task_type": "code",
        "messages": [{"role": "user", "content": asked}], "responses": [{"text": a, "generation": {"model_id": "m-1"}} for a in answers],
        "source": {"format": "flywheel", "file": "a.jsonl", "line": 1}, "content_sha256": "0" * 64, "profile": profile or {}, "metadata": {},
        "purposes": ["labeling"], "legal_basis": "consent", "policy_version": "3",
    }  # fmt: skip


def redact(vault: Vault, *rows: dict[str, Any]) -> pa.Table:
    return redact_logs(to_table(ConsentedRecord, rows), vault=vault, settings=SETTINGS, round=ROUND)[0]


# who is named in words of a text, and stands as part of the code in another one
PLACES = (
    "{0} = 3",
    "{0}_orders = load()",
    "class {0}(User): pass",
    "x = '{0}'",
    "def get_{0}(): return 1",
    "# {0}",
    "print({0}.total)",
    "UPDATE t SET {0} = 1;",
    "{0}",
    "see {0}  here",
)
SAYING = (
    "# ask {0} about this\nx = 1",
    "My name is {0}",
    "Thanks to {0} for the fix",
    "TODO({0}): mend",
    "hi, this is {0} speaking",
    '{{"customer_name": "{0}"}}',
)
names = st.sampled_from(
    ["Katarina Brandvold", "Ikaika", "Thandolwethu Nkosi", "Maria", "Sunniva Halvorsrud", "oluwafemi adeyinka", "Lucca", "Shadyside"]
)


@GENERATED
@given(names, st.sampled_from(SAYING), st.lists(st.sampled_from(PLACES), min_size=1, max_size=3))
def test_what_a_round_hides_once_it_hides_everywhere_in_the_conversation(name: str, saying: str, places: list[str]) -> None:
    """Whatever the layers think of the name and of the code: the gate passes, and not because it did not look."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        vault = Vault.open(Home(Settings(home=Path(folder))))
        try:
            rows = [row("a", saying.format(name), *(p.format(name) for p in places))]
            table = redact(vault, *rows)
            assert residual_leaks(table, vault) == []
            said = {entry.value for entry in vault.entries() if entry.type == "PERSON"}
            spoilt = table.to_pylist()
            for value in said:
                spoilt[0]["responses"][0]["text"] = f"so {value} said"
                assert residual_leaks(pa.Table.from_pylist(spoilt, schema=table.schema), vault) != [], value
        finally:
            vault.close()


def test_names_in_identifiers_go_with_the_name(vault: Vault) -> None:
    table = redact(vault, row("a", "Ask Katarina Brandvold about it", "katarina_orders = KATARINA + 1", "xkatarinax = 1"))
    assert [r["text"] for r in table["responses"].to_pylist()[0]] == ["[PERSON_1]_orders = [PERSON_1] + 1", "xkatarinax = 1"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_same_digits_are_a_phone_number_in_one_talk_and_a_literal_in_another(vault: Vault, order: tuple[int, ...]) -> None:
    """Bare digits are certain nowhere: they are sought where the number was said, not in everybody's code."""
    rows = [
        row("a", f"call me at {NUMBER}", "ok"),
        row("b", f"x = {NUMBER}\ny = [{NUMBER}, 12]", f"x = {NUMBER} + 1"),
        row("c", f"my number {NUMBER}", f"n = {NUMBER}"),
    ]
    table = redact(vault, *(rows[i] for i in order))
    assert residual_leaks(table, vault) == []
    texts = {r["conversation_id"]: r["messages"][0]["content"] + r["responses"][0]["text"] for r in table.to_pylist()}
    assert {k: NUMBER in texts[IDS.make("conversation", k)] for k in "abc"} == {"a": False, "b": True, "c": False}


def test_a_number_of_the_profile_is_sought_everywhere_in_code_too(vault: Vault) -> None:
    vault.tokens([Finding("PHONE_NUMBER", NUMBER, IDS.make("subject", "z"), certain=True)])
    table = redact(vault, row("b", f"x = {NUMBER}\ny = [{NUMBER}, 12]", "ok"))
    assert {(leak.column, leak.type) for leak in residual_leaks(table, vault)} == {("messages.content", "PHONE_NUMBER")}


@pytest.mark.parametrize(
    ("secret", "blocks"), [("hunter2", False), ("test-1234", False), ("q7Rt!xv92LmZp", True), ("sk_live_SFDEMOabcDEF1234567890", True)]
)
def test_a_password_that_many_choose_is_sought_in_its_holders_rows(vault: Vault, secret: str, blocks: bool) -> None:
    vault.tokens([Finding("SECRET", secret, IDS.make("subject", "z"), IDS.make("conversation", "z"), certain=True)])
    here, there = (
        {"round": ROUND, "subject_id": IDS.make("subject", s), "conversation_id": IDS.make("conversation", s), "t": f"x = {secret}"}
        for s in "zb"
    )
    assert len(residual_leaks(pa.Table.from_pylist([here]), vault)) == 1
    assert bool(residual_leaks(pa.Table.from_pylist([there]), vault)) is blocks


def test_a_guess_about_a_generated_answer_does_not_block_the_log_and_a_profile_does(vault: Vault) -> None:
    asked = row("a", "the tuple Quillon is sorted", "ok")
    table = redact(vault, asked)
    talk, subject = asked["conversation_id"], asked["subject_id"]
    redact_texts(["My name is Quillon."], [talk], vault=vault, settings=SETTINGS)
    standing = pa.Table.from_pylist([{"round": ROUND, "subject_id": subject, "conversation_id": talk, "t": "ask Quillon"}])
    assert residual_leaks(table, vault) == []
    assert residual_leaks(standing, vault) == []
    vault.remember_round(ROUND, [(Finding("PERSON", "Quillon", subject, talk, certain=False), "[PERSON_1]")], [talk])
    assert len(residual_leaks(standing, vault)) == 1, "the round's own redaction found it: left standing it is a leak"
    vault.tokens([Finding("PERSON", "Quillon", subject, certain=True)])
    other = pa.Table.from_pylist(
        [{"round": "2026-01-12", "subject_id": subject, "conversation_id": IDS.make("conversation", "new"), "t": "ask Quillon"}]
    )
    assert len(residual_leaks(other, vault)) == 1, "a profile says so: sought in all of its subject's rows"
