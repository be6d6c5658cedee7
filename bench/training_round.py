"""Does preference training gain, in the shape that the weekly round has? One or more simulated rounds; prints a table, writes JSON.

A round: natural tasks of both domains from the training clusters; each a pair of the logged response (the serving model's; in round 1 the
scripted assistant's) and one sampled candidate; three careful simulated raters, majority; DPO from the
serving model; evaluation on `conf` clusters; the promotion decision. Run: `.venv/bin/python bench/training_round.py --out FILE.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from difflib import SequenceMatcher
from pathlib import Path

import pyarrow as pa

from flywheel.records import Message, Preference
from flywheel.rounds import code_version
from flywheel.settings import Settings
from flywheel.shopforge import raters
from flywheel.shopforge.oracle import utility
from flywheel.shopforge.raters import BEHAVIOURS
from flywheel.shopforge.world import Prompt, base_response, sample_prompt
from flywheel.storage.arrow import to_table
from flywheel.training import (
    EvaluationPrompt,
    ModelStore,
    RewardModel,
    enter_base,
    evaluate,
    judge_from_oracle,
    load_generator,
    promotion_decision,
    store_reward_model,
    train_dpo,
)

NOISE, TIE, BAD = BEHAVIOURS["sim-crowd-2"].noise, raters.TIE, raters.BAD


def prompts_of(rng: random.Random, domain: str, n: int, split: str) -> list[Prompt]:
    found: list[Prompt] = []
    while len(found) < n:
        prompt = sample_prompt(rng, domain)
        if prompt.split == split:
            found.append(prompt)
    return found


def different(logged: str, candidates: list[str], choice: str) -> str | None:
    """The second response: the first that differs, or the one with the least similar text."""
    distinct = [c for c in dict.fromkeys(candidates) if c.split() != logged.split()]
    if not distinct:
        return None
    if choice == "first":
        return distinct[0]
    return min(distinct, key=lambda c: SequenceMatcher(None, logged.split(), c.split(), autojunk=False).ratio())


def label(rng: random.Random, prompt: str, a: str, b: str, count: int) -> tuple[str, float]:
    """Majority of careful raters as `flywheel.shopforge.raters` models them (noisy utilities, tie and both-bad thresholds), and its share."""
    votes = []
    for _ in range(count):
        va, vb = (utility(prompt, x).u - NOISE * math.log(-math.log(rng.random() + 1e-12)) for x in (a, b))
        if max(va, vb) < BAD:
            votes.append("both_bad")
        else:
            votes.append("tie" if abs(va - vb) < TIE else "a" if va > vb else "b")
    outcome = max(sorted(set(votes)), key=votes.count)
    return outcome, votes.count(outcome) / count


def preferences(rows: list[tuple[Prompt, str, str]], rng: random.Random, round_: str, floor: float) -> pa.Table:
    made = []
    for i, (prompt, a, b) in enumerate(rows):
        outcome, share = label(rng, prompt.text, a, b, 3)
        if share < floor or outcome not in ("a", "b"):
            continue
        response = {"generation": {"model_id": "bench"}}
        made.append(
            Preference(
                round=round_, pair_id=f"{round_}-{i:05d}", domain=prompt.domain, task_type="generation",
                prompt=[Message(role="user", content=prompt.content)], response_a={"text": a, **response}, response_b={"text": b, **response},
                outcome=outcome, chosen=outcome, rejected="b" if outcome == "a" else "a", posterior=share, n_annotations=3,
                aggregator="majority", tier="crowd", origin="simulated", arm="active", prompt_sha256="-", prompt_cluster=prompt.cluster,
                batch_id="bench", guideline_version="1", guideline_sha256="-", redaction_version="1",
            )
        )  # fmt: skip
    return to_table(Preference, made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "flywheel-bench")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=300, help="a domain and round")
    parser.add_argument("--candidates", type=int, default=3)
    parser.add_argument("--choice", choices=("first", "different"), default="first")
    parser.add_argument("--floor", type=float, default=0.6, help="least majority share that is kept")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("dev", "conf"), default="conf")
    parser.add_argument("--prompts", type=int, default=1_000, help="evaluation prompts a domain")
    parser.add_argument("--training", type=json.loads, default={}, help="JSON over settings.training")
    parser.add_argument("--cumulative", action="store_true", help="train on the pairs of all rounds so far")
    parser.add_argument("--shuffle", action="store_true", help="placebo: labels thrown away")
    arguments = parser.parse_args()
    settings = Settings.load(arguments.home)
    training = settings.training.model_copy(update=arguments.training)
    evaluation = settings.evaluation
    store = ModelStore(arguments.home / "models")
    started = time.monotonic()
    serving = enter_base(training, store, arguments.home / "cache", 0).model_id
    print(f"base {serving} after {time.monotonic() - started:.1f} s: {json.dumps(store.get(serving).metrics)}", flush=True)
    rng = random.Random(arguments.seed)
    held_out = [p for d in ("support", "code") for p in prompts_of(rng, d, arguments.prompts, arguments.split)]
    asked = [EvaluationPrompt(p.domain, p.cluster, [Message(role="user", content=p.content)]) for p in held_out]
    log, earlier = [], []
    for number in range(1, arguments.rounds + 1):
        name = f"2026-01-{5 + 7 * (number - 1):02d}"
        prompts = [p for d in ("support", "code") for p in prompts_of(rng, d, arguments.tasks, "train")]
        generator = load_generator(store.path(serving), training)
        texts = [p.text for p in prompts]
        if number == 1:
            logged = [base_response(rng, p) for p in prompts]
        else:
            logged = [
                g[0] for g in generator.generate(texts, temperature=evaluation.production_temperature, seed=arguments.seed + 77 * number)
            ]
        begun = time.monotonic()
        sampled = generator.generate(texts, n=arguments.candidates, temperature=training.sampling_temperature, seed=arguments.seed + number)
        sampling_s = time.monotonic() - begun
        pairs = [
            (p, a, b) for p, a, c in zip(prompts, logged, sampled, strict=True) if (b := different(a, c, arguments.choice)) is not None
        ]
        table = preferences(pairs, rng, name, arguments.floor)
        if arguments.shuffle:
            table = shuffled(table, rng)
        earlier.append(table)
        rows = pa.concat_tables(earlier) if arguments.cumulative else table
        right = {d: accuracy(table, d) for d in ("support", "code")}
        begun = time.monotonic()
        made = train_dpo(rows, parent_model_id=serving, store=store, settings=training, seed=arguments.seed, round=name)
        dpo_s = time.monotonic() - begun
        begun = time.monotonic()
        result = evaluate(
            store.path(made.model_id), store.path(serving), asked, judge_from_oracle(), candidate_id=made.model_id, incumbent_id=serving,
            training=training, settings=evaluation, seed=arguments.seed, round=name,
        )  # fmt: skip
        evaluation_s = time.monotonic() - begun
        promote, reasons = promotion_decision(result, evaluation)
        reward = RewardModel.load(
            store.path(store_reward_model(pa.concat_tables(earlier), store=store, seed=arguments.seed, round=name).model_id)
        )
        print(
            f"round {number}: {rows.num_rows} pairs {made.n_pairs_by_domain}, label accuracy {right}, sampling {sampling_s:.1f} s, "
            f"DPO {dpo_s:.1f} s (in process {store.run(made.model_id)['wall_s']:.1f} s, "
            f"{store.run(made.model_id)['peak_rss_bytes'] / 2**20:.0f} MB), evaluation {evaluation_s:.1f} s, "
            f"reward model accuracy {reward.metrics['all']['accuracy']:.3f} ece {reward.metrics['all']['ece']:.3f}"
        )
        shown = result.to_pylist()
        for row in shown:
            if row["metric"] == "win_rate":
                ok = {r["metric"]: r["value"] for r in shown if (r["domain"], r["decoding"]) == (row["domain"], row["decoding"])}
                print(
                    f"  {row['domain']:8} {row['decoding']:16} win {row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  "
                    f"ok {ok['ok_incumbent']:.3f} -> {ok['ok_candidate']:.3f}  length {ok['length_ratio']:.2f}"
                )
        print(f"  promote: {promote}", *(r for r in reasons if r.startswith("not met")), flush=True)
        log.append(
            {"round": number, "pairs": rows.num_rows, "label_accuracy": right, "dpo_s": dpo_s, "evaluation_s": evaluation_s, "promote": promote,
             "reasons": reasons, "evaluation": shown, "run": store.run(made.model_id), "metrics": made.metrics, "reward_model": dict(reward.metrics)}
        )  # fmt: skip
        if promote:
            serving = made.model_id
    if arguments.out:
        arguments.out.write_text(
            json.dumps({"commit": code_version(), "arguments": {k: str(v) for k, v in vars(arguments).items()}, "rounds": log}, indent=1)
        )
    return 0


def accuracy(table: pa.Table, domain: str) -> float:
    """Share of labels that agree with the oracle, where it has an opinion."""
    hits = []
    for row in table.to_pylist():
        if row["domain"] == domain:
            text = row["prompt"][0]["content"] + "\nReply:\n"
            gap = utility(text, row["response_a"]["text"]).u - utility(text, row["response_b"]["text"]).u
            if abs(gap) > 1e-9:
                hits.append((gap > 0) == (row["outcome"] == "a"))
    return round(sum(hits) / max(1, len(hits)), 3)


def shuffled(table: pa.Table, rng: random.Random) -> pa.Table:
    rows = table.to_pylist()
    for row in rows:
        row["outcome"] = rng.choice("ab")
        row["chosen"], row["rejected"] = row["outcome"], "b" if row["outcome"] == "a" else "a"
    return to_table(Preference, rows)


if __name__ == "__main__":
    sys.exit(main())
