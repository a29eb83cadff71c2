"""The exact segment test: find an integer line through every input's interval, or refute it.

With a budget, each input code x may give any output in [low, high]. A line with slope a, offset b
and shift S serves a run of inputs iff, for each of them,

    low * 2**S  <=  a * x + b  <=  (high + 1) * 2**S - 1,

since the kernel computes floor((a * x + b) / 2**S). The slopes that serve form an interval, which
is found by cutting planes. This module must not know activations, how inputs are divided into runs
(``runs``), or how a segment is turned into nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.ir import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.grid import Codes

ALL_SHIFTS = range(32)
"""All that int32 allows: beyond 32 - output bits only outputs that stay near code 0 fit."""

CODES = 1 << 17
"""Beyond every code and every magnitude of one."""

FREE = 1 << 61
"""Stands for an unbounded interval end: larger than any a * x + b, and sums of two fit int64."""


@dataclass(frozen=True)
class Intervals:
    """The outputs that each input code may give; int64 arrays of one shape, ``low <= high``.

    A low of -FREE or a high of FREE means that any smaller or larger value serves, because what
    follows the line clamps it.
    """

    x: Codes
    low: Codes
    high: Codes


def intervals(codes: Codes, ends: tuple[Codes, Codes], clamp: tuple[int, int]) -> Intervals:
    """Return the outputs between the ends, free where the clamp takes over.

    Where the ends are crossed no output serves, and no line.
    """
    low, high = ends
    some = low <= high
    low, high = (
        np.where(some & (low <= clamp[0]), -FREE, low),
        np.where(some & (high >= clamp[1]), FREE, high),
    )
    return Intervals(codes, low, high)


@dataclass(frozen=True)
class Form:
    """How a line is computed, which limits its coefficients.

    slope_bits: width of the signed slope.
    shift: S above.
    terms: if given, a slope is a sum of at most that many signed powers of two; for 0 it is 0.
    everywhere: whether a line fits int32 at the first and the last input too, not only on its run:
    wherever it is one arm of a choice, it is evaluated for every input.
    offset_step: the offset is a multiple of it (2**16 when the product is taken by MULH, else 1).
    relaxed: slopes are multiples of 2**-shift, as large as slope_bits allow without a shift, and
    results reach what int32 allows without one: the runs of any form with up to that shift are
    served. Otherwise offsets and results, as multiples of offset_step, fit int32.
    """

    slope_bits: int
    shift: int
    offset_step: int = 1
    terms: int | None = None
    everywhere: bool = False
    relaxed: bool = False

    @property
    def slopes(self) -> Codes | None:
        """The allowed slopes in ascending order, or None if all of that width are."""
        return None if self.terms is None else power_sums(self.slope_bits, self.terms)


@lru_cache
def power_sums(bits: int, terms: int) -> Codes:
    """Return all sums of at most ``terms`` signed powers of two that fit a signed width.

    >>> power_sums(4, 1).tolist()
    [-8, -4, -2, -1, 0, 1, 2, 4]
    """
    powers = [sign << k for k in range(bits) for sign in (1, -1)]
    sums = {0}
    for _ in range(terms):
        sums |= {one + power for one in sums for power in powers}
    half = 1 << (bits - 1)
    found: Codes = np.array(sorted(s for s in sums if -half <= s < half), dtype=np.int64)
    found.flags.writeable = False
    return found


@dataclass(frozen=True)
class Segment:
    """``(slope * x + offset) >> shift`` for the input codes first..last."""

    first: int
    last: int
    slope: int
    offset: int
    shift: int

    def __post_init__(self) -> None:
        if not (
            -CODES <= self.first <= self.last <= CODES
            and abs(self.slope) <= FREE >> 29
            and abs(self.offset) <= FREE >> 13
            and 0 <= self.shift < 48
        ):
            raise EmbactError("a segment", got=self, allowed="codes, and a line within int64")


@dataclass(frozen=True)
class Pair:
    """Two inputs whose intervals bound every slope that serves both, from below or from above."""

    first: int
    second: int
    slope: int


@dataclass(frozen=True)
class Refutation:
    """Why no line serves some inputs: no allowed slope is >= at_least.slope and <= at_most.slope.

    A bound that is None is that of the slope's width. An input of a pair that is not among the
    inputs (0, or an end of the domain) stands for int32.
    """

    at_least: Pair | None
    at_most: Pair | None


class Strips:
    """Intervals scaled by a form: lower[i] <= a * x[i] + b <= upper[i], all within int32 steps."""

    def __init__(self, bounds: Intervals, form: Form) -> None:
        step, bits = form.offset_step, form.slope_bits + form.shift * form.relaxed
        least, most = (-FREE, FREE) if form.relaxed else (INT32_MIN * step, INT32_MAX * step)
        lower = np.where(bounds.low == -FREE, -FREE, _scaled(bounds.low, form.shift))
        upper = np.where(bounds.high == FREE, FREE, _scaled(bounds.high + 1, form.shift) - 1)
        self.x = bounds.x
        # an interval of offsets at least this much shorter always holds a multiple of the step
        self.lower = np.maximum(lower, least)
        self.upper = np.minimum(upper, most) - (step - 1)
        self.offset_low, self.offset_high = least, most - (step - 1)
        self.slope_low, self.slope_high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        self.slopes = form.slopes
        # the offset itself must fit: the same test as an input 0
        self.ends: tuple[int, ...] = () if form.relaxed else (0,)
        if form.everywhere:
            self.ends = (0, int(bounds.x[0]), int(bounds.x[-1]))

    def offsets(self, i: int, j: int, slope: int) -> tuple[int, int, int, int]:
        """Return (least offset, greatest offset, and the x that forces each) for inputs i..j-1."""
        product = slope * self.x[i:j]
        least, greatest = self.lower[i:j] - product, self.upper[i:j] - product
        p, q = int(least.argmax()), int(greatest.argmin())
        low, high = int(least[p]), int(greatest[q])
        x_low, x_high = int(self.x[i + p]), int(self.x[i + q])
        for end in self.ends:
            if low < self.offset_low - slope * end:
                low, x_low = self.offset_low - slope * end, end
            if high > self.offset_high - slope * end:
                high, x_high = self.offset_high - slope * end, end
        return low, high, x_low, x_high

    def slope(self, i: int, j: int, start: int) -> int | None:
        """Return a slope that serves inputs i..j-1, or None if there is none.

        Cutting planes: a slope that fails is refuted by two inputs, and the same two refute every
        slope up to where their intervals meet.
        """
        found = self.search(i, j, start)
        return found if isinstance(found, int) else None

    def search(self, i: int, j: int, start: int) -> int | Refutation:
        """Return a slope that serves inputs i..j-1, or why there is none."""
        least: Pair | None = None
        most: Pair | None = None
        first, last, slope = self.slope_low, self.slope_high, start
        while (nearest := self._allowed(slope, first, last)) is not None:
            slope = nearest
            low, high, x_low, x_high = self.offsets(i, j, slope)
            if low <= high:
                return slope
            run, rise = x_low - x_high, low - high + slope * (x_low - x_high)
            if run > 0:
                first = slope = -(-rise // run)
                least = Pair(x_high, x_low, slope)
            elif run < 0:
                last = slope = rise // run
                most = Pair(x_low, x_high, slope)
            else:  # the offset alone cannot serve this input
                least = most = Pair(x_low, x_high, 0)
                break
        return Refutation(least, most)

    def _allowed(self, slope: int, first: int, last: int) -> int | None:
        """Return the allowed slope in first..last that is near to one, or None if there is none."""
        if first > last:
            return None
        slope = min(max(slope, first), last)
        if self.slopes is None:
            return slope
        low, high = np.searchsorted(self.slopes, (first, last + 1))
        if low == high:
            return None
        position = np.clip(np.searchsorted(self.slopes, slope), low, high - 1)
        return int(self.slopes[position])

    def centre(self, i: int, j: int, slope: int) -> tuple[int, int]:
        """Return the (slope, offset) that leaves the inputs i..j-1 the most slack."""
        allowed: Sequence[int] | Codes = range(self.slope_low, self.slope_high + 1)
        if self.slopes is not None:
            allowed = self.slopes

        def slack(position: int) -> int:
            low, high, *_ = self.offsets(i, j, int(allowed[position]))
            return high - low

        # concave in the slope, so climbing finds the most
        best = slope - self.slope_low
        if self.slopes is not None:
            best = int(np.searchsorted(self.slopes, slope))
        step, most = 1 << max(0, len(allowed).bit_length() - 2), slack(best)
        while step:
            for other in (best - step, best + step):
                if 0 <= other < len(allowed) and (found := slack(other)) > most:
                    best, most = other, found
                    break
            else:
                step //= 2
        slope = int(allowed[best])
        low, high, *_ = self.offsets(i, j, slope)
        return slope, (low + high) // 2


def _scaled(values: Codes, shift: int) -> Codes:
    # free ends are replaced by the caller; clearing them keeps the shift inside int64
    return np.where(np.abs(values) >= FREE, 0, values) << shift
