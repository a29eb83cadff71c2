"""The exact test of parabolas: find integer coefficients for a run of inputs, or refute them all.

With v the variable, q = (v * v) >> drop and a shift S, the coefficients a, b and c serve a run iff
for each of its inputs

    low * 2**S  <=  a * q + b * v + c  <=  (high + 1) * 2**S - 1,

since the kernel computes floor((a * q + b * v + c) / 2**S). The basis q is an integer and known
exactly, so each input leaves a slab of (a, b, c), and a run is refused only when it is refuted:

- for fixed (a, b) two inputs leave no c: they demand ``run * b + bend * a >= rise``;
- for a fixed a two demands leave no b: without b, they demand something of a alone;
- where two demands leave b only what is not in its set, they do so for all a near to this one.

This module must not know activations, or how a piece is turned into nodes.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from embact.fit.line import FREE, power_sums
from embact.ir import INT32_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.fit.line import Intervals
    from embact.grid import Codes

FINEST = 24
"""The shift of the bound for real coefficients, and the largest that is of use."""
LIMIT = (1 << 30) - 1
"""Largest magnitude of a * q + b * v + c on a piece's inputs: what unfolds it stays in int32."""
SAMPLES = 512
"""A long run is tested on so many of its inputs first."""
PATIENCE = 1 << 21
"""What may be spent on one run: 1000 and an input for each a that is tried."""


@dataclass(frozen=True)
class Coefficients:
    """Which coefficients a piece may have, and what they multiply; a and b ascend.

    drop, shift: as above. limit: largest magnitude of a * q + b * v + c on the piece's inputs, and
    offset_limit that of c. real: whether a run counts as served unless real a and b are refuted.
    """

    drop: int
    shift: int
    a: Sequence[int]
    b: Sequence[int]
    limit: int = LIMIT
    offset_limit: int = INT32_MAX
    real: bool = False


class Piece(NamedTuple):
    """Coefficients that serve the inputs start..end-1, counted from the first."""

    start: int
    end: int
    a: int
    b: int
    c: int


def rooms(bounds: Intervals, drop: int, room: int) -> tuple[int, int]:
    """Return the largest a and b whose products with q and v stay within room."""
    widest = max(1, int(np.abs(bounds.x).max()))
    return room // max(1, widest * widest >> drop), room // widest


def powers(top: int, terms: int) -> list[int]:
    """Return every sum of so many signed powers of two or 0 that is at most top, ascending."""
    return [int(one) for one in power_sums(31, terms) if abs(one) <= top]


class _Demand(NamedTuple):
    """What two inputs demand: run * b + bend * a >= rise."""

    run: int
    bend: int
    rise: int


class Slabs:
    """Intervals scaled by a form: lower <= a * q + b * v + c <= upper."""

    def __init__(self, bounds: Intervals, form: Coefficients) -> None:
        self.form, self.v, self.q = form, bounds.x, (bounds.x * bounds.x) >> form.drop
        shift, limit = form.shift, form.limit
        free_low, free_high = bounds.low == -FREE, bounds.high == FREE
        lower = np.where(free_low, 0, bounds.low) << shift
        upper = (np.where(free_high, 0, bounds.high + 1) << shift) - 1
        self.lower = np.maximum(np.where(free_low, -limit, lower), -limit)
        self.upper = np.minimum(np.where(free_high, limit, upper), limit)

    def serve(self, i: int, j: int, near: tuple[int, int]) -> tuple[int, int] | None:
        """Return an (a, b) that serves the inputs i..j-1, or None if the form has none.

        near: where to begin. None too if so many a were refuted, each with those near to it, that
        PATIENCE is at an end; for real coefficients it has none.
        """
        choices, (a, b) = self.form.a, near
        below = above = bisect_left(choices, a)  # what lies between is refuted
        patience = math.inf if self.form.real else PATIENCE // (1000 + j - i)
        while patience > 0 and (below > 0 or above < len(choices)):
            a = choices[above if above < len(choices) else below - 1]
            found = self._line(i, j, a, b)
            if isinstance(found, int):
                return a, found
            below = min(below, bisect_left(choices, found[0]))
            above = max(above, bisect_right(choices, found[1]))
            patience -= 1
        return None

    def _line(self, i: int, j: int, a: int, near: int) -> int | tuple[float, float]:
        """Return a b that serves with a, or the ends of an interval of a that is refuted."""
        choices = self.form.b
        first, last = 0, len(choices) - 1
        at_least, at_most = _Demand(1, 0, choices[0]), _Demand(-1, 0, -choices[-1])
        views: list[tuple[Codes, Codes, Codes]] = []
        index = bisect_left(choices, near)
        while first <= last:
            b = choices[min(max(index, first), last)]
            demand = self._demand(views, i, j, a, b)
            if demand is None:
                return b
            run, bend, rise = demand
            if run > 0:
                at_least = demand
                index = first = bisect_left(choices, -((bend * a - rise) // run))
            elif run < 0:
                at_most = demand
                index = last = bisect_right(choices, (rise - bend * a) // run) - 1
            else:
                return _refuted(bend, rise)
        bend = at_most.bend * at_least.run - at_least.bend * at_most.run
        rise = at_most.rise * at_least.run - at_least.rise * at_most.run
        if bend * a < rise:
            return _refuted(bend, rise)
        if self.form.real:
            return near
        # no b lies strictly between two neighbours of its set; if it has all integers, none lies
        # between two that move by as many for each a, and so the gap can follow the demands
        lean = -round(at_least.bend / at_least.run) if isinstance(choices, range) else 0
        low, high = -math.inf, math.inf
        for (run, bend, rise), end in ((at_least, choices[last]), (at_most, choices[first])):
            ends = _refuted(bend + run * lean, rise - run * (end - lean * a))
            low, high = max(low, ends[0]), min(high, ends[1])
        return low, high

    def _demand(
        self, views: list[tuple[Codes, Codes, Codes]], i: int, j: int, a: int, b: int
    ) -> _Demand | None:
        """Return what two of the inputs i..j-1 demand that (a, b) does not, or None if it serves.

        views: what was computed for this a.
        """
        size, top = j - i, self.form.offset_limit
        steps = (1,) if size < 4 * SAMPLES else (size // SAMPLES, 1)
        for number, step in enumerate(steps):
            if number == len(views):
                bent = a * self.q[i:j:step]
                lower, upper = self.lower[i:j:step], self.upper[i:j:step]
                views.append((self.v[i:j:step], lower - bent, upper - bent))
            v, lower, upper = views[number]
            product = b * v
            least, greatest = lower - product, upper - product
            p, r = int(least.argmax()), int(greatest.argmin())
            low, high = int(least[p]), int(greatest[r])
            if max(low, -top) > min(high, top):
                p, r = i + p * step, i + r * step
                below = int(self.v[p]), int(self.q[p]), int(self.lower[p])
                above = int(self.v[r]), int(self.q[r]), int(self.upper[r])
                if low < -top:  # c itself is bounded: the same as an input 0
                    below = 0, 0, -top
                if high > top:
                    above = 0, 0, top
                return _Demand(below[0] - above[0], below[1] - above[1], below[2] - above[2])
        return None

    def piece(self, i: int, j: int, a: int, b: int) -> Piece:
        """Return the piece with the c in the middle of those that serve."""
        rest = a * self.q[i:j] + b * self.v[i:j]
        low = max(int((self.lower[i:j] - rest).max()), -self.form.offset_limit)
        high = min(int((self.upper[i:j] - rest).min()), self.form.offset_limit)
        return Piece(i, j, a, b, (low + high) // 2)


def _refuted(bend: int, rise: int) -> tuple[float, float]:
    """Return the ends of the interval of integers a that ``bend * a >= rise`` refutes."""
    if bend == 0:
        return -math.inf, math.inf
    return (-math.inf, (rise - 1) // bend) if bend > 0 else (rise // bend + 1, math.inf)
