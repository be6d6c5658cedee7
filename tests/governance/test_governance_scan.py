"""The scan of everything outside the restricted zone: whatever the container and the disguise, a value is found; nothing else is."""

from __future__ import annotations

import base64
import gzip
import html
import json
import sqlite3
import tracemalloc
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from flywheel.governance import Identity, Vault
from flywheel.governance.residual import Needles, residual_leaks
from flywheel.governance.scan import scan_home, scan_paths
from flywheel.governance.vault import Finding
from flywheel.storage import Home

MAIL, NAME, PHONE, ADDRESS = "wilma.quartz@mail.example", "Wilhelmina Quartzfeld", "+44 20 7946 0123", "12 Mäple Avenue, Portland"
S = "5" * 32


@pytest.fixture
def vault(home: Home) -> Vault:
    opened = Vault.open(home)
    kinds = {"EMAIL_ADDRESS": MAIL, "PERSON": NAME, "PHONE_NUMBER": PHONE, "ADDRESS": ADDRESS}
    opened.remember([Identity(S, kind, value) for kind, value in kinds.items()])
    opened.remember([Identity(S, "PIN", "1470"), Identity(S, "PERSON", "Bo"), Identity(S, "SECURITY_ANSWER", "order")])
    return opened


def put(home: Home, name: str, data: bytes) -> None:
    path = home.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda v: v,
    "upper case": str.upper,
    "spaces": lambda v: v.replace(" ", "   \n "),
    "zero width": "\u200b".join,
    "JSON": lambda v: json.dumps({"x": "\t" + v + '"'}),
    "JSON in JSON": lambda v: json.dumps(json.dumps({"x": "Ü " + v})),
    "JSON ASCII": lambda v: "".join(f"\\u{ord(c):04x}" for c in v),
    "percent": lambda v: quote(f"to={v}", safe=""),
    "entities": lambda v: "".join(f"&#{ord(c)};" for c in v) + html.escape("<&>"),
    "base64": lambda v: base64.b64encode(v.encode()).decode(),
    "base64 in the middle": lambda v: base64.urlsafe_b64encode(b"ab" + v.encode() + b"xyz").decode().rstrip("="),
    "hex": lambda v: v.encode().hex(),
    "full width": lambda v: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in v),
    "look-alikes": lambda v: v.replace("a", "\u0430").replace("e", "\u0435").replace("o", "\u043e"),
}  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("value", [MAIL, NAME, ADDRESS])
def test_a_value_is_found_in_every_disguise(home: Home, vault: Vault, value: str, disguise: str) -> None:
    put(home, "reports/page.html", f"<p>so {DISGUISES[disguise](value)} it is</p>".encode())
    report = scan_home(home, vault)
    assert {p.token for p in report.leaks} == {vault.token_of({MAIL: "EMAIL_ADDRESS", NAME: "PERSON", ADDRESS: "ADDRESS"}[value], value)}
    assert {p.file for p in report.leaks} == {"reports/page.html"}
    assert value not in str(report.leaks)


def _sqlite(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table t (a integer, b text, c blob)")
        db.execute("insert into t values (1, ?, ?)", ("x" * 9_000, gzip.compress(b"no") + text.encode()))
        db.commit()


def _freed(path: Path, text: str) -> None:
    """A row that was deleted still lies on its page."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("pragma secure_delete = off")
        db.execute("create table t (b text)")
        db.execute("insert into t values (?)", (text,))
        db.commit()
        db.execute("delete from t")
        db.commit()


def _zipped(path: Path, text: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.gz", gzip.compress(text.encode()))


CONTAINERS: dict[str, Callable[[Path, str], object]] = {
    "text": lambda p, t: p.write_text(t),
    "binary": lambda p, t: p.write_bytes(b"\x00\xff\x01" * 999 + t.encode() + b"\x00\xfe"),
    "utf-16": lambda p, t: p.write_bytes(t.encode("utf-16")),
    "gzip": lambda p, t: p.write_bytes(gzip.compress(t.encode())),
    "gzip in gzip": lambda p, t: p.write_bytes(gzip.compress(gzip.compress(t.encode()))),
    "zstandard": lambda p, t: p.write_bytes(zstandard.compress(t.encode())),
    "zip": _zipped,
    "parquet": lambda p, t: pq.write_table(pa.table({"n": [1, 2], "m": [[{"t": "fine"}], [{"t": t}]]}), p, compression="zstd"),
    "parquet metadata": lambda p, t: pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({"k": t}), p),
    "parquet binary": lambda p, t: pq.write_table(pa.table({"b": [t.encode()]}), p),
    "sqlite": _sqlite,
    "sqlite freed": _freed,
}  # fmt: skip


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_value_is_found_in_every_container(home: Home, vault: Vault, container: str) -> None:
    (home.root / "lake").mkdir(parents=True)
    CONTAINERS[container](home.root / "lake" / "file", f"hello {NAME} hello")
    report = scan_home(home, vault)
    assert {p.type for p in report.leaks} == {"PERSON"}
    assert report.problems == []
    assert [p.type for p in scan_paths([home.root / "lake"], vault).leaks][:1] == ["PERSON"]


@pytest.mark.parametrize("name", [f"{MAIL}.json", f"{quote(NAME)}.txt", base64.urlsafe_b64encode(MAIL.encode()).decode()])
def test_a_value_in_a_file_name_is_found_and_not_repeated(home: Home, vault: Vault, name: str) -> None:
    put(home, f"datasets/{name}", b"nothing")
    report = scan_home(home, vault)
    assert len(report.leaks) == 1
    assert name not in str(report.leaks)


def test_digits_in_any_grouping_are_the_number(home: Home, vault: Vault) -> None:
    put(home, "a.log", b"call (020) 7946-0123 now")
    assert [p.type for p in scan_home(home, vault).leaks] == ["PHONE_NUMBER"]


def test_a_value_across_the_border_of_two_windows_is_found(home: Home, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flywheel.governance.scan.WINDOW", 10_000)
    for at in range(9_980, 10_001, 5):
        put(home, "a.txt", b"\xc3\xa4 " + b"." * at + NAME.encode() + b"." * 20_000)
        assert [p.type for p in scan_home(home, vault).leaks][:1] == ["PERSON"]


def test_weak_values_count_in_their_holders_rows_and_what_is_not_sought_is_counted_with_its_reason(home: Home, vault: Vault) -> None:
    (home.root / "lake").mkdir()
    pq.write_table(pa.table({"subject_id": [S, "6" * 32], "t": ["pin 1470", "pin 1470"]}), home.root / "lake" / "x.parquet")
    put(home, "a.txt", b"order 1470 for Bo")
    report = scan_home(home, vault)
    assert [(p.type, p.where) for p in report.leaks] == [("PIN", "row 0 t")]
    assert report.excluded == {"an ordinary word": 1, "shorter than 4 characters": 1}
    assert (report.sought_everywhere, report.sought_in_holders_rows) == (4, 1)


def test_a_guess_counts_in_the_round_whose_redaction_made_it_and_is_only_mentioned_elsewhere(home: Home, vault: Vault) -> None:
    talk, rounds = "7" * 32, ("2026-01-05", "2026-01-12")
    table = pa.table({"round": list(rounds), "subject_id": [S, S], "conversation_id": [talk, talk], "t": ["ask Quillon", "ask Quillon"]})
    vault.tokens([Finding("PERSON", "Quillon", S, talk, certain=False)])  # from a generated answer
    assert residual_leaks(table, vault) == []
    (home.root / "lake").mkdir()
    pq.write_table(table, home.root / "lake" / "x.parquet")
    report = scan_home(home, vault)
    assert (report.clean, len(report.guesses)) == (True, 2)
    vault.remember_round(rounds[0], [(Finding("PERSON", "Quillon", S, talk, certain=False), "[PERSON_1]")], [talk])
    assert [leak.row for leak in residual_leaks(table, vault)] == [0]
    assert [p.where for p in scan_home(home, vault).leaks] == ["row 0 t"]
    vault.tokens([Finding("PERSON", "Quillon", S, talk)])  # a profile says so
    assert [leak.row for leak in residual_leaks(table, vault)] == [0, 1]


def test_what_is_no_value_is_no_leak(home: Home, vault: Vault) -> None:
    put(home, "a.txt", b"Wilhelmina wrote to quartz@mail.example about 12 maple trees; 7946012; quartzfelds; mail wilma.quartz")
    put(home, "weights.bin", bytes(range(256)) * 4_000)
    assert scan_home(home, vault).clean


def test_the_restricted_zone_is_left_alone_and_an_unreadable_file_is_no_proof(home: Home, vault: Vault) -> None:
    put(home, "restricted/landing/a.jsonl", NAME.encode())
    assert scan_home(home, vault).clean
    put(home, "cut.gz", gzip.compress(bytes(range(256)))[:200])
    put(home, "torn.parquet", b"PAR1 and then nothing")
    put(home, "torn.db", b"SQLite format 3\0" + b"nothing" * 400)
    report = scan_home(home, vault)
    assert sorted(p.split(":")[0] for p in report.problems) == ["cut.gz", "torn.db", "torn.parquet"]
    assert not report.clean


def test_memory_stays_flat_however_large_a_file_is(home: Home, vault: Vault) -> None:
    def peak(megabytes: int) -> int:
        put(home, "large.txt", b"an ordinary line of a log, number 12\n" * (megabytes * 27_000))
        tracemalloc.start()
        scan_home(home, vault)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(12) < peak(3) * 1.5


def test_needles_without_values_find_nothing(home: Home) -> None:
    assert not Needles(Vault.open(home).entries())
    put(home, "a.txt", NAME.encode())
    assert scan_home(home, Vault.open(home)).clean


def test_a_finished_round_holds_no_value_in_any_file(small_home: Home) -> None:
    """Tables, batch files, reports, provenance, dataset, Dagster's own files: everything that the small home has."""
    report = scan_home(small_home, Vault.open(small_home))
    assert report.sought_everywhere > 500
    assert report.problems == []
    assert dict(report.leaks) == {}
