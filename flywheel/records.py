"""Every schema of the flywheel: one pydantic model for each record, from which Arrow tables and JSON Schema follow.

A change of a field's name, type or meaning needs a new `SCHEMA_VERSION` and a migration: every later stage builds on these.

Each text-bearing field declares what the privacy gateway does with it (`privacy`): `redact` (free text: detect and alias),
`pseudonymise` (an id: keyed hash or alias), `keep` (cannot hold personal data), `drop` (never leaves the restricted zone).
A field without a declaration cannot be written to the lake (fail closed).

Times are timezone-aware UTC. `round` is the Monday that names the week, as ISO date text. Ids are keyed HMAC-SHA256, 32 hex
digits (`flywheel.storage.ids`). Decisions are stored unswapped: `a` is always `response_a`, whatever side the rater saw.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

SCHEMA_VERSION = 1

Decision = Literal["a", "b", "tie", "both_bad", "skip"]
Outcome = Literal["a", "b", "tie", "both_bad"]
Side = Literal["a", "b"]
LabelOrigin = Literal["human", "expert", "judge", "simulated"]
VerdictState = Literal["pending", "pass", "fail", "inconclusive"]
Purpose = Literal["labeling", "training", "evaluation"]
TaskKind = Literal["natural", "gold", "attention", "repeat", "overlap"]
Arm = Literal["active", "random_evaluation", "random_control"]
Tier = Literal["crowd", "expert", "judge"]
TimingSource = Literal["server", "client_reported", "simulated", "absent"]
SkipReason = Literal["disturbing", "unclear", "language", "conflict", "technical"]
SandboxVerdict = Literal["passed", "failed", "error", "timeout", "not_run"]

REDACT: dict[str, Any] = {"privacy": "redact"}
PSEUDONYMISE: dict[str, Any] = {"privacy": "pseudonymise"}
KEEP: dict[str, Any] = {"privacy": "keep"}
DROP: dict[str, Any] = {"privacy": "drop"}

RedactedText = Annotated[str, Field(json_schema_extra=REDACT)]
KeptText = Annotated[str, Field(json_schema_extra=KEEP)]
KeyedId = Annotated[str, Field(json_schema_extra=PSEUDONYMISE)]
RestrictedText = Annotated[str, Field(json_schema_extra=DROP)]
Likert = Annotated[int, Field(ge=1, le=5)]


class Record(BaseModel):
    """Immutable, closed: an unknown field is an error that names it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Row(Record):
    """A row of a lake table: every table carries these two columns."""

    round: KeptText
    schema_version: int = SCHEMA_VERSION


# --- what was asked and answered ---------------------------------------------------------------------------------------


class ToolCall(Record):
    """One call that the assistant made. `arguments` is JSON text, whatever form the log had."""

    id: KeptText | None = None
    name: KeptText
    arguments: RedactedText = "{}"


class Message(Record):
    """One turn of a conversation."""

    role: Annotated[Literal["system", "developer", "user", "assistant", "tool"], Field(json_schema_extra=KEEP)]
    content: RedactedText = ""
    name: RedactedText | None = None
    tool_calls: list[ToolCall] = []
    tool_call_id: KeptText | None = None


class Retrieval(Record):
    """What was put into the context from an index."""

    ids: list[RedactedText] = []
    index_version: KeptText | None = None


class GuardrailDecision(Record):
    """One guardrail's verdict on the response, as the production system logged it."""

    name: KeptText
    decision: KeptText
    detail: RedactedText | None = None


class SecurityFinding(Record):
    """One finding of the security linter on a code answer."""

    rule: KeptText
    severity: Annotated[Literal["low", "medium", "high"], Field(json_schema_extra=KEEP)]
    line: int | None = None
    message: RedactedText = ""


class SandboxResult(Record):
    """Outcome of running a code answer against tests. `not_run` where no admitted sandbox could run it."""

    verdict: Annotated[SandboxVerdict, Field(json_schema_extra=KEEP)]
    tests_passed: int = 0
    tests_total: int = 0
    findings: list[SecurityFinding] = []
    sandbox_version: KeptText
    reason: RedactedText | None = None


class Generation(Record):
    """How a response came about. `token_logprobs` are natural logarithms, one a generated token, where the log had them."""

    model_id: KeptText
    checkpoint: KeptText | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    finish_reason: KeptText | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    retrieval: Retrieval | None = None
    guardrails: list[GuardrailDecision] = []
    sandbox: SandboxResult | None = None
    token_logprobs: list[float] | None = None


class Response(Record):
    """One answer of an assistant."""

    text: RedactedText
    tool_calls: list[ToolCall] = []
    generation: Generation


class Template(Record):
    """The prompt template that produced the request."""

    id: KeptText
    version: KeptText


class Feedback(Record):
    """Implicit feedback of the end user, as logged."""

    thumbs: Annotated[Literal["up", "down"], Field(json_schema_extra=KEEP)] | None = None
    score: float | None = None
    escalated: bool = False
    edited_text: RedactedText | None = None
    comment: RedactedText | None = None


class Source(Record):
    """Where a record was read from."""

    format: KeptText
    file: RedactedText
    line: int | None = None


class LogRecord(Row):
    """One logged inference (`inference_logs`, restricted). `profile` holds the account fields that the log carried."""

    record_id: KeyedId
    conversation_id: KeyedId
    subject_id: KeyedId
    timestamp: datetime
    domain: KeptText
    task_type: KeptText
    language: KeptText | None = None
    messages: list[Message]
    responses: list[Response]
    feedback: Feedback | None = None
    template: Template | None = None
    source: Source
    content_sha256: KeptText
    profile: Annotated[dict[str, str], Field(json_schema_extra=DROP)] = {}
    metadata: Annotated[dict[str, Any], Field(json_schema_extra=REDACT)] = {}

    @model_validator(mode="after")
    def _something_was_asked_and_answered(self) -> LogRecord:
        if not self.messages:
            raise ValueError("messages is empty: a record needs at least one turn")
        if not self.responses:
            raise ValueError("responses is empty: a record needs at least one answer")
        return self


class ConsentedRecord(LogRecord):
    """A record whose subject allows labeling now (`consented_logs`, restricted)."""

    purposes: list[KeptText]
    legal_basis: KeptText
    policy_version: KeptText


class SpanCount(Record):
    """How many spans of one type were replaced in a record."""

    type: KeptText
    count: int


class RedactedRecord(Row):
    """A record as it may leave the restricted zone (`redacted_logs`): aliased text, no profile."""

    record_id: KeyedId
    conversation_id: KeyedId
    subject_id: KeyedId
    timestamp: datetime
    domain: KeptText
    task_type: KeptText
    language: KeptText | None = None
    messages: list[Message]
    responses: list[Response]
    feedback: Feedback | None = None
    template: Template | None = None
    source: Source
    content_sha256: KeptText
    metadata: Annotated[dict[str, Any], Field(json_schema_extra=REDACT)] = {}
    purposes: list[KeptText]
    redaction_version: KeptText
    spans: list[SpanCount] = []


class QuarantinedRow(Row):
    """A row that could not be used (`quarantine`, restricted). Nothing is lost: `raw` is the row as it came (bytes beyond UTF-8
    as backslash escapes)."""

    stage: Annotated[Literal["ingestion", "labeling"], Field(json_schema_extra=KEEP)]
    file: RestrictedText
    line: int
    byte_offset: int | None = None
    reason: KeptText
    field: KeptText | None = None
    message: RestrictedText
    raw: RestrictedText


# --- selection -----------------------------------------------------------------------------------------------------------


class Pair(Row):
    """A prompt and two responses (`response_pairs`). `prompt_cluster` groups prompts of one shape: splits are made by cluster."""

    pair_id: KeyedId
    record_id: KeyedId
    conversation_id: KeyedId
    subject_id: KeyedId
    domain: KeptText
    task_type: KeptText
    language: KeptText | None = None
    prompt: list[Message]
    response_a: Response
    response_b: Response
    prompt_sha256: KeptText
    prompt_cluster: KeptText
    template: Template | None = None
    feedback: Feedback | None = None
    redaction_version: KeptText
    second_response: Annotated[Literal["log", "sampled", "ranking"], Field(json_schema_extra=KEEP)]


class Ranking(Row):
    """One rater's ranking of more than two responses. `order` lists tiers of response indices, best first; ties share a tier.
    `flywheel.labeling.decompose_ranking` turns it into pairs that share one prompt cluster."""

    ranking_id: KeyedId
    record_id: KeyedId
    conversation_id: KeyedId
    subject_id: KeyedId
    domain: KeptText
    task_type: KeptText
    prompt: list[Message]
    responses: list[Response]
    order: list[list[int]]
    rater: KeyedId
    redaction_version: KeptText
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    guideline_version: KeptText
    guideline_sha256: KeptText

    @model_validator(mode="after")
    def _order_is_a_permutation(self) -> Ranking:
        placed = sorted(i for tier in self.order for i in tier)
        if placed != list(range(len(self.responses))):
            raise ValueError(f"order must name each of the {len(self.responses)} responses exactly once, got {self.order}")
        return self


class EmbeddingRow(Row):
    """The vector of one pair (`embeddings`); Arrow stores `vector` as a fixed-size list of float32, unit length."""

    pair_id: KeyedId
    record_id: KeyedId
    vector: list[float]
    embedder: KeptText
    text_sha256: KeptText
    duplicate_group: KeyedId
    duplicate_count: int


class UncertaintyRow(Row):
    """Signals of the reward model as of the round (`uncertainty`); all null in a bootstrap round. Entropies in nats; `p_a` is
    the calibrated probability that `a` is preferred."""

    pair_id: KeyedId
    record_id: KeyedId
    p_a: float | None = None
    entropy: float | None = None
    margin: float | None = None
    least_confidence: float | None = None
    epistemic: float | None = None
    mean_token_logprob: float | None = None
    uncertainty: float | None = None
    model_id: KeptText | None = None


class SelectionPick(Row):
    """One picked pair (`selection`), with why."""

    pair_id: KeyedId
    record_id: KeyedId
    domain: KeptText
    rank: int
    score: float
    uncertainty: float | None = None
    distance: float | None = None
    reason: KeptText
    arm: Annotated[Arm, Field(json_schema_extra=KEEP)]
    strategy: KeptText
    seed: int


class JudgeLabel(Row):
    """The first judge's opinion on a picked pair (`judge_labels`). `route` says who decides: the judge keeps only what its
    measured risk bound allows."""

    pair_id: KeyedId
    record_id: KeyedId
    judge_id: KeptText | None = None
    p_a: float | None = None
    decision: Annotated[Outcome, Field(json_schema_extra=KEEP)] | None = None
    confidence: float | None = None
    route: Annotated[Literal["judge", "human"], Field(json_schema_extra=KEEP)]
    reason: KeptText


# --- labeling ------------------------------------------------------------------------------------------------------------


class Guideline(Record):
    """A versioned rubric, named by version and SHA-256 of its exact text."""

    version: KeptText
    sha256: KeptText
    title: KeptText
    text: KeptText
    effective_at: datetime


class GoldItem(Record):
    """A task whose answer is known. `kind` attention: an item that anyone who reads must answer so."""

    gold_id: KeptText
    kind: Annotated[Literal["gold", "attention"], Field(json_schema_extra=KEEP)] = "gold"
    domain: KeptText
    task_type: KeptText = "generation"
    prompt: list[Message]
    response_a: Response
    response_b: Response
    accepted: list[Outcome]
    rationale: KeptText
    policy_reference: KeptText | None = None
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]


class LabelingTask(Row):
    """A pair as a rater sees it (`labeling_batch`), frozen at publication. Neither `kind` nor `gold_id` ever reaches a rater."""

    task_id: KeyedId
    batch_id: KeyedId
    pair_id: KeyedId
    record_id: KeyedId | None = None
    revision: int = 1
    kind: Annotated[TaskKind, Field(json_schema_extra=KEEP)]
    gold_id: KeptText | None = None
    arm: Annotated[Arm, Field(json_schema_extra=KEEP)] | None = None
    domain: KeptText
    task_type: KeptText
    prompt: list[Message]
    response_a: Response
    response_b: Response
    prompt_cluster: KeptText
    presented_left: Annotated[Side, Field(json_schema_extra=KEEP)]
    required_expertise: KeptText
    policy_reference_required: bool = False
    redundancy: int
    guideline_version: KeptText
    guideline_sha256: KeptText
    redaction_version: KeptText


class Rater(Record):
    """A rater, by pseudonym (restricted). `cohort` is a bucket of declared geography, language and education."""

    rater: KeyedId
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    expertise: list[KeptText] = []
    languages: list[KeptText] = []
    geography: KeptText | None = None
    education: KeptText | None = None
    cohort: KeptText | None = None


class AnnotationEvent(Record):
    """One answer as a label source delivers it (a line of a label file, an event of the journal)."""

    event_id: KeyedId | None = None
    task_id: KeyedId
    rater: KeyedId
    decision: Annotated[Decision, Field(json_schema_extra=KEEP)]
    likert_a: Likert | None = None
    likert_b: Likert | None = None
    critique: RedactedText | None = None
    rationale: RedactedText | None = None
    rewrite: RedactedText | None = None
    policy_reference: KeptText | None = None
    skip_reason: Annotated[SkipReason, Field(json_schema_extra=KEEP)] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active_s: float | None = None
    timing_source: Annotated[TimingSource, Field(json_schema_extra=KEEP)] = "absent"
    guideline_sha256: KeptText
    source: KeptText
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]

    @model_validator(mode="after")
    def _explained(self) -> AnnotationEvent:
        if self.decision == "both_bad" and not (self.rationale or "").strip():
            raise ValueError("rationale is required when the decision is both_bad")
        if self.decision == "skip" and self.skip_reason is None:
            raise ValueError("skip_reason is required when the decision is skip")
        if self.started_at and self.ended_at and self.ended_at < self.started_at:
            raise ValueError("ended_at lies before started_at")
        return self


class Annotation(Row):
    """One rater's decision on one task (`annotations`): the event joined to its task by id, never by echoed text."""

    event_id: KeyedId
    task_id: KeyedId
    batch_id: KeyedId
    pair_id: KeyedId
    task_round: KeptText
    kind: Annotated[TaskKind, Field(json_schema_extra=KEEP)]
    domain: KeptText
    rater: KeyedId
    cohort: KeptText | None = None
    decision: Annotated[Decision, Field(json_schema_extra=KEEP)]
    likert_a: int | None = None
    likert_b: int | None = None
    critique: RedactedText | None = None
    rationale: RedactedText | None = None
    rewrite: RedactedText | None = None
    policy_reference: KeptText | None = None
    skip_reason: Annotated[SkipReason, Field(json_schema_extra=KEEP)] | None = None
    presented_left: Annotated[Side, Field(json_schema_extra=KEEP)]
    started_at: datetime | None = None
    ended_at: datetime | None = None
    active_s: float | None = None
    timing_source: Annotated[TimingSource, Field(json_schema_extra=KEEP)]
    guideline_version: KeptText
    guideline_sha256: KeptText
    gold_id: KeptText | None = None
    gold_result: Annotated[Literal["pass", "fail"], Field(json_schema_extra=KEEP)] | None = None
    source: KeptText
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    status: Annotated[Literal["accepted", "banked", "discarded"], Field(json_schema_extra=KEEP)] = "accepted"


# --- quality and dataset ---------------------------------------------------------------------------------------------------


class RaterQualityRow(Row):
    """What a round shows about one rater (`rater_quality`). `accuracy_low/high`: Wilson 95 % interval on gold."""

    rater: KeyedId
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    cohort: KeptText | None = None
    n_annotations: int
    n_gold: int
    gold_passed: int
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    evidence_llr: float
    peer_agreement: float | None = None
    left_share: float | None = None
    side_bias_p: float | None = None
    median_active_s: float | None = None
    state: Annotated[Literal["active", "watch", "paused"], Field(json_schema_extra=KEEP)]
    reasons: list[KeptText] = []


class AgreementRow(Row):
    """Agreement of one segment of a batch (`agreement`). `status` is `undefined` where a statistic has no value (never NaN)."""

    segment: KeptText
    statistic: KeptText
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n_items: int
    n_annotations: int
    status: Annotated[Literal["defined", "undefined"], Field(json_schema_extra=KEEP)]


class Preference(Row):
    """An accepted pair (`preferences`, `preference_dataset`). For `tie` and `both_bad` chosen and rejected are null."""

    pair_id: KeyedId
    record_id: KeyedId | None = None
    conversation_id: KeyedId | None = None
    subject_id: KeyedId | None = None
    domain: KeptText
    task_type: KeptText
    prompt: list[Message]
    response_a: Response
    response_b: Response
    outcome: Annotated[Outcome, Field(json_schema_extra=KEEP)]
    chosen: Annotated[Side, Field(json_schema_extra=KEEP)] | None = None
    rejected: Annotated[Side, Field(json_schema_extra=KEEP)] | None = None
    posterior: float
    n_annotations: int
    likert_a: float | None = None
    likert_b: float | None = None
    rationales: list[RedactedText] = []
    event_ids: list[KeyedId] = []
    aggregator: KeptText
    tier: Annotated[Tier, Field(json_schema_extra=KEEP)]
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    arm: Annotated[Arm, Field(json_schema_extra=KEEP)]
    prompt_sha256: KeptText
    prompt_cluster: KeptText
    batch_id: KeyedId
    guideline_version: KeptText
    guideline_sha256: KeptText
    redaction_version: KeptText
    dataset_version: KeptText | None = None


class Demonstration(Row):
    """An ideal answer that an expert wrote (`demonstrations`): supervised fine-tuning data."""

    pair_id: KeyedId
    domain: KeptText
    task_type: KeptText
    prompt: list[Message]
    response: RedactedText
    author: KeyedId
    origin: Annotated[LabelOrigin, Field(json_schema_extra=KEEP)]
    prompt_cluster: KeptText


# --- governance, rounds, models, money -----------------------------------------------------------------------------------


class ConsentEvent(Record):
    """One entry of the append-only consent ledger. Current state is a fold over events by `effective_at`, then order."""

    event_id: KeyedId
    subject_id: KeyedId
    purpose: Annotated[Purpose, Field(json_schema_extra=KEEP)]
    action: Annotated[Literal["granted", "withdrawn"], Field(json_schema_extra=KEEP)]
    legal_basis: KeptText
    policy_version: KeptText
    effective_at: datetime
    recorded_at: datetime
    expires_at: datetime | None = None
    source: KeptText


class Verdict(Record):
    """A gate's decision, bound to the hash of exactly what it judged."""

    gate: KeptText
    round: KeptText
    subject_sha256: KeptText
    state: Annotated[VerdictState, Field(json_schema_extra=KEEP)]
    reasons: list[KeptText] = []
    thresholds: dict[str, float | int | str | bool] = {}
    evidence_sha256: KeptText | None = None
    decided_at: datetime
    schema_version: int = SCHEMA_VERSION


class RoundContext(Record):
    """What the loop knew when a round was opened; every rerun and backfill replays it."""

    round: KeptText
    revision: int = 1
    cutoff: datetime
    pinned_at: datetime
    model_id: KeptText | None = None
    reward_model_id: KeptText | None = None
    registry_round: KeptText | None = None
    registry_lag_rounds: int | None = None
    dataset_version: KeptText | None = None
    dataset_sha256: KeptText | None = None
    guideline_version: KeptText
    guideline_sha256: KeptText
    gold_sha256: KeptText
    settings_sha256: KeptText
    code_version: KeptText
    repin_reason: KeptText | None = None
    schema_version: int = SCHEMA_VERSION


class TablePart(Record):
    """One of several files of a partition."""

    file: KeptText
    rows: int
    sha256: KeptText


class TableManifest(Record):
    """What one table partition is: replaced last, so that a reader sees the old partition or the new one. `sha256` is that of its one
    file; of several `parts`, in order, the SHA-256 of their hashes, one a line (`file` is then the first)."""

    table: KeptText
    round: KeptText
    rows: int
    sha256: KeptText
    file: KeptText
    parts: list[TablePart] = []
    columns: dict[str, str]
    inputs: dict[str, str] = {}
    facts: dict[str, Any] = {}
    code_version: KeptText = "1"
    schema_version: int = SCHEMA_VERSION


class DatasetPart(Record):
    """The rows that one round added to a dataset version."""

    round: KeptText
    file: KeptText
    sha256: KeptText
    rows: int


class DatasetManifest(Record):
    """A dataset version: its parts, its parent, and what made it. `contains_simulated` is true when any label is simulated."""

    version: KeptText
    parent: KeptText | None = None
    parent_sha256: KeptText | None = None
    round: KeptText
    parts: list[DatasetPart]
    absent_rounds: list[KeptText] = []
    rows: int
    rows_by_domain: dict[str, int]
    rows_by_origin: dict[str, int]
    rows_by_outcome: dict[str, int]
    contains_simulated: bool
    annotations_sha256: KeptText
    verdict_sha256: KeptText
    model_ids: list[KeptText]
    guideline_versions: dict[str, str]
    selector: KeptText
    sandbox_versions: list[KeptText]
    redaction_versions: list[KeptText]
    effective_at: datetime
    schema_version: int = SCHEMA_VERSION


class ModelManifest(Record):
    """A model and everything it came from. `model_id` starts with the SHA-256 of its weights."""

    model_id: KeptText
    kind: Annotated[Literal["base", "sft", "dpo", "reward"], Field(json_schema_extra=KEEP)]
    round: KeptText | None = None
    parent_model_id: KeptText | None = None
    reference_model_id: KeptText | None = None
    base: KeptText
    files: dict[str, str]
    dataset_version: KeptText | None = None
    dataset_sha256: KeptText | None = None
    n_pairs_by_domain: dict[str, int] = {}
    trained_on_simulated: bool = False
    recipe: dict[str, Any] = {}
    first_step_margin: float | None = None
    seed: int
    library_versions: dict[str, str] = {}
    metrics: dict[str, Any] = {}
    schema_version: int = SCHEMA_VERSION


class RegistryEntry(Record):
    """Partition R of the model registry: what serves and scores after round R was closed."""

    round: KeptText
    decision: Annotated[Literal["promoted", "kept"], Field(json_schema_extra=KEEP)]
    model_id: KeptText | None
    reward_model_id: KeptText | None = None
    candidate_id: KeptText | None = None
    reasons: list[KeptText] = []
    approver: KeptText = "gate"
    effective_at: datetime
    recorded_at: datetime
    schema_version: int = SCHEMA_VERSION


class ModelRow(Row):
    """One trained model as a lake row (`sft_model`, `reward_model`, `dpo_model`): the manifest itself lies beside the weights."""

    model_id: KeptText
    kind: KeptText
    parent_model_id: KeptText | None = None
    dataset_version: KeptText | None = None
    trained: bool
    n_pairs: int
    metrics: Annotated[dict[str, Any], Field(json_schema_extra=KEEP)] = {}


class EvaluationRow(Row):
    """One comparison of the candidate with what serves now (`evaluation`): cluster-bootstrap 95 % interval."""

    candidate_id: KeptText
    incumbent_id: KeptText
    domain: KeptText
    decoding: KeptText
    metric: KeptText
    value: float
    low: float | None = None
    high: float | None = None
    n_prompts: int
    n_clusters: int
    judge: KeptText


class PromotionRow(Row):
    """The decision that closed a round (`promotion`)."""

    decision: KeptText
    candidate_id: KeptText | None
    model_id: KeptText | None
    reward_model_id: KeptText | None
    reasons: list[KeptText]


class CostEvent(Row):
    """One cost (`cost_events`). Amounts in US dollars."""

    kind: KeptText
    domain: KeptText | None = None
    quantity: float
    unit: KeptText
    unit_price_usd: float
    amount_usd: float


TABLES: dict[str, type[Row]] = {
    "inference_logs": LogRecord,
    "quarantine": QuarantinedRow,
    "consented_logs": ConsentedRecord,
    "redacted_logs": RedactedRecord,
    "response_pairs": Pair,
    "embeddings": EmbeddingRow,
    "uncertainty": UncertaintyRow,
    "selection": SelectionPick,
    "judge_labels": JudgeLabel,
    "labeling_batch": LabelingTask,
    "annotations": Annotation,
    "label_quarantine": QuarantinedRow,
    "rankings": Ranking,
    "rater_quality": RaterQualityRow,
    "agreement": AgreementRow,
    "preferences": Preference,
    "preference_dataset": Preference,
    "demonstrations": Demonstration,
    "sft_model": ModelRow,
    "reward_model": ModelRow,
    "dpo_model": ModelRow,
    "evaluation": EvaluationRow,
    "promotion": PromotionRow,
    "cost_events": CostEvent,
}
RESTRICTED_TABLES = frozenset({"inference_logs", "quarantine", "consented_logs", "label_quarantine"})

OTHER_RECORDS: tuple[type[Record], ...] = (
    Guideline, GoldItem, Rater, AnnotationEvent, ConsentEvent, Verdict, RoundContext, TableManifest, DatasetManifest,
    ModelManifest, RegistryEntry,
)  # fmt: skip


def json_schema() -> dict[str, Any]:
    """One JSON Schema (draft 2020-12) with a definition for every record; `docs/schema.json` is this, committed and tested."""
    from pydantic.json_schema import models_json_schema

    models = [*dict.fromkeys(TABLES.values()), *OTHER_RECORDS]
    _, schema = models_json_schema([(m, "validation") for m in models], title="Flywheel records")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["version"] = SCHEMA_VERSION
    schema["tables"] = {name: {"$ref": f"#/$defs/{model.__name__}"} for name, model in TABLES.items()}
    return schema
