"""A stored round to redact, small and with every trap: split conversations, shared subjects, repeats, literal aliases. Also a program that
redacts one in a process of its own, so that it can be killed: `python -m tests.governance.stored_rounds HOME WORKERS`."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from flywheel.governance import RoundRedaction, Vault
from flywheel.ingestion.conversations import assemble_conversations
from flywheel.records import ConsentedRecord, TableManifest
from flywheel.rounds import earlier_records
from flywheel.settings import Settings
from flywheel.storage import Home, Ids, to_table
from flywheel.storage.ids import install_key

ROUND, BEFORE = "2026-01-12", "2026-01-05"
T0 = datetime(2026, 1, 13, tzinfo=UTC)
SHARD_ROWS = 16
IDS = Ids(b"k" * 32)
SAID = [
    "My name is {name}, mail {mail}.",
    "Where is order SF-{n:06d}?",
    "Call me on +1 202 555 {p:04d}, says {lower}.",
    "[PERSON_1] told me that it is late",
    "{first} here again, and my PIN is {p:04d}",
]
NAMES = ["Katarina Brandvold", "Oluwaseun Adeyemi", "Wilhelmina Hartog", "Tomasz Kowalczyk", "Ingrid Solheim"]


def subject_id(number: int) -> str:
    return IDS.make("subject", str(number))


def talk_id(number: int) -> str:
    return IDS.make("conversation", str(number))


def rows_of(n: int, seed: int, round: str = ROUND, start: datetime = T0) -> list[dict[str, Any]]:
    """Records of about n/3 conversations in the order of time; the same conversation ids for every round of a seed."""
    rng = random.Random(f"{seed}{round}")
    made = []
    for number in range(n):
        talk = rng.randrange(max(1, n // 3))
        name = NAMES[talk % len(NAMES)]
        words = {
            "name": name,
            "lower": name.lower(),
            "first": name.split()[0],
            "mail": f"u{talk % 7}@mail.example",
            "n": talk,
            "p": talk % 9_000 + 100,
        }
        made.append({
            "round": round, "record_id": IDS.make("record", round, str(number)), "conversation_id": talk_id(talk), "subject_id": subject_id(talk % 7),
            "timestamp": start + timedelta(minutes=number), "domain": "support", "task_type": "generation",
            "messages": [{"role": "user", "content": rng.choice(SAID).format(**words)}],
            "responses": [{"text": f"Thanks {words['first']}, order SF-{talk:06d} is on its way.", "generation": {"model_id": "m"}}],
            "source": {"format": "flywheel", "file": "a.jsonl", "line": number}, "content_sha256": "0" * 64,
            "profile": {"name": name, "email": words["mail"]}, "purposes": ["labeling"], "legal_basis": "consent", "policy_version": "1",
        })  # fmt: skip
    return made


def new_home(
    folder: Path, rows: Sequence[dict[str, Any]], earlier: Sequence[dict[str, Any]] = (), toml: str = '[governance]\nner = "off"\n'
) -> Home:
    """A home whose keys are always the same, with the consented records stored."""
    folder.mkdir(parents=True)
    (folder / "flywheel.toml").write_text(toml)
    home = Home(Settings.load(home=folder))
    for name in ("id.key", "vault.key"):
        install_key(home.restricted / "keys" / name, b"k" * 32)
    store(home, rows)
    if earlier:
        home.lake.write("consented_logs", BEFORE, to_table(ConsentedRecord, earlier))
    return home


def store(home: Home, rows: Sequence[dict[str, Any]]) -> None:
    home.lake.write("consented_logs", ROUND, to_table(ConsentedRecord, rows))


def redact(
    home: Home, *, workers: int = 1, shard_rows: int = SHARD_ROWS, tell: Callable[[str], None] = lambda _: None, without: frozenset[str] = frozenset()
) -> TableManifest:  # fmt: skip
    """As the asset does it. `without`: subjects that have withdrawn."""

    def allowed(table: pa.Table) -> pa.Table:
        return table.filter(pa.array([s not in without for s in table["subject_id"].to_pylist()], pa.bool_()))

    settings = home.settings.governance.model_copy(update={"workers": workers})
    with closing(Vault.open(home)) as vault, RoundRedaction(
        home.restricted / "redaction", ROUND, vault=vault, settings=settings, tell=tell, shard_rows=shard_rows,
        assemble=partial(assemble_conversations, settings=home.settings.ingestion),
    ) as work:  # fmt: skip
        partition = home.lake.writer("redacted_logs", ROUND)
        tables = (allowed(pa.Table.from_batches([b])) for b in home.lake.batches("consented_logs", ROUND, rows=7))
        earlier = partial(earlier_records, home, ROUND, allowed=allowed)
        found = work.run(tables, earlier, rows=home.lake.demand("consented_logs", ROUND).rows, partition=partition)
        manifest = partition.commit(facts=found)
        work.sweep()
    return manifest


def content_of(vault: Vault) -> dict[str, Any]:
    """All that a vault says, opened."""
    entries = [(e.token, e.type, e.value, e.holders) for e in vault.entries()]
    return {"entries": entries, "aliases": sorted(vault._db.execute("select * from aliases").fetchall())}


def outcome(home: Home) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """What a round's redaction leaves behind: the table's hash, its facts, the vault's content."""
    manifest = home.lake.demand("redacted_logs", ROUND)
    assert home.lake.read("redacted_logs", ROUND).num_rows == manifest.rows
    with closing(Vault.open(home)) as vault:
        return manifest.sha256, manifest.facts, content_of(vault)


if __name__ == "__main__":
    redact(Home(Settings.load(home=Path(sys.argv[1]))), workers=int(sys.argv[2]), tell=lambda said: print(said, flush=True))
