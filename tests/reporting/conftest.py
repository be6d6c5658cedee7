"""An installation with two rounds of plausible stored tables: what the stages would have left."""

import random
from datetime import UTC, datetime

import pytest

from flywheel.dataset import publish_round
from flywheel.records import (
    AgreementRow,
    Annotation,
    EvaluationRow,
    JudgeLabel,
    LabelingTask,
    LogRecord,
    ModelRow,
    Pair,
    Preference,
    PromotionRow,
    QuarantinedRow,
    RaterQualityRow,
    RegistryEntry,
    RoundContext,
    SelectionPick,
    UncertaintyRow,
    Verdict,
)  # fmt: skip
from flywheel.reporting import round_costs
from flywheel.rounds import Verdicts, previous_round, round_end
from flywheel.settings import Settings
from flywheel.storage import Home, empty_table, to_table, write_json

R1, R2 = "2026-01-05", "2026-01-12"
NOW = datetime(2026, 1, 26, 9, 30, tzinfo=UTC)
SECRET = "jane.doe@example.org"
ANSWER = {"text": "Refund in 5 days .", "generation": {"model_id": "base-1"}}
OTHER = {"text": "No refund .", "generation": {"model_id": "base-2"}}
PROMPT = [{"role": "user", "content": "Where is [ORDER_1] ?"}]


class World:
    """Writes one stage after the other; every method may be left out, and the report must still tell the truth."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.verdicts = Verdicts(home.provenance / "verdicts")

    def write(self, table, round, model, rows, **facts):
        return self.home.lake.write(table, round, to_table(model, [{"round": round, **r} for r in rows]), facts=facts)

    def decide(self, gate, round, sha256, state="pass", reasons=(), **thresholds):
        self.verdicts.record(Verdict(
            gate=gate, round=round, subject_sha256=sha256, state=state, reasons=list(reasons), thresholds=thresholds, decided_at=NOW
        ))  # fmt: skip

    def logs(self, round, n=400, leak_state="pass"):
        def record(i):
            return {
                "record_id": f"{round}r{i}", "conversation_id": f"c{i}", "subject_id": f"s{i}", "timestamp": NOW, "domain": domain(i),
                "task_type": "generation", "messages": PROMPT, "responses": [ANSWER], "source": {"format": "flywheel", "file": "x"},
                "content_sha256": "x",
            }  # fmt: skip

        counts = {"rows_read": n + 25, "accepted": n, "other_rounds": 12, "duplicates": 5, "quarantined": 8, "quarantined_elsewhere": 0}
        reasons = {"malformed_json": 5, "future_timestamp": 3}
        self.write("inference_logs", round, LogRecord, [record(i) for i in range(n)], counts=counts, quarantine=reasons, losses={})
        bad = {"stage": "ingestion", "file": SECRET, "line": 1, "reason": "malformed_json", "message": SECRET, "raw": SECRET}
        self.write("quarantine", round, QuarantinedRow, [bad])
        from flywheel.records import ConsentedRecord, RedactedRecord

        kept = n - 60
        consent = {"purposes": ["labeling"], "legal_basis": "consent", "policy_version": "1"}
        reasons = {"no_consent": 50, "withdrawn": 10}
        consented = self.write("consented_logs", round, ConsentedRecord, [record(i) | consent for i in range(kept)], reasons=reasons)
        self.decide("consent", round, consented.sha256)
        redaction = {"purposes": ["labeling"], "redaction_version": "1"}
        redacted = self.write(
            "redacted_logs", round, RedactedRecord, [record(i) | redaction for i in range(kept - 2)], stats={}, withdrawn_since=2
        )
        self.decide("residual_leak", round, redacted.sha256, leak_state)

    def selection(self, round, n=300, picks=120, bootstrap=False):
        rng = random.Random(round)
        ids = {"record_id": "r", "conversation_id": "c", "subject_id": "s"}

        def pair(i):
            return {
                **ids, "pair_id": f"{round}p{i}", "domain": domain(i), "task_type": "generation", "prompt": PROMPT, "response_a": ANSWER,
                "response_b": OTHER, "prompt_sha256": "x", "prompt_cluster": f"k{i}", "redaction_version": "1",
                "second_response": "sampled" if i % 2 else "log",
            }  # fmt: skip

        stats = {
            "records": n + 98,
            "pairs": n,
            "from_log": 150,
            "sampled": 150,
            "no_contrast": 20,
            "beyond_prefilter": 60,
            "near_duplicate_prompt": 18,
            "no_second_response": 0,
            "repeated_record": 0,
        }
        pool = {"pool": n + 98, "already_published": 40, "late_for_this_round": 0, "redacted_in_window": n + 138}
        self.write("response_pairs", round, Pair, [pair(i) for i in range(n)], stats=stats, pool=pool)
        values = [None if bootstrap else min(1.0, rng.betavariate(2, 4)) for _ in range(n)]
        scored = [
            {"pair_id": f"{round}p{i}", "record_id": "r", "uncertainty": v, "model_id": None if bootstrap else "reward-9f31"}
            for i, v in enumerate(values)
        ]
        self.write("uncertainty", round, UncertaintyRow, scored)
        order = sorted(range(n), key=lambda i: -(values[i] or 0))[:picks]
        arms = ["random_evaluation"] * 6 + ["random_control"] * 6 + ["active"] * picks
        self.write("selection", round, SelectionPick, [
            {
                "pair_id": f"{round}p{i}", "record_id": "r", "domain": domain(i), "rank": rank, "score": 0.5, "uncertainty": values[i], "reason": "r",
                "arm": arms[rank], "strategy": "hybrid" if arms[rank] == "active" else "random", "seed": 1,
            } for rank, i in enumerate(order)
        ])  # fmt: skip
        judged = set(order[12:24]) if not bootstrap else set()
        self.write("judge_labels", round, JudgeLabel, [
            {"pair_id": f"{round}p{i}", "record_id": "r", "route": "judge" if i in judged else "human", "reason": "r"} for i in order
        ])  # fmt: skip
        self.people = [i for i in order if i not in judged]
        self.judged = sorted(judged)

    def batch(self, round):
        common = {
            "batch_id": "b", "domain": "support", "task_type": "generation", "prompt": PROMPT, "response_a": ANSWER, "response_b": OTHER,
            "prompt_cluster": "k", "presented_left": "a", "required_expertise": "general", "redundancy": 3, "guideline_version": "1.0",
            "guideline_sha256": "g" * 64, "redaction_version": "1",
        }  # fmt: skip
        natural = [
            common | {"task_id": f"{round}t{i}", "pair_id": f"{round}p{i}", "kind": "natural", "domain": domain(i)} for i in self.people
        ]
        gold = [common | {"task_id": f"{round}g{i}", "pair_id": f"gold{i}", "kind": "gold", "gold_id": f"g{i}"} for i in range(12)]
        self.write("labeling_batch", round, LabelingTask, natural + gold)

    def labels(self, round, state="pass", reasons=("alpha on gold .74, lower bound .68 of at least .65",), origin="simulated", alpha=0.74):
        def label(task, pair, kind, i, rater):
            return {
                "event_id": f"{task}{rater}", "task_id": task, "batch_id": "b", "pair_id": pair, "task_round": round, "kind": kind,
                "domain": domain(i), "rater": f"sim-rater-{rater}", "decision": "a" if i % 5 else "tie", "presented_left": "a",
                "timing_source": "simulated", "guideline_version": "1.0", "guideline_sha256": "g" * 64, "source": "file", "origin": origin,
            }  # fmt: skip

        people = self.people[:-4]  # four pairs are not answered yet
        rows = [label(f"{round}t{i}", f"{round}p{i}", "natural", i, r) for i in people for r in range(3)]
        rows += [label(f"{round}g{i}", f"gold{i}", "gold", i, r) for i in range(12) for r in range(3)]
        annotations = self.write("annotations", round, Annotation, rows, **{
            "import": {"lines": len(rows) + 3, "accepted": len(rows), "quarantined": 3}, "quarantine": {"unknown_task": 2, "missing_rationale": 1},
        })  # fmt: skip
        self.annotations_sha256 = annotations.sha256
        kinds = (
            ("careful", "active", 0.95, 0.85, 0.98, -6.1),
            ("noisy", "watch", 0.78, 0.6, 0.89, 1.2),
            ("spammer", "paused", 0.45, 0.25, 0.66, 9.7),
        )
        self.write("rater_quality", round, RaterQualityRow, [
            {
                "rater": f"sim-{name}-{n}", "origin": origin, "cohort": "eu/en/degree", "n_annotations": 120 + n, "n_gold": 12, "gold_passed": round_(12 * acc),
                "accuracy": acc, "accuracy_low": low, "accuracy_high": high, "evidence_llr": llr, "peer_agreement": acc - 0.05, "left_share": 0.52 if name != "spammer" else 0.93,
                "side_bias_p": 0.4, "median_active_s": 38.0 - 12 * n, "state": st, "reasons": ["left side in 93 % of answers"] if name == "spammer" else [],
            } for name, st, acc, low, high, llr in kinds for n in range(2)
        ])  # fmt: skip
        segments = [("gold", alpha), ("gold:support", alpha + 0.03), ("gold:code", alpha - 0.05), ("natural", 0.55)]
        self.write("agreement", round, AgreementRow, [
            *({
                "segment": s, "statistic": statistic, "value": v, "low": v - 0.07, "high": v + 0.06, "n_items": 40, "n_annotations": 120, "status": "defined",
            } for s, v in segments for statistic in ("krippendorff_alpha_nominal", "krippendorff_alpha_gate")[: 1 + s.startswith("gold")]),
            {"segment": "gold", "statistic": "gwet_ac1", "value": 0.8, "low": 0.75, "high": 0.85, "n_items": 40, "n_annotations": 120, "status": "defined"},
            {"segment": "gold", "statistic": "gold_items_needed", "value": 64.0, "n_items": 40, "n_annotations": 120, "status": "defined"},
            {"segment": "gold", "statistic": "cohen_kappa_mean_pairwise", "n_items": 0, "n_annotations": 0, "status": "undefined"},
        ])  # fmt: skip
        self.decide("agreement", round, annotations.sha256, state, reasons, alpha_floor=0.65)

    def preferences(self, round, origin="simulated"):
        rows = []
        for n, i in enumerate([*self.people[:-10], *self.judged]):
            outcome = "tie" if n % 9 == 0 else "b" if n % 3 == 0 else "a"
            sides = {"a": ("a", "b"), "b": ("b", "a")}.get(outcome, (None, None))
            rows.append({
                "pair_id": f"{round}p{i}", "record_id": "r", "conversation_id": "c", "subject_id": "s", "domain": domain(i), "task_type": "generation",
                "prompt": PROMPT, "response_a": ANSWER, "response_b": OTHER, "outcome": outcome, "chosen": sides[0], "rejected": sides[1],
                "posterior": 0.9, "n_annotations": 3, "aggregator": "majority", "tier": "judge" if i in self.judged else "crowd",
                "origin": "judge" if i in self.judged else origin, "arm": "random_evaluation" if n < 6 else "random_control" if n < 12 else "active",
                "prompt_sha256": "x", "prompt_cluster": f"k{i}", "batch_id": "b", "guideline_version": "1.0", "guideline_sha256": "g" * 64,
                "redaction_version": "1",
            })  # fmt: skip
        self.write(
            "preferences",
            round,
            Preference,
            rows,
            fate={"crowd": 98, "judge": 12, "to_expert": 6, "unlabelled": 4},
            accepted=110,
            temperature=1.2,
        )
        verdict = self.verdicts.demand_pass("agreement", round, self.annotations_sha256)
        pinned = RoundContext(
            round=round, cutoff=round_end(round), pinned_at=NOW, model_id=None if round == R1 else "base-77aa01c2d3e4f506", guideline_version="1.0",
            guideline_sha256="g" * 64, gold_sha256="o", settings_sha256="s", code_version="1f3a9bc",
        )  # fmt: skip
        write_json(self.home.provenance / "rounds" / round / "context.0001.json", pinned.model_dump(mode="json"))
        manifest, table = publish_round(
            self.home, to_table(Preference, [{"round": round, **r} for r in rows]), pinned=pinned, verdict=verdict,
            annotations_sha256=self.annotations_sha256, now=NOW,
        )  # fmt: skip
        self.home.lake.write("preference_dataset", round, table, facts={"version": manifest.version, "not_allowed_for_training": 0})
        self.home.lake.write("cost_events", round, round_costs(self.home, round))

    def models(self, round, promoted=True, accuracy=0.71):
        metrics = {
            d: {"accuracy": accuracy + off, "nll": 0.52, "ece": 0.04, "n": n}
            for d, off, n in (("all", 0, 90), ("code", -0.04, 44), ("support", 0.04, 46))
        }
        version = self.home.lake.demand("preference_dataset", round).facts["version"]
        model = {"dataset_version": version, "trained": True, "n_pairs": 91}
        self.write("sft_model", round, ModelRow, [{"model_id": "base-77aa01c2d3e4f506", "kind": "sft", "trained": False, "n_pairs": 0}])
        self.write("reward_model", round, ModelRow, [model | {"model_id": f"reward-{round}", "kind": "reward", "metrics": metrics}])
        candidate = f"dpo-{round.replace('-', '')}4be1907c"
        self.write(
            "dpo_model", round, ModelRow, [model | {"model_id": candidate, "kind": "dpo", "parent_model_id": "base-77aa01c2d3e4f506"}]
        )
        rows = []
        shift = 0.0 if promoted else -0.07
        for d, base in (("all", 0.567), ("code", 0.548), ("support", 0.586)):
            for decoding, off in (("greedy", -0.012), ("temperature_0.7", 0.0)):
                v = base + off + shift
                common = {
                    "candidate_id": candidate,
                    "incumbent_id": "base-77aa01c2d3e4f506",
                    "domain": d,
                    "decoding": decoding,
                    "n_prompts": 1000,
                    "n_clusters": 214,
                    "judge": "shopforge_oracle",
                }
                rows.append(common | {"metric": "win_rate", "value": v, "low": v - 0.03, "high": v + 0.03})
                rows.append(common | {"metric": "length_ratio", "value": 1.08, "low": 1.04, "high": 1.12})
        evaluation = self.write("evaluation", round, EvaluationRow, rows)
        reasons = [
            f"{'met' if promoted else 'not met'}: overall win rate at temperature_0.7 [0.537, 0.597], lower bound must exceed 0.5",
            "met: code win rate at greedy 0.536, lower bound must exceed 0.45",
            "met: code win rate at temperature_0.7 0.548, lower bound must exceed 0.45",
            "met: support win rate at greedy 0.574, lower bound must exceed 0.45",
            "met: all length ratio at greedy 1.080, must lie within 0.80 to 1.25",
        ]
        self.decide("promotion", round, evaluation.sha256, "pass" if promoted else "fail", reasons)
        decision = {
            "decision": "promoted" if promoted else "kept",
            "candidate_id": candidate,
            "reasons": reasons,
            "reward_model_id": f"reward-{round}",
        }
        serves = candidate if promoted else "base-77aa01c2d3e4f506"
        self.write("promotion", round, PromotionRow, [decision | {"model_id": serves}])
        entry = RegistryEntry(round=round, model_id=serves, effective_at=NOW, recorded_at=NOW, **decision)
        write_json(self.home.registry / f"{round}.json", entry.model_dump(mode="json"))

    def abandon(self, round):
        self.home.lake.write("preferences", round, empty_table(Preference), facts={"abandoned": "too few raters"})
        write_json(self.home.provenance / "rounds" / round / "abandoned.json", {"round": round, "reason": "too few raters"})

    def closed_round(self, round, promoted=True, accuracy=0.71, bootstrap=False):
        self.logs(round)
        self.selection(round, bootstrap=bootstrap)
        self.batch(round)
        self.labels(round)
        self.preferences(round)
        self.models(round, promoted, accuracy)


def domain(i):
    return "support" if i % 2 else "code"


def round_(value):
    return int(value + 0.5)


@pytest.fixture
def home(tmp_path):
    return Home(Settings(home=tmp_path / "home"))


@pytest.fixture
def world(home):
    return World(home)


@pytest.fixture
def moment():
    return NOW


assert previous_round(R2) == R1
