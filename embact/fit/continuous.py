"""Continuous piecewise linear kernels: neighbouring segments meet at an input code.

Their breakpoints can be moved or blended without a jump. Dynamic programming over the states
(input, scaled value, slope) finds the fewest segments there are; with 8-bit slopes and int8 inputs
the states can be enumerated, otherwise nothing is found. This module must not know nodes.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.fit.line import FREE, Form, Intervals, Segment, Strips

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.grid import Codes

OVERSHOOT = 8
"""How far, in codes, a line may run beyond a clamp."""

WIDEST = 1 << 12
"""Most scaled values of an input that are kept; a shift that needs more is not tried."""

SLOPES = np.arange(-128, 128, dtype=np.int64)
NEVER = np.int16(1 << 14)


def continuous(problem: Problem, view: View, slope_bits: int) -> list[Segment] | None:
    """Return the fewest continuous segments within the budget, or None if there are none.

    With ``options.segments`` the budget is the least, in codes, for which so many are enough.
    Breakpoints are input codes, and lines run at most OVERSHOOT codes beyond a clamp.
    """
    if slope_bits != 8 or problem.spec.input.bits != 8:
        return None
    most = problem.options.segments
    if most is None:
        return _fewest(view.bounds, view.clamp, view.bounds.x.size)
    for budget in range(1 << problem.spec.output.bits):
        limits = dataclasses.replace(problem.limits, max_error=budget)
        tried = view.remade(dataclasses.replace(problem, limits=limits))
        found = None if tried is None else _fewest(tried.bounds, view.clamp, most)
        if found:
            return found
        if tried is not None and (tried.bounds.high - tried.bounds.low).min() > WIDEST:
            break
    return None


def _fewest(bounds: Intervals, clamp: tuple[int, int], most: int) -> list[Segment] | None:
    low = np.where(bounds.low == -FREE, clamp[0] - OVERSHOOT, bounds.low)
    high = np.where(bounds.high == FREE, clamp[1] + OVERSHOOT, bounds.high)
    low, high = np.minimum(low, high), np.maximum(low, high)
    width = int((high - low).max()) + 1
    best: list[Segment] | None = None
    for shift in range(8, -1, -1):
        if width << shift <= WIDEST:
            strips = Strips(Intervals(bounds.x, low, high), Form(8, shift))
            found = _path(strips, shift, len(best) - 1 if best else most)
            best = found or best
    return best


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
