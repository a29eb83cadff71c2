"""Continuous piecewise linear kernels: neighbouring segments meet at an input code.

Their breakpoints can be moved or blended without a jump. Dynamic programming over the states
(input, scaled value, slope) finds the fewest segments there are; with 8-bit slopes and int8 inputs
the states can be enumerated, otherwise nothing is found. This module must not know nodes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.fit.fold import FARTHEST
from embact.fit.line import Form, Intervals, Segment, Strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.grid import Codes

OVERSHOOT = 8
"""How far, in codes, a line may run beyond a clamp."""

WIDEST = 1 << 12
"""Most scaled values of an input that are kept; a shift that needs more is not tried."""

SHIFTS = range(9)
"""The ones that are tried; beyond, 8-bit slopes are below a quarter of a code for an input."""

SLOPES = np.arange(-128, 128, dtype=np.int64)
NEVER = np.int16(1 << 14)


def continuous(problem: Problem, view: View, slope_bits: int) -> list[Segment] | None:
    """Return the fewest continuous segments within the budget, or None if there are none.

    With ``options.segments`` the budget is the least, in codes, for which so many are enough.
    Breakpoints are input codes, and lines run at most OVERSHOOT codes beyond a clamp.
    """
    if slope_bits != 8 or problem.spec.input.bits != 8:
        return None
    if problem.options.segments is not None:
        return _least(problem, view, problem.options.segments)
    best: list[Segment] | None = None
    for shift in SHIFTS[::-1]:
        strips = _strips(view, shift)
        if strips is not None:
            best = _path(strips, shift, len(best) - 1 if best else view.bounds.x.size) or best
    return best


def _least(problem: Problem, view: View, most: int) -> list[Segment] | None:
    """Return at most ``most`` segments with the least error in codes, or None if there are none.

    What a budget allows, a larger one does at the same shift, unless that is too wide: bisection.
    """
    least, best = 1 << problem.spec.output.bits, None
    most = min(most, view.bounds.x.size)
    for shift in SHIFTS:  # the narrow ones first: they leave the wide ones little to try
        low, high = 0, least
        tried = high - 1
        while low < high:
            limits = dataclasses.replace(problem.limits, max_error=tried)
            again = view.remade(dataclasses.replace(problem, limits=limits))
            strips = again and _strips(again, shift)
            found = _path(strips, shift, most) if strips else None
            if found:
                least, best = tried, found
            if found or (again and not strips):
                high = tried
            else:
                low = tried + 1
            tried = (low + high) // 2
    return best


def _strips(view: View, shift: int) -> Strips | None:
    """Return the scaled bounds with their free ends cut, or None if they are too wide."""
    low, high = view.bounds.low, view.bounds.high
    no_low, no_high = low <= -FARTHEST, high >= FARTHEST
    bottom = np.minimum(view.clamp[0], np.where(no_high, view.clamp[0], high)) - OVERSHOOT
    top = np.maximum(view.clamp[1], np.where(no_low, view.clamp[1], low)) + OVERSHOOT
    low, high = np.where(no_low, bottom, low), np.where(no_high, top, high)
    if (int((high - low).max()) + 1) << shift > WIDEST:
        return None
    return Strips(Intervals(view.bounds.x, low, high), Form(8, shift))


def _path(strips: Strips, shift: int, at_most: int) -> list[Segment] | None:
    """Return the path with the fewest segments through the strips, or None if more than at_most."""
    lower, upper, x = strips.lower, strips.upper, strips.x
    size = int((upper - lower).max()) + 1
    value = np.arange(size)
    inside = value <= (upper - lower)[:, None]
    count = np.where(inside[0][:, None], np.int16(1), NEVER) + np.zeros(SLOPES.size, dtype=np.int16)
    turned, source = [np.zeros(count.shape, dtype=bool)], [np.zeros(size, dtype=np.int64)]
    for position in range(1, x.size):
        moved = value[:, None] - SLOPES + (lower[position] - lower[position - 1])
        valid = (moved >= 0) & (moved < size) & inside[position][:, None]
        count = np.where(
            valid, np.take_along_axis(count, np.clip(moved, 0, size - 1), axis=0), NEVER
        )
        source.append(np.argmin(count, axis=1))
        turn = count.min(axis=1)[:, None] + np.int16(1)
        turned.append(count > turn)
        count = np.minimum(count, turn)
        if count.min() > at_most:
            return None
    return _traced(strips, shift, count, turned, source)


def _traced(
    strips: Strips,
    shift: int,
    count: NDArray[Any],
    turned: list[NDArray[np.bool_]],
    source: list[Codes],
) -> list[Segment]:
    """Return the segments of the least count at the last input, traced back to the first."""
    row, column = (int(k) for k in np.unravel_index(int(np.argmin(count)), count.shape))
    segments: list[Segment] = []
    x, last = strips.x, strips.x.size - 1
    for position in range(last, -1, -1):
        slope, scaled = int(SLOPES[column]), row + int(strips.lower[position])
        if turned[position][row, column] or position == 0:
            first = int(x[position])
            segments.append(Segment(first, int(x[last]), slope, scaled - slope * first, shift))
            column, last = int(source[position][row]), position - 1
            slope = int(SLOPES[column])
        if position:
            row += int(strips.lower[position]) - slope - int(strips.lower[position - 1])
    return segments[::-1]
