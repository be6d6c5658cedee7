"""A tiny interpreter for generated functions: arithmetic, branches, short loops; no attribute, no import, no memory to speak of.

Generated code is never given to Python's `exec`: Python cannot bound what one expression costs (`round(5, -10**9)` or `s = s * s`
sixty times in a row hang it). Here a value is a number, None or a flat tuple of those, an integer has at most 256 bits, and every
evaluated node costs one step of a budget. On the allowed subset results equal Python's (tested against it).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

Scalar: TypeAlias = int | float | bool | None
Value: TypeAlias = Any  # Scalar, tuple of Scalar, or a list of tuples handed in by a test

MAXIMUM_STEPS = 2_000
MAXIMUM_BITS = 256
MAXIMUM_DIGITS = 20

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg, ast.UAdd: operator.pos}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": sum, "max": max, "min": min, "round": round, "any": any, "all": all, "abs": abs, "int": int, "float": float, "bool": bool,
}  # fmt: skip


class Fault(Exception):
    """The code did something that ends the run: a wrong type, an unset name, the budget spent."""


class Raised(Exception):
    """The code raised `ValueError`, which a test may expect."""


class _Returned(Exception):
    def __init__(self, value: Value) -> None:
        self.value = value


def call(function: ast.FunctionDef, arguments: tuple[Value, ...]) -> Value:
    """The function's result. Raises `Raised` where the code raises ValueError and `Fault` on anything else that goes wrong."""
    names = [a.arg for a in function.args.args]
    try:
        _Run(dict(zip(names, arguments, strict=True))).block(function.body)
    except _Returned as returned:
        return returned.value
    except (TypeError, ValueError, ArithmeticError) as error:
        raise Fault(f"{type(error).__name__}: {error}") from None
    return None


def _number(value: Value) -> Any:
    if not isinstance(value, int | float):
        raise Fault(f"a number was needed, not {type(value).__name__}")
    return value


def _bounded(value: Value) -> Value:
    if isinstance(value, int) and value.bit_length() > MAXIMUM_BITS:
        raise Fault(f"an integer has more than {MAXIMUM_BITS} bits")
    return value


class _Run:
    """One call: the local names and what is left of the budget."""

    def __init__(self, names: dict[str, Value]) -> None:
        self.names = names
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAXIMUM_STEPS:
            raise Fault(f"more than {MAXIMUM_STEPS} steps")

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.step()
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Return(value=value):
                raise _Returned(None if value is None else self.value(value))
            case ast.Raise():
                raise Raised
            case ast.Assign(targets=[target], value=value):
                self.bind(target, self.value(value), self.names)
            case ast.AugAssign(target=ast.Name(id=name), op=op, value=value):
                self.names[name] = self.binary(op, self.name(name, self.names), self.value(value))
            case ast.If(test=test, body=body, orelse=orelse):
                self.block(body if self.value(test) else orelse)
            case ast.For(target=target, iter=iterable, body=body):
                for item in self.items(iterable, self.names):
                    self.bind(target, item, self.names)
                    self.block(body)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise Fault(f"{type(node).__name__} is not supported")

    def bind(self, target: ast.expr, value: Value, names: dict[str, Value]) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = value
        elif isinstance(target, ast.Tuple) and isinstance(value, tuple) and len(value) == len(target.elts):
            for part, item in zip(target.elts, value, strict=True):
                self.bind(part, item, names)
        else:
            raise Fault("the value cannot be unpacked so")

    def name(self, name: str, names: Mapping[str, Value]) -> Value:
        if name not in names:
            raise Fault(f"{name} has no value")
        return names[name]

    def value(self, node: ast.expr, names: dict[str, Value] | None = None) -> Value:
        self.step()
        scope = self.names if names is None else names
        match node:
            case ast.Constant(value=constant):
                return constant
            case ast.Name(id=name):
                return self.name(name, scope)
            case ast.BinOp(left=left, op=op, right=right):
                return self.binary(op, self.value(left, scope), self.value(right, scope))
            case ast.BoolOp(op=op, values=values):
                return self.boolean(op, values, scope)
            case ast.UnaryOp(op=unary, operand=operand):
                value = self.value(operand, scope)
                return not value if isinstance(unary, ast.Not) else UNARY[type(unary)](_number(value))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self.compare(left, ops, comparators, scope)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                return self.value(body if self.value(test, scope) else orelse, scope)
            case ast.Tuple(elts=elements):
                return tuple(self.scalar(e, scope) for e in elements)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self.call(name, arguments, scope)
        raise Fault(f"{type(node).__name__} is not supported")

    def scalar(self, node: ast.expr, scope: dict[str, Value]) -> Value:
        value = self.value(node, scope)
        # tuples of tuples, doubled line by line, would make one comparison exponential
        if value is not None and not isinstance(value, int | float):
            raise Fault("a tuple holds numbers only")
        return value

    def binary(self, op: ast.operator, left: Value, right: Value) -> Value:
        return _bounded(BINARY[type(op)](_number(left), _number(right)))

    def boolean(self, op: ast.boolop, values: list[ast.expr], scope: dict[str, Value]) -> Value:
        value: Value = None
        for node in values:
            value = self.value(node, scope)
            if bool(value) is isinstance(op, ast.Or):
                break
        return value

    def compare(self, left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr], scope: dict[str, Value]) -> bool:
        before = self.value(left, scope)
        for op, node in zip(ops, comparators, strict=True):
            after = self.value(node, scope)
            if not COMPARE[type(op)](before, after):
                return False
            before = after
        return True

    def items(self, node: ast.expr, scope: dict[str, Value]) -> Iterator[Value]:
        found = self.value(node, scope)
        if not isinstance(found, list):
            raise Fault("only a list argument can be looped over")
        yield from islice(found, MAXIMUM_STEPS)

    def generated(self, node: ast.GeneratorExp, scope: dict[str, Value]) -> Iterator[Value]:
        (loop,) = node.generators
        for item in self.items(loop.iter, scope):
            inner = dict(scope)
            self.bind(loop.target, item, inner)
            if all(self.value(condition, inner) for condition in loop.ifs):
                yield self.value(node.elt, inner)

    def call(self, name: str, arguments: list[ast.expr], scope: dict[str, Value]) -> Value:
        if len(arguments) == 1 and isinstance(arguments[0], ast.GeneratorExp):
            scalars = (_scalar_of(v) for v in self.generated(arguments[0], scope))
            return _bounded(FUNCTIONS[name](scalars))
        values = [self.value(a, scope) for a in arguments]
        if name in ("round", "abs", "int", "float"):
            values = [_number(v) for v in values]
        if name == "round" and len(values) == 2 and not -MAXIMUM_DIGITS <= values[1] <= MAXIMUM_DIGITS:
            raise Fault("round to that many digits is out of bounds")
        if name in ("int", "float") and len(values) > 1:
            raise Fault(f"{name} takes one number here")
        return _bounded(FUNCTIONS[name](*values))


def _scalar_of(value: Value) -> Value:
    if value is not None and not isinstance(value, int | float):
        raise Fault("a generator gives numbers only")
    return value
