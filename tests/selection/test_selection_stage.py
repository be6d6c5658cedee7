"""The stage as a whole: from redacted records to routed picks, through the lake, twice."""

from __future__ import annotations

import numpy as np

from assets.selection import redactor
from flywheel.governance import Vault
from flywheel.governance.vault import Finding
from flywheel.records import JudgeLabel, RedactedRecord
from flywheel.selection import Calibration, build_pairs, embed_pairs, judge_pairs, select_batch, uncertainty_signals
from flywheel.settings import JudgeSettings, SelectionSettings
from flywheel.storage import Home, from_table, to_table

ROUND = "2026-01-05"
SETTINGS = SelectionSettings(budget=30, prefilter=60)


class Scorer:
    model_id = "rm-1"

    def predict(self, pairs):
        length = np.array([len(r["text"]) % 10 for r in pairs["response_b"].to_pylist()]) / 10
        return np.stack([length, length**2])


def run(home: Home, records, hash_embed) -> list[str]:
    def sample(prompts, n, seed):
        rng = np.random.default_rng(seed)
        return [[f"answer {rng.integers(1000)} to {p[0].content}" for _ in range(n)] for p in prompts]

    def kept(name: str, table):
        return home.lake.write(name, ROUND, table).sha256, home.lake.read(name, ROUND)

    pool = to_table(RedactedRecord, records)
    hashes = []
    pairs, _ = build_pairs(
        pool, round=ROUND, ids=home.ids, sample=sample, model_id="m-1", redact=lambda texts, conversations, rounds: texts, settings=SETTINGS, seed=0
    )  # fmt: skip
    sha, pairs = kept("response_pairs", pairs)
    hashes.append(sha)
    sha, vectors = kept(
        "embeddings", embed_pairs(pairs, round=ROUND, embed=hash_embed, embedder="bag", cache=home.root / "cache", settings=SETTINGS)
    )
    hashes.append(sha)
    sha, signals = kept("uncertainty", uncertainty_signals(pairs, vectors, round=ROUND, model=Scorer()))
    hashes.append(sha)
    picks, facts = select_batch(pairs, vectors, signals, round=ROUND, labelled=None, settings=SETTINGS, seed=0)
    sha = home.lake.write("selection", ROUND, picks, facts=facts).sha256
    hashes.append(sha)
    calibration = Calibration([0.95] * 300, ["a"] * 300)
    judged = judge_pairs(
        home.lake.read("selection", ROUND), pairs, round=ROUND, model=Scorer(), calibration=calibration, settings=JudgeSettings()
    )
    hashes.append(kept("judge_labels", judged)[0])
    return hashes


def test_the_same_records_give_the_same_bytes_whatever_their_order(home, record, hash_embed):
    records = [record(f"r{i:03d}", f"ticket {i % 70} about item {i * 7 % 31}", f"reply {i % 5}") for i in range(90)]
    first = run(home, records, hash_embed)
    assert run(home, records[::-1], hash_embed) == first
    picks = home.lake.read("selection", ROUND)
    labels = from_table(JudgeLabel, home.lake.read("judge_labels", ROUND))
    assert picks.num_rows == len(labels) == 30
    assert {p.route for p in labels} <= {"judge", "human"}
    assert home.lake.demand("selection", ROUND).facts["picked"] == 30


def test_a_sampled_answer_has_the_aliases_of_its_records_own_round(home):
    """Numbers are given anew in every round: Ann is the first person of January's part of the conversation, and the second of February's."""
    vault = Vault.open(home)
    ann, bob = (Finding("PERSON", name, "s", "talk") for name in ("Ann Okafor", "Bob Halvorsen"))
    vault.remember_round("2026-01-05", [(ann, "[PERSON_1]")], ["talk"])
    vault.remember_round("2026-02-02", [(bob, "[PERSON_1]"), (ann, "[PERSON_2]")], ["talk"])
    said, rounds = ["Dear Ann Okafor, it is on its way."] * 2, ["2026-02-02", "2026-01-05"]
    made = redactor(vault, home.settings.governance)(said, ["talk"] * 2, rounds)
    assert made == ["Dear [PERSON_2], it is on its way.", "Dear [PERSON_1], it is on its way."]
