"""The recogniser of names: what it learns from, what the shipped one finds, and that a text alone decides its result."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flywheel.errors import BadInput, SettingsError
from flywheel.governance.detection import Detector, Piece
from flywheel.governance.ner.corpus import generate
from flywheel.governance.ner.grammar import Grammar
from flywheel.governance.ner.lists import part_of
from flywheel.governance.ner.model import SHIPPED, OwnRecogniser, load_recogniser
from flywheel.settings import GovernanceSettings

SETTINGS = GovernanceSettings()


@pytest.fixture(scope="module")
def shipped() -> OwnRecogniser:
    found = load_recogniser("shipped", SETTINGS.ner_threshold)
    assert isinstance(found, OwnRecogniser)
    return found


def people(text: str, settings: GovernanceSettings = SETTINGS) -> list[str]:
    (spans,) = Detector(settings, frozenset({"ner", "conversation"})).conversation([Piece(text)])
    return [text[s.start : s.end] for s in spans if s.type == "PERSON"]


def test_generated_text_is_labelled_deterministic_and_of_all_kinds() -> None:
    first, again, other = (list(generate(600, seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other
    kinds = {kind for e in first for _, _, kind in e.labels}
    assert kinds == {"PERSON", "ADDRESS", "SECURITY_ANSWER", "USERNAME", "PLACE", "ORG"}
    assert sum(not any(k == "PERSON" for *_, k in e.labels) for e in first) > 200, "many texts hold no name"
    for example in first:
        ends = [0, *(end for _, end, _ in example.labels)]
        assert all(ends[i] <= start < end <= len(example.text) for i, (start, end, _) in enumerate(example.labels))
        assert "{" not in example.text.replace("{", "", example.text.count('{"')) or "top" not in example.text


def test_development_uses_other_names_and_sentences() -> None:
    from flywheel.governance.ner.corpus import _grammar

    trained, kept = ({str(n) for name, ns in _grammar(d)[0].sections.items() if name.startswith("top_") for n in ns} for d in (False, True))
    assert kept
    assert len(kept & trained) < 5, "a line that stands twice"
    names = _grammar(True)[0].slots
    rng = random.Random(1)
    for _ in range(50):
        ((value, _),) = names["P1"](rng)
        assert value
    assert part_of("Katarina") == part_of("KATARINA")


def test_a_template_chooses_and_keeps_other_brackets() -> None:
    grammar = Grammar({"a": ["f(x) is {X} (or|and (no|) more)"], "X": ["one", "two"]}, {})
    drawn = {"".join(text for text, _ in grammar.draw(random.Random(i), "a")) for i in range(80)}
    assert drawn == {f"f(x) is {x} {end}" for x in ("one", "two") for end in ("or", "and no more", "and  more")}


@pytest.mark.parametrize(("text", "names"), [
    ("Thandolwethu will be so happy about it", ["Thandolwethu"]),
    ("I ordered a lamp for Zdeněk and Xiulan last week", ["Zdeněk", "Xiulan"]),
    ("quentin abernathy", ["quentin abernathy"]),
    ("can you add oluwafemi adeyinka to my booking?", ["oluwafemi adeyinka"]),
    ("Best regards,\nBjørgulf Tveitan", ["Bjørgulf Tveitan"]),
    ("Co-authored-by: Sunniva Halvorsrud <sh@corp.example>", ["Sunniva Halvorsrud"]),
    ("My brother Ikaika just texted me about the refund", ["Ikaika"]),
])  # fmt: skip
def test_the_shipped_model_finds_names_that_no_phrase_announces(text: str, names: list[str]) -> None:
    assert people(text) == names


@pytest.mark.parametrize("text", [
    "May I have your order number, please?", "Will it rain in June? I will mark it as paid.", "The weather in Springfield is 20 degrees Celsius",
    "I bought a Samsung phone at Target", "My order is late and I want a refund", "def total_price(items): return sum(item.price for item in items)",
    "Please turn left on Main Street and take the bus to the airport", "for key in tokens: total += len(key)", "The Premium Plan costs $20 a month",
    "it will be delivred tommorow", "Thanks!! that was quick", "Can I speak to your manager please", "Happy Holidays from the Acme team",
])  # fmt: skip
def test_and_leaves_ordinary_text_alone(text: str) -> None:
    assert people(text) == []


def test_a_text_alone_decides_whatever_stands_beside_it(shipped: OwnRecogniser) -> None:
    texts = [e.text for e in generate(400, 11)] + ["", " ", "\n", "a " * 3_000 + "Ikaika Kahale called"]
    alone = [shipped.find([t])[0] for t in texts]
    assert sum(map(len, alone)) > 200
    assert shipped.find(texts) == alone
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    mixed = shipped.find([texts[i] for i in order])
    assert [mixed[order.index(i)] for i in range(len(texts))] == alone


def test_a_conversation_reads_the_same_whether_it_was_looked_ahead_or_not() -> None:
    turns = [Piece("May I have your name?", role="assistant"), Piece("sure, ikaika kahale", role="user"), Piece("Thank you, Ikaika.", role="assistant"),
             Piece("Sunniva just told me it is late", role="user"), Piece("We wrote to sunniva today", role="assistant")]  # fmt: skip
    plain, ahead = Detector(SETTINGS), Detector(SETTINGS)
    ahead.look_ahead([*turns, Piece("Ptolemy is here")])
    found = plain.conversation(turns)
    assert found == ahead.conversation(turns)
    assert [[p.text[s.start : s.end] for s in spans] for p, spans in zip(turns, found, strict=True)] == [
        [], ["ikaika kahale"], ["Ikaika"], ["Sunniva"], ["sunniva"],
    ]  # fmt: skip


def test_off_means_off_and_words_of_the_business_are_no_names() -> None:
    text = "Thandolwethu will be so happy about it"
    assert people(text, GovernanceSettings(ner="off")) == []
    assert people(text, GovernanceSettings(not_names=("thandolwethu",))) == []
    assert people(text, GovernanceSettings(ner=str(SHIPPED))) == ["Thandolwethu"]


def test_a_model_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no_such_model"):
        people("Hello Ikaika", GovernanceSettings(ner="no_such_model"))
    for file in SHIPPED.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps({**meta, "format": 0}))
    with pytest.raises(SettingsError, match="another version"):
        people("Hello Ikaika", GovernanceSettings(ner=str(tmp_path)))
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    weights = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(SettingsError, match="not those that its"):
        people("Hello Ikaika", GovernanceSettings(ner=str(tmp_path)))
    (tmp_path / "weights.bin").write_bytes(weights)
    (tmp_path / "lexicon.json.gz").write_bytes(b"damaged")
    with pytest.raises(SettingsError, match="cannot be read"):
        people("Hello Ikaika", GovernanceSettings(ner=str(tmp_path)))


def test_the_shipped_model_is_small_and_knows_how_it_was_made() -> None:
    files = {f.name: f.stat().st_size for f in SHIPPED.iterdir()}
    assert sum(files.values()) < 6_000_000
    meta = json.loads((SHIPPED / "meta.json").read_text())
    assert meta["labelled"] == 0, "it learnt from generated text alone"
    assert meta["started_from"] == "untrained"


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "Aa" * 200_000 + " Ikaika", "Ikaika " * 100_000, "(" * 50_000, "\u202e" + "א ב " * 50_000]
)
def test_a_hostile_text_takes_bounded_time(shipped: OwnRecogniser, text: str) -> None:
    began = time.process_time()
    shipped.find([text])
    assert time.process_time() - began < 300, "seconds are enough; with time squared in the length it would be hours"


def _train(*arguments: Any) -> tuple[int, dict[str, Any], str]:
    from flywheel.governance.privacy_commands import app

    done = CliRunner().invoke(app, ["train-ner", *map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.exit_code == 0 else {}, str(done.exception)


def test_training_refuses_what_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    (tmp_path / "bad.jsonl").write_text('{"turns": [["user", "hi", [[0, 9, "PERSON"]]]]}\n')
    for arguments in (["--out", tmp_path / "full"], ["--out", tmp_path / "m", "--from", tmp_path / "full"],
                      ["--out", tmp_path / "m", "--texts", 10, "--passes", 1, "--labelled", tmp_path / "bad.jsonl"]):  # fmt: skip
        from flywheel.governance.privacy_commands import app

        done = CliRunner().invoke(app, ["train-ner", *map(str, arguments)])
        assert isinstance(done.exception, BadInput)


@pytest.mark.slow
def test_the_same_seed_trains_the_same_model_and_it_learns(tmp_path: Path) -> None:
    made = [
        _train("--out", tmp_path / name, "--seed", seed, "--texts", 4_000, "--passes", 3) for name, seed in (("a", 5), ("b", 5), ("c", 6))
    ]
    assert [code for code, _, _ in made] == [0, 0, 0], made
    weights = [(tmp_path / name / "weights.bin").read_bytes() for name in "abc"]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    assert made[0][1]["result"]["development"]["person_recall"] > 0.6
    texts = [e.text for e in generate(50, 9, develop=True)]
    assert OwnRecogniser(tmp_path / "a", 0.5).find(texts) == OwnRecogniser(tmp_path / "b", 0.5).find(texts)


@pytest.mark.slow
def test_own_dialogues_teach_the_shipped_model(tmp_path: Path) -> None:
    rows = [
        {"turns": [["user", f"blorp {n} zud", [[6, 6 + len(n), "PERSON"]]], ["agent", "ok", []]]}
        for n in ["Vrak", "Ploo", "Wint", "Zarb"] * 30
    ]
    own = tmp_path / "own.jsonl"
    own.write_text("\n".join(map(json.dumps, rows)))
    code, found, error = _train("--out", tmp_path / "m", "--labelled", own, "--texts", 500, "--passes", 2)
    assert code == 0, error
    assert found["result"]["held_out"]["person_recall"] > 0.9
    assert found["result"]["started_from"] == "a model"


def test_a_model_of_a_tiny_budget_is_trained_by_the_command_and_used(tmp_path: Path) -> None:
    from flywheel.cli import app

    out = tmp_path / "model"
    done = CliRunner().invoke(app, ["privacy", "train-ner", "--out", str(out), "--seed", "3", "--texts", "300", "--passes", "1", "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    assert shown["counts"]["passes"] == 1
    assert shown["result"]["labelled"] == 0
    detector = Detector(GovernanceSettings(ner=str(out)))
    assert detector.recogniser()["weights_sha256"] == shown["result"]["weights_sha256"]
    assert detector.conversation([Piece("hello there")]) == [[]]


def test_the_facts_of_a_redaction_name_the_model() -> None:
    meta = json.loads((SHIPPED / "meta.json").read_text())
    named = Detector(SETTINGS).recogniser()
    assert named["model"] == "shipped"
    assert named["weights_sha256"] == meta["weights_sha256"]
    assert Detector(GovernanceSettings(ner="off")).recogniser() == {"model": "off"}
