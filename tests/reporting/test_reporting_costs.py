"""Costs and economy: counted things times prices; the same table at every rerun."""

import pytest

from flywheel.records import Annotation, CostEvent, EmbeddingRow, ModelRow, Preference, SelectionPick
from flywheel.reporting import compute_cost_usd, cost_events, cost_per_pair, label_efficiency, random_share, round_costs
from flywheel.settings import EconomicsSettings
from flywheel.storage import empty_table, to_table

R1, R2 = "2026-01-05", "2026-01-12"
PRICES = EconomicsSettings(annotation_usd=0.5, expert_annotation_usd=2.0, embedded_text_usd=0.001, generated_response_usd=0.01)


def annotation(n, **changes):
    return {
        "round": R1, "event_id": f"e{n}", "task_id": f"t{n}", "batch_id": "b", "pair_id": f"p{n}", "task_round": R1, "kind": "natural",
        "domain": "support", "rater": "r", "decision": "a", "presented_left": "a", "timing_source": "absent", "guideline_version": "1",
        "guideline_sha256": "g", "source": "file", "origin": "human",
    } | changes  # fmt: skip


def costs_of(rows, **options):
    given = {"embedded_texts": 0, "generated_responses": 0, "settings": PRICES} | options
    table = cost_events(round=R1, annotations=to_table(Annotation, rows), **given)
    return table, {(r["kind"], r["domain"]): (r["quantity"], r["amount_usd"]) for r in table.to_pylist()}


def test_labels_are_priced_by_tier_domain_and_purpose():
    rows = [
        annotation(1), annotation(2, domain="code"), annotation(3, kind="gold"), annotation(4, kind="repeat"), annotation(5, origin="expert"),
        annotation(6, task_id="hard", origin="simulated"),
    ]  # fmt: skip
    _, found = costs_of(rows, expert_tasks={"hard"}, embedded_texts=10, generated_responses=3)
    assert found == {
        ("annotation", "support"): (1, 0.5), ("annotation", "code"): (1, 0.5), ("annotation_quality", "support"): (2, 1.0),
        ("expert_annotation", "support"): (2, 4.0), ("embedded_text", None): (10, 0.01), ("generated_response", None): (3, 0.03),
    }  # fmt: skip


def test_every_delivered_label_is_paid_once_whatever_became_of_it():
    rows = [
        annotation(1, status="banked"),
        annotation(2, decision="skip", skip_reason="unclear"),
        annotation(3, status="discarded"),
        annotation(3),
    ]
    assert costs_of(rows)[1] == {("annotation", "support"): (3, 1.5)}


def test_the_same_counts_give_the_same_table_in_any_order():
    rows = [annotation(i, domain=("code", "support")[i % 2], kind=("natural", "gold")[i % 3 == 0]) for i in range(9)]
    assert costs_of(rows)[0].equals(costs_of(rows[::-1])[0])


def test_compute_seconds_are_priced_apart():
    assert compute_cost_usd({"train": 1800, "embed": 360}, EconomicsSettings(compute_hour_usd=2.0)) == {"embed": 0.2, "train": 1.0}


def test_a_round_is_priced_from_what_is_stored(home, world):
    assert round_costs(home, R1).num_rows == 0
    world.selection(R1)
    world.batch(R1)
    world.labels(R1)
    home.lake.write("embeddings", R1, to_table(EmbeddingRow, [
        {"round": R1, "pair_id": f"p{i}", "record_id": "r", "vector": [1.0, 0.0], "embedder": "m", "text_sha256": "x", "duplicate_group": "d", "duplicate_count": 1}
        for i in range(7)
    ]))  # fmt: skip
    found = {r["kind"]: r["quantity"] for r in round_costs(home, R1).to_pylist() if r["domain"] != "code"}
    assert found["embedded_text"] == 7
    assert found["generated_response"] == 150, "every second pair was sampled"
    assert found["annotation_quality"] == 18


def preference(n, **changes):
    row = {
        "round": R1, "pair_id": f"p{n}", "domain": "support", "task_type": "g", "prompt": [{"role": "user", "content": "q"}],
        "response_a": {"text": "x", "generation": {"model_id": "m"}}, "response_b": {"text": "y", "generation": {"model_id": "m"}},
        "outcome": "a", "chosen": "a", "rejected": "b", "posterior": 0.9, "n_annotations": 3, "aggregator": "majority", "tier": "crowd",
        "origin": "human", "arm": "active", "prompt_sha256": "x", "prompt_cluster": "c", "batch_id": "b", "guideline_version": "1",
        "guideline_sha256": "g", "redaction_version": "1",
    }  # fmt: skip
    return row | changes


def test_cost_per_pair_counts_gold_labels_and_shares_out_what_has_no_domain():
    costs, _ = costs_of(
        [*(annotation(i) for i in range(3)), annotation(9, kind="gold"), *(annotation(20 + i, domain="code") for i in range(4))],
        embedded_texts=1000,
    )  # fmt: skip
    rows = [
        preference(1),
        preference(2, origin="judge"),
        preference(3, domain="code"),
        preference(4, outcome="tie", chosen=None, rejected=None),
    ]
    whole, code, support = cost_per_pair(costs, to_table(Preference, rows))
    assert (whole.accepted_pairs, whole.kept_by_judge, whole.labels, whole.total_usd) == (3, 1, 8, 5.0)
    assert whole.usd_per_pair == pytest.approx(5 / 3)
    assert (code.labeling_usd, code.shared_usd, code.usd_per_pair) == (2.0, 0.5, 2.5)
    assert (support.labels_per_pair, support.usd_per_pair) == (2.0, 1.25)
    assert whole.total_usd == pytest.approx(code.total_usd + support.total_usd)


def test_without_an_accepted_pair_there_is_no_cost_per_pair():
    whole = cost_per_pair(costs_of([annotation(1)])[0], empty_table(Preference))[0]
    assert (whole.accepted_pairs, whole.usd_per_pair, whole.labels_per_pair) == (0, None, None)
    assert cost_per_pair(empty_table(CostEvent), empty_table(Preference))[0].total_usd == 0


def test_pairs_that_only_the_judge_decided_carry_the_shared_cost():
    costs, _ = costs_of([], embedded_texts=1000)
    rows = [preference(1, origin="judge"), preference(2, origin="judge", domain="code")]
    assert [r.usd_per_pair for r in cost_per_pair(costs, to_table(Preference, rows))] == [0.5, 0.5, 0.5]


def test_the_share_of_the_random_arms(home, world):
    assert random_share(empty_table(SelectionPick)) is None
    world.selection(R1)
    assert random_share(home.lake.read("selection", R1)) == pytest.approx(0.1)


def reward(home, round, accuracy, trained=True):
    metrics = {"all": {"accuracy": accuracy, "n": 90}, "code": {"accuracy": accuracy - 0.1}}
    row = {"round": round, "model_id": "m", "kind": "reward", "trained": trained, "n_pairs": 90, "metrics": metrics}
    home.lake.write("reward_model", round, to_table(ModelRow, [row]))


def test_labels_per_accuracy_point_are_unknown_until_two_rounds_have_a_reward_model(home):
    assert label_efficiency(home, R1) == []
    reward(home, R1, 0.60)
    assert [(e.domain, e.labels_per_point) for e in label_efficiency(home, R1)] == [("all", None), ("code", None)]
    assert "not yet known" in label_efficiency(home, R1)[0].explanation


def test_labels_per_accuracy_point_compare_with_the_newest_earlier_model(home):
    reward(home, R1, 0.60)
    reward(home, R2, 0.64)
    home.lake.write("cost_events", R2, to_table(CostEvent, [
        {"round": R2, "kind": "annotation", "domain": d, "quantity": n, "unit": "label", "unit_price_usd": 1, "amount_usd": n}
        for d, n in (("code", 80), ("support", 120), (None, 7))
    ]))  # fmt: skip
    whole, code = label_efficiency(home, R2)
    assert (whole.labels, whole.accuracy_before) == (200, 0.60)
    assert whole.labels_per_point == pytest.approx(50)
    assert code.labels_per_point == pytest.approx(20)


def test_accuracy_that_did_not_rise_gives_no_figure(home):
    reward(home, R1, 0.64)
    reward(home, R2, 0.63)
    assert {(e.labels_per_point, e.explanation) for e in label_efficiency(home, R2)} == {(None, "accuracy did not rise")}
    reward(home, "2026-01-19", 0.7, trained=False)
    assert label_efficiency(home, "2026-01-19") == []
