"""Cells: an int16 line of its own for every one of evenly spaced cells, found exactly or refuted.

    y = (base[i] * 2**16 + slope[i] * (f * 2**m + 1)) >> 16,   i = x >> k,  f = x mod 2**k

A cell costs twice the bytes of a knot, but base and slope stand in one word, which is both fetched
and added at once. The index is limited to n bits, so that a coarse scale needs no more cells than a
fine one; the two outermost lines are then flat. Since cells do not depend on each other, each is
decided alone: by all slopes that real lines through its points could have. This module must not
know activations or how bounds come about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.knots import hulls
from embact.fit.line import Intervals
from embact.ir import (
    Node,
    Op,
    Table,
    add,
    const,
    lookup,
    mul,
    named,
    saturate,
    shl,
    shr,
    x,
)

if TYPE_CHECKING:
    from embact.fit.knots import Sides
    from embact.grid import Codes

BITS = 16
"""Width of inputs, outputs, bases and slopes."""

HALF = 1 << (BITS - 1)
INDEX_BITS_MIN = 2


@dataclass(frozen=True)
class Cells:
    """Lines of cells: k, m and n above, and a base and a slope for each cell, all int16."""

    spacing_log2: int
    slope_shift: int
    index_bits: int
    bases: tuple[int, ...]
    slopes: tuple[int, ...]

    @property
    def limited(self) -> bool:
        """Whether there are inputs beyond the outermost cells, which count as in these."""
        return self.index_bits + self.spacing_log2 < BITS

    @property
    def result(self) -> Node:
        """The node of y."""
        k, n = self.spacing_log2, self.index_bits
        if self.limited:
            cell = add(saturate(shr(x(), k), n), const(1 << (n - 1)))
        else:
            cell = shr(add(x(), const(HALF)), k)
        cell = named(cell, "cell")
        fraction = named(Node(Op.AND, (x(), const((1 << k) - 1))), "fraction")
        base = lookup(Table("bases", self.bases), cell)
        slope = lookup(Table("slopes", self.slopes), cell)
        rise = mul(slope, add(shl(fraction, self.slope_shift), const(1)))
        return named(shr(add(shl(base, BITS), rise), BITS), "line")


def widest_cells(bounds: Intervals, max_bytes: int) -> Cells | None:
    """Return lines in the widest cells that serve every int16 input, or None if none do.

    bounds: of y, for all int16 inputs in ascending order. k falls from 13, n rises; m is the least
    that leaves room for the slopes, or one more. max_bytes: the most that bases and slopes take.
    """
    low, high = np.maximum(bounds.low, -HALF), np.minimum(bounds.high, HALF - 1)
    if np.any(low > high):
        return None
    within = Intervals(bounds.x - int(bounds.x[0]), low, high)
    spacings = range(1, BITS - INDEX_BITS_MIN)
    for k, sides in reversed(list(hulls(within, spacings))):
        for n in range(INDEX_BITS_MIN, BITS - k + 1):
            if 4 << n > max_bytes:
                break
            ends = (None, None) if n + k == BITS else _flat(within, k, n)
            if ends is not None:  # else the ends are not flat enough: there are more cells to try
                found = _cells(sides, k, n, ends)
                if found is not None:
                    return found
                break
    return None


def _flat(bounds: Intervals, k: int, n: int) -> tuple[int | None, int | None] | None:
    """Return the code that serves all inputs up to the first cell's end, and from the last's on."""
    reach = 1 << (n + k - 1)
    found: list[int] = []
    for part in (slice(0, HALF - reach + (1 << k)), slice(HALF + reach - (1 << k), None)):
        least, most = int(bounds.low[part].max()), int(bounds.high[part].min())
        if least > most:
            return None
        found.append((least + most) // 2)
    return found[0], found[1]


def _cells(sides: Sides, k: int, n: int, ends: tuple[int | None, int | None]) -> Cells | None:
    """Return the lines of 2**n cells, of which the ends may be flat, or None if some cell has none.

    sides: the points whose bounds imply all others.
    """
    count = 1 << n
    first = HALF - (count << k >> 1)
    points = [_points(sides, first + (i << k), 1 << k) for i in range(count)]
    given = {0: ends[0], count - 1: ends[1]}
    steepest = 0.0
    for i, (at, least, to, most) in enumerate(points):
        if given.get(i) is None:
            steepest = max(steepest, _least_steepness(at, least, to, most))
    start = max(1, int(np.ceil(np.log2(max(steepest, 0.5)))) + 1)
    for m in range(start, min(start + 2, BITS - k)):
        lines: list[tuple[int, int]] = []
        for i, (at, least, to, most) in enumerate(points):
            flat = given.get(i)
            if flat is not None:
                line: tuple[int, int] | None = (flat, 0)
            else:
                line = line_of((at << m) + 1, least, (to << m) + 1, most)
            if line is None:
                break
            lines.append(line)
        if len(lines) == count:
            bases, slopes = zip(*lines, strict=True)
            return Cells(k, m, n, bases, slopes)
    return None


def _points(sides: Sides, first: int, size: int) -> tuple[Codes, Codes, Codes, Codes]:
    """Return a cell's points: where there are lower bounds and which, and likewise upper ones."""
    found = []
    for side in sides:
        part = slice(*np.searchsorted(side.at, (first, first + size)))
        found += [side.at[part] - first, side.code[part]]
    return found[0], found[1], found[2], found[3]


def _least_steepness(at: Codes, least: Codes, to: Codes, most: Codes) -> float:
    """Return a lower bound of the magnitude of the slope, in codes, that serves a cell."""
    run = (at[:, None] - to[None, :]).astype(float)
    rise = (least[:, None] - most[None, :] - 1).astype(float)
    needed = (rise > 0) & (run != 0)
    return float(np.max(rise[needed] / np.abs(run[needed]), initial=0.0))


def line_of(at: Codes, least: Codes, to: Codes, most: Codes) -> tuple[int, int] | None:
    """Return an int16 (base, slope) with least <= base + (slope * at >> 16) and likewise most.

    None if there is none. Any two points bound the slope, and all that is left is tried; of what
    serves the middle is taken.
    """
    run = at[:, None] - to[None, :]
    rise = ((least[:, None] - most[None, :] - 1) << BITS) + 1
    right, left = run > 0, run < 0
    low = int((-(-rise[right] // run[right])).max(initial=-HALF))
    high = int((rise[left] // run[left]).min(initial=HALF - 1))
    if low > high:
        return None
    slopes = np.arange(low, high + 1)
    bottom = (least[:, None] - ((slopes * at[:, None]) >> BITS)).max(axis=0, initial=-HALF)
    top = (most[:, None] - ((slopes * to[:, None]) >> BITS)).min(axis=0, initial=HALF - 1)
    served = np.flatnonzero(bottom <= top)
    if not served.size:
        return None
    i = int(served[served.size // 2])
    return int((bottom[i] + top[i]) // 2), int(slopes[i])
