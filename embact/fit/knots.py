"""Knots: the exact test of whether evenly spaced knots serve, straight lines between them.

    y = (T[i] * 2**k + (T[i+1] - T[i]) * f + offset) >> (k + P),  p = i * 2**k + f

with p >= 0 a position and P the fraction bits of the knot values T. A position that may give
low..high demands of its two knots

    low * 2**(k+P)  <=  T[i] * (2**k - f) + T[i+1] * f + offset  <=  (high + 1) * 2**(k+P) - 1

so the demands form a chain. The set of the values of T[i] that some T[0], .., T[i-1] go with is
passed on from knot to knot: if it ends empty, no table of that form serves; otherwise a table is
read off backwards. This module must not know activations, nodes or how a position comes about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.line import FREE
from embact.ir import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from embact.fit.line import Intervals
    from embact.grid import Codes

Runs = list[tuple[int, int]]
"""A set of integers as ascending, disjoint (first, last)."""

SAMPLES = 128
"""Sets of more neighbouring values than that are not enumerated but sampled."""

BATCH = 1 << 18
"""How many (value, demand) pairs are looked at together: bounds the memory."""


@dataclass(frozen=True)
class Form:
    """How the knots are used.

    spacing_log2, fraction_bits, offset: k, P and the offset above. low, high: the range of the
    values. comfort: the range that values are best taken from where there is a choice.
    """

    spacing_log2: int
    fraction_bits: int
    offset: int
    low: int
    high: int
    comfort: tuple[int, int] = (INT32_MIN, INT32_MAX)


@dataclass(frozen=True)
class _Points:
    """The positions whose outputs are bounded from one side, ascending, and that bound."""

    at: Codes
    code: Codes

    def hull(self, spacing_log2: int, side: int) -> _Points:
        """Return the points without some that other points of their cell imply.

        side: 1 for lower bounds, -1 for upper ones. A point on the wrong side of the chord of its
        neighbours is implied by these, whether they stay or are implied in turn.
        """
        at, code = self.at, self.code * side
        while True:
            same = at[2:] >> spacing_log2 == at[:-2] >> spacing_log2
            chord = (code[2:] - code[:-2]) * (at[1:-1] - at[:-2])
            keep = np.ones(at.size, dtype=bool)
            keep[1:-1] = ~(same & ((code[1:-1] - code[:-2]) * (at[2:] - at[:-2]) <= chord))
            size, at, code = at.size, at[keep], code[keep]
            if size - at.size <= size >> 3:
                return _Points(at, code * side)


Sides = tuple[_Points, _Points]
"""The lower and the upper bounds."""


def _sides(bounds: Intervals) -> Sides:
    """Return the bounds that are not free."""
    below, above = np.flatnonzero(bounds.low != -FREE), np.flatnonzero(bounds.high != FREE)
    return _Points(below, bounds.low[below]), _Points(above, bounds.high[above])


def _hulls(sides: Sides, spacing_log2: int) -> Sides:
    """Return the bounds that imply the others for one k; also those of hulls for a smaller k."""
    lower, upper = sides
    return lower.hull(spacing_log2, 1), upper.hull(spacing_log2, -1)


def cell_count(size: int, spacing_log2: int) -> int:
    """Return how many cells span the positions 0..size-1; the last position may be a knot."""
    return max(1, -(-(size - 1) >> spacing_log2))


def knot_count(size: int, spacing_log2: int) -> int:
    """Return the entries of the table: the last position reads two knots, too."""
    return ((size - 1) >> spacing_log2) + 2


def hulls(bounds: Intervals, spacings: Iterable[int]) -> Iterator[tuple[int, Sides]]:
    """Yield each k of ``spacings``, which ascend, with the bounds that imply the others."""
    sides = _sides(bounds)
    for k in spacings:
        sides = _hulls(sides, k)
        yield k, sides


def knots(bounds: Intervals, form: Form) -> tuple[int, ...] | None:
    """Return a table of the form that serves every interval, or None: then there is none.

    The values are those in the middle of what their right neighbour and all on the left leave free.
    """
    sides = _hulls(_sides(bounds), form.spacing_log2)
    return _Chain(sides, bounds.x.size, form).solve()


def first_that_serves(
    bounds: Intervals, sides: Sides, forms: Sequence[Form]
) -> tuple[Form, tuple[int, ...]] | None:
    """Return the first of some forms of one k for which there is a table, and a table.

    sides: what ``hulls`` gives for the bounds and that k.
    """
    if not forms or _kinked(bounds, forms[0].spacing_log2):
        return None
    for form in forms:
        values = _Chain(sides, bounds.x.size, form).solve()
        if values is not None:
            return form, values
    return None


def _kinked(bounds: Intervals, spacing_log2: int) -> bool:
    """Return whether three neighbours in one cell lie on no line, whatever the form.

    It saves the time to find that out behind thousands of cells that can be served.
    """
    low, end = bounds.low, bounds.high + 1
    kinks = (low[:-2] + low[2:] >= 2 * end[1:-1]) | (end[:-2] + end[2:] <= 2 * low[1:-1])
    return bool(np.any((np.flatnonzero(kinks) + 1) % (1 << spacing_log2)))


class _Chain:
    """The demands of one form on the knots, and the sets of values that meet them."""

    def __init__(self, sides: Sides, size: int, form: Form) -> None:
        k, scale = form.spacing_log2, form.spacing_log2 + form.fraction_bits
        self.form, self.full = form, 1 << k
        self.cells = cell_count(size, k)
        lower, upper = sides
        least = (lower.code << scale) - form.offset
        most = ((upper.code + 1) << scale) - 1 - form.offset
        self.first, self.last = (np.full(self.cells + 1, end) for end in (form.low, form.high))
        knot = lower.at % self.full == 0
        own = lower.at[knot] >> k
        self.first[own] = np.maximum(self.first[own], -(-least[knot] >> k))
        knot = upper.at % self.full == 0
        own = upper.at[knot] >> k
        self.last[own] = np.minimum(self.last[own], most[knot] >> k)
        self.lower, self.upper = self._by_cell(lower.at, least), self._by_cell(upper.at, most)

    def _by_cell(self, at: Codes, value: Codes) -> list[tuple[Codes, Codes]]:
        """Return for each cell the fractions > 0 and what is demanded there."""
        fraction = at % self.full
        inside = fraction > 0
        starts = np.searchsorted(at[inside], np.arange(1, self.cells) << self.form.spacing_log2)
        columns = np.split(fraction[inside], starts), np.split(value[inside], starts)
        return list(zip(*columns, strict=True))

    def solve(self) -> tuple[int, ...] | None:
        """Return values that meet every demand, or None if there are none."""
        first, last = int(self.first[0]), int(self.last[0])
        sets = [[(first, last)] if first <= last else []]
        for i in range(self.cells):
            if not sets[-1]:
                return None
            sets.append(self._image(i, sets[-1]))
        if not sets[-1]:
            return None
        chosen = [self._pick(sets[-1], self.form.low, self.form.high)]
        for i in reversed(range(self.cells)):
            chosen.append(self._pick(sets[i], *self._before(i, chosen[-1])))
        return tuple(reversed(chosen))

    def _reach(self, i: int, values: Codes) -> tuple[Codes, Codes]:
        """Return the least and the greatest T[i+1] that goes with each value of T[i].

        Both fall as T[i] rises; the least is convex and the greatest concave, but for rounding.
        """
        least = np.full(values.size, -FREE)
        most = np.full(values.size, FREE)
        left = values[:, None]
        step = max(1, BATCH // values.size)
        fraction, demand = self.lower[i]
        for j in range(0, fraction.size, step):
            f, d = fraction[j : j + step], demand[j : j + step]
            np.maximum(least, (-((left * (self.full - f) - d) // f)).max(axis=1), out=least)
        fraction, demand = self.upper[i]
        for j in range(0, fraction.size, step):
            f, d = fraction[j : j + step], demand[j : j + step]
            np.minimum(most, ((d - left * (self.full - f)) // f).min(axis=1), out=most)
        return least, most

    def _before(self, i: int, value: int) -> tuple[int, int]:
        """Return the least and the greatest T[i] that goes with a value of T[i+1]."""
        (f, least), (g, most) = self.lower[i], self.upper[i]
        low = -((value * f - least) // (self.full - f))
        high = (most - value * g) // (self.full - g)
        return int(low.max(initial=self.form.low)), int(high.min(initial=self.form.high))

    def _image(self, i: int, runs: Runs) -> Runs:
        """Return the set of T[i+1] that the set of T[i] leaves.

        A few values stand for many: between two of them everything is reached if the neighbours of
        both overlap, since the overlap is concave; nothing is if both reach nothing and the room,
        which is concave too, is larger elsewhere. Only the rest is enumerated.
        """
        firsts, lasts = [], []
        todo = list(runs)
        while todo:
            first, last = todo.pop()
            if last - first <= SAMPLES:
                least, most = self._reach(i, np.arange(first, last + 1))
                firsts.append(least)
                lasts.append(most)
                continue
            at = np.linspace(first, last, SAMPLES // 2 + 1).astype(np.int64)
            least, most = self._reach(i, at)
            # the neighbours inside each stretch: after its begin, before its end
            _, after = self._reach(i, at[:-1] + 1)
            before, _ = self._reach(i, at[1:] - 1)
            covered = (after - least[:-1] >= 1) & (most[1:] - before >= 1)
            firsts.append(least[1:][covered])
            lasts.append(most[:-1][covered])
            # rounding takes less than 2 off the room, so from -2 down there is none
            room = most - least
            rising = np.maximum.accumulate(room[::-1])[::-1]
            falling = np.maximum.accumulate(room)
            empty = (room[:-1] <= -2) & (room[1:] <= -2)
            empty &= (rising[1:] >= room[1:] + 2) | (falling[:-1] >= room[:-1] + 2)
            rest = np.flatnonzero(~covered & ~empty)
            todo += zip(at[rest].tolist(), at[rest + 1].tolist(), strict=True)
        return _union(
            np.maximum(np.concatenate(firsts), self.first[i + 1]),
            np.minimum(np.concatenate(lasts), self.last[i + 1]),
        )

    def _pick(self, runs: Runs, low: int, high: int) -> int:
        """Return a member of the set within low..high: of the middle, or of the comfort's end.

        Where only one side is bounded the clamp acts, and the comfortable value nearest to the
        other side's end is as near as can be to what the clamp gives.
        """
        parts = [(max(a, low), min(b, high)) for a, b in runs if a <= high and b >= low]
        low, high = parts[0][0], parts[-1][1]
        wanted = (low + high + 1) // 2
        floor, ceiling = self.form.comfort
        if high > ceiling and low >= floor:
            wanted = ceiling
        elif low < floor and high <= ceiling:
            wanted = floor
        elif low < floor:
            wanted = min(max(0, floor), ceiling)
        nearest = [min(max(wanted, a), b) for a, b in parts]
        return min(nearest, key=lambda value: abs(value - wanted))


def _union(first: Codes, last: Codes) -> Runs:
    """Return the integers that lie in any first[j]..last[j]."""
    some = first <= last
    first, last = first[some], last[some]
    if not first.size:
        return []
    order = np.argsort(first, kind="stable")
    first, last = first[order], np.maximum.accumulate(last[order])
    gaps = np.flatnonzero(first[1:] > last[:-1] + 1)
    starts = [int(first[0]), *first[gaps + 1].tolist()]
    return list(zip(starts, [*last[gaps].tolist(), int(last[-1])], strict=True))
