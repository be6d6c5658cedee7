"""Consent statements from files: every line checked, all at once or none, and a withdrawal heard even in a bad line."""

from __future__ import annotations

import gzip
import json
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.errors import BadInput, ClockSetBack
from flywheel.governance import consent_files, consent_ledger
from flywheel.governance.audit import consent_quarantine
from flywheel.governance.consent_import import ConsentImport, import_consent
from flywheel.settings import Settings
from flywheel.storage import Home

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HEADER = "user_id,purposes,action,effective_at,legal_basis,policy_version,expires_at,source\n"
GRANT = "u-1,labeling training,granted,2026-01-03,consent,3,2027-01-01,crm\n"


def run(home: Home, *files: Path, now: datetime = NOW, **columns: str) -> ConsentImport:
    return import_consent(home, consent_ledger(home), files, columns, now=now)


def put(home: Home, text: str | bytes, name: str = "c.csv") -> Path:
    home.restricted.mkdir(parents=True, exist_ok=True)
    path = home.root / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def allowed(home: Home, user: str, now: datetime = NOW) -> list[str]:
    subject = home.ids.make("subject", user)
    return [p for p in ("labeling", "training", "evaluation") if subject in consent_ledger(home).allowed(p, now)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", ["csv", "semicolon", "tab", "jsonl", "bom"])
def test_every_form_says_the_same(home: Home, form: str, pack: Any) -> None:
    table = HEADER + GRANT + 'u-2,"all",granted,2026-01-03T10:00:00+01:00,contract,3,,\n' + "u-2,training,withdrawn,2026-02-01,,,,\n"
    if form == "jsonl":
        lines: list[dict[str, Any]] = [
            {"user_id": "u-1", "purposes": ["labeling", "training"], "action": "granted", "effective_at": "2026-01-03", "legal_basis": "consent",
             "policy_version": 3, "expires_at": "2027-01-01", "source": "crm"},
            {"user_id": "u-2", "purpose": "all", "granted_at": 1767430800, "withdrawn_at": None, "legal_basis": "contract", "policy_version": "3"},
            {"user_id": "u-2", "purpose": "training", "withdrawn_at": "2026-02-01T00:00:00Z"},
        ]  # fmt: skip
        table = "".join(json.dumps(line) + "\n" for line in lines)
    elif form != "csv":
        table = {"semicolon": table.replace(",", ";"), "tab": table.replace(",", "\t"), "bom": "\ufeff" + table}[form]
    found = run(home, put(home, pack(table.encode()), "c.bin"))
    assert (found.counts["added"], found.rejected) == (6, [])
    assert allowed(home, "u-1") == ["labeling", "training"]
    assert allowed(home, "u-2") == ["labeling", "evaluation"]
    first = next(consent_ledger(home).events(home.ids.make("subject", "u-2")))
    assert (first.effective_at, first.recorded_at) == (datetime(2026, 1, 3, 9, tzinfo=UTC), NOW)


def test_the_same_file_twice_adds_nothing_whatever_its_name(home: Home) -> None:
    text = HEADER + GRANT + "u-3,training,withdrawn,not yet known,,,,\n"
    assert run(home, put(home, text)).counts["added"] == 3
    head = consent_ledger(home).head()
    again = run(home, put(home, text), put(home, text, "copy.csv"), now=NOW + timedelta(days=1))
    assert (again.counts["added"], again.counts["known_already"]) == (0, 6)
    assert consent_ledger(home).head() == head
    assert [q["file"] for q in consent_quarantine(home).lines()] == ["c.csv", "copy.csv"]


def test_a_bad_line_is_kept_with_its_place_and_the_others_are_taken(home: Home) -> None:
    bad = [
        (",labeling,granted,2026-01-03,consent,3,,", "missing_field", "user_id"),
        ("u-5,,granted,2026-01-03,consent,3,,", "missing_field", "purpose"),
        ("u-5,sharing,granted,2026-01-03,consent,3,,", "invalid_field", "purpose"),
        ("u-5,labeling,perhaps,2026-01-03,consent,3,,", "invalid_field", "action"),
        ("u-5,labeling,granted,,consent,3,,", "missing_field", "effective_at"),
        ("u-5,labeling,granted,yesterday,consent,3,,", "invalid_timestamp", "effective_at"),
        ("u-5,labeling,granted,2026-01-03,,3,,", "missing_field", "legal_basis"),
        ("u-5,labeling,granted,2026-01-03,consent,,,", "missing_field", "policy_version"),
        ("u-5,labeling,granted,2026-01-03,consent,3,2026-01-02,", "invalid_field", "expires_at"),
        ("u-5,labeling,granted,2026-01-03,consent", "invalid_field", None),
        ('"u-5,labeling,granted,2026-01-03,consent,3,,', "invalid_field", None),
    ]
    text = HEADER + "".join(line + "\n" for line, _, _ in bad) + "\n" + GRANT
    found = run(home, put(home, text))
    assert [(q["line"], q["reason"], q["field"]) for q in found.rejected] == [(n, r, f) for n, (_, r, f) in enumerate(bad, start=2)]
    assert [q["raw"] for q in consent_quarantine(home).lines()] == [line for line, _, _ in bad]
    assert all("raw" not in q and "u-5" not in q["message"] for q in found.rejected)
    assert (allowed(home, "u-1"), allowed(home, "u-5")) == (["labeling", "training"], [])
    mode = (home.restricted / "consent_quarantine.jsonl").stat().st_mode & 0o777
    assert mode == 0o600


@pytest.mark.parametrize("line", [
    "u-1,training,withdrawn,soon,,,,",
    "u-1,training,withdrawn,,,,,",
    "u-1,training|sharing,withdrawn,2026-02-01,,,,",
    "u-1,training,withdrawn,2026-02-01",
    '"u-1,training,withdrawn,2026-02-01,,,,',
    '{"user_id": "u-1", "purpose": "training", "withdrawn_at": "2026-02-01", "mood": "bad"}',
    '{"user_id": "u-1", "purposes": ["training"], "action": "granted", "effective_at": "2026-02-01", "withdrawn_at": "2026-02-02", "legal_basis": "consent", "policy_version": "3"}',
])  # fmt: skip
def test_a_withdrawal_in_a_bad_line_is_heard(home: Home, line: str) -> None:
    run(home, put(home, HEADER + GRANT))
    assert allowed(home, "u-1") == ["labeling", "training"]
    found = run(home, put(home, line if line.startswith("{") else HEADER + line, "w"))
    assert (found.counts["rejected"], found.counts["withdrawals_heard"], found.unheard) == (1, 1, 0)
    assert allowed(home, "u-1") == ["labeling"]


@pytest.mark.parametrize(
    "line", [",training,withdrawn,2026-02-01,,,,", "u-1,sharing,withdrawn,2026-02-01,,,,", '{"user_id": "u-1", "action": "withdrawn"']
)
def test_a_withdrawal_that_cannot_be_heard_is_said_loudly(home: Home, line: str) -> None:
    found = run(home, put(home, line if line.startswith("{") else HEADER + line))
    assert (found.unheard, found.counts["withdrawals_heard"]) == (1, 0)


def test_nothing_of_a_file_that_cannot_be_read_to_its_end_is_imported(home: Home) -> None:
    text = (HEADER + GRANT * 50_000).encode()
    for number, packed in enumerate((gzip.compress(text), zstandard.ZstdCompressor().compress(text))):
        good, torn = put(home, HEADER + GRANT), put(home, packed[: len(packed) // 2], f"torn{number}")
        with pytest.raises(BadInput, match=f"torn{number}.*nothing was imported"):
            run(home, good, torn)
        assert len(consent_ledger(home).state()) == 0


@pytest.mark.parametrize(("header", "message"), [
    ("user_id,purpose,action,effective_at,revoked_at", "unknown columns: 'revoked_at'"),
    ("user_id,purpose,action,action", "stand twice: 'action'"),
    ("[{}]", "unknown columns"),
])  # fmt: skip
def test_a_column_that_nobody_knows_stops_the_import(home: Home, header: str, message: str) -> None:
    """It might be the one that says withdrawn."""
    with pytest.raises(BadInput, match=message):
        run(home, put(home, f"{header}\nu-1,labeling,granted,2026-01-03,\n"))


def test_columns_are_mapped_and_what_is_left_out_is_counted(home: Home) -> None:
    text = "customer,what,revoked_at,city\nu-1,training,2026-02-01,Ghent\nu-2,training,2026-02-01,\n"
    found = run(home, put(home, text), customer="user_id", what="purpose", revoked_at="withdrawn_at", city="-")
    assert (found.counts["added"], found.losses) == (2, {"city": 1})
    with pytest.raises(BadInput, match="cannot be mapped to user"):
        run(home, put(home, text), customer="user")


def test_user_and_subject_ids_name_the_same_subject(home: Home) -> None:
    keyed = home.ids.make("subject", "u-1")
    line = {"purpose": "training", "withdrawn_at": "2026-02-01"}
    text = "".join(
        json.dumps({**line, **ids}) + "\n" for ids in ({"subject_id": keyed}, {"user_id": "u-1", "subject_id": keyed}, {"user_id": 4711})
    )
    assert run(home, put(home, text)).counts["added"] == 2
    other = run(home, put(home, json.dumps({**line, "user_id": "u-2", "subject_id": keyed})))
    assert other.rejected[0]["field"] == "subject_id"


def test_a_clock_set_back_imports_nothing(home: Home) -> None:
    run(home, put(home, HEADER + GRANT))
    with pytest.raises(ClockSetBack):
        run(home, put(home, HEADER + "u-5,labeling,granted,bad,,,,\n"), now=NOW - timedelta(hours=1))
    assert list(consent_quarantine(home).lines()) == []


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=12) | st.sampled_from(
    ["u-1", "labeling", "granted", "withdrawn", "2026-01-03"]
)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.lists(CELLS, max_size=9), max_size=6), tail=st.binary(max_size=30))
def test_any_bytes_are_taken_or_set_aside(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], tail: bytes) -> None:
    home = Home(Settings.load(home=tmp_path_factory.mktemp("h")))
    body = (HEADER + "".join(",".join(r) + "\n" for r in rows)).encode() + tail.replace(b"\r", b"").replace(b"\n", b"")
    found = run(home, put(home, body))
    lines = [line for line in body.split(b"\n")[1:] if line.strip()]
    assert found.counts["lines"] == len(lines)
    assert found.counts["rejected"] == sum(1 for _ in consent_quarantine(home).lines()) or len(set(lines)) < len(lines)
    assert consent_ledger(home).verify() == []


@pytest.mark.parametrize(
    "word",
    [
        "revoked",
        "Revocation",
        "opt-out",
        "opted out",
        "opt_out",
        "optout",
        "unsubscribed",
        "withdrew",
        "denied",
        "no",
        "cancelled",
        "erase",
    ],
)
def test_a_withdrawal_in_other_words_is_refused_and_heard_all_the_same(home: Home, word: str) -> None:
    run(home, put(home, HEADER + GRANT))
    found = run(home, put(home, HEADER + GRANT.replace("granted", word).replace("2026-01-03", "2026-02-01"), "d.csv"))
    assert (found.counts["rejected"], found.counts["withdrawals_heard"]) == (1, 2)
    assert allowed(home, "u-1") == []


@pytest.mark.parametrize("word", ["grantd", "renewed", "yes", "notified", "given"])
def test_a_word_that_means_no_withdrawal_ends_nothing(home: Home, word: str) -> None:
    run(home, put(home, HEADER + GRANT))
    found = run(home, put(home, HEADER + GRANT.replace("granted", word), "d.csv"))
    assert (found.counts["rejected"], found.counts["withdrawals_heard"]) == (1, 0)
    assert allowed(home, "u-1") == ["labeling", "training"]


def test_a_withdrawal_under_a_name_that_nobody_knows_is_heard_from_now_on(home: Home) -> None:
    run(home, put(home, HEADER + GRANT))
    lines = [{"user_id": "u-1", "purpose": "training", "revoked_at": "2026-02-01"}, {"user_id": "u-1", "purpose": "labeling", "granted_at": "2026-01-04",
             "legal_basis": "consent", "policy_version": "3", "withdrawal_channel": "mail"}]  # fmt: skip
    found = run(home, put(home, "".join(json.dumps(x) + "\n" for x in lines), "d.jsonl"))
    assert (found.counts["rejected"], found.counts["withdrawals_heard"]) == (2, 1)
    assert allowed(home, "u-1") == ["labeling"]


@pytest.mark.parametrize("room", [0, 700, 5_000, 20_000])
def test_a_full_disk_leaves_all_statements_or_none(home: Home, room: int) -> None:
    """The grants without the withdrawals that follow them would be consent that was taken back."""
    run(home, put(home, HEADER + GRANT))
    ledger, before = consent_ledger(home), consent_ledger(home).head()
    text = (
        HEADER
        + "".join(f"v-{n},all,granted,2026-01-03,consent,3,,\n" for n in range(40))
        + "".join(f"v-{n},all,withdrawn,2026-02-03,,,,\n" for n in range(40))
    )
    path = put(home, text, "d.csv")
    size = (home.restricted / "consent.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            run(home, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (ledger.head(), ledger.verify(), (home.restricted / "consent.jsonl").stat().st_size) == (before, [], size)
    assert allowed(home, "v-3") == []
    assert run(home, path).counts["added"] == 240


def test_a_small_file_that_inflates_is_read_a_piece_at_a_time(home: Home) -> None:
    """64 MB of one letter in a few kB: no piece of it is larger than 16 MB."""
    packer = zstandard.ZstdCompressor(level=3).compressobj()
    text = [HEADER.encode() + GRANT.encode(), *[b"x" * (1 << 20)] * 64]
    path = put(home, b"".join(packer.compress(piece) for piece in text) + packer.flush(), "c.csv.zst")
    with open(path, "rb") as stream:
        assert max(map(len, consent_files._inflated(stream))) <= 16 << 20
    found = run(home, path)
    assert (found.counts["lines"], [r["reason"] for r in found.rejected]) == (2, ["line_too_long"])
    assert allowed(home, "u-1") == ["labeling", "training"]
