"""Greedy selection in batches, with the picks of the one-at-a-time greedy: exact, and most of the work is matrix products.

A plain greedy looks at every row after every pick: N k matrix-vector products, bound by memory. Here a batch of picks is made among
few candidates, and all rows are bounded by the whole batch with one matrix product, which is bound by arithmetic and about ten times as
fast. The score of a row is

    score = weighted + slope (distance - low),   slope = (1 - w) / (high - low + 1e-9), or 0 where high - low < 1e-6

with low and high the least and greatest distance to the nearest pick among the rows left. Why the picks are the same:

1. *Distances never rise*, so whatever bounds a row's distance from above bounds its score. All roundings involved (difference, quotient,
   product, sum, square root) are monotone, so this holds for the computed numbers too.
2. *Candidates are enough.* They are exact, and of best score at the start of the batch; the rest scores at most `rest.score` (1). While
   low and high are as at the start, that still bounds the rest. If they moved, write y = distance - low, 0 <= y <= high - low, for the
   distance now: the rest scores at most  rest.score - slope0 (low - low0) + max(0, (slope - slope0) (high - low)),  because
   weighted + slope0 (y + low - low0) <= rest.score. A winner that is not above that bound ends the batch. Ties at an unmoved bound go to the lower row, known by `rest.row`. At the start of a batch low and high are exact and the best candidate
   is above or ties with all others, so each batch makes one pick at least.
3. *High is certain*: the greatest distance among candidates, exact, which reaches all that is known of the rest; otherwise the batch ends.
4. *Low is a guess, verified.* The least distance known can be undercut by a row that a pick of this batch came nearer to: the matrix
   product at the end of the batch finds all such pairs, and they are made exact. Where low was lower than guessed, the choice is made
   again with the true value among the candidates as they were; if it falls on the same row, nothing else changes, and if not, the batch is
   cut there and what came after is dropped. And it can be undercut by a row known as a bound only: no guess goes above `rest.doubt`.
5. *Low = 0 needs no verification*: while an exact copy of a pick is left, nothing is below it. Then rows that are bounded by old picks alone
   stay so until their bound reaches the candidates; that pays with copies in the pool, and is given up where it does not.

k-center is the same with score = distance, which needs neither low nor high.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from flywheel.selection.strategies.interface import Floats, Indices, Picks, Vectors
from flywheel.selection.strategies.nearest import Nearer, NearestCentre, squared_distances

EXHAUSTED = 1e-6
GUARD = 1e-9
SLACK = 1e-12  # far above the roundings of a bound whose terms are of the order of 1, far below the 1e-9 that are promised

LAZY = 0.55  # of all pairs: beyond that share, one product over all rows is cheaper than many over some
JUDGED = 256  # picks from one look at that share to the next
FIRST_BATCH, LARGEST_BATCH = 4, 128
WIDTHS = {"good": (512, 16384), "far": (64, 8192)}  # fewest and most candidates: by score, and by distance

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Formula:
    """score = weighted + weight (distance - low) / (high - low + 1e-9); or the plain distance."""

    weighted: Floats
    weight: float = 1.0
    plain: bool = False

    def scores(self, rows: Indices | slice, distance: Floats, low: float, high: float) -> Floats:
        if self.plain:
            return distance
        if high - low < EXHAUSTED:
            return self.weighted[rows]
        spread: Floats = (distance - low) / ((high - low) + GUARD)
        return self.weighted[rows] + self.weight * spread

    def slope(self, low: float, high: float) -> float:
        return 0.0 if high - low < EXHAUSTED else self.weight / ((high - low) + GUARD)


@dataclass(frozen=True)
class Rest:
    """What bounds the rows that are no candidates: their best score with the lowest row that has it, least and greatest
    distance known; `doubt`: what no distance is below that is known as a bound only."""

    score: float = -np.inf
    row: int = np.iinfo(np.int64).max
    low: float = np.inf
    high: float = -np.inf
    doubt: float = np.inf


@dataclass(frozen=True)
class Start:
    """What is known at the start of a batch. `covered`: all rows are bounded by all picks."""

    rows: Indices
    low: float
    high: float
    rest: Rest
    covered: bool


@dataclass(frozen=True)
class Step:
    """A pick: position among the candidates, the low (guessed) and high it was made with, and all candidates' distances."""

    at: int
    low: float
    high: float
    score: float
    distance: Floats


class LazyGreedy:
    """`k` picks by falling score. `nearest` holds at least one centre and is changed; so is `remaining`."""

    def __init__(self, vectors: Vectors, nearest: NearestCentre, formula: Formula, remaining: Flags, k: int) -> None:
        self.x, self.nearest, self.formula, self.remaining = vectors, nearest, formula, remaining
        self.picked = np.zeros(k, np.int64)
        self.done = 0
        self.width = {kind: least for kind, (least, _) in WIDTHS.items()}
        # of the picks so far, how many a row's squared distance is exact for, and how many it is a bound from above for
        self.exact, self.covered = np.zeros(len(vectors), np.int32), np.zeros(len(vectors), np.int32)
        # while bounding rows only where needed pays; pairs bounded so
        self.lazy, self.work, self.judged = True, 0, (0, 0)
        self.doubt = nearest.error()

    def run(self) -> Picks:
        """All picks. Deterministic, whatever the number of threads."""
        k = len(self.picked)
        scores, distances = np.zeros(k), np.zeros(k)
        size = FIRST_BATCH
        while self.done < k:
            size = min(size, k - self.done)
            self.judge()
            candidates = Candidates(self, self.start())
            steps = candidates.pick(size)
            self.adapt(candidates.short_of)
            steps = self.settle(candidates, steps)
            part = slice(self.done - len(steps), self.done)
            scores[part] = [step.score for step in steps]
            distances[part] = [step.distance[step.at] for step in steps]
            size = min(2 * len(steps), LARGEST_BATCH)
        return Picks(self.picked, scores, distances)

    def adapt(self, short_of: str) -> None:
        """More of what ended a batch early, a little less of what did not."""
        for kind, (least, most) in WIDTHS.items():
            self.width[kind] = min(2 * self.width[kind], most) if kind == short_of else max(self.width[kind] * 7 // 8, least)

    def judge(self) -> None:
        """Whether covering rows only where needed still pays: from `JUDGED` picks to the next."""
        done, work = self.judged
        if self.lazy and self.done - done >= JUDGED:
            # the first stretch tells nothing: distances fall fast, everything is needed
            if done and self.work - work > LAZY * len(self.x) * (self.done - done):
                self.lazy = False
                self.cover(np.arange(len(self.x)))
            self.judged = (self.done, self.work)

    def start(self) -> Start:
        """Candidates, exact, and what bounds the rest."""
        formula, remaining, squared = self.formula, self.remaining, self.nearest.squared
        good, farthest, more = self.width["good"], 0 if formula.plain else self.width["far"], 4
        if not formula.plain:
            self.find_low()
        while True:
            distance = self.nearest.distances()
            left = distance[remaining]
            low, high = float(left.min()), float(left.max())
            score = np.where(remaining, formula.scores(slice(None), distance, low, high), -np.inf)
            far = np.where(remaining, distance, -np.inf)
            candidate = (best_rows(score, good) | best_rows(far, farthest)) & remaining
            behind = self.covered < self.done
            if (candidate & behind).any():
                # more than these, and more from round to round, so that rounds are few; but none below what is covered already
                wanted = best_rows(score, more * good) & (score >= nth(score[~behind], good))
                wanted |= best_rows(far, more * farthest) & (far >= nth(far[~behind], farthest))
                self.cover(np.flatnonzero(wanted & behind))
                more *= 4
                continue
            inexact = self.exact < self.done
            if not (candidate & inexact).any():
                break
            # some more here too: those at the boundary trade places
            self.make_exact(np.flatnonzero((best_rows(score, good * 5 // 4) | best_rows(far, farthest * 5 // 4)) & remaining & inexact))
        others = np.flatnonzero(remaining & ~candidate)
        rest = Rest()
        if len(others):
            best = int(others[score[others].argmax()])
            doubt = float((squared - self.doubt)[remaining & ~candidate & inexact].min(initial=np.inf))
            rest = Rest(float(score[best]), best, float(distance[others].min()), float(distance[others].max()), math.sqrt(max(doubt, 0.0)))
        return Start(np.flatnonzero(candidate), low, high, rest, not behind.any())

    def find_low(self) -> None:
        """Make sure that the least squared distance known is the least there is."""
        squared, remaining = self.nearest.squared, self.remaining
        while (least := squared.min(where=remaining, initial=np.inf)) > 0:
            if (self.covered < self.done).any():
                self.cover(np.arange(len(squared)))
                continue
            doubtful = np.flatnonzero(remaining & (self.exact < self.done) & (squared - self.doubt < least))
            if not len(doubtful):
                return
            self.make_exact(doubtful)

    def cover(self, rows: Indices) -> None:
        """Bound rows by all picks."""
        if len(rows) == len(self.x) and (self.covered == self.covered[0]).all():  # in place
            groups: list[tuple[int, Indices | None]] = [(int(self.covered[0]), None)]
        else:
            groups = list(self.of_an_age(rows, self.covered))
        for since, group in groups:
            self.work += (self.done - since) * len(self.x if group is None else group)
            # by stretches: once a row knows of the first picks, few of the later ones are nearer still
            for at in range(since, self.done, LARGEST_BATCH):
                end = min(at + LARGEST_BATCH, self.done)
                self.account(group, at, end, *self.nearest.bounds(self.x[self.picked[at:end]], group))

    def account(self, group: Indices | None, since: int, end: int, bounds: Nearer, close: Nearer) -> None:
        """Lower what is known of a group of rows by the picks from `since` to `end`. Who was exact and has no new bound is exact
        still."""
        rows = slice(None) if group is None else group
        hit = bounds.rows[since + bounds.columns >= self.covered[bounds.rows]]
        exact = self.exact[hit]
        covered = np.maximum(self.covered[rows], end)
        self.exact[rows] = np.where(self.exact[rows] == self.covered[rows], covered, self.exact[rows])
        self.exact[hit] = exact
        self.covered[rows] = covered
        self.nearest.lower(bounds)
        self.nearest.lower(close)

    def make_exact(self, rows: Indices) -> None:
        """Make rows' squared distances exact."""
        for since, group in self.of_an_age(rows, self.exact):
            self.nearest.lower(self.nearest.nearer(self.x[self.picked[since : self.done]], group))
        self.exact[rows] = self.covered[rows] = self.done

    def of_an_age(self, rows: Indices, known: npt.NDArray[np.int32]) -> Iterator[tuple[int, Indices]]:
        """Rows that know of about as many picks, and the fewest that one knows of: some products twice, but few calls."""
        age = self.done - known[rows]
        for power in np.unique(np.log2(age[age > 0]).astype(np.int64)).tolist():
            some = (age >> power) == 1
            yield self.done - int(age[some].max()), rows[some]

    def settle(self, candidates: Candidates, steps: list[Step]) -> list[Step]:
        """Make the picks of a batch, or as many as stand."""
        rows, since = candidates.start.rows, self.done
        picked = rows[[step.at for step in steps]]
        lowest = max((step.low for step in steps[1:]), default=0.0)
        good, bounds, close = steps, None, None
        if not self.lazy or (lowest > 0 and not self.formula.plain):
            bounds, close = self.nearest.bounds(self.x[picked], below=lowest * lowest * (1 + SLACK))
            if not self.formula.plain:
                good = verified(candidates, steps, lows(picked, self.remaining, close), self.formula)
        self.done += len(good)
        self.picked[since : self.done] = picked[: len(good)]
        self.remaining[picked[: len(good)]] = False
        if bounds is not None and close is not None:
            self.account(None, since, self.done, bounds.first(len(good)), close.first(len(good)))
        if len(good) == len(steps):  # what the candidates learned on the way
            self.nearest.squared[rows] = np.minimum(self.nearest.squared[rows], candidates.squared)
            self.exact[rows] = np.maximum(self.exact[rows], since + candidates.exact)
            self.covered[rows] = np.maximum(self.covered[rows], self.exact[rows])
        return good


class Candidates:
    """The rows that a batch picks from. Within the batch too a distance is brought up to date only where it could decide."""

    def __init__(self, greedy: LazyGreedy, start: Start) -> None:
        self.x, self.formula, self.start = greedy.x, greedy.formula, start
        self.squared: Floats = greedy.nearest.squared[start.rows]
        self.exact = np.zeros(len(start.rows), np.int32)  # of the picks of this batch
        self.short_of = ""  # what ended the batch early

    def pick(self, size: int) -> list[Step]:
        """Up to `size` picks, at least one."""
        start, rest, steps = self.start, self.start.rest, list[Step]()
        self.distance = np.sqrt(self.squared)
        self.open = np.ones(len(start.rows), bool)
        self.lowest, self.highest = self.distance.copy(), self.distance.copy()  # of those open
        self.centres = np.empty((size, self.x.shape[1]))
        while len(steps) < min(size, len(start.rows)):
            farthest = int(self.highest.argmax())
            if self._behind(farthest, len(steps)):
                continue
            low, high = min(float(self.lowest.min()), rest.low), float(self.highest[farthest])
            if high < rest.high and not self.formula.plain:
                self.short_of = "far"
                break
            if steps and not self.formula.plain and low > (rest.doubt if start.covered else 0):
                break
            at, score = choose(self.distance, self.open, self.formula, low, high, start)
            if at < 0:
                self.short_of = "good"
                break
            if self._behind(at, len(steps)):
                continue
            self.centres[len(steps)] = self.x[start.rows[at]]
            steps.append(Step(at, low, high, score, self.distance.copy()))
            self.open[at] = False
            self.lowest[at], self.highest[at] = np.inf, -np.inf
        return steps

    def _behind(self, at: int, now: int) -> bool:
        """Whether the candidate was not up to date; it is now."""
        if self.exact[at] == now:
            return False
        nearest = squared_distances(self.centres[self.exact[at] : now], self.x[self.start.rows[at]].astype(np.float64)).min()
        if nearest < self.squared[at]:
            self.squared[at] = nearest
            self.distance[at] = self.lowest[at] = self.highest[at] = np.sqrt(nearest)
        self.exact[at] = now
        return True


def choose(distance: Floats, open_: Flags, formula: Formula, low: float, high: float, start: Start) -> tuple[int, float]:
    """Position and score of the best candidate, or -1 where a row of the rest could be better."""
    score = np.where(open_, formula.scores(start.rows, distance, low, high), -np.inf)
    at = int(score.argmax())  # rows rise, so the first of equals is the lowest row
    best, rest = float(score[at]), start.rest
    if formula.plain or (low == start.low and high == start.high):
        return (at, best) if best > rest.score or (best == rest.score and start.rows[at] < rest.row) else (-1, best)
    before, after = formula.slope(start.low, start.high), formula.slope(low, high)
    bound = rest.score - before * (low - start.low) + max(0.0, (after - before) * (high - low))
    return (at, best) if best > bound + SLACK else (-1, best)


def lows(picked: Indices, remaining: Flags, pairs: Nearer) -> Floats:
    """Least distance at each step of a batch that a pick before it brought about, over the rows not picked then."""
    steps = len(picked)
    least, own = np.full(steps, np.inf), np.full((steps, steps), np.inf)
    by_row = np.argsort(picked)
    place = np.minimum(np.searchsorted(picked, pairs.rows, sorter=by_row), steps - 1)
    turn = by_row[place]
    ours = picked[turn] == pairs.rows
    others = remaining[pairs.rows] & ~ours
    np.minimum.at(least, pairs.columns[others], pairs.squared[others])
    # a row that this batch picks counts until its turn: own[turn, column] for the steps from column + 1 to turn
    own[turn[ours], pairs.columns[ours]] = pairs.squared[ours]
    own = np.minimum.accumulate(np.minimum.accumulate(own, axis=1)[::-1], axis=0)[::-1]
    least = np.minimum.accumulate(least)
    found = np.append(np.inf, np.minimum(least[:-1], np.diagonal(own, -1)))
    distances: Floats = np.sqrt(found)
    return distances


def verified(candidates: Candidates, steps: list[Step], found: Floats, formula: Formula) -> list[Step]:
    """The steps that stand now that low is known: `found` (steps,) is the least distance that the guess may have missed."""
    open_, good = np.ones(len(candidates.open), bool), list[Step]()
    for step, low in zip(steps, found.tolist(), strict=True):
        if low < step.low:
            at, score = choose(step.distance, open_, formula, low, step.high, candidates.start)
            if at != step.at:
                break
            good.append(replace(step, low=low, score=score))
        else:
            good.append(step)
        open_[step.at] = False
    return good


def nth(values: Floats, n: int) -> float:
    """The n-th greatest; -inf where there are fewer."""
    return float(np.partition(values, len(values) - n)[len(values) - n]) if 0 < n <= len(values) else -np.inf


def best_rows(score: Floats, count: int) -> Flags:
    """The `count` rows of best score; of equals at the boundary the lowest."""
    if count >= len(score) or count == 0:
        return np.full(len(score), count > 0)
    boundary = nth(score, count)
    best: Flags = score > boundary
    equal = np.flatnonzero(score == boundary)
    best[equal[: count - int(best.sum())]] = True
    return best
