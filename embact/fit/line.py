"""The exact segment test: find an integer line through every input's interval, or refute it.

With a budget, each input code x may give any output in [low, high]. A line with slope a, offset b
and shift S serves a run of inputs iff, for each of them,

    low * 2**S  <=  a * x + b  <=  (high + 1) * 2**S - 1,

since the kernel computes floor((a * x + b) / 2**S). The slopes that serve form an interval, so a
greedy pass that extends each segment as far as it goes uses the least number of segments.

This module must not know activations, or how a segment is turned into nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.ir import INT32_MAX, INT32_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.grid import Codes

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


def intervals(codes: Codes, ideal_codes: Codes, budget: int, clamp: tuple[int, int]) -> Intervals:
    """Return the outputs within ``budget`` codes of the ideal, free where the clamp takes over."""
    low, high = ideal_codes - budget, ideal_codes + budget
    low = np.where(low <= clamp[0], -FREE, low)
    high = np.where(high >= clamp[1], FREE, high)
    return Intervals(codes, low, high)


@dataclass(frozen=True)
class Form:
    """How a line is computed, which limits its coefficients.

    slope_bits: width of the signed slope.
    shift: S above.
    offset_step: the offset is a multiple of it (2**16 when the product is taken by MULH, else 1).
    Offsets and results, as multiples of offset_step, fit int32.
    """

    slope_bits: int
    shift: int
    offset_step: int = 1


@dataclass(frozen=True)
class Segment:
    """``(slope * x + offset) >> shift`` for the input codes first..last."""

    first: int
    last: int
    slope: int
    offset: int
    shift: int


class _Strips:
    """Intervals scaled by a form: lower[i] <= a * x[i] + b <= upper[i], all within int32 steps."""

    def __init__(self, bounds: Intervals, form: Form) -> None:
        step = form.offset_step
        lower = np.where(bounds.low == -FREE, -FREE, _scaled(bounds.low, form.shift))
        upper = np.where(bounds.high == FREE, FREE, _scaled(bounds.high + 1, form.shift) - 1)
        self.x = bounds.x
        # an interval of offsets at least this much shorter always holds a multiple of the step
        self.lower = np.maximum(lower, INT32_MIN * step)
        self.upper = np.minimum(upper, INT32_MAX * step) - (step - 1)
        self.offset_low, self.offset_high = INT32_MIN * step, INT32_MAX * step - (step - 1)
        self.slope_low = -(1 << (form.slope_bits - 1))
        self.slope_high = (1 << (form.slope_bits - 1)) - 1

    def offsets(self, i: int, j: int, slope: int) -> tuple[int, int, int, int]:
        """Return (least offset, greatest offset, and the x that forces each) for inputs i..j-1."""
        product = slope * self.x[i:j]
        least, greatest = self.lower[i:j] - product, self.upper[i:j] - product
        p, q = int(least.argmax()), int(greatest.argmin())
        low, high = int(least[p]), int(greatest[q])
        x_low, x_high = int(self.x[i + p]), int(self.x[i + q])
        # the offset itself must fit: the same test as an input 0
        if low < self.offset_low:
            low, x_low = self.offset_low, 0
        if high > self.offset_high:
            high, x_high = self.offset_high, 0
        return low, high, x_low, x_high

    def slope(self, i: int, j: int, start: int) -> int | None:
        """Return a slope that serves inputs i..j-1, or None if there is none.

        Cutting planes: a slope that fails is refuted by two inputs, and the same two refute every
        slope up to where their intervals meet.
        """
        first, last, slope = self.slope_low, self.slope_high, start
        while first <= last:
            slope = min(max(slope, first), last)
            low, high, x_low, x_high = self.offsets(i, j, slope)
            if low <= high:
                return slope
            run, rise = x_low - x_high, low - high + slope * (x_low - x_high)
            if run == 0:
                return None
            if run > 0:
                first = slope = -(-rise // run)
            else:
                last = slope = rise // run
        return None

    def centre(self, i: int, j: int, slope: int) -> tuple[int, int]:
        """Return the (slope, offset) that leaves the inputs i..j-1 the most slack."""

        def slack(a: int) -> int:
            low, high, *_ = self.offsets(i, j, a)
            return high - low

        step = 1 << max(0, (self.slope_high.bit_length() - 1))
        while step:
            for other in (slope - step, slope + step):
                if self.slope_low <= other <= self.slope_high and slack(other) > slack(slope):
                    slope = other
                    break
            else:
                step //= 2
        low, high, *_ = self.offsets(i, j, slope)
        return slope, (low + high) // 2


def _scaled(values: Codes, shift: int) -> Codes:
    # free ends are replaced by the caller; clearing them keeps the shift inside int64
    return np.where(np.abs(values) >= FREE, 0, values) << shift


@dataclass(frozen=True)
class Run:
    """Inputs start..end-1 of some intervals, and a slope that serves them."""

    start: int
    end: int
    slope: int


def runs(bounds: Intervals, form: Form, at_most: int) -> list[Run] | None:
    """Return the fewest runs of inputs that one line each serves, or None if more than at_most.

    Greedy longest extension; it is optimal because every part of a feasible run is feasible. An
    input that no line serves within int32 gives None too. With an offset_step above 1 the number is
    the least among lines whose interval of offsets is so long that it must hold a multiple.
    """
    strips = _Strips(bounds, form)
    found: list[Run] = []
    size, start, slope, length = len(bounds.x), 0, 0, 1
    while start < size:
        if len(found) == at_most:
            return None
        end, slope = _longest(strips, start, size, length, slope)
        if end == start:
            return None
        found.append(Run(start, end, slope))
        start, length = end, end - start
    return found


def lines(bounds: Intervals, form: Form, found: Sequence[Run]) -> list[Segment]:
    """Return for each run the line that keeps the most distance from the interval ends."""
    strips = _Strips(bounds, form)
    segments = []
    for run in found:
        slope, offset = strips.centre(run.start, run.end, run.slope)
        offset += -offset % form.offset_step
        first, last = int(bounds.x[run.start]), int(bounds.x[run.end - 1])
        segments.append(Segment(first, last, slope, offset, form.shift))
    return segments


def segments(bounds: Intervals, form: Form, at_most: int) -> list[Segment] | None:
    """Return the fewest segments that serve every input, or None as ``runs`` does."""
    found = runs(bounds, form, at_most)
    return None if found is None else lines(bounds, form, found)


def line_values(segments: Sequence[Segment], codes: Codes) -> Codes:
    """Return what the lines give for codes, before any clamp: int64, the shape of ``codes``.

    Each code belongs to the last segment that starts at or before it, or to the first segment.
    """
    index = np.searchsorted([s.first for s in segments[1:]], codes, side="right")
    slope, offset, shift = (
        np.array([getattr(s, name) for s in segments], dtype=np.int64)[index]
        for name in ("slope", "offset", "shift")
    )
    result: Codes = (slope * codes + offset) >> shift
    return result


def _longest(strips: _Strips, start: int, size: int, guess: int, slope: int) -> tuple[int, int]:
    """Return (end, slope) of the longest feasible run from ``start``: gallop, then bisect."""
    good, bad, step = start, size + 1, guess
    while True:
        end = min(good + step, size)
        tried = strips.slope(start, end, slope)
        if tried is None:
            bad = end
            break
        good, slope, step = end, tried, 2 * step
        if good == size:
            return good, slope
    while bad - good > 1:
        middle = (good + bad) // 2
        tried = strips.slope(start, middle, slope)
        if tried is None:
            bad = middle
        else:
            good, slope = middle, tried
    return good, slope
