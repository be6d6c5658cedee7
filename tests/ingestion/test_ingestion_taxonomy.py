"""Each record gets a task type and a domain: from its log, else by rules or labelled exemplars that configuration names."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from flywheel.errors import SettingsError
from flywheel.ingestion import taxonomy_exemplars
from flywheel.ingestion.taxonomy import SHIPPED, Taxonomy, classify_task
from flywheel.ingestion.taxonomy_coverage import coverage_markdown, coverage_table, effective_number
from flywheel.ingestion.taxonomy_gate import any_of, beginning, mistake
from flywheel.records import LogRecord
from flywheel.settings import IngestionSettings
from flywheel.storage import to_table
from tests.operations import operations

SAMPLES = Path(__file__).parent / "samples" / "taxonomy.jsonl"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FLOOR = {"task_type": 0.9, "domain": 0.9}
EXEMPLAR_FLOOR = {"task_type": 0.85, "domain": 0.85}


@cache
def samples(half: str) -> list[dict[str, Any]]:
    return [row for line in SAMPLES.read_text().splitlines() if (row := json.loads(line))["half"] == half]


def classify(taxonomy: Taxonomy, rows: list[dict[str, Any]], **more: Any) -> dict[str, list[str]]:
    def column(name: str, kind: pa.DataType) -> pa.Array:
        return pa.array([r[name] for r in rows], kind)

    types, domains = taxonomy.classify(
        column("asked", pa.string()),
        column("answered", pa.string()),
        column("user_turns", pa.int64()),
        column("tool_calls", pa.bool_()),
        **more,
    )
    return {"task_type": types.to_pylist(), "domain": domains.to_pylist()}


def asked(*texts: str, answered: str = "", turns: int = 1, tools: bool = False) -> list[dict[str, Any]]:
    return [{"asked": t, "answered": answered, "user_turns": turns, "tool_calls": tools} for t in texts]


def shipped(**settings: Any) -> Taxonomy:
    return Taxonomy.load(IngestionSettings(**settings))


def own(tmp_path: Path, text: str, **settings: Any) -> Taxonomy:
    path = tmp_path / "taxonomy.toml"
    path.write_text('version = "mine"\n' + text)
    return shipped(taxonomy=path, **settings)


def test_the_labelled_set_is_balanced_and_its_halves_differ() -> None:
    dev, test = samples("dev"), samples("test")
    assert len(dev) + len(test) >= 150
    for half in (dev, test):
        assert set(Counter(r["task_type"] for r in half).values()) == {6}
        assert min(Counter(r["domain"] for r in half).values()) >= 24
    assert not {r["asked"] for r in dev} & {r["asked"] for r in test}


@pytest.mark.parametrize("what", ["task_type", "domain"])
def test_rules_are_right_on_prompts_that_they_were_not_tuned_on(what: str) -> None:
    rows = samples("test")
    found = classify(shipped(), rows)[what]
    wrong = [(r[what], f, r["asked"]) for r, f in zip(rows, found, strict=True) if r[what] != f]
    assert 1 - len(wrong) / len(rows) >= FLOOR[what], wrong


@pytest.mark.slow
@pytest.mark.parametrize("what", ["task_type", "domain"])
def test_exemplars_are_right_on_prompts_that_are_none_of_them(what: str) -> None:
    rows = samples("test")
    found = classify(shipped(taxonomy_method="exemplars"), rows)[what]
    wrong = [(r[what], f, r["asked"]) for r, f in zip(rows, found, strict=True) if r[what] != f]
    assert 1 - len(wrong) / len(rows) >= EXEMPLAR_FLOOR[what], wrong


@pytest.mark.parametrize(
    ("name", "field", "kind", "floor"),
    [
        ("selection/banking77.jsonl.gz", "text", {"domain": "support"}, 0.85), ("code/humaneval.jsonl", "prompt", {"domain": "code", "task_type": "code"}, 0.98),
        ("code/mbpp_sanitized.jsonl", "prompt", {"domain": "code", "task_type": "code"}, 0.98),
    ],
)  # fmt: skip
def test_public_sets_of_one_kind_are_told(name: str, field: str, kind: dict[str, str], floor: float) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {name} of the shared data folder")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        found = classify(shipped(), asked(*(json.loads(line)[field] for line in file)))
    for what, expected in kind.items():
        assert found[what].count(expected) / len(found[what]) >= floor, Counter(found[what])


def test_what_the_log_says_wins() -> None:
    rows = asked("Summarise this text.", "Write a Python function.")
    found = classify(shipped(), rows, task_type=pa.array(["extraction", None]), domain=pa.array([None, "legal"]))
    assert found == {"task_type": ["extraction", "code"], "domain": ["general", "legal"]}


def test_the_first_rule_that_holds_decides_and_all_its_conditions_must_hold(tmp_path: Path) -> None:
    taxonomy = own(
        tmp_path,
        """
        otherwise = { task_type = "other", domain = "shop" }
        [[task_type]]
        name = "greeting"
        asked = "^hello"
        user_turns = 2
        [[task_type]]
        name = "call"
        tool_calls = true
        [[task_type]]
        name = "letter"
        template = ["^mail-", "^post-"]
        [[domain]]
        name = "vip"
        metadata = '"tier":"gold"'
        """,
    )
    rows = asked("Hello you", "HELLO again") + asked("Hello", turns=2) + asked("Hello", turns=2, tools=True) + asked("hello", tools=True)
    found = classify(
        taxonomy,
        rows,
        template=pa.array(["post-3", None, None, None, None]),
        metadata=pa.array(['{"tier":"gold"}', "{}", None, None, None]),
    )
    assert found["task_type"] == ["letter", "other", "greeting", "greeting", "call"]
    assert found["domain"] == ["vip", "shop", "shop", "shop", "shop"]
    assert taxonomy.task_types == ("greeting", "call", "letter", "other")
    assert classify(taxonomy, rows)["task_type"][0] == "other", "a column that is not given holds nothing"


def test_the_answer_tells_a_refusal_and_code() -> None:
    said = [
        "I'm sorry, but I can't help with that.",
        "Unfortunately, we cannot share customer data.",
        "I can help with that.",
        "```python\nx\n```",
    ]
    found = classify(shipped(), [asked("Tell me.", answered=a)[0] for a in said])
    assert found["task_type"] == ["refusal", "refusal", "generation", "code"]


def test_the_domain_looks_at_all_turns_where_they_are_given() -> None:
    rows = asked("Yes, the second one.", turns=2)
    assert classify(shipped(), rows)["domain"] == ["general"]
    assert classify(shipped(), rows, context=pa.array(["I want a refund.\nYes, the second one."]))["domain"] == ["support"]


@pytest.mark.parametrize(
    ("messages", "answer", "expected"),
    [
        ([("user", "Write a Python function that adds two numbers")], "def add(a, b): return a + b", ("code", "code")),
        ([("user", "Hello"), ("assistant", "Hi"), ("user", "Tell me a joke")], "...", ("multi_turn", "general")),
        ([("system", "Summarise."), ("tool", "I want a refund for my order")], "Of course.", ("generation", "general")),
        ([], "Hello", ("generation", "general")),
    ],
)
def test_one_record_alone(messages: list[tuple[str, str]], answer: str, expected: tuple[str, str]) -> None:
    assert classify_task([{"role": r, "content": c} for r, c in messages], [answer]) == expected


def test_empty_and_null_columns_of_every_kind() -> None:
    taxonomy = shipped()
    none = pa.array([], pa.string())
    assert [len(c) for c in taxonomy.classify(none, none, pa.array([], pa.int64()), pa.array([], pa.bool_()))] == [0, 0]
    chunked = pa.chunked_array([pa.array(["summarise this", None]), pa.array(["x"])])
    types, domains = taxonomy.classify(chunked, pa.nulls(3, pa.string()), pa.array([1, None, 1]), pa.array([None, False, False]))
    assert (types.to_pylist(), domains.to_pylist()) == (["summarisation", "generation", "generation"], ["general"] * 3)


def test_the_version_names_what_decides(tmp_path: Path) -> None:
    taxonomy = shipped()
    assert taxonomy.version == shipped().version
    rule = '[[task_type]]\nname = "a"\nasked = "b"\n'
    versions = {own(tmp_path, rule).version, own(tmp_path, rule + "user_turns = 2\n").version, taxonomy.version}
    assert len(versions) == 3
    more = rule + '[[exemplar]]\ntext = "x"\ntask_type = "a"\n'
    assert own(tmp_path, more).version == own(tmp_path, rule).version, "rules alone do not look at exemplars"


def test_it_travels_to_other_processes() -> None:
    rows = samples("dev")
    copy = pickle.loads(pickle.dumps(shipped()))
    assert copy == shipped()
    assert classify(copy, rows) == classify(shipped(), rows)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[task_type]]\nname = "a"\nasked = "(?!b)c"', "task_type rule 1 (a), asked: '(?!b)c' cannot be used"),
        ('[[task_type]]\nname = "a"\nasked = ["ok", "(?<=b)c"]', "Look-arounds and back-references are refused"),
        ("[[domain]]\nname = 'a'\ncontext = '(b)\\1'", "domain rule 1 (a), context"),
        ('[[task_type]]\nname = "a"\nasked = "(b"', "missing )"),
        ('[[task_type]]\nname = "a"\nasked = "((b{100}){100}){100}"', "asked"),
        ('[[task_type]]\nname = "a"\nasked = ""', "it is empty and would match everything"),
        ('[[task_type]]\nname = "a"', "needs a condition"),
        ('[[task_type]]\nname = "A b"\nasked = "x"', "task_type.1.name"),
        ('[[task_type]]\nname = "a"\nask = "x"', "task_type.1.ask"),
        ('[[exemplar]]\ntext = "x"', "an exemplar needs a task_type or a domain"),
        ("[[task_type", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_place(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(SettingsError) as error:
        own(tmp_path, text)
    assert named in str(error.value)
    assert "taxonomy.toml" in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set ingestion"):
        shipped(taxonomy=tmp_path / "none.toml")


def test_exemplars_are_asked_for_and_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="exemplar"):
        own(tmp_path, "", taxonomy_method="exemplars")


def test_no_expression_and_no_text_can_hold_it_up(tmp_path: Path) -> None:
    """What takes a backtracking engine for ever: linear here."""
    hostile = own(tmp_path, "[[task_type]]\nname = 'a'\nasked = ['(a+)+$', '(a|a)*b', '(x+x+)+y']\n")
    texts = ["a" * 100_000 + "!", "x" * 100_000, "a" * 2_000_000]
    found = classify(hostile, asked(*texts))  # a backtracking engine would not come back
    assert len(classify(shipped(), asked(*texts))["task_type"]) == len(texts)
    assert found["task_type"] == ["a", "generation", "a"], "the first 2,000 characters are looked at"


# --- how it stays fast --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (r"\bcalculate (?:the|my)\b", r"\bcalculate (?:the|my)\b"), (r"\bwrite\b[^\n]*\bcode\b", r"\bwrite\b"), (r"sentences?", "sentence"),
        (r"\bget (?:\w+ ){1,4}from", r"\bget "), (r"optimi[sz]e it", r"optimi[sz]e it"), (r"ab[^c]d|efg*", r"(?:ab)|(?:ef)"), (r"a(?:b|c)+d", ""),
        (r"^\W*hello", ""), (r"foo\.?bar", "foo"), (r"(?:please )?stop", r"(?:please )?stop"), (r"\d+ apples", ""), (r"ab.cd", "ab"), (r"ab(?:c|d{2})", "ab"),
        (r"ab[]|)]cd", "ab"), (r"ab[[:alpha:]|]cd", "ab"), (r"ab(c(d|e)*)f", "ab"),
    ],
)  # fmt: skip
def test_how_an_expression_begins(expression: str, expected: str) -> None:
    assert beginning(expression) == expected
    assert mistake(expression) is None


def test_what_an_expression_finds_its_beginning_finds() -> None:
    texts = pa.array([r["asked"] for r in samples("dev") + samples("test")])
    for rule in shipped().content.task_type:
        for expression in rule.asked:
            if lead := beginning(expression):
                whole, part = (
                    pc.match_substring_regex(texts, e, ignore_case=True).to_numpy(zero_copy_only=False) for e in (expression, lead)
                )
                assert not (whole & ~part).any(), expression


def test_the_first_look_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = samples("dev") + samples("test")
    found = classify(shipped(), rows)
    monkeypatch.setattr("flywheel.ingestion.taxonomy._leads", lambda rules: {})
    assert classify(shipped(), rows) == found
    assert any_of(["a"]) == "a"


def test_the_rules_are_applied_to_columns_and_not_to_one_record_after_the_other() -> None:
    """What is done in Python grows with the rules, not with the records (their time: `python -m bench.ingestion`, docs/taxonomy.md)."""
    rng, rows = random.Random(1), samples("dev") + samples("test")
    texts = [" ".join(rng.choice(rows)["asked"] for _ in range(6))[:300] for _ in range(20_000)]
    taxonomy = shipped()

    def work(count: int) -> int:
        columns = pa.array(texts[:count]), pa.array(["Of course."] * count), pa.array([1] * count), pa.array([False] * count)
        return operations(lambda: taxonomy.classify(*columns))

    work(2_000)
    assert work(20_000) < 2 * work(2_000)


def test_rules_need_nothing_heavy() -> None:
    code = """
import sys
from flywheel.ingestion.taxonomy import classify_task
assert classify_task([{"role": "user", "content": "translate this into French"}], [""])[0] == "translation"
print(sorted({"torch", "sentence_transformers", "sklearn", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- exemplars ----------------------------------------------------------------------------------------------------------------------------

EXEMPLARS = """
[neighbours]
count = 2
margin = 0.5
[[task_type]]
name = "refusal"
answered = "cannot help"
[[exemplar]]
text = "red red"
task_type = "colour"
domain = "paint"
[[exemplar]]
text = "red blue"
task_type = "colour"
[[exemplar]]
text = "cat"
task_type = "animal"
"""


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedder that counts words."""
    known = ["red", "blue", "cat", "dog"]

    def embed(texts: list[str]) -> np.ndarray:
        counts = np.array([[t.split().count(w) for w in known] for t in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)

    monkeypatch.setattr(taxonomy_exemplars, "_embedder", lambda name: embed)
    taxonomy_exemplars._exemplar_vectors.cache_clear()


@pytest.mark.usefixtures("words")
def test_the_nearest_exemplars_decide_where_they_are_clear(tmp_path: Path) -> None:
    taxonomy = own(tmp_path, EXEMPLARS, taxonomy_method="exemplars")
    rows = asked("red blue blue", "cat red", "dog", "") + asked("red", answered="I cannot help")
    assert classify(taxonomy, rows)["task_type"] == ["colour", "generation", "generation", "generation", "refusal"]
    assert classify(taxonomy, rows)["domain"] == ["paint", "paint", "general", "general", "paint"]
    assert taxonomy.task_types == ("refusal", "colour", "animal", "generation")


def test_every_shipped_exemplar_is_of_the_dev_half() -> None:
    assert {e.text for e in shipped().content.exemplar} == {r["asked"] for r in samples("dev")}
    assert SHIPPED.name == "taxonomy.toml"


# --- coverage -----------------------------------------------------------------------------------------------------------------------------


def test_the_coverage_table_counts_records_shapes_and_conversations() -> None:
    def record(
        n: int, text: str, conversation: str, language: str | None = "en", task: str = "generation", domain: str = "support"
    ) -> dict[str, Any]:
        return {
            "round": "2026-01-05", "record_id": str(n), "conversation_id": conversation, "subject_id": "s", "timestamp": "2026-01-06T00:00:00Z", "domain": domain,
            "task_type": task, "language": language, "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": f"x{n}"}],
            "responses": [{"text": "a", "generation": {"model_id": "m"}}], "source": {"format": "f", "file": "f"}, "content_sha256": "x",
        }  # fmt: skip

    rows = [
        record(0, "Where is order 7?", "a"), record(1, "where is  order 1,234?", "a"), record(2, "[PERSON_1] asks", "b"), record(3, "[PERSON_2] asks", "c"),
        record(4, "Hi", "d", None), record(5, "Sum up", "e", task="summarisation"), record(6, "def f(): ...", "f", domain="code", task="code"),
    ]  # fmt: skip
    found = coverage_table(to_table(LogRecord, rows))
    assert [(r["domain"], r["task_type"], r["language"], r["records"], r["prompt_shapes"], r["conversations"]) for r in found] == [
        ("code", "code", "en", 1, 1, 1), ("support", "generation", "en", 4, 2, 3), ("support", "generation", None, 1, 1, 1),
        ("support", "summarisation", "en", 1, 1, 1),
    ]  # fmt: skip
    assert sum(r["share"] for r in found) == pytest.approx(1)
    assert "| support | generation | en | 4 | 57.1 % | 2 | 3 |" in coverage_markdown(found)
    assert coverage_table(to_table(LogRecord, rows).to_batches(max_chunksize=2)) == found, "a few rows at a time"
    assert coverage_table(to_table(LogRecord, [])) == []
    assert effective_number([0.25] * 4) == pytest.approx(4)
