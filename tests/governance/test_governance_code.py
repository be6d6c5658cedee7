"""Personal data in texts that hold code: ordinary code of any language stays, whoever is named in it is found."""

from __future__ import annotations

import itertools
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flywheel.governance.code_text import code_of
from flywheel.governance.detection import Detector, Piece
from flywheel.settings import GovernanceSettings

DETECTOR = Detector(GovernanceSettings())
GENERATED = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
GIVEN = ("Maria", "Daniel", "Priya", "Oluwafemi", "Katarina", "Hiroshi", "Fatima", "Lorenzo", "Agnieszka", "Dimitri", "Ingrid", "Rajesh")
LAST = ("Lopez", "Okafor", "Schneider", "Kowalska", "Yamamoto", "Abernathy", "Fernandes", "Halvorsrud", "Petrov", "Nakamura", "Delgado")
LETTERS = string.ascii_lowercase


def found(text: str, role: str | None = "user") -> list[tuple[str, str]]:
    (spans,) = DETECTOR.conversation([Piece(text, role=role)])
    return [(s.type, text[s.start : s.end]) for s in spans]


def covered(text: str, value: str) -> bool:
    """Is every place of `value` in a span?"""
    (spans,) = DETECTOR.conversation([Piece(text, role="user")])
    at = text.find(value)
    assert at >= 0
    while at >= 0:
        if not all(any(s.start <= i < s.end for s in spans) for i in range(at, at + len(value)) if not text[i].isspace()):
            return False
        at = text.find(value, at + 1)
    return True


# --- words as programs have them
nonsense = st.text(LETTERS, min_size=1, max_size=9)
lower = st.one_of(
    nonsense,
    st.sampled_from(
        ["elif", "idx", "arr", "num", "val", "lst", "tup", "abc", "bcd", "delimeter", "palindrom", "freq", "ans", "jarr", "wdlor", "kadane"]
    ),
)
snake = st.lists(lower, min_size=2, max_size=3).map("_".join)
camel = st.lists(lower, min_size=2, max_size=3).map(lambda words: words[0] + "".join(w.capitalize() for w in words[1:]))
pascal = st.lists(lower, min_size=1, max_size=3).map(lambda words: "".join(w.capitalize() for w in words))
name = st.one_of(lower, snake, camel)
word = st.one_of(
    nonsense,
    st.text(string.ascii_letters, min_size=1, max_size=8).filter(lambda w: not w.istitle()),
    st.sampled_from(["abc", "zbcd", "ACEDY", "aeiouAEIOU"]),
)
integer = st.one_of(
    st.integers(-(10**10), 10**10),
    st.integers(10**9, 2 * 10**9),
    st.sampled_from([2147483647, -2147483648, -1234567890, 1234567890, 1000000007]),
)

PROGRAMS = (
    "def {a}({b}, {c}):\n    for {d} in {b}:\n        if {d} == '{s}':\n            {c}[{d}] += {n}\n        elif {d} not in {c}:\n            return {c}[::{k}]\n    return {b}[{k}::2]",
    "from typing import List, Tuple\nclass {P}({Q}):\n    def __init__(self, {a}: Tuple[int, str]) -> None:\n        self.{a} = {a}\n        self.{b} = [{n}, {n}, {n}]",
    "const {a} = await {b}.{c}('{s}', {n});\nif ({a} !== \"{s}\") {{\n  {d}[{b}] = {a}.map(({c}) => {c} + {n});\n}}",
    "public class {P} {{\n    private static final int {a} = {n};\n    public {Q} {b}({Q} {c}) {{\n        return new {Q}({c}.{d}());\n    }}\n}}",
    "#include <vector>\nstd::vector<{P}> {a}({Q}& {b}) {{\n  for (auto {c} : {b}) {{\n    {d}->{a}({c}, {n});\n  }}\n  return {{}};\n}}",
    "func {a}({b} *{P}) ({Q}, error) {{\n\t{c} := {b}.{d}({n})\n\tif {c} != nil {{\n\t\treturn nil, {c}\n\t}}\n}}",
    "fn {a}({b}: &mut {P}) -> Option<{Q}> {{\n    let {c} = {b}.{d}();\n    match {c} {{\n        Some({a}) => {a} % {n},\n        None => {n},\n    }}\n}}",
    "SELECT {a}, {b}\nFROM {c}\nJOIN {d} ON {d}.{a} = {c}.{b}\nWHERE {a} = '{s}' AND {b} > {n};",
    '{{\n  "{a}": "{s}",\n  "{b}": [{n}, {n}],\n  "{c}": {{"{d}": {n}}}\n}}',
    'Traceback (most recent call last):\n  File "/srv/app/{a}.py", line {k}, in {b}\n    {c} = {d}({n})[::{k}]\nKeyError: {n}',
    '>>> {a}("{s}", {n})\n\'{s}\'\n>>> {b}([{n}, {n}])[::{k}]\nFalse',
    "assert {a}('{s}', {n}) == ['{s}', '{s}']\nassert {b}({{'{s}': {n}}}) == {n}\nprint({c}({d}))",
    "export {a}=${{{b}}}\nif [ -z \"${c}\" ]; then\n  {d} --{a}={n} | grep -v '{s}'\nfi",
)  # fmt: skip
AROUND = (
    "{0}",
    "```python\n{0}\n```",
    "```\n{0}\n```",
    "Why does this fail?\n\n```js\n{0}\n```\n",
    "This is slow:\n\n{0}\n\nAny idea?",
    "{0}\n\n{0}",
)


@st.composite
def programs(draw: st.DrawFn) -> str:
    parts = {k: draw(name) for k in "abcd"} | {
        "P": draw(pascal),
        "Q": draw(pascal),
        "s": draw(word),
        "n": draw(integer),
        "k": draw(st.integers(1, 9)),
    }
    return draw(st.sampled_from(AROUND)).format(draw(st.sampled_from(PROGRAMS)).format(**parts))


@GENERATED
@given(programs())
def test_code_of_any_language_stays(text: str) -> None:
    """Names that nobody bears, whatever they look like; numbers of any size; slices."""
    assert [
        f for f in found(text) if f[0] in ("PERSON", "USERNAME", "PHONE_NUMBER", "IP_ADDRESS", "ACCOUNT_ID", "SECURITY_ANSWER", "ADDRESS")
    ] == []


NAMING = (
    "x = 1\n# TODO({0}): ask {1} about this\ny = f(x)", "// FIXME({0}): {1} says that this is slow\nint x = 0;", "/* Written by {0}, 2021 */\nint main(void) {{ return 0; }}",
    '# Author: {1} <dev@corp.example>\nimport os\n', " * @author {1}\n */\npublic class A {{}}", 'def f(x):\n    """Sums. Thanks to {1} for the idea."""\n    return sum(x)',
    'rows = [{{"name": "{1}", "age": 36}}]', "INSERT INTO users (name, city) VALUES ('{1}', 'x');", "SELECT * FROM orders WHERE customer = '{1}';",
    'assert greet("{1}") == "Hello, {1}!"', 'user = User(name="{1}", active=True)', "const customer = {{ fullName: '{1}' }};", "customers = ['{1}', 'x', 'y']",
    "2026-01-05 12:00:01 INFO [auth] user {1} logged in from console", "2026-01-05T12:00:01Z ERROR could not deliver to {1}: mailbox full",
    'Traceback (most recent call last):\n  File "/srv/app/mail.py", line 12, in send\n    raise KeyError(name)\nKeyError: \'{1}\'',
    "```python\n# ask {1} before you change this\nx = 3\n```", '```json\n{{"customer": {{"name": "{1}"}}}}\n```', "Signed-off-by: {1} <dev@corp.example>",
    "commit 1f2e3d4c5b\nAuthor: {1} <dev@corp.example>\nDate:   2026-01-05\n\n    Fix the sum", "git commit -m 'Fix' --author=\"{1} <dev@corp.example>\"",
    "-- {1} asked for this index\nCREATE INDEX i ON t (a);", "name: {1}\nrole: admin\nreplicas: 3", "My name is {1}. This does not work:\n\n```python\nx = f(1)\n```",
    "def f():\n    return 1  # {1} wants 2 here", "<customer><name>{1}</name></customer>", "print('Dear {1}, your order is on its way')", "customer: {1}", "echo \"Dear {1}\" | mail -s hi x",
    'System.out.println("Hello " + "{1}");', "let owner = \"{1}\";", "<!-- {1} will fix this -->\n<div class=\"x\"></div>",
)  # fmt: skip


@pytest.mark.parametrize("template", NAMING)
def test_who_is_named_in_code_is_found(template: str) -> None:
    missed = []
    for i, first in enumerate(GIVEN):
        full = f"{first} {LAST[i % len(LAST)]}"
        text = template.format(first, full)
        missed += [(v, found(text)) for v in (first, full) if v in text and not covered(text, v)]
    assert missed == []


@pytest.mark.parametrize("text", [
    "hi, my name is john smith", "I need help (urgent)! Order #123456; see you...", "Settings -> Account -> Maria", "it's 5 > 3, isn't it? 'quoted' \"too\"",
    "return my order to Maria Lopez please", "import duties for Maria", "for Maria in Boston: two seats", "if you need help, call:", "select Maria Lopez from the list",
    "Name: Maria Lopez\nPhone: 202 555 0123", "From: Maria Lopez <m@corp.example>\nTo: x@corp.example", "thanks :) <3", "my pin = 1234", "* one\n* two\n# Three",
    "2026-01-05 12:00:01 INFO [auth] user Maria logged in",
])  # fmt: skip
def test_what_people_write_is_no_code(text: str) -> None:
    """A line that is taken for code is believed less: in doubt it is prose."""
    assert code_of(text).bare == ()


@GENERATED
@given(st.one_of(programs(), st.text(max_size=300), st.text("'\"`#/*<>={}()\n aZ1_.", max_size=300)))
def test_stretches_lie_in_the_text_in_order_and_apart(text: str) -> None:
    code = code_of(text)
    for stretches in (code.bare, code.strings):
        assert list(stretches) == sorted(stretches)
        assert all(0 <= a <= b <= len(text) for a, b in stretches)
    assert all(b <= c for (_, b), (c, _) in itertools.pairwise(code.bare))
    assert not any(code.is_bare(a, b) for a, b in code.strings if a < b)
    assert len(code.readable(text)) == len(text)
    assert [c for c, r in zip(text, code.readable(text), strict=True) if r != " " and c != r] == []


@pytest.mark.parametrize(
    "unit",
    ["# ", "'", '"a', "`a", "```\n", '"""', "/*", ">a", "<a>", "'a'a", "x = 1 # ", "a(", "// x\n", "((((\n", "x." * 40 + "\n", "'\\"],
)
def test_hostile_texts_cost_no_more_than_their_length(unit: str) -> None:
    """Quadratic time would be minutes here; nothing recurses without end."""
    text = unit * (200_000 // len(unit))
    code = code_of(text)
    assert all(0 <= a <= b <= len(text) for a, b in (*code.bare, *code.strings))


PHONES = ("+1 202 555 0123", "(202) 555-0123", "+442079460958", "202-555-0147")


@pytest.mark.parametrize("number", PHONES)
@pytest.mark.parametrize(
    "template",
    [
        'call("{0}")',
        "# call {0} when this fails\nx = 1",
        '{{"phone": "{0}"}}',
        "phone = '{0}'",
        "INSERT INTO t (phone) VALUES ('{0}');",
        "you can reach me at {0}",
    ],
)
def test_a_phone_number_in_code_is_found(number: str, template: str) -> None:
    text = template.format(number)
    assert covered(text, number[1:] if number[0] in "+(" else number), found(text)


@pytest.mark.parametrize(
    "text",
    [
        "phone_number = 4155552671",
        '{"mobile": 4155552671}',
        "INSERT INTO t (name, phone) VALUES ('x', 4155552671);",
        "my cell is 4155552671",
    ],
)
def test_bare_digits_are_a_phone_number_where_a_word_says_so(text: str) -> None:
    assert covered(text, "4155552671")


@pytest.mark.parametrize("text", [
    "x = -1234567890", "ts=1700000000", "a = [4155552671, 2025550123]", "s[::3]", "s[1::2]", "abc::def", "a[1::]", "requests==1.2.3.4", "pi = 3.14159265358979",
    "limit is 2147483647", "v1.2.3.4", "0x4155552671", "digits = '0123456789'", "std::a1::b2", "UPC 036000291452",
])  # fmt: skip
def test_other_numbers_are_none(text: str) -> None:
    assert [f for f in found(text, None) if f[0] in ("PHONE_NUMBER", "IP_ADDRESS")] == []


@pytest.mark.parametrize("text", ["http://[2001:db8::1]/", "from 203.0.113.7 at noon", "fe80::1ff:fe23:4567:890a", "ip=203.0.113.7"])
def test_addresses_stay_addresses(text: str) -> None:
    assert "IP_ADDRESS" in {kind for kind, _ in found(text, None)}
