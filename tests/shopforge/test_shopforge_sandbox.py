"""Generated code: judged by unit tests, and nothing outside the allow-list runs."""

import builtins
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flywheel.shopforge import run_generated_code
from flywheel.shopforge.code import ARGUMENTS, CodeSlots, code_answer, code_body, request
from flywheel.shopforge.sandbox import CASES
from tests.operations import operations

PROMPT = (
    "Task: Write restock(stock, sold, floor) for the plain job : stop at the floor ; return an int ; raise on negative sold .\nReply:\n"
)
WORK = 500_000  # operations: a fraction of a second


def worked(prompt, code):
    """What became of the code, and how many operations that took."""
    found = []
    work = operations(lambda: found.append(run_generated_code(prompt, code)))
    return found[0], work


OPTIONS = list(itertools.product((0, 1), repeat=3))


def restock(*lines):
    return code_answer("restock", list(lines))


@pytest.mark.parametrize("function", list(ARGUMENTS))
def test_exactly_the_asked_options_pass(function):
    rng = random.Random(0)
    for asked, written in itertools.product(OPTIONS, OPTIONS):
        text = request(rng, CodeSlots(function, asked, "plain"))
        result = run_generated_code(text, code_answer(function, code_body(function, written)))
        assert (result.verdict == "passed") is (asked == written), (asked, written, result)
        assert result.tests_total == len(CASES[function])


@pytest.mark.parametrize("function", list(ARGUMENTS))
def test_the_interpreter_agrees_with_python(function):
    """Our own reference bodies are safe to execute; results must be the same down to the type."""
    from flywheel.shopforge.sandbox import _expected

    for options in OPTIONS:
        scope = {}
        exec(code_answer(function, code_body(function, options)), scope)  # noqa: S102 -- written by us
        for case, found in zip(CASES[function], _expected(function, options), strict=True):
            try:
                real = repr(scope[function](*case))
            except ValueError:
                real = "ValueError"
            assert found == real


@pytest.mark.parametrize(
    "line",
    ["return max(floor, stock - sold)", "return stock - sold if stock - sold > floor else floor", "n = stock\n    n -= sold\n    return max(n, floor)"],
)  # fmt: skip
def test_other_ways_to_write_it_pass(line):
    assert run_generated_code(PROMPT, restock("if sold < 0: raise ValueError('negative')", line)).verdict == "passed"


def test_a_bounded_loop_over_an_argument_passes():
    text = "Task: Write order_total(items, tax, disc) for the api job : before tax ; keep full precision ; raise on negative items ."
    loop = ["s = 0", "for p, q in items:", "    if p < 0: raise ValueError", "    s += p * q", "return (s - disc) * (1 + tax)"]
    assert run_generated_code(text, code_answer("order_total", loop)).verdict == "passed"


ATTACKS = {
    "attribute": restock("return ().__class__.__base__.__subclasses__()"),
    "attribute of a number": restock("return (1).real"),
    "format string": restock("return f'{stock.real}'"),
    "import": restock("import os", "return 1"),
    "import function": restock("return __import__('os')"),
    "eval": restock("return eval('1')"),
    "open": restock("return open('/etc/passwd')"),
    "eval in a decorator": "@eval\n" + restock("return 1"),
    "eval in a default": "def restock(stock, sold, floor=eval('1')):\n    return 1",
    "eval in an annotation": "def restock(stock: eval('1'), sold, floor):\n    return 1",
    "power": restock("return 10 ** 10 ** 10"),
    "shift": restock("return 1 << 999999"),
    "string multiplication": restock("return 'a' * 1000000"),
    "list multiplication": restock("return [0] * 1000000"),
    "large constant": restock("return 10000000000"),
    "while": restock("while True: pass"),
    "recursion": restock("return restock(stock, sold, floor)"),
    "lambda": restock("return (lambda f: f(f))(lambda f: f(f))"),
    "inner function": restock("def g(): return g()", "return g()"),
    "two functions": restock("return 1") + "\n" + restock("return 2"),
    "list comprehension": restock("return [x for x in stock]"),
    "nested generator": restock("return sum(1 for a in stock for b in stock)"),
    "many loops": restock("return sum(sum(sum(sum(1 for a in stock) for b in stock) for c in stock) for d in stock)"),
    "loop over a new value": restock("s = stock", "return sum(1 for a in s)"),
    "assigned builtin": restock("sum = stock", "return sum"),
    "global": restock("global x", "return 1"),
    "try": restock("try:", "    return 1", "except ValueError: return 2"),
    "other exception": restock("raise SystemExit"),
    "computed exception": restock("raise ValueError(stock)"),
    "starred": restock("return max(*stock)"),
    "keyword": restock("return max(stock, key=abs)"),
    "yield": restock("yield 1"),
    "walrus": restock("return (n := 1)"),
    "builtin as value": restock("return max"),
    "statement at the top": "x = 1\n" + restock("return 1"),
    "deep nesting": restock("return " + "-" * 1_500 + "1"),
    "many squarings": restock("s = 999999", *["s = s * s"] * 60, "return s"),
    "1 MB": "x" * 1_000_000,
    "1 MB of brackets": "(" * 1_000_000,
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_nothing_outside_the_allow_list_runs(name, monkeypatch):
    def tripped(*_args, **_kwargs):
        raise AssertionError("generated code reached Python")

    for builtin in ("eval", "exec", "open"):
        monkeypatch.setattr(builtins, builtin, tripped)
    result, work = worked(PROMPT, ATTACKS[name])
    assert work < WORK
    assert (result.verdict, result.tests_passed) == ("not_run", 0)
    assert result.reason
    assert result.findings[0].rule == "allow-list"


@pytest.mark.parametrize(
    "lines",
    [
        ["s = 999999", *["s = s * s"] * 20, "return s"],
        ["a = 0, 0", "b = 0, 0", *["a = a, a", "b = b, b"] * 10, "return a == b"],
        ["return round(5, -1000000)"],
        ["return round(5, 999999 * 999999)"],
        ["return 1 / 0"],
        ["return max()"],
        ["return unset", "unset = 1"],
        ["return int(True, False)"],
    ],
)
def test_what_the_list_admits_stays_bounded(lines):
    result, work = worked(PROMPT, restock(*lines))
    assert work < WORK
    assert result.verdict == "error"
    assert result.tests_passed == 0


@pytest.mark.parametrize("code", ["(" * 1_500, "\x00", "\ud800", "def restock(stock, sold, floor)\n    return 1", "if:", "1if 2else 3 ?"])
def test_what_is_no_python_is_an_error(code):
    result = run_generated_code(PROMPT, code)
    assert result.verdict == "error"
    assert result.reason.startswith("not valid Python")


@pytest.mark.parametrize(
    "prompt", ["", "Write a web server", "Ticket: Please refund order X . ( 5 days , 20 dollars , gold member , low risk )"]
)
def test_code_for_another_prompt_is_not_run(prompt):
    assert run_generated_code(prompt, restock("return 1")).verdict == "not_run"


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_a_verdict(code):
    assert run_generated_code(PROMPT, code).verdict in ("error", "not_run", "failed", "passed")


LINES = st.lists(
    st.sampled_from(
        ["s = stock * sold", "s = s * s", "s = (s, s)", "if stock: s = 1", "if s > 1: return s", "return s", "s = sum(1 for a in stock)", "s += floor",
         "s = round(s, floor)", "for a in stock: s = a", "s = stock == stock", "return round(s)", "s = not s", "s = s / sold", "raise ValueError"]
    ),
    min_size=1, max_size=30,
)  # fmt: skip


@settings(deadline=None)
@given(LINES)
def test_any_combination_of_admitted_lines_ends_quickly(lines):
    assert worked(PROMPT, restock(*lines))[1] < WORK
