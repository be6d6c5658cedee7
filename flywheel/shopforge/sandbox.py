"""Unit tests for generated code of the demo world, behind a syntax-tree allow-list.

Nothing outside the list runs: the verdict is then `not_run`, with the reason and a finding. What passes the list is interpreted
(`interpreter.py`), never executed by Python. A real sandbox for arbitrary programs is the labeling stage's matter.
"""

from __future__ import annotations

import ast
import warnings
from functools import lru_cache
from typing import Any

from flywheel.records import SandboxResult, SecurityFinding
from flywheel.shopforge.code import ARGUMENTS, CodeSlots, code_answer, code_body
from flywheel.shopforge.interpreter import BINARY, COMPARE, FUNCTIONS, UNARY, Fault, Raised, call
from flywheel.shopforge.world import parse_prompt

SANDBOX_VERSION = "shopforge-interpreter-1"
MAXIMUM_CHARACTERS = 2_000
MAXIMUM_NODES = 250
MAXIMUM_DEPTH = 25
MAXIMUM_LOOPS = 3
MAXIMUM_CONSTANT = 1_000_000

CASES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "order_total": (([(10, 2), (5, 1)], 0.1, 3), ([(1.111, 1)], 0.055, 0), ([(1, 1)], 0.2, 9), ([(-4, 1), (9, 1)], 0.1, 1)),
    "ship_cost": ((2, 1.5, False), (2, 1.5, True), (1.2345, 1.1, False), (-3, 2, False), (7, 2, True)),
    "restock": ((10, 3, 0), (5, 9, 2), (5, -2, 0), (8, 8, 1)),
    "is_risky": ((5, 10, True), (10, 10, True), (11, 10, True), (5, 10, False), (-1, 10, True)),
}
PLAIN_NODES: tuple[type[ast.AST], ...] = (
    ast.Module, ast.If, ast.Return, ast.Assign, ast.AugAssign, ast.Pass, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp,
    ast.Tuple, ast.Load, ast.Store, ast.And, ast.Or, ast.arguments, ast.arg, *BINARY, *COMPARE, *UNARY,
)  # fmt: skip
DANGEROUS = frozenset({"eval", "exec", "open", "compile", "getattr", "setattr", "globals", "locals", "vars", "input", "breakpoint"})


class _Refused(Exception):
    def __init__(self, reason: str, node: ast.AST | None = None, severity: str = "medium") -> None:
        self.reason, self.severity = reason, severity
        self.line: int | None = getattr(node, "lineno", None)


def run_generated_code(prompt_text: str, code: str) -> SandboxResult:
    """Test `code` against what the prompt asks for.

    `passed` (all tests), `failed` (a wrong value), `error` (no valid Python, or a test ended in an error other than an expected
    ValueError), `not_run` (outside the allow-list, or the prompt is not a code request of the demo world). Never raises, never hangs.
    """
    prompt = parse_prompt(prompt_text)
    if prompt is None or not isinstance(prompt.slots, CodeSlots):
        return _result("not_run", reason="the prompt is not a code request of the demo world")
    total = len(CASES[prompt.slots.function])
    try:
        tree = _parse(code)
        function = _admit(tree, prompt.slots.function)
    except _Refused as refused:
        finding = SecurityFinding(
            rule="allow-list", severity="high" if refused.severity == "high" else "medium", line=refused.line, message=refused.reason
        )
        return _result("not_run", total=total, reason=refused.reason, findings=[finding])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return _result("error", total=total, reason=f"not valid Python: {type(error).__name__}")
    passed, fault = 0, None
    for case, expected in zip(CASES[prompt.slots.function], _expected(prompt.slots.function, prompt.slots.options), strict=True):
        outcome, failure = _outcome(function, case)
        passed += outcome == expected
        fault = fault or failure
    verdict = "passed" if passed == total else "error" if fault else "failed"
    return _result(verdict, passed=passed, total=total, reason=fault)


def _result(
    verdict: Any, *, passed: int = 0, total: int = 0, reason: str | None = None, findings: list[SecurityFinding] | None = None
) -> SandboxResult:
    return SandboxResult(
        verdict=verdict, tests_passed=passed, tests_total=total, findings=findings or [], sandbox_version=SANDBOX_VERSION, reason=reason
    )


def _outcome(function: ast.FunctionDef, case: tuple[Any, ...]) -> tuple[str, str | None]:
    """The result as text (1, 1.0 and True differ), and the fault if there was one."""
    try:
        return repr(call(function, case)), None
    except Raised:
        return "ValueError", None
    except Fault as fault:
        return "fault", str(fault)


@lru_cache(maxsize=64)
def _expected(function: str, options: tuple[int, int, int]) -> tuple[str, ...]:
    reference = _admit(_parse(code_answer(function, code_body(function, options))), function)
    return tuple(_outcome(reference, case)[0] for case in CASES[function])


def _parse(code: str) -> ast.Module:
    if len(code) > MAXIMUM_CHARACTERS:
        raise _Refused(f"longer than {MAXIMUM_CHARACTERS} characters")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)


def _admit(tree: ast.Module, name: str) -> ast.FunctionDef:
    """The one function of a module in which every node is allowed. Raises `_Refused`."""
    _demand_small(tree)
    for node in ast.walk(tree):
        _refuse_dangerous(node)
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise _Refused("exactly one function is expected", tree.body[0] if tree.body else None)
    function = tree.body[0]
    _demand_signature(function, name)
    parameters = {a.arg for a in function.args.args}
    stored = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    reserved = stored & {*FUNCTIONS, "ValueError", name}
    if reserved:
        raise _Refused(f"{min(reserved)} may not be assigned")
    checker = _Checker(parameters, stored)
    for statement in function.body:
        checker.visit(statement)
    return function


def _demand_small(tree: ast.Module) -> None:
    level: list[ast.AST] = [tree]
    count = depth = 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAXIMUM_NODES or depth > MAXIMUM_DEPTH:
            raise _Refused(f"more than {MAXIMUM_NODES} syntax nodes, or nested deeper than {MAXIMUM_DEPTH}")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


def _refuse_dangerous(node: ast.AST) -> None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        raise _Refused("imports", node, "high")
    if isinstance(node, ast.Attribute):
        raise _Refused(f"reads the attribute {node.attr[:40]}", node, "high")
    if isinstance(node, ast.Name) and (node.id in DANGEROUS or "__" in node.id):
        raise _Refused(f"uses {node.id[:40]}", node, "high")


def _demand_signature(function: ast.FunctionDef, name: str) -> None:
    arguments = function.args
    names = ", ".join(a.arg for a in arguments.args)
    extras = [*arguments.posonlyargs, *arguments.kwonlyargs, *arguments.defaults, *function.decorator_list]
    annotated = function.returns or any(a.annotation for a in arguments.args)
    generic = getattr(function, "type_params", None)
    if function.name != name or names != ARGUMENTS[name] or extras or annotated or generic or arguments.vararg or arguments.kwarg:
        raise _Refused(f"the signature is not {name}({ARGUMENTS[name]})", function)


class _Checker(ast.NodeVisitor):
    """Refuses every node that is not allowed where it stands."""

    def __init__(self, parameters: set[str], stored: set[str]) -> None:
        self.readable = parameters | stored
        self.iterable = parameters - stored
        self.loops = 0

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, PLAIN_NODES):
            raise _Refused(f"{type(node).__name__} is not allowed", node)
        super().generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value is None or isinstance(node.value, bool):
            return
        if not isinstance(node.value, int | float) or abs(node.value) > MAXIMUM_CONSTANT:
            raise _Refused(f"a constant must be a number up to {MAXIMUM_CONSTANT}", node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id not in self.readable:
            raise _Refused(f"the name {node.id[:40]} is not allowed", node)

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) != 1:
            raise _Refused("one assignment at a time", node)
        self._target(node.targets[0])
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise _Refused("only a name can be assigned", node)
        super().generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            raise _Refused("a bare expression is allowed as a docstring only", node)

    def visit_Raise(self, node: ast.Raise) -> None:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        plain = not isinstance(node.exc, ast.Call) or (not node.exc.keywords and all(isinstance(a, ast.Constant) for a in node.exc.args))
        if not (isinstance(raised, ast.Name) and raised.id == "ValueError" and plain and node.cause is None):
            raise _Refused("only ValueError may be raised", node)

    def visit_Call(self, node: ast.Call) -> None:
        if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS) or node.keywords:
            raise _Refused("only a call of " + ", ".join(sorted(FUNCTIONS)) + " is allowed", node)
        for argument in node.args:
            if isinstance(argument, ast.GeneratorExp) and len(node.args) == 1:
                self._generator(argument)
            else:
                self.visit(argument)

    def visit_For(self, node: ast.For) -> None:
        if node.orelse:
            raise _Refused("a loop has no else here", node)
        self._loop(node.target, node.iter)
        for statement in node.body:
            self.visit(statement)

    def _generator(self, node: ast.GeneratorExp) -> None:
        if len(node.generators) != 1 or node.generators[0].is_async:
            raise _Refused("one loop a generator", node)
        self._loop(node.generators[0].target, node.generators[0].iter)
        for part in (*node.generators[0].ifs, node.elt):
            self.visit(part)

    def _loop(self, target: ast.expr, iterable: ast.expr) -> None:
        self.loops += 1
        if self.loops > MAXIMUM_LOOPS or not (isinstance(iterable, ast.Name) and iterable.id in self.iterable):
            raise _Refused(f"at most {MAXIMUM_LOOPS} loops, each over an unchanged argument", iterable)
        self._target(target)

    def _target(self, target: ast.expr) -> None:
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        if not all(isinstance(p, ast.Name) for p in parts):
            raise _Refused("only names can be assigned", target)
