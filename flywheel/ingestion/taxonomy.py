"""What kind of task a request is and of which domain: ordered rules from a file, and labelled exemplars where configuration says so.

Rules work on Arrow columns of a whole batch. Their expressions run on RE2, whose time is linear in the text, so that no text and no
configured expression can hold up an import; one that RE2 does not know (a look-around) is refused when the file is read.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from flywheel.errors import SettingsError
from flywheel.ingestion.taxonomy_exemplars import Exemplar, Neighbours
from flywheel.ingestion.taxonomy_gate import any_of, beginning, mistake
from flywheel.settings import IngestionSettings

SHIPPED = Path(__file__).with_suffix(".toml")
LIMITS = {"asked": 2_000, "context": 2_000, "answered": 300, "template": 300, "metadata": 2_000}  # characters that rules look at
EXPRESSION_CHARACTERS = 10_000
RULES = 500
SAMPLED, TELLING = 256, 0.2  # rows that show whether a rule's beginning tells, and the share of them that it may be found in
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Expressions = Annotated[tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Closed):
    """`name` where every condition holds. What a condition looks at: see the comments in flywheel/ingestion/taxonomy.toml."""

    name: Name
    asked: Expressions = ()
    answered: Expressions = ()
    context: Expressions = ()
    template: Expressions = ()
    metadata: Expressions = ()
    user_turns: int | None = Field(None, ge=1)
    tool_calls: bool | None = None

    @model_validator(mode="after")
    def _has_a_condition(self) -> Rule:
        if not self.expressions() and self.user_turns is None and self.tool_calls is None:
            raise ValueError("needs a condition: asked, answered, context, template, metadata, user_turns or tool_calls")
        return self

    def expressions(self) -> dict[str, str]:
        """Column -> one expression for all of its alternatives."""
        return {name: any_of(getattr(self, name)) for name in LIMITS if getattr(self, name)}

    @property
    def by_answer(self) -> bool:
        """Decided by something that the question alone does not tell: exemplars of questions cannot overrule it."""
        return bool(self.answered or self.template or self.metadata) or self.tool_calls is not None


class Rest(_Closed):
    """What a record is that no rule names."""

    task_type: Name = "generation"
    domain: Name = "general"


class TaxonomyFile(_Closed):
    """The file's content."""

    version: str = Field(min_length=1, max_length=40)
    otherwise: Rest = Rest()
    task_type: tuple[Rule, ...] = ()
    domain: tuple[Rule, ...] = ()
    neighbours: Neighbours = Neighbours()
    exemplar: tuple[Exemplar, ...] = ()


@dataclass(frozen=True)
class Taxonomy:
    """Rules and exemplars, ready to classify. Plain data: it travels to worker processes."""

    content: TaxonomyFile
    method: str
    embedder: str
    version: str

    @classmethod
    def load(cls, settings: IngestionSettings, embedder: str = "all-MiniLM-L6-v2") -> Taxonomy:
        """The taxonomy of the settings' file, else the one that the project ships. Raises `SettingsError` naming file, rule and remedy."""
        path = settings.taxonomy or SHIPPED
        content = _read(path)
        if settings.taxonomy_method == "exemplars" and not content.exemplar:
            raise SettingsError(f"{path}: ingestion.taxonomy_method is exemplars, and the file has no [[exemplar]]; add some or use rules")
        # what a version names is what decides: rules alone, or rules, exemplars and the embedder
        decides = content.model_dump(mode="json")
        if settings.taxonomy_method == "rules":
            del decides["exemplar"], decides["neighbours"]
        said = json.dumps([settings.taxonomy_method, embedder if settings.taxonomy_method == "exemplars" else "", decides], sort_keys=True)
        return cls(content, settings.taxonomy_method, embedder, f"{content.version}+{hashlib.sha256(said.encode()).hexdigest()[:12]}")

    @property
    def task_types(self) -> tuple[str, ...]:
        """Every task type that the taxonomy can give, in the order of its rules."""
        return _names(self.content.task_type, [e.task_type for e in self.content.exemplar], self.content.otherwise.task_type)

    @property
    def domains(self) -> tuple[str, ...]:
        """Every domain that the taxonomy can give."""
        return _names(self.content.domain, [e.domain for e in self.content.exemplar], self.content.otherwise.domain)

    def classify(
        self, asked: Any, answered: Any, user_turns: Any, has_tool_calls: Any, *, context: Any = None, template: Any = None,
        metadata: Any = None, task_type: Any = None, domain: Any = None,
    ) -> tuple[pa.Array, pa.Array]:  # fmt: skip
        """(task type, domain) of each row. `asked` is the last user turn, `answered` the first answer, `context` all user turns (default:
        `asked`), `template` the template's id, `metadata` JSON text; Arrow arrays of one length, null is empty. A `task_type` or `domain`
        that is given and not null wins."""
        texts = {
            name: _text(column, LIMITS[name])
            for name, column in (("asked", asked), ("answered", answered), ("template", template), ("metadata", metadata))
            if column is not None
        }
        texts["context"] = texts["asked"] if context is None else _text(context, LIMITS["context"])
        turns = _flat(user_turns).fill_null(0).to_numpy(zero_copy_only=False)
        tools = _flat(has_tool_calls).fill_null(False).to_numpy(zero_copy_only=False).astype(bool)
        columns = _Columns(texts, turns, tools)
        found = []
        for rules, rest, given in (
            (self.content.task_type, self.content.otherwise.task_type, task_type), (self.content.domain, self.content.otherwise.domain, domain),
        ):  # fmt: skip
            said = np.zeros(columns.rows, bool) if given is None else _flat(given).is_valid().to_numpy(zero_copy_only=False)
            number = _first(rules, columns, ~said)
            names = pa.array([*(r.name for r in rules), rest], pa.string())
            guessed = names.take(pa.array(np.where(number < 0, len(rules), number)))
            if self.method == "exemplars":
                fixed = said | np.isin(number, [i for i, r in enumerate(rules) if r.by_answer])
                guessed = self._nearest("domain" if rules is self.content.domain else "task_type", texts["asked"], ~fixed, guessed)
            found.append(guessed if given is None else pc.coalesce(_flat(given).cast(pa.string()), guessed))
        return found[0], found[1]

    def _nearest(self, kind: str, asked: pa.Array, wanted: Any, guessed: pa.Array) -> pa.Array:
        from flywheel.ingestion.taxonomy_exemplars import nearest

        rows = np.flatnonzero(wanted)
        texts = asked.take(pa.array(rows)).to_pylist()
        labels = nearest(kind, texts, self.content.exemplar, self.content.neighbours, self.embedder)
        result = guessed.to_pylist()
        for row, label in zip(rows.tolist(), labels, strict=True):
            result[row] = label or result[row]
        return pa.array(result, pa.string())


@dataclass(frozen=True)
class _Columns:
    texts: Mapping[str, pa.Array]
    user_turns: Any
    tool_calls: Any

    @property
    def rows(self) -> int:
        return len(self.user_turns)

    def holds(self, expressions: Mapping[str, str], rule: Rule | None, rows: Any) -> Any:
        """For each of `rows`: do all conditions hold? The cheap ones first."""
        held = np.ones(len(rows), bool)
        if rule is not None and rule.tool_calls is not None:
            held &= self.tool_calls[rows] == rule.tool_calls
        if rule is not None and rule.user_turns is not None:
            held &= self.user_turns[rows] >= rule.user_turns
        for name, expression in expressions.items():
            text, open_ = self.texts.get(name), np.flatnonzero(held)
            if text is None:
                return np.zeros(len(rows), bool)
            if len(open_):
                part = text if len(open_) == len(text) else text.take(pa.array(rows[open_]))
                held[open_] = pc.match_substring_regex(part, expression, ignore_case=True).to_numpy(zero_copy_only=False)
        return held


def _first(rules: Sequence[Rule], columns: _Columns, wanted: Any) -> Any:
    """Number of the first rule that holds for each wanted row, -1 for none.

    One expression, of how each alternative of the rules begins, finds the rows that hardly any rule can name: they are read once.
    """
    number = np.full(columns.rows, -1, np.int64)
    open_ = np.flatnonzero(wanted)
    leads = _leads(tuple(rules))
    may = gate = None  # which of the open rows the gate lets through
    for at, rule in enumerate(rules):
        if not len(open_):
            break
        if at in leads and gate is None:
            telling = _telling(leads, columns, open_)
            gate = _union(tuple(leads[n] for n in sorted(telling)))
            leads = {n: lead for n, lead in leads.items() if gate and n in telling}
            may = columns.holds({"asked": gate}, None, open_) if gate else None
        rows = open_[may] if at in leads else open_
        held = columns.holds(rule.expressions(), rule, rows)
        if held.any():
            number[rows[held]] = at
            still = number[open_] < 0
            may = may[still] if may is not None else None
            open_ = open_[still]
    return number


@lru_cache(maxsize=64)
def _leads(rules: tuple[Rule, ...]) -> dict[int, str]:
    """How the numbered rules begin: what holds wherever the rule does, in words that are quick to look for."""
    found = {at: [beginning(e) for e in rule.asked] for at, rule in enumerate(rules) if rule.asked}
    return {at: any_of(sorted(set(leads))) for at, leads in found.items() if all(leads)}


def _telling(leads: Mapping[int, str], columns: _Columns, rows: Any) -> frozenset[int]:
    """The rules whose beginnings keep most rows out, judged by a few of the rows: one beginning that is in every text spoils the gate."""
    some = rows[:: max(len(rows) // SAMPLED, 1)]
    if len(rows) < 8 * SAMPLED:
        return frozenset(leads)
    return frozenset(at for at, lead in leads.items() if columns.holds({"asked": lead}, None, some).mean() < TELLING)


@lru_cache(maxsize=256)
def _union(leads: tuple[str, ...]) -> str:
    """One expression for several; none where it would not pay."""
    union = any_of(leads) if len(leads) > 2 else ""
    return union if union and mistake(union) is None else ""


def _read(path: Path) -> TaxonomyFile:
    try:
        return _parsed(path, path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{path}: the taxonomy cannot be read ({error.strerror}); set ingestion.taxonomy to a file like it") from None


@lru_cache(maxsize=8)
def _parsed(path: Path, content_bytes: bytes) -> TaxonomyFile:
    try:
        content = TaxonomyFile.model_validate(tomllib.loads(content_bytes.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(f"{path}: {_place(first['loc'])}: {first['msg']}") from None
    if len(content.task_type) + len(content.domain) > RULES:
        raise SettingsError(f"{path}: more than {RULES} rules; join alternatives into one rule")
    for kind, rules in (("task_type", content.task_type), ("domain", content.domain)):
        for number, rule in enumerate(rules):
            for column in rule.expressions():
                for expression in getattr(rule, column):
                    _check(f"{path}: {kind} rule {number + 1} ({rule.name}), {column}", expression)
                if wrong := mistake(rule.expressions()[column]):
                    raise SettingsError(f"{path}: {kind} rule {number + 1} ({rule.name}), {column}: its expressions together: {wrong}")
    return content


def _check(place: str, expression: str) -> None:
    if len(expression) > EXPRESSION_CHARACTERS:
        raise SettingsError(f"{place}: an expression of more than {EXPRESSION_CHARACTERS} characters; cut it into several rules")
    if not expression or (wrong := mistake(expression)):
        why = "it is empty and would match everything" if not expression else wrong
        hint = ""
        if re.search(r"\(\?(?:[=!]|<[=!])|\\[1-9]", expression):
            hint = (
                " Look-arounds and back-references are refused: rules run on RE2, which needs none and cannot hang. Use two rules instead."
            )
        raise SettingsError(f"{place}: {expression[:200]!r} cannot be used: {why}.{hint}")


def _place(where: tuple[int | str, ...]) -> str:
    return ".".join(str(p + 1) if isinstance(p, int) else p for p in where) or "the file"


def _names(rules: Sequence[Rule], exemplars: Sequence[str | None], rest: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*(r.name for r in rules), *(e for e in exemplars if e), rest]))


def _flat(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _text(column: Any, limit: int) -> pa.Array:
    """A text column without nulls, cut to `limit` characters."""
    text = _flat(column)
    if text.null_count:
        text = text.fill_null("")
    longest = pc.max(pc.binary_length(text)).as_py() or 0
    return text if longest <= limit else pc.utf8_slice_codeunits(text, 0, limit)


def classify_task(messages: Sequence[Mapping[str, object]], answers: Sequence[str]) -> tuple[str, str]:
    """(task type, domain) of one record by the shipped rules: a table of one row. For many records use `Taxonomy.classify`."""
    asked = [str(m.get("content") or "") for m in messages if m.get("role") == "user"]
    last = asked[-1] if asked else str(messages[-1].get("content") or "") if messages else ""
    found = Taxonomy.load(IngestionSettings()).classify(
        pa.array([last]), pa.array([answers[0] if answers else ""]), pa.array([len(asked)]), pa.array([False]),
        context=pa.array(["\n".join(asked)]),
    )  # fmt: skip
    return found[0][0].as_py(), found[1][0].as_py()
