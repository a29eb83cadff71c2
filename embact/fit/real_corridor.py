"""The fewest lines inside a corridor ``low(x) <= y <= high(x)``, over the reals.

The corridor is given on ascending points and linear between them; on that corridor every step is
exact. A line is refuted by two points, as in ``line``: the slopes that serve a run of points form
an interval, and each of its ends is reached by cutting from outside.

Lines that need not meet: each goes on until no line serves, and the next starts where it ended.
Lines that meet: the farthest line k leaves the corridor at a point Q and last touched the other
side at M, and what one more line can reach is what can be reached from between M and Q. The next
line therefore keeps to the touched side from M on and to the left side from Q on. Source: the
window of Suri 1986 (minimum link paths), for a path that is monotone in x.

This module must not know what is approximated.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from embact.grid import Reals

ROUNDING = 1e-13
"""What a slope interval is widened by, relative, when members of a set are looked up."""


@dataclass(frozen=True)
class Corridor:
    """float64 arrays of one shape: x ascending strictly, ``low <= high``."""

    x: Reals
    low: Reals
    high: Reals


@dataclass(frozen=True)
class Piece:
    """``slope * x + intercept`` from ``start`` on, up to the start of the next piece."""

    start: float
    slope: float
    intercept: float


@dataclass(frozen=True)
class _Side:
    """One side's points from some place on: ``x[0]`` is that place, the rest are grid points."""

    x: Reals
    y: Reals
    grid: int
    """Index in the corridor of x[1]."""

    def until(self, end: int) -> tuple[Reals, Reals]:
        """Return the points up to the corridor's point ``end``."""
        count = max(end - self.grid + 2, 1)
        return self.x[:count], self.y[:count]


def _side(corridor: Corridor, y: Reals, at: tuple[float, float], grid: int) -> _Side:
    return _Side(
        np.concatenate(([at[0]], corridor.x[grid:])), np.concatenate(([at[1]], y[grid:])), grid
    )


@dataclass(frozen=True)
class _Stage:
    """What one line has to respect: a lower and an upper side, which may start apart."""

    low: _Side
    high: _Side

    def offsets(self, end: int, slope: float) -> tuple[float, float, int, int]:
        """Return the least and the greatest intercept, and the points that force them."""
        (low_x, low_y), (high_x, high_y) = self.low.until(end), self.high.until(end)
        least, greatest = low_y - slope * low_x, high_y - slope * high_x
        p, q = int(least.argmax()), int(greatest.argmin())
        return float(least[p]), float(greatest[q]), p, q

    def slopes(self, end: int, within: tuple[float, float]) -> tuple[float, float] | None:
        """Return the ends of the slopes within an interval that serve, or None if none does."""
        first, last = within
        for cut_last in (True, False):
            while True:
                slope = last if cut_last else first
                least, greatest, p, q = self.offsets(end, slope)
                if least <= greatest:
                    break
                run = float(self.low.x[p] - self.high.x[q])
                if run == 0 or (run < 0) != cut_last:
                    return None
                bound = float(self.low.y[p] - self.high.y[q]) / run
                if (bound >= last) if cut_last else (bound <= first):
                    break  # no progress but by rounding: the slope serves
                first, last = (first, bound) if cut_last else (bound, last)
                if first > last:
                    return None
        return first, last


def cover(
    corridor: Corridor, at_most: int, *, allowed: Reals | None = None, continuous: bool = False
) -> list[Piece] | None:
    """Return the fewest lines that stay in the corridor, or None if more than ``at_most``.

    allowed: ascending slopes to choose from, all by default; only for lines that need not meet.
    """
    x, size = corridor.x, corridor.x.size
    steepest = 2.0 * float(np.ptp((corridor.low, corridor.high))) / float(np.diff(x).min())
    everything = (-steepest, steepest) if allowed is None else (allowed[0], allowed[-1])
    stage = _Stage(
        _side(corridor, corridor.low, (x[0], corridor.low[0]), 1),
        _side(corridor, corridor.high, (x[0], corridor.high[0]), 1),
    )
    pieces: list[Piece] = []
    start, end = float(x[0]), 0
    while len(pieces) < at_most:
        begin = end
        end, choice = _farthest(stage, begin, size, everything, allowed)
        if not choice.size:
            return None
        if end == size - 1:
            slope = float(choice[(choice.size - 1) // 2] if allowed is not None else choice.mean())
            least, greatest, *_ = stage.offsets(end, slope)
            line = Piece(start, slope, (least + greatest) / 2)
            return _joined([*pieces, line]) if continuous else [*pieces, line]
        line, at, below, touched = _exit(corridor, stage, start, end, choice)
        pieces.append(line)
        start = at
        value = line.slope * at + line.intercept
        if continuous:
            kept = stage.high if below else stage.low
            kept = _Side(kept.x[touched:], kept.y[touched:], kept.grid + touched)
            ahead = _side(corridor, corridor.low if below else corridor.high, (at, value), end + 1)
            stage = _Stage(ahead, kept) if below else _Stage(kept, ahead)
        else:
            share = (at - x[end]) / (x[end + 1] - x[end])
            low, high = (
                float(y[end] + share * (y[end + 1] - y[end])) for y in (corridor.low, corridor.high)
            )
            stage = _Stage(
                _side(corridor, corridor.low, (at, low), end + 1),
                _side(corridor, corridor.high, (at, high), end + 1),
            )
    return None


def _farthest(
    stage: _Stage, begin: int, size: int, within: tuple[float, float], allowed: Reals | None
) -> tuple[int, Reals]:
    """Return the last grid point that one line reaches, and slopes that reach it.

    The slopes are all that are allowed, or the two ends of the interval; none if even ``begin`` is
    out of reach. Gallop, then bisect.
    """

    def serving(end: int) -> tuple[tuple[float, float], Reals] | None:
        found = stage.slopes(end, within)
        if found is None:
            return None
        if allowed is None:
            return found, np.array(found)
        room = ROUNDING * max(abs(found[0]), abs(found[1]))
        first = np.searchsorted(allowed, found[0] - room)
        last = np.searchsorted(allowed, found[1] + room, side="right")
        return (found, allowed[first:last]) if first < last else None

    good, bad, step = begin, size, 16
    best = serving(good)
    if best is None:
        return begin, np.array([])
    within, choice = best
    while bad - good > 1:
        end = min(good + step, size - 1) if bad == size else (good + bad) // 2
        tried = serving(end)
        if tried is None:
            bad = end
        else:
            good, (within, choice), step = end, tried, 2 * step
    return good, choice


def _exit(
    corridor: Corridor, stage: _Stage, start: float, end: int, choice: Reals
) -> tuple[Piece, float, bool, int]:
    """Return the line that goes farthest beyond a grid point, and where and how it ends.

    How: whether it leaves the corridor below, and which of the other side's points it touched last.
    """
    (x, after), (low, low_after), (high, high_after) = (
        (float(values[end]), float(values[end + 1]))
        for values in (corridor.x, corridor.low, corridor.high)
    )
    # among slopes that serve up to here, the highest line at the next point rises with the slope:
    # first come those that leave below, then those that leave above
    few, many = 0, choice.size
    while few < many:
        middle = (few + many) // 2
        slope = float(choice[middle])
        if slope * after + stage.offsets(end, slope)[1] < low_after:
            few = middle + 1
        else:
            many = middle
    ends = []
    for below, index in ((True, few - 1), (False, few)):
        if 0 <= index < choice.size:
            slope = float(choice[index])
            least, greatest, p, q = stage.offsets(end, slope)
            offset, side, side_after = (
                (greatest, low, low_after) if below else (least, high, high_after)
            )
            gap, gap_after = slope * x + offset - side, slope * after + offset - side_after
            share = gap / (gap - gap_after) if gap != gap_after else 0.0
            at = x + min(max(share, 0.0), 1.0) * (after - x)
            ends.append((Piece(start, slope, offset), max(at, start), below, q if below else p))
    return max(ends, key=lambda one: one[1])


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Return the pieces with each start moved to where it crosses its predecessor."""
    joined = pieces[:1]
    for left, right in pairwise(pieces):
        if left.slope == right.slope:
            continue
        at = (left.intercept - right.intercept) / (right.slope - left.slope)
        joined.append(Piece(at, right.slope, right.intercept))
    return joined
