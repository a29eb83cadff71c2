"""The fewest lines through the intervals of all inputs: greedy longest runs.

Every part of a run that one line serves is served by it, so extending each run as far as it goes
uses the least number of lines, for one form. What real coefficients need bounds every form from
below: ``Reach`` is how far their runs go, and tells early that a form needs more than wanted.

This module must not know activations, or how a segment is turned into nodes.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.line import ALL_SHIFTS, FREE, Form, Intervals, Segment, Strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.grid import Codes


@dataclass(frozen=True)
class Run:
    """Inputs start..end-1 of some intervals, and a slope that serves them."""

    start: int
    end: int
    slope: int


FINEST = 30
"""A relaxed form of this shift and 16-bit slopes fits int64, and serves what any form serves: one
with shift 31 gives 0 or -1, and so do slopes of 1 and -1 with less."""


@dataclass(frozen=True)
class Reach:
    """How far the fewest runs with finer coefficients go: those of no form go farther.

    ends: where each ends, the last at the number of inputs. shift: the largest with which these
    lines are likely to fit the form's slopes and int32.
    """

    ends: tuple[int, ...]
    shift: int

    def need(self, start: int) -> int:
        """Return a number of runs that the inputs from ``start`` on need at least."""
        passed = bisect_right(self.ends, start)
        left = len(self.ends) - passed
        between = start > 0 and (passed == 0 or self.ends[passed - 1] < start)
        return max(left - between, min(left, 1))


def reach(
    bounds: Intervals, slope_bits: int, at_most: int, align: int = 1, shift: int = FINEST
) -> Reach | None:
    """Return how far runs with finer coefficients go, or None if more than at_most are needed.

    slope_bits: of the forms that are bounded, 16 at most. align: as for ``runs``. shift: up to
    which forms are bounded, by default all: then the coefficients stand for real ones. None is a
    proof that no form has so few.
    """
    found = runs(bounds, Form(slope_bits, shift, relaxed=True), at_most, align)
    if found is None:
        return None
    steep = max(abs(run.slope) for run in found)
    farthest = max(abs(int(x)) for x in bounds.x[[0, -1]])
    some = np.abs(np.concatenate((bounds.low, bounds.high)))
    level = int(some[some < FREE].max(initial=1)) + 1
    fits = slope_bits - 1 + shift - steep.bit_length()
    holds = 31 - (level + (farthest * steep >> shift)).bit_length()
    return Reach(tuple(run.end for run in found), max(0, min(fits, holds)))


def runs(
    bounds: Intervals, form: Form, at_most: int, align: int = 1, least: Reach | None = None
) -> list[Run] | None:
    """Return the fewest runs of inputs that one line each serves, or None if more than at_most.

    align: runs start at multiples of it, counted from the first input. Greedy longest extension; it
    is optimal because every part of a feasible run is feasible. An input that no line serves within
    int32 gives None too. With an offset_step above 1 the number is the least among lines whose
    interval of offsets is so long that it must hold a multiple.
    least: the reach of real coefficients for the same inputs and align, which saves the time to go
    on where they show that there will be more than at_most.
    """
    strips = Strips(bounds, form)
    if np.any(strips.lower > strips.upper):
        return None
    found: list[Run] = []
    size, start, slope, length = len(bounds.x), 0, 0, 1
    while start < size:
        if len(found) + (least.need(start) if least else 1) > at_most:
            return None
        end, slope = longest(strips, start, length, slope)
        if end < size:
            end -= end % align
        if end <= start:
            return None
        found.append(Run(start, end, slope))
        start, length = end, end - start
    return found


@dataclass(frozen=True)
class Plan:
    """The fewest runs for one form, and the form."""

    form: Form
    runs: list[Run]


def fewest(bounds: Intervals, form: Form, align: int = 1, at_most: int = 1 << 16) -> Plan | None:
    """Return the fewest runs over all shifts, and of those the smallest shift.

    The smallest shift has the smallest offsets; that of the form is not used. None if nothing
    serves, or more than at_most runs. The likeliest shift is tried first, since it leaves the
    others, which have to be as good, little to try.
    """
    least = reach(bounds, form.slope_bits, at_most, align)
    if least is None:
        return None
    first, best = least.shift, None
    if found := runs(bounds, dataclasses.replace(form, shift=first), at_most, align, least):
        best, at_most = Plan(dataclasses.replace(form, shift=first), found), len(found)
    for shifts in (range(first), range(first + 1, len(ALL_SHIFTS))):
        if best is not None:
            at_most = len(best.runs) - (shifts.start > best.form.shift)
        if not shifts or at_most < len(least.ends):
            continue
        exact = at_most == len(least.ends)
        bound = least if exact else _closer(bounds, form, at_most, align, shifts)
        for shift in shifts if bound else ():
            tried = dataclasses.replace(form, shift=shift)
            if found := runs(bounds, tried, at_most, align, bound):
                best, at_most = Plan(tried, found), len(found) - 1
    return best


def _closer(bounds: Intervals, form: Form, at_most: int, align: int, shifts: range) -> Reach | None:
    """Return how far the runs go whose slopes no shift of a range exceeds in number or in size."""
    bits, finest = form.slope_bits - shifts.start, min(shifts.stop - 1, FINEST)
    return reach(bounds, bits, at_most, align, finest)


def lines(bounds: Intervals, form: Form, found: Sequence[Run]) -> list[Segment]:
    """Return for each run the line that keeps the most distance from the interval ends."""
    strips = Strips(bounds, form)
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


def longest(strips: Strips, start: int, guess: int, slope: int, growth: int = 0) -> tuple[int, int]:
    """Return (end, slope) of the longest feasible run from ``start``: gallop, then bisect.

    guess: the length that is tried first; growth: how much longer the second try is, by default
    twice the guess.
    """
    size = strips.x.size
    good, bad, step = start, size + 1, guess
    while True:
        end = min(good + step, size)
        tried = strips.slope(start, end, slope)
        if tried is None:
            bad = end
            break
        good, slope, step = end, tried, growth or 2 * step
        growth *= 2
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
