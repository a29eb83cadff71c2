"""The least mean squared error that a number of segments can have, for int8 inputs.

This module must not know how segments become nodes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.fit.least import least_error
from embact.fit.line import ALL_SHIFTS, Form, Segment
from embact.fit.runs import line_values

if TYPE_CHECKING:
    from embact.fit.fold import View
    from embact.fit.problem import Problem
    from embact.grid import Codes, Reals

ROOM = 1 << 30
"""Scaled values beyond this might leave int32."""

SLOPES = range(-3, 4)
OFFSETS = 256
"""How many neighbouring slopes and offsets are looked at to improve a line."""

ROUNDS = 12


def least_squares(problem: Problem, view: View, form: Form, most: int) -> list[Segment] | None:
    """Return at most ``most`` segments with a small mean squared error, or None if there are none.

    For each shift the breakpoints and the integer coefficients minimise the squared distance of the
    line from the real result, which is exact: dynamic programming over all runs, and for each run
    the best point of a lattice under a convex quadratic. That leaves out how the floor rounds each
    output; so the best of these kernels, and the one of the least maximum, are improved one line or
    breakpoint at a time until nothing helps, and the better is taken: a local minimum of the
    kernel's own error. A histogram weighs the inputs. Plain views of int8 inputs only.
    """
    if view.folded or view.clamp != problem.code_range or problem.spec.input.bits != 8:
        return None
    target = problem.truth.lsb
    weights = np.full(target.size, 1.0 / target.size)
    if problem.histogram is not None:
        weights = problem.histogram.weights
    limit = 1 << (form.slope_bits - 1)
    slopes = (-limit, limit - 1)
    aim = _Aim(view.bounds.x, target, weights, view.clamp, slopes)
    found = [_of_shift(aim, shift, most) for shift in ALL_SHIFTS if aim.fits(shift)]
    if least := least_error(problem, view, form, most):
        found.append(least[0])
    # the few best before they are improved
    best = sorted(found, key=aim.error)[:3]
    return min((_improved(aim, one) for one in best), key=aim.error, default=None)


@dataclass(frozen=True)
class _Aim:
    """What a kernel should give at each input, how much that counts, its clamp and its slopes."""

    x: Codes
    target: Reals
    weights: Reals
    clamp: tuple[int, int]
    slopes: tuple[int, int]

    def fits(self, shift: int) -> bool:
        """Return whether lines at that shift stay far inside int32."""
        return bool((np.abs(self.target).max() + 2.0) * 2.0**shift < ROOM)

    def error(self, segments: list[Segment]) -> float:
        """Return the mean squared error of the kernel of some segments, in codes squared."""
        outputs = np.clip(line_values(segments, self.x), *self.clamp)
        return float(np.sum(self.weights * (outputs - self.target) ** 2))

    def losses(self, slope: Reals, offset: Reals, shift: int) -> Reals:
        """Return each input's share of the error for lines, inputs along the last axis."""
        lines = np.asarray(slope)[..., None] * self.x + np.asarray(offset)[..., None]
        outputs = np.clip(lines.astype(np.int64) >> shift, *self.clamp)
        shares: Reals = self.weights * (outputs - self.target) ** 2
        return shares


def _of_shift(aim: _Aim, shift: int, most: int) -> list[Segment]:
    """Return the segments whose lines have the least squared distance from the target."""
    scaled = (aim.target + 0.5) * 2.0**shift - 0.5  # the floor takes half a code on average
    clamp = aim.clamp[0] * 2.0**shift, (aim.clamp[1] + 1) * 2.0**shift - 1
    points = _Points(aim.x, scaled, aim.weights, clamp)
    found = _squares(points, aim.slopes, min(most, aim.x.size))
    return [dataclasses.replace(one, shift=shift) for one in found]


def _improved(aim: _Aim, segments: list[Segment]) -> list[Segment]:
    """Return segments that no change of one line or one breakpoint makes better."""
    for _ in range(ROUNDS):
        before = aim.error(segments)
        changed = [_better_line(aim, one) for one in segments]
        for left in range(len(changed) - 1):
            changed[left : left + 2] = _better_breakpoint(aim, *changed[left : left + 2])
        if aim.error(changed) >= before:
            return segments
        segments = changed
    return segments


def _better_line(aim: _Aim, one: Segment) -> Segment:
    """Return the best of the lines near to that of a segment, for its inputs."""
    slopes = np.clip(one.slope + np.array(SLOPES), *aim.slopes)
    centre = (one.first + one.last) // 2
    step = max(1, (2 << one.shift) // OFFSETS)
    around = step * np.arange(-OFFSETS // 2, OFFSETS // 2)
    # near lines meet in the middle of the segment
    offset = (one.offset + (one.slope - slopes) * centre)[:, None] + around
    offset = np.concatenate((offset.ravel(), [one.offset]))
    slope = np.concatenate((np.repeat(slopes, OFFSETS), [one.slope]))
    inside = (aim.x >= one.first) & (aim.x <= one.last)
    loss = aim.losses(slope, offset, one.shift)[:, inside].sum(axis=1)
    best = int(np.argmin(loss))
    if loss[best] >= loss[-1]:
        return one
    return dataclasses.replace(one, slope=int(slope[best]), offset=int(offset[best]))


def _better_breakpoint(aim: _Aim, left: Segment, right: Segment) -> tuple[Segment, Segment]:
    """Return two neighbours with the best breakpoint between them."""
    slope, offset = (np.array([getattr(s, name) for s in (left, right)]) for name in _LINE)
    losses = aim.losses(slope, offset, left.shift)
    first, last = (int(np.searchsorted(aim.x, end)) for end in (left.first, right.last))
    shares = losses[:, first : last + 1]
    # the share of the left line up to an input, and of the right one from the next on
    total = np.cumsum(shares[0])[:-1] + np.cumsum(shares[1][::-1])[::-1][1:]
    cut = first + int(np.argmin(total))
    return (
        dataclasses.replace(left, last=int(aim.x[cut])),
        dataclasses.replace(right, first=int(aim.x[cut + 1])),
    )


_LINE = ("slope", "offset")


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
