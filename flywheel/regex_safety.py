"""May a regular expression from the configuration run over texts that strangers wrote?

Python's engine backtracks: `(a+)+b` takes longer than the age of the universe on thirty letters. So a configured pattern is judged before it
is used: by its automaton (is there a loop in which one text can be read in two ways? then the ways multiply with each turn), and by
trying it in a process of its own, with a time limit, on long texts made of its own characters. `refuse_unsafe` says which and why.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_POSITIONS = 600
COPIES = 3  # a repetition up to a bound above this is judged as one without
LONG = 100_000
SECONDS = 3.0
LONGEST_PATTERN = 2_000
SAMPLES = "aZ09_ \n-.!é٣Ж@:/"


class UnsafePattern(ValueError):
    """A pattern that must not be used; the message says why and what to do."""


def refuse_unsafe(patterns: Mapping[str, str]) -> None:
    """Raises `UnsafePattern` for the first pattern (by name) that is no regular expression, matches the empty text, can be read in
    exponentially many ways, or takes more than seconds on a long text. What passed once is not tried again in this process."""
    _judge(tuple(sorted(patterns.items())))


@lru_cache(maxsize=64)
def _judge(patterns: tuple[tuple[str, str], ...]) -> None:
    for name, pattern in patterns:
        if (why := problem_of(pattern)) is not None:
            raise UnsafePattern(f"{name}: {shortened(pattern)} {why}")
    slow = _slow([p for _, p in patterns])
    for name, pattern in patterns:
        if pattern in slow:
            raise UnsafePattern(
                f"{name}: {shortened(pattern)} takes more than {SECONDS:g} s on a text of {LONG:,} characters; bound its repetitions, as in \\d{{4,12}}, or "
                "let it begin with \\b and fixed characters"
            )


def shortened(pattern: str) -> str:
    """A pattern for a message."""
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:77]}...")


def problem_of(pattern: str) -> str | None:
    """What is wrong with a pattern by its form alone; None when nothing is."""
    if len(pattern) > LONGEST_PATTERN:
        return f"has {len(pattern)} characters; {LONGEST_PATTERN} are the most"
    try:
        compiled = re.compile(pattern)
        tree = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    if compiled.search("") or tree.getwidth()[0] == 0:
        return "can match the empty text; make it match an identifier"
    try:
        looped = Automaton(tree, compiled.flags).ambiguous_loop()
    except TooLarge:
        return "is too large to be judged; split it, or lower its counted repetitions"
    if looped:
        return "can be read in exponentially many ways (a repetition within a repetition, or alternatives that overlap within one); say it without"
    return None


class TooLarge(Exception):
    """More positions than can be judged."""


@dataclass
class _Part:
    """A piece of the pattern as Glushkov sees it: where it may begin and end, and whether it may be empty, each with the number of ways
    (two stand for many): the engine tries both branches of `(?:|)`."""

    first: Counter[int] = field(default_factory=Counter)
    last: Counter[int] = field(default_factory=Counter)
    empty: int = 1


class Automaton:
    """Glushkov's automaton of a pattern, edges counted: two ways from one position to the next are an ambiguity of their own.

    Look-arounds and anchors are read as nothing (so that more is refused, not less), back references as any text; a look-around's own
    pattern is judged too.
    """

    def __init__(self, tree: Any, flags: int) -> None:
        self._flags = flags
        self._letters = sorted(set(_characters(tree)) | set(SAMPLES))
        self._labels: list[frozenset[str]] = []
        self._edges: dict[int, Counter[int]] = defaultdict(Counter)
        self._inner: list[bool] = []
        self._sequence(list(tree))

    # --- building

    def _position(self, label: Iterable[str]) -> _Part:
        if len(self._labels) >= MOST_POSITIONS:
            raise TooLarge
        self._labels.append(frozenset(label))
        index = len(self._labels) - 1
        return _Part(Counter([index]), Counter([index]), empty=0)

    def _link(self, last: Counter[int], first: Counter[int]) -> None:
        for position, ways in last.items():
            self._edges[position].update(_times(first, ways))

    def _then(self, left: _Part, right: _Part) -> _Part:
        self._link(left.last, right.first)
        first = left.first + _times(right.first, left.empty)
        return _Part(first, right.last + _times(left.last, right.empty), min(2, left.empty * right.empty))

    def _sequence(self, items: Sequence[Any]) -> _Part:
        made = _Part()
        for operator, argument in items:
            made = self._then(made, self._one(operator, argument))
        return made

    def _one(self, operator: Any, argument: Any) -> _Part:
        if operator in (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN, sre.RANGE, sre.CATEGORY):
            return self._position(c for c in self._letters if _matches(operator, argument, c, self._flags))
        if operator is sre.BRANCH:
            parts = [self._sequence(list(branch)) for branch in argument[1]]
            first: Counter[int] = sum((p.first for p in parts), Counter())
            last: Counter[int] = sum((p.last for p in parts), Counter())
            return _Part(first, last, min(2, sum(p.empty for p in parts)))
        if operator is sre.SUBPATTERN:
            return self._sequence(list(argument[-1]))
        if operator is sre.ATOMIC_GROUP:
            return self._sequence(list(argument))
        if operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            return self._repeat(argument[0], argument[1], list(argument[2]))
        if operator in (sre.ASSERT, sre.ASSERT_NOT):
            self._sequence(list(argument[1]))
            return _Part()
        if operator in (sre.GROUPREF, sre.GROUPREF_EXISTS):
            return self._repeat(0, sre.MAXREPEAT, [(sre.ANY, None)])
        return _Part()  # an anchor

    def _repeat(self, least: int, most: Any, items: Sequence[Any]) -> _Part:
        made = _Part()
        unbounded = most is sre.MAXREPEAT or most > COPIES
        for _ in range(min(least, COPIES) if unbounded else least):
            made = self._then(made, self._sequence(items))
        if unbounded:
            loop = self._sequence(items)
            self._link(loop.last, loop.first)
            return self._then(made, _Part(loop.first, loop.last, empty=1))
        for _ in range(least, most):
            part = self._sequence(items)
            made = self._then(made, _Part(part.first, part.last, empty=1))
        return made

    # --- judging

    def ambiguous_loop(self) -> bool:
        """Is there a position with two different ways back to itself over one and the same text?"""
        reach = _components({p: [q for q in self._edges[p] if self._labels[q]] for p in range(len(self._labels))})
        for p, nexts in self._edges.items():
            if any(times > 1 and reach[p] == reach[q] and self._labels[q] for q, times in nexts.items()):
                return True
        pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
        todo = [(p, p) for p in range(len(self._labels)) if any(reach[p] == reach[q] for q in self._edges[p])]
        while todo:
            pair = todo.pop()
            if pair in pairs:
                continue
            if len(pairs) > 250_000:
                raise TooLarge
            nexts_of = [[q for q in self._edges[p] if reach[q] == reach[p]] for p in pair]  # a loop never leaves its component
            pairs[pair] = [(a, b) for a in nexts_of[0] for b in nexts_of[1] if self._labels[a] & self._labels[b]]
            todo.extend(pairs[pair])
        together = _components(pairs)
        same = {together[p] for p in pairs if p[0] == p[1]}
        return any(p[0] != p[1] and together[p] in same for p in pairs)


def _components(graph: Mapping[Any, Sequence[Any]]) -> dict[Any, int]:
    """Strongly connected component of each node (Tarjan, without recursion)."""
    index: dict[Any, int] = {}
    low: dict[Any, int] = {}
    found: dict[Any, int] = {}
    stack: list[Any] = []
    number = 0
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(graph[root]))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, nexts = work[-1]
            for following in nexts:
                if following not in index:
                    index[following] = low[following] = len(index)
                    stack.append(following)
                    work.append((following, iter(graph.get(following, ()))))
                    break
                if following not in found:
                    low[node] = min(low[node], index[following])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    while True:
                        member = stack.pop()
                        found[member] = number
                        if member == node:
                            break
                    number += 1
    return found


def _times(counts: Counter[int], ways: int) -> Counter[int]:
    return Counter({position: min(2, n * ways) for position, n in counts.items()}) if ways else Counter()


# --- characters


def _characters(tree: Any) -> Iterable[str]:
    """Every character that the pattern names, the ends of its ranges and their neighbours: one of each kind that it can tell apart."""
    for operator, argument in tree:
        if operator in (sre.LITERAL, sre.NOT_LITERAL):
            yield from (chr(argument), chr(argument).swapcase()[:1])
        elif operator is sre.RANGE:
            for code in (argument[0] - 1, argument[0], argument[1], argument[1] + 1):
                if 0 <= code <= sys.maxunicode:
                    yield chr(code)
        elif operator is sre.BRANCH:
            for branch in argument[1]:
                yield from _characters(branch)
        elif operator is sre.IN:
            yield from _characters(argument)
        elif operator is sre.SUBPATTERN:
            yield from _characters(argument[-1])
        elif operator is sre.ATOMIC_GROUP:
            yield from _characters(argument)
        elif operator in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            yield from _characters(argument[2])
        elif operator in (sre.ASSERT, sre.ASSERT_NOT):
            yield from _characters(argument[1])


_CATEGORIES = {
    sre.CATEGORY_DIGIT: re.compile(r"\d"), sre.CATEGORY_NOT_DIGIT: re.compile(r"\D"), sre.CATEGORY_SPACE: re.compile(r"\s"),
    sre.CATEGORY_NOT_SPACE: re.compile(r"\S"), sre.CATEGORY_WORD: re.compile(r"\w"), sre.CATEGORY_NOT_WORD: re.compile(r"\W"),
}  # fmt: skip


def _matches(operator: Any, argument: Any, character: str, flags: int) -> bool:
    forms = {character, character.swapcase()[:1]} if flags & re.IGNORECASE else {character}
    if operator is sre.ANY:
        return True
    if operator is sre.LITERAL:
        return chr(argument) in forms
    if operator is sre.NOT_LITERAL:
        return chr(argument) != character
    if operator is sre.RANGE:
        return any(argument[0] <= ord(c) <= argument[1] for c in forms)
    if operator is sre.CATEGORY:
        return bool(_CATEGORIES[argument].match(character))
    negated = bool(argument) and argument[0][0] is sre.NEGATE
    inside = any(_matches(o, a, character, flags) for o, a in argument if o is not sre.NEGATE)
    return inside != negated


# --- trying


_PROBE = """
import json, re, sys, time
for pattern, texts in json.load(sys.stdin):
    compiled, began = re.compile(pattern), time.process_time()
    for text in texts:
        for found in compiled.finditer(text):
            pass
    print(json.dumps([pattern, time.process_time() - began]), flush=True)
"""


def _slow(patterns: Sequence[str]) -> set[str]:
    """Those that do not get through long texts in time, tried in a process that can be ended."""
    left = list(patterns)
    slow: set[str] = set()
    while left:
        task = json.dumps([[p, _texts(p)] for p in left])
        probe = subprocess.Popen(  # noqa: S603 - this interpreter, a script of our own
            [sys.executable, "-I", "-S", "-c", _PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            said, _ = probe.communicate(task, timeout=SECONDS * (len(left) + 1))
            done = [json.loads(line) for line in said.splitlines()]
        except subprocess.TimeoutExpired:
            probe.kill()
            said, _ = probe.communicate()
            done = [json.loads(line) for line in said.splitlines() if line.endswith("]")]
        slow.update(p for p, seconds in done if seconds > SECONDS)
        left = left[len(done) :]
        if left:  # the one it hung on
            slow.add(left.pop(0))
    return slow


def _texts(pattern: str) -> list[str]:
    """Long texts of the pattern's own characters, each ending in what it cannot want."""
    letters = sorted(c for c in set(_characters(_parser.parse(pattern))) | set("a0 -") if c.isprintable())[:24]
    texts = [letter * LONG + "\x01" for letter in letters[:12]]
    if letters:
        texts.append(("".join(letters) * (LONG // len(letters) + 1))[:LONG])
    return texts
