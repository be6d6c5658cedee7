"""A round of the demo's shape, labelled by its simulated raters through label files: the gate decides, and bad raters are out."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flywheel.labeling import Journal, build_batch, fold_annotations, import_label_files, load_guideline
from flywheel.quality import aggregate_preferences, agreement_table, agreement_verdict, demonstrations, rater_quality
from flywheel.records import Generation, JudgeLabel, LabelingTask, Message, Pair, Preference, RaterQualityRow, Response, SelectionPick
from flywheel.settings import LabelingSettings, QualitySettings
from flywheel.shopforge import SIMULATED_RATERS, deliver_simulated_labels, gold_items
from flywheel.shopforge.world import base_response, sample_prompt
from flywheel.storage import Ids, empty_table, from_table, to_table

ROUND = "2026-01-05"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
IDS = Ids(b"k" * 32)


def logged_pairs(n: int, seed: int) -> tuple[list[Pair], list[SelectionPick]]:
    rng = random.Random(seed)
    pairs: list[Pair] = []
    while len(pairs) < n:
        prompt = sample_prompt(rng)
        a, b = (Response(text=base_response(rng, prompt), generation=Generation(model_id="m")) for _ in range(2))
        if a.text != b.text:
            i = len(pairs)
            pairs.append(Pair(
                round=ROUND, pair_id=IDS.make("pair", str(i)), record_id=f"r{i}", conversation_id=f"c{i}", subject_id=f"s{i}", domain=prompt.domain,
                task_type="generation", prompt=[Message(role="user", content=prompt.content)], response_a=a, response_b=b, prompt_sha256="0" * 64,
                prompt_cluster=prompt.cluster, redaction_version="1", second_response="sampled",
            ))  # fmt: skip
    picks = [
        SelectionPick(
            round=ROUND,
            pair_id=p.pair_id,
            record_id=p.record_id,
            domain=p.domain,
            rank=i,
            score=0,
            reason="x",
            arm="active",
            strategy="s",
            seed=0,
        )
        for i, p in enumerate(pairs)
    ]
    return pairs, picks


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_simulated_round_passes_the_gate_without_its_bad_raters(tmp_path: Path, seed: int) -> None:
    made, picked = logged_pairs(600, seed)
    pairs, gold, judge = to_table(Pair, made), gold_items(60, seed), empty_table(JudgeLabel)
    batch, facts = build_batch(
        to_table(SelectionPick, picked), judge, pairs, round=ROUND, revision=1, gold=gold, guideline=load_guideline(None, NOW), ids=IDS,
        settings=LabelingSettings(), seed=seed,
    )  # fmt: skip
    assert 0.05 <= facts["honeypot_share"] <= 0.15
    inbox = tmp_path / "labels"
    inbox.mkdir()
    deliver_simulated_labels(batch, inbox, round=ROUND, seed=seed)
    journal, raters = Journal(tmp_path / "journal.sqlite"), {r.rater: r for r in SIMULATED_RATERS}
    tasks = {t.task_id: t for t in from_table(LabelingTask, batch)}
    imported = import_label_files(inbox, journal, ids=IDS, tasks=tasks, raters=raters, now=NOW, round=ROUND)
    assert imported.reasons == {}
    assert imported.counts["accepted"] >= facts["annotations_asked"]
    annotations = fold_annotations(
        journal, round=ROUND, batches={ROUND: batch}, closed_rounds=set(), gold=gold, raters=raters, redact=lambda text, conversation: text
    )

    settings = QualitySettings()
    quality = rater_quality(annotations, round=ROUND, settings=settings)
    states = {r.rater: r.state for r in from_table(RaterQualityRow, quality)}
    assert states["sim-always-left"] == "paused"
    assert "paused" not in {state for rater, state in states.items() if rater.startswith(("sim-expert", "sim-crowd"))}
    agreement = agreement_table(annotations, quality, round=ROUND, settings=settings, seed=seed)
    verdict = agreement_verdict(
        annotations, agreement, quality, round=ROUND, annotations_sha256="s", batch=batch, settings=settings, now=NOW
    )
    assert verdict.state == "pass", verdict.reasons

    experts = {r.rater for r in SIMULATED_RATERS if "expert" in r.expertise}
    table, facts = aggregate_preferences(
        annotations, quality, batch, judge, pairs, round=ROUND, settings=settings, experts=experts, gold=gold
    )
    rows = from_table(Preference, table)
    assert {r.origin for r in rows} == {"simulated"}
    assert len(rows) > 450
    assert sum(facts["fate"].values()) == 600
    assert demonstrations(annotations, batch, round=ROUND, redact=lambda t, c: t, experts=experts, rater_quality=quality).num_rows > 20
