"""Real training, small: what a run guarantees. Minutes in all, hence slow."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from flywheel.errors import BadInput, NotFound, TrainingFailed
from flywheel.records import Demonstration, Message, Preference
from flywheel.settings import EvaluationSettings, TrainingSettings
from flywheel.shopforge.world import ideal_response, sample_prompt
from flywheel.storage.arrow import to_table
from flywheel.training import (
    EvaluationPrompt,
    ModelStore,
    ensure_base,
    enter_base,
    evaluate,
    judge_from_oracle,
    load_generator,
    load_sampler,
    train_dpo,
    train_sft,
)

pytestmark = pytest.mark.slow
SETTINGS = TrainingSettings(base="shopforge-tiny-fast", batch_size=16)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def base_of(store: ModelStore, cache: Path) -> str:
    return enter_base(SETTINGS, store, cache, 0).model_id


def test_the_base_is_trained_once_in_another_process(cache: Path) -> None:
    lines: list[str] = []
    place = ensure_base(SETTINGS, cache, 0, lines.append)
    assert (place / "model.safetensors").is_file()
    stamp = (place / "model.safetensors").stat().st_mtime_ns
    said: list[str] = []
    assert ensure_base(SETTINGS, cache, 0, said.append) == place
    assert said == []
    assert (place / "model.safetensors").stat().st_mtime_ns == stamp
    assert [p.name for p in place.parent.iterdir()] == [place.name]
    assert not lines or lines[-1].startswith("stage 2")


def test_the_callers_side_imports_no_torch() -> None:
    code = "import sys, flywheel.training; assert not {'torch', 'transformers', 'trl', 'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_base_that_does_not_exist_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFound, match="no-such-model"):
        ensure_base(TrainingSettings(base="nobody/no-such-model"), cache, 0)


def test_an_answer_depends_on_the_seed_and_not_on_its_neighbours(store: ModelStore, cache: Path) -> None:
    generator = load_generator(store.path(base_of(store, cache)), SETTINGS)
    rng = random.Random(0)
    prompts = [sample_prompt(rng).text for _ in range(12)]
    together = generator.generate(prompts, n=2, seed=5)
    assert together == generator.generate(prompts, n=2, seed=5)
    assert together != generator.generate(prompts, n=2, seed=6)
    assert generator.generate(prompts[:1], n=2, seed=5)[0] == together[0]
    generator.rows = 3
    assert generator.generate(prompts, n=2, seed=5) == together
    greedy = generator.generate(prompts, temperature=0, seed=1)
    assert greedy == generator.generate(prompts, temperature=0, seed=2)
    logp = generator.mean_logprob(prompts, [g[0] for g in greedy])
    assert logp.shape == (12,)
    assert (logp < 0).all()
    assert logp.mean() > generator.mean_logprob(prompts, ["zebra xylophone"] * 12).mean()


def test_a_prompt_beyond_the_context_is_cut_on_the_left_and_counted(store: ModelStore, cache: Path) -> None:
    generator = load_generator(store.path(base_of(store, cache)), SETTINGS)
    generator.generate(["word " * 2_000 + "\nReply:\n", "short\nReply:\n"])
    assert generator.truncated == 1


def test_sampling_batches_of_one_conversation_without_a_demo_prompt(store: ModelStore, cache: Path) -> None:
    sample = load_sampler(store.path(base_of(store, cache)), SETTINGS)
    turns = [Message(role="system", content="Be kind."), Message(role="user", content="Où est ma commande ?")]
    assert len(sample([turns], 3, 0)[0]) == 3
    assert sample([], 3, 0) == []


def test_the_same_job_gives_the_same_weights_and_is_never_run_twice(
    tmp_path: Path, store: ModelStore, cache: Path, preferences: pa.Table
) -> None:
    parent = base_of(store, cache)
    made = train_dpo(preferences, parent_model_id=parent, store=store, settings=SETTINGS, seed=1, round="2026-01-05")
    assert made.first_step_margin is not None
    assert abs(made.first_step_margin) < 1e-4
    assert made.reference_model_id == made.parent_model_id == parent
    assert made.trained_on_simulated
    assert made.metrics["preflight"]["truncated"] == 0
    assert made.n_pairs_by_domain == {
        "code": preferences["domain"].to_pylist().count("code"),
        "support": preferences["domain"].to_pylist().count("support"),
    }
    assert store.run(made.model_id)["peak_rss_bytes"] > 1e8
    with pytest.MonkeyPatch.context() as patch:  # nothing is trained again
        patch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
        assert train_dpo(preferences, parent_model_id=parent, store=store, settings=SETTINGS, seed=1, round="2026-01-05") == made

    other = ModelStore(tmp_path / "elsewhere")
    enter_base(SETTINGS, other, cache, 0)
    backwards = preferences.take(pa.array(range(preferences.num_rows - 1, -1, -1)))
    again = train_dpo(backwards, parent_model_id=parent, store=other, settings=SETTINGS, seed=1, round="2026-01-05")
    assert again == made
    assert again.files["model.safetensors"] != store.get(parent).files["model.safetensors"]


def test_held_out_clusters_and_empty_sets_never_train(store: ModelStore, cache: Path, preferences: pa.Table) -> None:
    parent = base_of(store, cache)
    cluster = preferences["prompt_cluster"][3].as_py()
    with pytest.raises(TrainingFailed, match="held out for evaluation"):
        train_dpo(preferences, parent_model_id=parent, store=store, settings=SETTINGS, seed=1, held_out_clusters={cluster})
    with pytest.raises(BadInput, match="no rows"):
        train_dpo(to_table(Preference, []), parent_model_id=parent, store=store, settings=SETTINGS, seed=1)
    with pytest.raises(TrainingFailed, match="timeout_s"):
        train_dpo(preferences, parent_model_id=parent, store=store, settings=SETTINGS.model_copy(update={"timeout_s": 1}), seed=1)
    assert store.ids() == [parent]
    assert not list(store.root.glob(".training-*"))


def test_fine_tuning_on_ideal_answers_makes_them_likelier(store: ModelStore, cache: Path) -> None:
    parent, rng, rows = base_of(store, cache), random.Random(1), []
    while len(rows) < 64:
        prompt = sample_prompt(rng)
        if prompt.split == "train":
            rows.append(
                Demonstration(
                    round="2026-01-05", pair_id=f"{len(rows):032x}", domain=prompt.domain, task_type="generation", author="sim-expert-1",
                    prompt=[Message(role="user", content=prompt.content)], response=ideal_response(rng, prompt), origin="simulated",
                    prompt_cluster=prompt.cluster,
                )
            )  # fmt: skip
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-3, "epochs": 3})
    made = train_sft(to_table(Demonstration, rows), parent_model_id=parent, store=store, settings=settings, seed=0)
    assert made.kind == "sft"
    assert made.first_step_margin is None
    prompts, answers = [r.prompt[0].content + "\nReply:\n" for r in rows], [r.response for r in rows]
    before, after = (load_generator(store.path(m), SETTINGS).mean_logprob(prompts, answers) for m in (parent, made.model_id))
    assert after.mean() > before.mean() + 0.1


def test_a_killed_run_leaves_nothing_half_and_the_next_one_repeats_it(
    tmp_path: Path, store: ModelStore, cache: Path, preferences: pa.Table
) -> None:
    parent = base_of(store, cache)
    pa.parquet.write_table(preferences, tmp_path / "rows.parquet")
    code = f"""
import pyarrow.parquet as pq
from pathlib import Path
from flywheel.settings import TrainingSettings
from flywheel.training import ModelStore, train_dpo
settings = TrainingSettings(base="shopforge-tiny-fast", batch_size=16)
train_dpo(pq.read_table({str(tmp_path / "rows.parquet")!r}), parent_model_id={parent!r}, store=ModelStore(Path({str(store.root)!r})), settings=settings, seed=1)
"""
    run = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not (logs := list(store.root.glob(".training-*/log.txt"))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert logs
    time.sleep(2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    assert store.ids() == [parent]
    time.sleep(2)  # the trainer notices that its parent has died
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(logs[0].parent) not in listed
    made = train_dpo(preferences, parent_model_id=parent, store=store, settings=SETTINGS, seed=1)
    assert store.ids() == sorted([parent, made.model_id])
    assert store.verify(made.model_id) == []
    assert not list(store.root.glob(".training-*"))


def test_a_model_against_itself_is_a_draw_and_repeats(store: ModelStore, cache: Path) -> None:
    folder, rng = store.path(base_of(store, cache)), random.Random(2)
    prompts = []
    while len(prompts) < 40:
        p = sample_prompt(rng)
        prompts.append(EvaluationPrompt(p.domain, p.cluster, [Message(role="user", content=p.content)]))
    tables = [
        evaluate(
            folder, folder, prompts, judge_from_oracle(), candidate_id="a", incumbent_id="b", training=SETTINGS, settings=EvaluationSettings(),
            seed=7, round="2026-01-05",
        )
        for _ in range(2)
    ]  # fmt: skip
    assert tables[0].equals(tables[1])
    wins = [r for r in tables[0].to_pylist() if r["metric"] == "win_rate"]
    assert len(wins) == 6
    np.testing.assert_allclose([r["value"] for r in wins], 0.5)
    assert {r["judge"] for r in wins} == {"shopforge_oracle"}
