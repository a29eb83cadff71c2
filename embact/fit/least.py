"""The least error that a number of segments can have: the largest, or the mean square.

This module must not know how segments become nodes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.line import Form, Segment, line_values, lines, runs

if TYPE_CHECKING:
    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.grid import Codes, Reals

RESOLUTION_LSB = 1e-6
"""Least errors are found to within this."""

SHIFTS = sorted(range(32), key=lambda shift: shift * 11 % 32)
"""All shifts, scattered: the best so far is then improved a few times only."""

ROOM = 1 << 30
"""Scaled values beyond this might leave int32."""


def least_error(
    problem: Problem, view: View, slope_bits: int, most: int, terms: int = 0
) -> list[Segment] | None:
    """Return at most ``most`` segments with the least max_error_lsb, or None if there are none.

    Whether an error is possible is decided exactly, for every shift; the least one is bracketed to
    RESOLUTION_LSB.
    """
    best, found = float(1 << 17), None
    for shift in SHIFTS:
        form = Form(slope_bits, shift, terms=terms)
        low, high = 0.0, best - RESOLUTION_LSB
        while high > low:
            tried = view.remade(dataclasses.replace(problem, max_error_lsb=high))
            here = None if tried is None else runs(tried.bounds, form, most)
            if tried is None or here is None:
                if high >= best - RESOLUTION_LSB:
                    break
                low = high
            else:
                best, found = high, lines(tried.bounds, form, here)
            if best - low <= RESOLUTION_LSB:
                break
            high = (low + best) / 2
    return found


def least_squares(problem: Problem, view: View, slope_bits: int, most: int) -> list[Segment] | None:
    """Return ``most`` segments with the least mean squared error, or None if there are none.

    For each shift the breakpoints and the integer coefficients minimise the squared distance of the
    line from the real result, which is exact: dynamic programming over all runs, and for each run
    the best point of a lattice under a convex quadratic. Taking the floor adds the rounding of each
    output, which is not part of that minimum; of the shifts, the one whose kernel has the least
    mean squared error is taken. A histogram weighs the inputs. Plain views of int8 inputs only.
    """
    if view.folded or problem.spec.input.bits != 8:
        return None
    codes, target = view.bounds.x, problem.truth.lsb
    weights = np.full(codes.size, 1.0 / codes.size)
    if problem.histogram is not None:
        weights = problem.histogram.weights
    limit = 1 << (slope_bits - 1)
    best, found = np.inf, None
    for shift in range(32):
        scaled = (target + 0.5) * 2.0**shift - 0.5  # the floor takes half a code on average
        if np.abs(scaled).max() >= ROOM:
            break
        clamp = view.clamp[0] * 2.0**shift, (view.clamp[1] + 1) * 2.0**shift - 1
        points = _Points(codes, scaled, weights, clamp)
        segments = [
            dataclasses.replace(one, shift=shift)
            for one in _squares(points, (-limit, limit - 1), min(most, codes.size))
        ]
        outputs = np.clip(line_values(segments, codes), *view.clamp)
        error = float(np.sum(weights * (outputs - target) ** 2))
        if error < best:
            best, found = error, segments
    return found


@dataclass(frozen=True)
class _Points:
    """Inputs, what lines should give there, how much each counts, and the limits of the clamp."""

    x: Codes
    target: Reals
    weights: Reals
    clamp: tuple[float, float]


def _squares(points: _Points, slopes: tuple[int, int], most: int) -> list[Segment]:
    """Return the integer lines, with shift 0, of least weighted squared distance to a target."""
    x, size = points.x, points.x.size
    cost, slope, offset = _all_runs(points, slopes)
    _leave_ends_to_the_clamp(points, (cost, slope, offset))
    least = np.full((most + 1, size + 1), np.inf)
    back = np.zeros((most + 1, size + 1), dtype=np.int64)
    least[0, 0] = 0.0
    for count in range(1, most + 1):
        total = least[count - 1, :size, None] + cost  # [start, end - 1]
        back[count, 1:] = np.argmin(total, axis=0)
        least[count, 1:] = np.min(total, axis=0)
    count = int(np.argmin(least[:, size]))
    segments, end = [], size
    while end:
        start = int(back[count, end])
        a, b = int(slope[start, end - 1]), int(offset[start, end - 1])
        segments.append(Segment(int(x[start]), int(x[end - 1]), a, b, 0))
        count, end = count - 1, start
    return segments[::-1]


def _leave_ends_to_the_clamp(points: _Points, runs: tuple[Reals, Reals, Reals]) -> None:
    """Let the first and the last run extend to the ends of the domain where the clamp serves them.

    Changes the arrays of cost, slope and offset in place: a run that starts at input p may serve
    all inputs before p too, if its line is beyond one limit of the clamp at all of them; the inputs
    then cost their distance from that limit. Likewise after the last run.
    """
    for flipped in (False, True):  # once from the left, once from the right
        order = slice(None, None, -1) if flipped else slice(None)
        cost, slope, offset = (values[::-1, ::-1].T if flipped else values for values in runs)
        x, target, weights = points.x[order], points.target[order], points.weights[order]
        for limit, sign in zip(points.clamp, (-1, 1), strict=True):
            spent = np.concatenate(([0.0], np.cumsum(weights * (target - limit) ** 2)))
            for start in range(1, x.size):
                served = sign * (slope[start] * x[0] + offset[start] - limit) >= 0
                served &= sign * (slope[start] * x[start - 1] + offset[start] - limit) >= 0
                total = np.where(served, cost[start] + spent[start], np.inf)
                better = total < cost[0]
                slope[0] = np.where(better, slope[start], slope[0])
                offset[0] = np.where(better, offset[start], offset[0])
                cost[0] = np.where(better, total, cost[0])


def _all_runs(points: _Points, slopes: tuple[int, int]) -> tuple[Reals, Reals, Reals]:
    """Return least cost, slope and offset of every run, each [start, last], inf where last < start.

    With the best real offset the cost is convex in the slope, with curvature V, and rounding the
    offset costs W/4 at most; so a slope further than sqrt(W/(4V) + 1/4) from the real optimum
    cannot be the best. Runs so lopsided that this exceeds 64 slopes are searched that far.
    """
    x, target, weights = points.x.astype(np.float64), points.target, points.weights

    def over(values: Reals) -> Reals:
        summed = np.concatenate(([0.0], np.cumsum(values)))
        spans: Reals = summed[None, 1:] - summed[:-1, None]
        return spans

    total = over(weights)
    safe = np.where(total > 0, total, 1.0)
    mean_x, mean_t = over(weights * x) / safe, over(weights * target) / safe
    variance = np.maximum(over(weights * x * x) - total * mean_x**2, 0.0)
    mixed = over(weights * x * target) - total * mean_x * mean_t
    rest = over(weights * target * target) - total * mean_t**2
    flat = variance <= 1e-12 * safe
    centre = np.where(flat, 0.0, mixed / np.where(flat, 1.0, variance))
    reach = np.where(flat, 0.0, np.sqrt(safe / np.where(flat, 1.0, 4 * variance) + 0.25))
    best = np.full(total.shape, np.inf)
    best_slope, best_offset = np.zeros_like(best), np.zeros_like(best)
    steps = int(min(np.ceil(reach[np.triu_indices_from(reach)].max()), 64))
    for step in range(-steps, steps + 2):
        slope = np.clip(np.floor(centre) + step, *slopes)
        wanted = mean_t - slope * mean_x
        offset = np.floor(wanted + 0.5)
        cost = rest - 2 * slope * mixed + slope**2 * variance + total * (offset - wanted) ** 2
        better = cost < best
        best = np.where(better, cost, best)
        best_slope = np.where(better, slope, best_slope)
        best_offset = np.where(better, offset, best_offset)
    best[np.tril_indices_from(best, -1)] = np.inf
    return np.maximum(best, 0.0), best_slope, best_offset
