"""The count of operations sees what makes work grow, and nothing of the machine."""

from __future__ import annotations

import pytest

from tests.operations import Counted, counted, operations

N = 300


def loops(n: int) -> int:
    return sum(1 for a in range(n) for b in range(n) if a == b)


def scans(n: int) -> int:
    texts = [Counted(i) for i in range(n)]
    return sum(1 for i in range(n) if Counted(i) in texts)


def calls(n: int) -> int:
    return sum(map(len, [[0] * n for _ in range(n) for _ in map(abs, range(n))]))


@pytest.mark.parametrize("work", [loops, scans, calls])
def test_quadratic_work_is_seen_as_such(work: object) -> None:
    small, large = (operations(lambda n=n: work(n)) for n in (20, 200))  # type: ignore[operator, misc]
    assert large > 50 * small


def test_linear_work_is_seen_as_such_and_twice_the_same() -> None:
    small, large, again = (operations(lambda n=n: sum(i for i in range(n))) for n in (N, 10 * N, 10 * N))  # type: ignore[misc]
    assert 9 * small < large < 11 * small
    assert large == again


def test_counted_texts_are_texts() -> None:
    found = counted({"a": ["b", 1, {"c": "d", "e": "f"}]}, ["c"])
    assert found == {"a": ["b", 1, {"c": "d", "e": "f"}]}
    assert [type(v) for v in found["a"][2].values()] == [Counted, str]
    assert {Counted("x"): 1}["x"] == 1
